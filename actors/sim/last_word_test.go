package sim

import (
	"fmt"
	"testing"
	"time"
)

// All nodes are cut off from the store, which lives on. The smaller part of them has it again just as
// it is parted from the others, which have last heard that it has lost the store, too. Their sessions
// run out while they go by that.
func TestWhoHasTheStoreAgainTakesNothingFromThoseWhoHaveNotHeardOfIt(t *testing.T) {
	const sizes, offsets, seeds = 2, 7, 4
	each(0, sizes*offsets*seeds, func(system System, i uint64) bool {
		size, without := 3+2*int(i%sizes), 6*time.Second+time.Duration(i/sizes%offsets)*500*time.Millisecond
		w := NewWorld(system, Options{Seed: i, Reshard: time.Minute})
		defer w.Close()
		for n := range size {
			w.Host(string(rune('a' + n))).Start(NodeOptions{})
		}
		names := make([]string, 12)
		for n := range names {
			names[n] = fmt.Sprintf("app-%d", n)
			w.store.put(configsPrefix+names[n], Config("app-0", 1, 1))
		}
		w.Run(startWithin + 15*time.Second) // nobody is a newcomer any more
		for _, h := range w.hosts {
			h.link.cut = true
		}
		w.Run(without)
		with, others := w.hosts[:size/2], w.hosts[size/2:]
		for _, h := range with {
			h.link.cut = false
			for _, other := range others {
				h.unheard[other.name] = time.Hour
			}
		}
		w.store.notify()
		w.Run(runOut)
		taken := 0
		for _, h := range with {
			taken += len(w.node(h.name).pipelines)
		}
		if w.failure == "" && taken != len(names) {
			w.fail("only %d of %d units were taken over", taken, len(names))
		}
		if w.failure != "" {
			t.Errorf("%d nodes, without the store for %v: %s\n%s", size, without, w.failure, w.Trace(60))
		}
		return w.failure == ""
	})
}
