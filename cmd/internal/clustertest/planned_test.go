package clustertest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What is wanted of the time between two scrapes of a target that has moved: how much it may differ
// from the interval.
const medianDeviation, maxDeviation = 50 * time.Millisecond, 200 * time.Millisecond

const noTrace = "0 missed, 0 doubled ticks; deviation of the time between two scrapes of a moved target < 50 ms at the median, < 200 ms at the maximum"

func TestPlannedMovesAreNotSeenInTheData(t *testing.T) {
	c := usual(t, "a", "b", "c")
	t.Run("join", func(t *testing.T) {
		measured(t, "join 3→4", noTrace, func(r *row) {
			if *embedded {
				t.Skip("the embedded quorum has a fixed list of members")
			}
			c.t = t
			began := time.Now()
			c.start("d")
			c.settle("a", "b", "c", "d")
			c.planned(r, c.measure(began, c.configs))
		})
	})
	t.Run("leave", func(t *testing.T) {
		measured(t, "planned leave 4→3", noTrace, func(r *row) {
			if *embedded {
				t.Skip("the embedded quorum has a fixed list of members: see the rolling restart")
			}
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
