package sim

import (
	"flag"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

var (
	seeds    = flag.Uint64("seeds", 30, "how many seeds to play")                                                                                //nolint:forbidigo // a flag of the test binary only
	first    = flag.Uint64("first", 0, "the first of them")                                                                                      //nolint:forbidigo // a flag of the test binary only
	most     = flag.Int64("failures", 1, "stop after so many seeds that fail")                                                                   //nolint:forbidigo // a flag of the test binary only
	kind     = flag.String("fault", "", "only faults whose names contain this, or one of several, separated by commas; also those that are off") //nolint:forbidigo // a flag of the test binary only
	percents = flag.Int("percents", 6, "how many rules to play that lose, double or delay a percent of one kind of message; 0: all")             //nolint:forbidigo // a flag of the test binary only
	only     = flag.Int64("seed", -1, "play this seed only, and print everything it did")                                                        //nolint:forbidigo // a flag of the test binary only
)

func TestMain(m *testing.M) {
	debug.SetGCPercent(2000) // worlds are short-lived: collecting them often only costs time
	goleak.VerifyTestMain(m)
}

// each plays seeds on all processors, until play says that it is enough. Play is called on several
// goroutines.
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
		r := Play(NewSystem(), uint64(*only), func(o *Options) { o.Everything, o.Only = true, *kind })
		t.Logf("seed %d lasted %v: %d ticks\n%s", r.Seed, r.Lasted, r.Ticks, r.Trace)
		require.Empty(t, r.Failure)
		return
	}
	var ticks, failures atomic.Int64
	var mu sync.Mutex
	worst := map[string]Cost{}
	each(*first, *seeds, func(system System, seed uint64) bool {
		r := Play(system, seed, func(o *Options) { o.Only = *kind })
		ticks.Add(int64(r.Ticks))
		mu.Lock()
		for _, c := range r.Costs {
			before := worst[c.Fault]
			worst[c.Fault] = Cost{Unscraped: max(before.Unscraped, c.Unscraped), Writes: max(before.Writes, c.Writes*100/max(c.Units, 1))}
		}
		mu.Unlock()
		if r.Failure != "" {
			t.Errorf("seed %d: %s\nTo see it again: go test ./actors/sim -args -seed=%d\n%s", seed, r.Failure, seed, r.Trace)
		}
		return r.Failure == "" || failures.Add(1) < *most
	})
	require.Positive(t, ticks.Load())
	costs(t, worst)
}

// costs prints what each kind of fault has cost at most, for docs/simulation.md.
func costs(t *testing.T, all map[string]Cost) {
	t.Helper()
	for _, f := range faults() {
		if c, ok := all[f.name]; ok {
			t.Logf("| %s | %v | %v | %d%% |", f.name, f.unscraped, c.Unscraped, c.Writes)
		}
	}
}
