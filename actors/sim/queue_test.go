package sim

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestEventsComeInTheOrderOfTheirTimesWhateverWasDoneToTheQueue(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var q queue
		var all []*event
		for i := range 1 + rnd.IntN(60) {
			e := &event{at: time.Duration(rnd.IntN(10)), order: uint64(rnd.Uint32())<<32 | uint64(i), fault: rnd.IntN(4) == 0}
			all = append(all, e)
			q.push(e)
		}
		if rnd.IntN(2) == 0 {
			for _, e := range all {
				e.at += time.Duration(rnd.IntN(5))
			}
			q.rearrange()
		}
		if rnd.IntN(2) == 0 {
			q.remove(func(e *event) bool { return e.fault })
			all = slices.DeleteFunc(all, func(e *event) bool { return e.fault })
		}
		slices.SortFunc(all, func(a, b *event) int {
			if (queued{a.at, a.order, a}).before(queued{b.at, b.order, b}) {
				return -1
			}
			return 1
		})
		for i, e := range all {
			require.Same(t, e, q.pop(), "event %d of %d", i, len(all))
		}
		require.Empty(t, q)
	}
}
