package clustertest

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// shortStall is for how long each node is paused in turn: longer than a session lives.
const shortStall = 15 * time.Second

// newcomer is for how long a process that has just registered does not help to end the session of a
// dead node: the time of a session.
const newcomer = 10 * time.Second

// Which node it is must make no difference: where others take over is decided by each of them, on
// its own list of the rest.
func TestEachNodeIsTakenOverWhenItIsKilled(t *testing.T) {
	onlyFull(t)
	for _, names := range [][]string{{"a", "b", "c"}, {"a", "b", "c", "d", "e"}} {
		t.Run(fmt.Sprint(len(names)), func(t *testing.T) {
			measured(t, fmt.Sprintf("kill -9 of each of %d nodes in turn", len(names)), "every config scraped again within 5 s; no tick taken by two nodes", func(r *row) {
				if *embedded && len(names) > 3 {
					t.Skip("the embedded quorum of these tests has three members")
				}
				c := usual(t, names...)
				c.eachInTurn(r, names, func(name string) { c.nodes[name].Kill() }, func(name string) {
					c.start(name)
					c.awaitReady(name)
					pause(newcomer)
				})
			})
		})
	}
}

func TestEachNodeIsTakenOverWhenItIsStalled(t *testing.T) {
	onlyFull(t)
	for _, names := range [][]string{{"a", "b", "c"}, {"a", "b", "c", "d", "e"}} {
		t.Run(fmt.Sprint(len(names)), func(t *testing.T) {
			measured(t, fmt.Sprintf("SIGSTOP of each of %d nodes in turn, for 15 s", len(names)), "every config scraped again within 5 s; no tick taken by two nodes", func(r *row) {
				if *embedded && len(names) > 3 {
					t.Skip("the embedded quorum of these tests has three members")
				}
				c := usual(t, names...)
				c.eachInTurn(r, names, func(name string) {
					require.NoError(c.t, c.nodes[name].Signal(syscall.SIGSTOP))
					pause(shortStall)
				}, func(name string) { require.NoError(c.t, c.nodes[name].Signal(syscall.SIGCONT)) })
			})
		})
	}
}

// eachInTurn does something to each node, lets the others take over, undoes it, and measures.
func (c *clusterUnderTest) eachInTurn(r *row, names []string, fault, undo func(name string)) {
	var figures []string
	for _, name := range names {
		lost := ownedBy(c.owners(), name)
		since := time.Now()
		fault(name)
		c.logf("the fault of node %s has begun", name)
		eventually(c.t, func() bool {
			_, never := c.takenOver(lost, name, since)
			return never == 0
		}, "what %s had is never taken over", name)
		undo(name)
		c.settle(names...)
		m := c.measure(since, c.configs)
		longest, _ := c.takenOver(lost, name, since)
		figures = append(figures, fmt.Sprintf("%s %s (%d configs)", name, sec(longest), len(lost)))
		r.wants(longest <= takeover, "what %s had was scraped again after %s", name, sec(longest))
		r.wants(m.byTwo == 0, "%d ticks taken by two nodes with %s", m.byTwo, name)
		figures[len(figures)-1] += fmt.Sprintf(", %d missed, %d doubled, %d by two nodes", m.missed, m.doubled, m.byTwo)
	}
	r.measured = "the last config scraped again after: " + strings.Join(figures, "; ")
}
