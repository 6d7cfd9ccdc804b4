package clustertest

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cmd/internal/toy"
)

const (
	// takeover is how soon others scrape what a node has lost.
	takeover = 5 * time.Second
	// stall is for how long a node is paused, or cut off from the store.
	stall = 30 * time.Second
	// outage is for how long the store is away.
	outage = 60 * time.Second
	// justAway is when, in an outage, a node is restarted.
	justAway = 15 * time.Second
)

func TestAKilledNodeIsTakenOver(t *testing.T) {
	measured(t, "kill -9 of one node", "every config scraped again within 5 s; 0 doubled", func(r *row) {
		c := usual(t, "a", "b", "c")
		lost := ownedBy(c.owners(), "c")
		killed := time.Now()
		c.nodes["c"].Kill()
		c.logf("node c killed")
		c.settle("a", "b")
		m := c.measure(killed, c.configs)
		r.wantsSoon(c.lostTheirNode(r, lost, "c", killed, m))
	})
}

// lostTheirNode fills the row of a fault that took configs from a node. It returns when the last
// one of them was scraped again.
func (c *clusterUnderTest) lostTheirNode(r *row, lost []string, node string, since time.Time, m measurement) (longest time.Duration) {
	longest, never := c.takenOver(lost, node, since)
	r.measured = fmt.Sprintf("%d of %d configs lost their node: the last one scraped again after %s; %s", len(lost), len(c.configs), sec(longest), m.ticks())
	r.wants(never == 0, "%d configs never scraped by another node", never)
	c.wantsNoneDoubled(r, m)
	return longest
}

// wantsSoon is for a fault after which others have to scrape within a time. Few configs on a busy
// machine don't tell.
func (r *row) wantsSoon(longest time.Duration) {
	if *full {
		r.wants(longest <= takeover, "scraped again after %s", sec(longest))
	}
}

func TestAStalledNodeTakesNothingThatOthersHave(t *testing.T) {
	onlyFull(t)
	measured(t, "SIGSTOP for 30 s, then SIGCONT", "taken over within 5 s; the resumed node takes no scrape with a lost claim", func(r *row) {
		c := usual(t, "a", "b", "c")
		lost := ownedBy(c.owners(), "c")
		stopped := time.Now()
		require.NoError(t, c.nodes["c"].Signal(syscall.SIGSTOP))
		c.logf("node c stopped")
		pause(stall)
		resumed := time.Now()
		require.NoError(t, c.nodes["c"].Signal(syscall.SIGCONT))
		c.logf("node c goes on")
		c.settle("a", "b", "c")
		m := c.measure(stopped, c.configs)
		r.wantsSoon(c.lostTheirNode(r, lost, "c", stopped, m))
		rested, _ := c.overlaps(lost, "c")
		r.measured += fmt.Sprintf("; scrapes of the resumed node while others had the config: %d; missed after it went on: %d", rested, c.missedSince(resumed))
		r.wants(rested == 0, "%d scrapes with a lost claim", rested)
	})
}

// missedSince is how many ticks were missed at the targets since an instant, of those that had
// their chance.
func (c *clusterUnderTest) missedSince(from time.Time) (missed int) {
	return c.missedIn(from, time.Now().Add(-c.interval-2*time.Second))
}

// missedIn is how many ticks were missed at the targets of those due from one instant until another.
func (c *clusterUnderTest) missedIn(from, until time.Time) (missed int) {
	for _, name := range c.configs {
		missed += len(c.schedule(name).Account(c.made(name), from, until, toy.JitterOfTimestamps()).Missed)
	}
	return missed
}

// overlaps counts scrapes by a node of configs that another node had scraped after it and scraped
// again later: its own were taken between two of others, and so without a claim, unless the config
// moved there and back. A move takes longer than one tick.
func (c *clusterUnderTest) overlaps(configs []string, node string) (scrapes int, examples []string) {
	for _, name := range configs {
		all := c.ledger.Scrapes(name)
		for i := 1; i < len(all)-1; i++ {
			before, at, after := all[i-1], all[i], all[i+1]
			if at.Node == node && before.Node != node && after.Node != node {
				scrapes++
				examples = append(examples, fmt.Sprintf("%s %+v", name, at))
			}
		}
	}
	return scrapes, examples
}

