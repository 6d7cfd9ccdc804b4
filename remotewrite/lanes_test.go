package remotewrite

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLanesThatCanNotChangeYetAreNotTakenForChanged(t *testing.T) {
	e := &endpoint{ledger: &ledger{track: &track{}}}
	e.cfg = writeConfig(t, "http://receiver/", withLanes(1, 8), perSend(100))
	e.lanes = 2
	r := newRound()
	r.limits.items, r.full, r.end = 100, true, Position{Seq: 200}
	ahead := func(seq uint64) {
		e.ledger.lanes = e.lanes
		e.ledger.progress = freshProgress(e.lanes, 0, 0)
		e.ledger.progress.marks[0].settled = seq
	}
	ahead(500)
	for range growAfter + 2 {
		e.adapt(r, false, 1_000_000, time.Second)
		require.Equal(t, 2, e.lanes, "one lane is ahead of the other")
	}
	require.Zero(t, e.growth.rateBefore, "nothing has grown whose gain could be judged")
	require.NotZero(t, e.growth.samples)
	ahead(0)
	e.adapt(r, false, 1_000_000, time.Second)
	require.Equal(t, 4, e.lanes, "as soon as it is possible")
	require.Equal(t, 200., e.growth.rateBefore)

	// Twice the lanes were no faster, which is found out in one round only.
	ahead(500)
	for range growAfter + 2 {
		e.adapt(r, false, 1_000_000, time.Second)
		require.Equal(t, 4, e.lanes)
	}
	ahead(0)
	e.adapt(r, false, 1_000_000, time.Second)
	require.Equal(t, 2, e.lanes)
	require.Equal(t, 2, e.growth.ceiling)
}
