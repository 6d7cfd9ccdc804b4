package clustertest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What is wanted of the time between two scrapes of a target that has moved: how much it may differ from the interval.
const medianDeviation, maxDeviation = 50 * time.Millisecond, 200 * time.Millisecond

// measured runs a measurement as a row of the table: also one that fails is in it.
func measured(t *testing.T, name, reach string, fill func(r *row)) {
	t.Helper()
	r := row{name: name, reach: reach, unknown: true}
	t.Cleanup(func() { results.add(r) })
	fill(&r)
	r.unknown = false
	t.Logf("%s: %s: %s", r.name, r.measured, r.verdict())
	if len(r.missed) > 0 {
		t.Fail()
	}
}

// usual is a cluster with its configs, at rest.
func usual(t *testing.T, names ...string) *clusterUnderTest {
	t.Helper()
	c := newCluster(t, names...)
	count := 30
	if *full {
		count = 300
	}
	c.put(count, time.Second)
	c.settle(names...)
	c.learn()
	return c
}

const noTrace = "0 missed, 0 doubled ticks; deviation of the time between two scrapes of a moved target < 50 ms at the median, < 200 ms at the maximum"

func TestPlannedMovesAreNotSeenInTheData(t *testing.T) {
	c := usual(t, "a", "b", "c")
	t.Run("join", func(t *testing.T) {
		if *embedded {
			t.Skip("the embedded quorum has a fixed list of members")
		}
		measured(t, "join 3→4", noTrace, func(r *row) {
			c.t = t
			began := time.Now()
			c.start("d")
			c.settle("a", "b", "c", "d")
			c.planned(r, c.measure(began, c.configs))
		})
	})
	t.Run("leave", func(t *testing.T) {
		if *embedded {
			t.Skip("the embedded quorum has a fixed list of members: see the rolling restart")
		}
		measured(t, "planned leave 4→3", noTrace, func(r *row) {
			c.t = t
			began := time.Now()
			c.stop("d")
			c.settle("a", "b", "c")
			c.planned(r, c.measure(began, c.configs))
		})
	})
	t.Run("rolling restart", func(t *testing.T) {
		onlyFull(t)
		measured(t, "rolling restart of 3", noTrace, func(r *row) {
			c.t = t
			began := time.Now()
			for _, name := range []string{"a", "b", "c"} {
				c.stop(name)
				c.start(name)
				c.awaitReady(name)
				c.settle("a", "b", "c")
			}
			c.planned(r, c.measure(began, c.configs))
		})
	})
}

// planned fills the row of a move that was planned.
func (c *clusterUnderTest) planned(r *row, m measurement) {
	require.NotEmpty(c.t, m.moves, "nothing has moved")
	moved, still := m.deviations(c.interval)
	r.measured = fmt.Sprintf("%d ticks, %d moves: %s; deviation %s (where nothing moved: %s)", m.due, len(m.moves), m.ticks(), moved, still)
	c.wantsWhole(r, m)
	if *full {
		r.wants(moved.median < medianDeviation, "median deviation %s", ms(moved.median))
		r.wants(moved.most < maxDeviation, "maximum deviation %s", ms(moved.most))
	}
}

// ticks says what both ends counted.
func (m measurement) ticks() string {
	return fmt.Sprintf("%d missed, %d doubled (receiver: %d, %d; the machine stood still for up to %s)", m.missed, m.doubled, m.unreceived, m.receivedTwo, ms(m.standstill))
}

func (c *clusterUnderTest) wantsWhole(r *row, m measurement) {
	whole := m.missed == 0 && m.unreceived == 0
	if !whole && !m.tells(c.interval) {
		c.logf("%d ticks were missed on a machine that had no time; that tells nothing", m.missed)
		whole = true
	}
	r.wants(whole, "%d ticks missed, %d not received", m.missed, m.unreceived)
	m.wantsNoneDoubled(r)
}

func (m measurement) wantsNoneDoubled(r *row) {
	r.wants(m.doubled == 0 && m.receivedTwo == 0, "%d ticks doubled, %d received twice", m.doubled, m.receivedTwo)
}

func onlyFull(t *testing.T) {
	t.Helper()
	if !*full {
		t.Skip("this row is measured with -args -full (task cluster)")
	}
}
