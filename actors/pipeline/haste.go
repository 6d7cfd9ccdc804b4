package pipeline

import (
	"context"
	"sync"
	"time"
)

// hasteTime bounds one sending. What takes longer is behind anyway.
const hasteTime = 2 * time.Second

// haste has what is committed sent without waiting for a batch to fill, because another slice goes on with some of the targets: were its
// samples sent first, receivers would refuse ours as out of order.
type haste struct {
	send func(context.Context) // returns soon after its ctx is over

	mu      sync.Mutex
	sending bool
	again   bool
	ended   bool
	cancel  context.CancelFunc
	done    sync.WaitGroup
}

// make sends soon, in a goroutine of which there is one at most. It does not block.
func (h *haste) make() {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.ended:
	case h.sending:
		h.again = true
	default:
		ctx, cancel := context.WithCancel(context.Background())
		h.sending, h.cancel = true, cancel
		h.done.Go(func() { h.run(ctx) })
	}
}

func (h *haste) run(ctx context.Context) {
	for more := true; more; more = h.goOn() {
		ctx, cancel := context.WithTimeout(ctx, hasteTime)
		h.send(ctx)
		cancel()
	}
}

// goOn reports whether there is a reason to send again.
func (h *haste) goOn() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	more := h.again && !h.ended
	h.again, h.sending = false, more
	if !more {
		h.cancel()
	}
	return more
}

// end returns when nothing is being sent any more, and lets nothing be sent.
func (h *haste) end() {
	h.mu.Lock()
	h.ended = true
	if h.sending {
		h.cancel()
	}
	h.mu.Unlock()
	h.done.Wait()
}
