package clustertest

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/ringmaster-agent/ringmaster/cmd/internal/node"
)

// twinTime is how long two processes of one name live beside each other.
const twinTime = 30 * time.Second

func TestTwoProcessesOfOneNameDoNotScrapeOneTarget(t *testing.T) {
	onlyFull(t)
	measured(t, "a second process with the name of c, at another address, for 30 s", "0 doubled, 0 missed", func(r *row) {
		if *embedded {
			t.Skip("two members of a quorum of one name don't start")
		}
		c := usual(t, "a", "b", "c")
		began := time.Now()
		settings := node.Settings{Name: "c", Receiver: "http://" + c.address + "/api/v1/write", Etcd: c.etcd.address}
		twin := c.addNode("the twin of c", settings, filepath.Join(c.directory, "twin"), "", agentProgram(t))
		c.start("the twin of c")
		pause(twinTime)
		ready := twin.Ready(t.Context())
		twin.Kill()
		c.logf("the twin was killed; it was ready: %v", ready)
		c.settle("a", "b", "c")
		m := c.measure(began, c.configs)
		r.measured = fmt.Sprintf("%d ticks: %s; the twin said that it is ready: %v", m.due, m.ticks(), ready)
		c.wantsWhole(r, m)
	})
}

// An outage of the store that begins while a joiner takes its configs over: what is on its way must
// be scraped by one or the other.
func TestAnOutageDuringAJoinLeavesNothingUnscraped(t *testing.T) {
	onlyFull(t)
	measured(t, "the store goes away for 30 s while a fourth node joins", "no target unscraped for more than 3 s; no tick taken by two nodes", func(r *row) {
		if *embedded {
			t.Skip("the embedded quorum has a fixed list of members")
		}
		c := usual(t, "a", "b", "c")
		began := time.Now()
		c.start("d")
		eventually(t, func() bool { return len(ownedBy(c.owners(), "d")) > 0 }, "nothing moves to d")
		down := time.Now()
		c.etcd.kill()
		c.logf("etcd killed, with %d configs at d", len(ownedBy(c.owners(), "d")))
		pause(stall)
		gap, config := c.longestGap(down)
		stopped := c.notScrapedSince(time.Now().Add(-3 * c.interval))
		c.etcd.start()
		c.logf("etcd is back; the longest time without a scrape was %s, of %s", gap, config)
		c.settle("a", "b", "c", "d")
		m := c.measure(began, c.configs)
		r.measured = fmt.Sprintf("%d configs not scraped at the end of the outage; the longest time without a scrape in it: %s; %s", len(stopped), sec(gap), m.ticks())
		r.wants(len(stopped) == 0, "%d configs unscraped", len(stopped))
		r.wants(gap <= 3*time.Second, "%s without a scrape", sec(gap))
		m.wantsNoTwoNodes(r)
	})
}