func TestANodeCutOffFromTheStoreStopsBeforeOthersStart(t *testing.T) {
	onlyFull(t)
	measured(t, "one node cut off from the store only", "fenced before others start; 0 doubled", func(r *row) {
		if *embedded {
			t.Skip("an embedded store is not cut off from its own node")
		}
		c := usual(t, "a", "b", "c")
		lost := ownedBy(c.owners(), "c")
		cut := time.Now()
		c.cables["c"].setCut(true)
		c.logf("node c cut off")
		pause(stall)
		c.cables["c"].setCut(false)
		c.logf("node c reaches the store again")
		c.settle("a", "b", "c")
		m := c.measure(cut, c.configs)
		c.lostTheirNode(r, lost, "c", cut, m)
		late, pauses := c.fenced(lost, "c", cut)
		moved, _ := m.deviations(c.interval)
		r.measured += fmt.Sprintf("; from the last scrape of the one to the first of the other: %s shortest; gaps %s", ms(pauses), moved)
		r.wants(late == 0, "%d configs scraped by others before this node stopped", late)
	})
}

// fenced looks at how configs left a node after an instant: how many it still scraped when others
// did, and the shortest time between its last scrape and the first of another.
func (c *clusterUnderTest) fenced(configs []string, node string, since time.Time) (late int, shortest time.Duration) {
	shortest = time.Hour
	for _, name := range configs {
		var last toy.Scrape
		for _, s := range c.ledger.Scrapes(name) {
			if s.Node == node {
				last = s
				continue
			}
			if s.At.Before(since) || last.At.IsZero() {
				continue
			}
			shortest = min(shortest, s.At.Sub(last.At))
			break
		}
	}
	late, _ = c.overlaps(configs, node)
	return late, shortest
}

func TestAnOutageOfTheStoreStopsNothing(t *testing.T) {
	onlyFull(t)
	measured(t, "store down 60 s, and one node restarted meanwhile", "0 stopped configs, 0 missed on the others", func(r *row) {
		if *embedded {
			t.Skip("the embedded store is down when its nodes are")
		}
		c := usual(t, "a", "b", "c")
		others, own := c.notOf("c"), ownedBy(c.owners(), "c")
		down := time.Now()
		c.etcd.kill()
		c.logf("etcd killed")
		pause(justAway)
		restarted := time.Now()
		ended := c.tryStop("c")
		c.start("c")
		pause(time.Until(down.Add(outage)))
		stopped := c.notScrapedSince(time.Now().Add(-3 * c.interval))
		c.etcd.start()
		c.logf("etcd is back; %d configs are not scraped", len(stopped))
		c.settle("a", "b", "c")
		m, whole := c.measure(down, others), c.measure(down, own)
		back, never := c.scrapedAgain(own, restarted)
		r.measured = fmt.Sprintf("%d of %d configs not scraped at the end of the outage; the two others: %d ticks, %s; the restarted one: all %d configs scraped again after %s, %s",
			len(stopped), len(c.configs), m.due, m.ticks(), len(own), sec(back), whole.ticks())
		r.wants(ended == nil, "%v", ended)
		r.wants(len(stopped) == 0 && never == 0, "%d configs stopped", len(stopped))
		c.wantsWhole(r, m)
		c.wantsNoneDoubled(r, whole)
	})
}

// notOf are the configs that other nodes have.
func (c *clusterUnderTest) notOf(node string) (configs []string) {
	owners := c.owners()
	for _, name := range c.configs {
		if owners[name] != node {
			configs = append(configs, name)
		}
	}
	return configs
}

func (c *clusterUnderTest) notScrapedSince(since time.Time) (configs []string) {
	for _, name := range c.configs {
		arrivals := c.targets.Arrivals(name)
		if len(arrivals) == 0 || arrivals[len(arrivals)-1].Before(since) {
			configs = append(configs, name)
		}
	}
	return configs
}

// scrapedAgain is how long it took from a stop of their node until the last of some configs was
// scraped after its gap.
func (c *clusterUnderTest) scrapedAgain(configs []string, since time.Time) (longest time.Duration, never int) {
	for _, name := range configs {
		arrivals := c.targets.Arrivals(name)
		var widest, end time.Duration
		for i := 1; i < len(arrivals); i++ {
			if gap := arrivals[i].Sub(arrivals[i-1]); arrivals[i].After(since) && gap > widest {
				widest, end = gap, arrivals[i].Sub(since)
			}
		}
		if widest == 0 {
			never++
		}
		longest = max(longest, end)
	}
	return longest, never
}

// longestGap is the longest time after an instant for which a target was not scraped, and that
// target's config. A target that waits still counts with what it has waited.
func (c *clusterUnderTest) longestGap(since time.Time) (longest time.Duration, config string) {
	for _, name := range c.configs {
		last := since
		for _, at := range append(c.targets.Arrivals(name), time.Now()) {
			if at.Before(since) {
				continue
			}
			if gap := at.Sub(last); gap > longest {
				longest, config = gap, name
			}
			last = at
		}
	}
	return longest, config
}
