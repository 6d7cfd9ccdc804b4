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
	// armed: something was committed, or a request has to be repeated; a timer runs.
	armed
	// running: a goroutine sends.
	running
	// failed: the goroutine panicked. The endpoint stands still.
	failed
	// closed for good.
	closed
)

// closeGrace is how long a request under way may take to end when its endpoint is closed or reloaded.
const closeGrace = time.Second

// endpoint sends one log to one destination. See the package's doc for how.
type endpoint struct {
	cfg      *promconfig.RemoteWriteConfig
	digest   digest
	id       string
	clients  *Clients
	sender   *sender
	protocol *protocol
	// older is spoken with a receiver that does not understand protocol.
	older  *protocol
	ledger *ledger
	cache  *seriesCache
	// mapping identifies how series go to lanes.
	mapping uint64
	logger  *zap.Logger
	onPanic func(error)

	// soft ends when the endpoint is closed, ctx a little later: requests under way may end.
	soft, ctx      context.Context
	expire, cancel context.CancelFunc
	runs           sync.WaitGroup
	saving         sync.Mutex
	unsaved        bool // guarded by saving
	life           life
	metadata       *metadataPusher

	seat seat // guarded by the joiner

	// The running goroutine's: what it reads with, the number of failed rounds in a row, and what is
	// needed to send recent samples first.
	reading
	attempts int
	weight   weight
	recent   recent
}

// reading is a view of the log, and how fast what it delivers is sent.
type reading struct {
	source Source
	// at is where the source is.
	at Position
	// lanes are in use; clean is the number of clean rounds in a row.
	lanes, clean int
	growth       growth
}

// life is what an endpoint does and what it waits for.
type life struct {
	// phase is written under mu; notify reads it without.
	phase atomic.Int32
	mu    sync.Mutex
	timer *time.Timer
	// repeating: the timer is that of a repetition. What is committed meanwhile doesn't shorten it.
	repeating bool
	// draining counts Drain calls under way: while there is one, no deadline is waited for.
	draining int
	// turn is closed and replaced when a run ends.
	turn chan struct{}
	// barren is the end of the log when a run found nothing to read before it: samples that were
	// lost at its end, which the source only reports with the next record, or an empty segment.
	barren Position
	// joining: the endpoint is armed by waiting for a common request, not by the timer.
	joining bool
	// contribution is the part of a common request that the running endpoint has, or nil.
	contribution *contribution
	// apart is until when the endpoint makes its own requests.
	apart time.Time
}

// start opens the log. Nothing is sent before the first notify.
func (e *endpoint) start(open func() (Source, Place, error)) error {
	source, place, err := open()
	if err != nil {
		return fmt.Errorf("open the log for remote_write %q: %w", e.cfg.Name, err)
	}
	if err := e.openRecent(open); err != nil {
		return err
	}
	e.source, e.at = source, place.Position
	e.cache.open(source.Book())
	e.lanes = e.ledger.opened(source, place, e.lanes, e.mapping)
	e.notify()
	e.metadata.start()
	return nil
}

// close ends the endpoint and waits for the goroutines. Requests under way have closeGrace to end;
// what was not acknowledged then is read again by whoever opens the log next.
func (e *endpoint) close() {
	e.life.mu.Lock()
	e.life.phase.Store(int32(closed))
	e.disarm()
	e.life.mu.Unlock()
	e.expire()
	over := time.AfterFunc(closeGrace, func() {
		e.cancel()
		e.leave()
	})
	e.metadata.stop()
	e.runs.Wait()
	over.Stop()
	e.cancel()
	if e.ledger.floating() {
		e.save(e.ledger.place)
	}
	e.sender.losses.close()
	e.closeSource(e.source)
	e.closeSource(e.recent.other.source)
	e.sender.destination.release()
}

// closeSource ends a view of the log; nil is none.
func (e *endpoint) closeSource(s Source) {
	if c, ok := s.(io.Closer); ok {
		if err := c.Close(); err != nil {
			e.logger.Warn("log not closed", zap.Error(err))
		}
	}
}

// notify wakes the endpoint: at once if a full batch waits, else when the batch deadline of the
// first unsent commit is over.
func (e *endpoint) notify() {
	// A running endpoint looks for more by itself before it rests.
	e.ledger.lastCommit.Store(time.Now().UnixMilli())
	if phase(e.life.phase.Load()) >= running {
		return
	}
	e.life.mu.Lock()
	defer e.life.mu.Unlock()
	e.wake()
}

