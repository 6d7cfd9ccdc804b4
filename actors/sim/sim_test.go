package sim

import (
	"flag"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

var (
	seeds = flag.Uint64("seeds", 30, "how many seeds to play")                         //nolint:forbidigo // a flag of the test binary only
	first = flag.Uint64("first", 0, "the first of them")                               //nolint:forbidigo // a flag of the test binary only
	only  = flag.Int64("seed", -1, "play this seed only, and print everything it did") //nolint:forbidigo // a flag of the test binary only
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// each plays seeds on all processors, until play says that it is enough. Play is called on several goroutines.
func each(first, n uint64, play func(System, uint64) bool) {
	var next atomic.Uint64
	var enough atomic.Bool
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			system := NewSystem()
			for !enough.Load() {
				seed := next.Add(1) - 1
				if seed >= n {
					return
				}
				if !play(system, first+seed) {
					enough.Store(true)
				}
			}
		})
	}
	workers.Wait()
}

func TestWhateverHappensEachUnitIsScrapedOnceAndSoonAgain(t *testing.T) {
	if *only >= 0 {
		r := Play(NewSystem(), uint64(*only), func(o *Options) { o.Everything = true })
		t.Logf("seed %d lasted %v: %d ticks\n%s", r.Seed, r.Lasted, r.Ticks, r.Trace)
		require.Empty(t, r.Failure)
		return
	}
	var ticks atomic.Int64
	each(*first, *seeds, func(system System, seed uint64) bool {
		r := Play(system, seed)
		ticks.Add(int64(r.Ticks))
		if r.Failure != "" {
			t.Errorf("seed %d: %s\nTo see it again: go test ./actors/sim -args -seed=%d\n%s", seed, r.Failure, seed, r.Trace)
		}
		return r.Failure == ""
	})
	require.Positive(t, ticks.Load())
}
