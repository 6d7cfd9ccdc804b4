package sim

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A unit whose release is on its way when the store goes away is nobody's until it is back. All
// others go on where they are, or are taken back.
func TestAnOutageThatBeginsDuringAJoinLeavesNothingUnscraped(t *testing.T) {
	const step, offsets, seeds = 20 * time.Millisecond, 100, 2
	var moved, lost atomic.Int64
	each(0, offsets*seeds, func(system System, i uint64) bool {
		offset := time.Second + time.Duration(i%offsets)*step
		w := NewWorld(system, Options{Seed: i, Reshard: time.Minute})
		defer w.Close()
		w.Host("a").Start(NodeOptions{})
		w.Host("b").Start(NodeOptions{})
		names := make([]string, 12)
		for n := range names {
			names[n] = fmt.Sprintf("app-%d", 3*n) // scraped every second
			w.store.put(configsPrefix+names[n], Config("app-0", 1, 1))
		}
		w.Run(startWithin + 5*time.Second)
		w.Host("c").Start(NodeOptions{})
		w.Run(offset)
		w.store.stop()
		began := w.now
		w.Run(30 * time.Second)
		for _, name := range names {
			gap, known := w.unscraped(name, 0, began-2*time.Second, w.now)
			require.True(t, known)
			if gap > 6*time.Second {
				lost.Add(1)
				t.Logf("outage %v after the join: %s was unscraped for %v", offset, name, gap)
			}
		}
		moved.Add(int64(len(w.node("c").pipelines)))
		if w.failure != "" {
			t.Errorf("outage %v after the join: %s\n%s", offset, w.failure, w.Trace(60))
		}
		return true
	})
	require.Positive(t, moved.Load())
	t.Logf("%d units were lost in flight, %d were the joiner's", lost.Load(), moved.Load())
	require.LessOrEqual(t, lost.Load()*50, moved.Load(), "what is in flight is a few milliseconds of a move")
}
