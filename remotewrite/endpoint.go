package remotewrite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	promconfig "github.com/prometheus/prometheus/config"
	"go.uber.org/zap"
)

// phase is what an endpoint is doing.
type phase int32

const (
	// idle: everything is sent; no timer, no goroutine.
	idle phase = iota
	// armed: something was committed; a timer runs.
	armed
	// running: a goroutine sends.
	running
	// failed: the goroutine panicked. The endpoint stands still.
	failed
	// closed for good.
	closed
)

// endpoint sends one log to one destination. See the package's doc for how.
type endpoint struct {
	cfg     *promconfig.RemoteWriteConfig
	digest  digest
	id      string
	clients *Clients
	client  *sharedClient
	sender  *sender
	ledger  *ledger
	cache   *seriesCache
	encoder func() encoder
	source  Source
	logger  *zap.Logger
	onPanic func(error)

	ctx    context.Context
	cancel context.CancelFunc
	runs   sync.WaitGroup

	// phase is written under mu; notify reads it without.
	phase atomic.Int32
	mu    sync.Mutex
	timer *time.Timer
	// draining counts Drain calls under way: while there is one, no deadline is waited for.
	draining int
	// ended is closed when the present run ends.
	ended chan struct{}
	// barren is what was pending when a run found nothing to read: samples that were lost at the end of the log, which the source
	// only reports with the next record. It is 0 otherwise.
	barren uint64

	metadata *metadataPusher

	// lanes and clean belong to the running goroutine.
	lanes, clean int
}

// start opens the log. Nothing is sent before the first notify.
func (e *endpoint) start(open func() (Source, Position, error)) error {
	source, cursor, err := open()
	if err != nil {
		return fmt.Errorf("open the log for remote_write %q: %w", e.cfg.Name, err)
	}
	e.source = source
	e.ledger.opened(source, cursor)
	e.notify()
	e.metadata.start()
	return nil
}

// close stops at once and waits for the goroutines. What was not acknowledged is read again by whoever opens the log next.
func (e *endpoint) close() {
	e.mu.Lock()
	e.phase.Store(int32(closed))
	if e.timer != nil {
		e.timer.Stop()
	}
	e.mu.Unlock()
	e.cancel()
	e.metadata.stop()
	e.runs.Wait()
	if c, ok := e.source.(io.Closer); ok {
		if err := c.Close(); err != nil {
			e.logger.Warn("log not closed", zap.Error(err))
		}
	}
	e.client.release()
}

// notify wakes the endpoint: at once if a full batch waits, else when the batch deadline of the first unsent commit is over.
func (e *endpoint) notify() {
	// A running endpoint looks for more by itself before it rests.
	e.ledger.lastCommit.Store(time.Now().UnixMilli())
	if phase(e.phase.Load()) >= running {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.wake(e.ledger.pending())
}

// wake decides what an endpoint that isn't running does about pending samples. The caller holds mu.
func (e *endpoint) wake(pending uint64) {
	if pending == 0 || pending == e.barren {
		return
	}
	now := e.draining > 0 || pending >= uint64(e.cfg.QueueConfig.MaxSamplesPerSend)
	switch phase(e.phase.Load()) {
	case idle:
		if now {
			e.launch()
			return
		}
		e.phase.Store(int32(armed))
		deadline := time.Duration(e.cfg.QueueConfig.BatchSendDeadline)
		if e.timer == nil {
			e.timer = time.AfterFunc(deadline, e.fire)
		} else {
			e.timer.Reset(deadline)
		}
	case armed:
		if now {
			e.timer.Stop()
			e.launch()
		}
	}
}

// launch starts the running goroutine. The caller holds mu.
func (e *endpoint) launch() {
	e.enter()
	go e.run()
}

func (e *endpoint) enter() {
	e.phase.Store(int32(running))
	e.runs.Add(1)
	e.ended = make(chan struct{})
}

// fire is called by the timer, in a goroutine of its own, which becomes the running one.
func (e *endpoint) fire() {
	e.mu.Lock()
	if phase(e.phase.Load()) != armed {
		e.mu.Unlock()
		return
	}
	e.enter()
	e.mu.Unlock()
	e.run()
}

// run sends rounds until less than a batch is left, and then rests.
func (e *endpoint) run() {
	defer e.runs.Done()
	barren, err := e.rounds()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.barren = barren
	close(e.ended)
	if phase(e.phase.Load()) == closed {
		return
	}
	var p panicError
	if errors.As(err, &p) {
		e.phase.Store(int32(failed))
		go e.onPanic(err)
		return
	}
	e.cache.trim()
	// The order matters: who commits after this line sees an idle endpoint, who commits before it is counted as pending below.
	e.phase.Store(int32(idle))
	e.wake(e.ledger.pending())
}

// hasFailed reports whether a panic stopped the endpoint.
func (e *endpoint) hasFailed() bool { return phase(e.phase.Load()) == failed }

func (e *endpoint) isDraining() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.draining > 0
}

// drain sends what is left without waiting for deadlines, and returns when nothing is or ctx is over.
func (e *endpoint) drain(ctx context.Context) error {
	e.mu.Lock()
	e.draining++
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		e.draining--
		e.mu.Unlock()
	}()
	for {
		e.mu.Lock()
		pending := e.ledger.pending()
		if pending == 0 {
			e.mu.Unlock()
			return nil
		}
		e.wake(pending)
		p, ended := phase(e.phase.Load()), e.ended
		e.mu.Unlock()
		switch {
		case p == idle:
			return fmt.Errorf("drain remote_write %q: %w", e.cfg.Name, errUnreadable)
		case p != running:
			return fmt.Errorf("drain remote_write %q: %w", e.cfg.Name, errStopped)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ended:
		}
	}
}

var (
	errStopped    = errors.New("the endpoint has stopped")
	errUnreadable = errors.New("the log ends before the samples that were committed")
)

// panicError is a recovered panic with the stack of its goroutine.
type panicError struct {
	value any
	stack []byte
}

func newPanicError(v any) error { return panicError{value: v, stack: debug.Stack()} }

func (p panicError) Error() string {
	return fmt.Sprintf("panic in remote write: %v\n%s", p.value, p.stack)
}
