package pipeline

import (
	"context"
	"sync"
	"time"
)

// flushTime bounds one sending. What takes longer is behind anyway.
const flushTime = 2 * time.Second

// flusher has what is committed sent without waiting for a batch to fill, because another slice
// goes on with some of the targets: were its samples sent first, receivers would refuse ours as out
// of order.
type flusher struct {
	send func(context.Context) // returns soon after its ctx is over

	mu      sync.Mutex
	sending bool
	again   bool
	ended   bool
	cancel  context.CancelFunc
	done    sync.WaitGroup
}

// flush sends soon, in a goroutine of which there is one at most. It does not block.
func (f *flusher) flush() {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.ended:
	case f.sending:
		f.again = true
	default:
		ctx, cancel := context.WithCancel(context.Background())
		f.sending, f.cancel = true, cancel
		f.done.Go(func() { f.run(ctx) })
	}
}

func (f *flusher) run(ctx context.Context) {
	for more := true; more; more = f.goOn() {
		ctx, cancel := context.WithTimeout(ctx, flushTime)
		f.send(ctx)
		cancel()
	}
}

// goOn reports whether there is a reason to send again.
func (f *flusher) goOn() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	more := f.again && !f.ended
	f.again, f.sending = false, more
	if !more {
		f.cancel()
	}
	return more
}

// end returns when nothing is being sent any more, and lets nothing be sent.
func (f *flusher) end() {
	f.mu.Lock()
	f.ended = true
	if f.sending {
		f.cancel()
	}
	f.mu.Unlock()
	f.done.Wait()
}