// wake decides what an endpoint that isn't running does about what waits in the log. It reports
// whether anything does. The caller holds life.mu.
func (e *endpoint) wake() (waits bool) {
	l := &e.life
	pending, end := e.ledger.waiting()
	if end == (Position{}) || end == l.barren {
		return false
	}
	now := l.draining > 0 || pending >= uint64(e.cfg.QueueConfig.MaxSamplesPerSend)
	switch phase(l.phase.Load()) {
	case idle:
		if now {
			e.launch()
			return true
		}
		deadline := time.Duration(e.cfg.QueueConfig.BatchSendDeadline)
		if !e.joins() {
			e.arm(deadline, false)
			return true
		}
		l.phase.Store(int32(armed))
		l.joining, l.repeating = true, false
		e.sender.destination.joiner.wait(e, deadline, pending)
	case armed:
		switch {
		case now && !l.repeating:
			e.disarm()
			e.launch()
		case l.joining:
			e.sender.destination.joiner.more(e, pending)
		}
	}
	return true
}

// joins reports whether the endpoint's next request is made together with others. The caller holds
// life.mu.
func (e *endpoint) joins() bool {
	return !e.sender.rules.strict && e.lanes == 1 && e.attempts == 0 &&
		!e.recent.parted && e.sender.destination.shared() && !e.sender.destination.vague.Load() &&
		time.Now().After(e.life.apart) && !e.sender.hasSuspects()
}

// perSend is how many samples a request of the endpoint has at most.
func (e *endpoint) perSend() int {
	q := &e.cfg.QueueConfig
	return max(1, min(q.MaxSamplesPerSend, q.Capacity))
}

// disarm ends the wait for the timer or for a common request. The caller holds life.mu.
func (e *endpoint) disarm() {
	l := &e.life
	if l.joining {
		l.joining = false
		e.sender.destination.joiner.leave(e)
	}
	if l.timer != nil {
		l.timer.Stop()
	}
}

// arm sets the timer. The caller holds life.mu.
func (e *endpoint) arm(d time.Duration, repeating bool) {
	l := &e.life
	l.phase.Store(int32(armed))
	l.repeating = repeating
	if l.timer == nil {
		l.timer = time.AfterFunc(d, e.fire)
	} else {
		l.timer.Reset(d)
	}
}

// launch starts the running goroutine. The caller holds life.mu.
func (e *endpoint) launch() {
	e.enter()
	go e.run()
}

func (e *endpoint) enter() {
	e.life.phase.Store(int32(running))
	e.runs.Add(1)
}

// fire is called by the timer, in a goroutine of its own, which becomes the running one.
func (e *endpoint) fire() {
	e.life.mu.Lock()
	if phase(e.life.phase.Load()) != armed || e.life.joining {
		e.life.mu.Unlock()
		return
	}
	e.enter()
	e.life.mu.Unlock()
	e.run()
}

// run sends rounds until less than a batch is left, and then rests.
func (e *endpoint) run() {
	defer e.runs.Done()
	e.rest(e.rounds())
}

// rest ends a run.
func (e *endpoint) rest(out outcome) {
	l := &e.life
	l.mu.Lock()
	defer l.mu.Unlock()
	l.barren = out.barren
	close(l.turn)
	l.turn = make(chan struct{})
	if phase(l.phase.Load()) == closed {
		return
	}
	var p panicError
	if errors.As(out.err, &p) {
		l.phase.Store(int32(failed))
		go e.onPanic(out.err)
		return
	}
	e.cache.trim()
	if out.later > 0 {
		e.arm(out.later, true)
		return
	}
	// The order matters: who commits after this line sees an idle endpoint, who commits before it
	// is seen below.
	l.phase.Store(int32(idle))
	e.wake()
}

// hasFailed reports whether a panic stopped the endpoint.
func (e *endpoint) hasFailed() bool { return phase(e.life.phase.Load()) == failed }

func (e *endpoint) isDraining() bool {
	e.life.mu.Lock()
	defer e.life.mu.Unlock()
	return e.life.draining > 0
}

// drain sends what is left without waiting for deadlines, and returns when nothing is or ctx is
// over. A repetition that is waited for comes at once; if that fails too, the next one comes when
// it is due.
func (e *endpoint) drain(ctx context.Context) error {
	l := &e.life
	l.mu.Lock()
	l.draining++
	if phase(l.phase.Load()) == armed {
		e.disarm()
		e.launch()
	}
	l.mu.Unlock()
	e.sender.calls.wake()
	e.sender.destination.wake()
	defer func() {
		l.mu.Lock()
		l.draining--
		l.mu.Unlock()
	}()
	for {
		l.mu.Lock()
		waits := e.wake()
		pending := e.ledger.pending()
		if !waits && pending == 0 {
			l.mu.Unlock()
			return nil
		}
		p, turn := phase(l.phase.Load()), l.turn
		l.mu.Unlock()
		switch p {
		case idle:
			return fmt.Errorf("drain remote_write %q: %w", e.cfg.Name, errUnreadable)
		case failed, closed:
			return fmt.Errorf("drain remote_write %q: %w", e.cfg.Name, errStopped)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-turn:
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
