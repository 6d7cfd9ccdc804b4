package remotewrite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
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

// rounds is the sending loop. It returns nil when the endpoint may rest, and an error when it is closed or broken. barren is what was
// pending if there was nothing to read.
func (e *endpoint) rounds() (barren uint64, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = newPanicError(v)
		}
	}()
	for {
		before := e.ledger.pending()
		read, more, err := e.round()
		switch {
		case err != nil:
			return 0, err
		case !read:
			return before, nil
		case !more:
			return 0, nil
		}
	}
}

// round reads, sends and settles once. read is false if there was nothing to read, more is false if the endpoint may rest.
func (e *endpoint) round() (read, more bool, err error) {
	r := e.clients.borrowRound()
	// After a panic the buffers may be in any state, and are left to the garbage collector.
	broken := true
	defer func() {
		if !broken {
			e.clients.returnRound(r)
		}
	}()
	read, more, err = e.roundWith(r)
	var p panicError
	broken = errors.As(err, &p)
	return read, more, err
}

func (e *endpoint) roundWith(r *round) (read, more bool, err error) {
	atEnd, err := e.fill(r)
	if err != nil || r.records == 0 {
		return false, false, err
	}
	troubled, err := e.deliver(r)
	if err != nil {
		return true, false, err
	}
	e.settle(r)
	pending := e.ledger.pending()
	e.adapt(r, troubled, pending)
	more = !atEnd || pending >= uint64(e.cfg.QueueConfig.MaxSamplesPerSend) || e.isDraining()
	return true, more && pending > 0, nil
}

// fill reads records until the round is full or the log ends. A log that can't be read is tried again until the endpoint is closed.
func (e *endpoint) fill(r *round) (atEnd bool, err error) {
	from := e.ledger.position()
	for attempt := 1; ; attempt++ {
		r.begin(e.lanes, e.limits(), e.cache, from, e.encoder)
		atEnd, err = e.read(r)
		if err == nil {
			r.finish()
			return atEnd, nil
		}
		// What was read so far is thrown away: the failed record may have been delivered in part.
		r.release()
		e.source.Seek(from)
		e.ledger.noted(err.Error())
		if attempt == 1 {
			e.logger.Warn("log can't be read; remote write tries again", zap.Error(err))
		}
		if err := e.pause(pace{min: time.Second, max: 30 * time.Second}.delay(attempt, 0, rand.Float64())); err != nil {
			return false, err
		}
	}
}

func (e *endpoint) read(r *round) (atEnd bool, err error) {
	for !r.full {
		if err := e.ctx.Err(); err != nil {
			return false, nil
		}
		rec, err := e.source.Next(r)
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return false, fmt.Errorf("read the log: %w", err)
		}
		r.delivered(rec)
	}
	return false, nil
}

const (
	// maxBatchBytes bounds an uncompressed batch of large histograms or labels; 2,000 ordinary samples take 0.4 MB.
	maxBatchBytes = 4 << 20
	// maxRoundBytes bounds what a round holds in memory, compressed.
	maxRoundBytes = 16 << 20
)

func (e *endpoint) limits() limits {
	q := &e.cfg.QueueConfig
	l := limits{
		items:         min(q.MaxSamplesPerSend, q.Capacity),
		bytes:         maxBatchBytes,
		round:         maxRoundBytes,
		sendExemplars: e.cfg.SendExemplars,
		sendNative:    e.cfg.SendNativeHistograms,
	}
	if learned := e.sender.learnedSize(); learned > 0 {
		l.bytes = min(l.bytes, learned)
	}
	if limit := time.Duration(q.SampleAgeLimit); limit > 0 {
		l.oldest = time.Now().Add(-limit).UnixMilli()
	}
	return l
}

// deliver sends the batches of all lanes in parallel, each lane's in order.
func (e *endpoint) deliver(r *round) (troubled bool, err error) {
	lanes := r.lanes[:r.active]
	var others sync.WaitGroup
	ctx, cancel := context.WithCancelCause(e.ctx)
	defer cancel(nil)
	var trouble atomic.Bool
	send := func(ln *lane) {
		if err := e.deliverLane(ctx, ln, &trouble); err != nil {
			cancel(err)
		}
	}
	for _, ln := range lanes[1:] {
		if len(ln.sealed) > 0 {
			others.Go(func() { send(ln) })
		}
	}
	send(lanes[0])
	others.Wait()
	if ctx.Err() != nil {
		return trouble.Load(), context.Cause(ctx)
	}
	return trouble.Load(), nil
}

func (e *endpoint) deliverLane(ctx context.Context, ln *lane, trouble *atomic.Bool) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = newPanicError(v)
		}
	}()
	for _, b := range ln.sealed {
		troubled, err := e.sender.deliver(ctx, b, &ln.account)
		if troubled {
			trouble.Store(true)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// settle books the round and moves the cursor behind it.
func (e *endpoint) settle(r *round) {
	account := r.account
	for _, ln := range r.lanes[:r.active] {
		account.add(&ln.account)
	}
	e.ledger.settled(r, &account)
	if err := e.source.SaveCursor(r.end); err != nil {
		// Not fatal: the samples are sent again after a restart.
		e.ledger.noted(err.Error())
		e.logger.Warn("cursor not saved", zap.Error(err))
	}
}

// adapt sets the number of lanes for the next round.
func (e *endpoint) adapt(r *round, troubled bool, backlog uint64) {
	if r.full && !troubled {
		e.clean++
	} else {
		e.clean = 0
	}
	q := &e.cfg.QueueConfig
	next := decideLanes(lanesInput{
		lanes: e.lanes, min: q.MinShards, max: q.MaxShards, perLane: r.limits.items,
		samples: int(r.samples()), backlog: backlog, troubled: troubled, clean: e.clean,
	})
	if next == e.lanes {
		return
	}
	e.lanes, e.clean = next, 0
	e.ledger.mu.Lock()
	e.ledger.lanes = next
	e.ledger.mu.Unlock()
}

func (e *endpoint) pause(d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-e.ctx.Done():
		return e.ctx.Err()
	case <-timer.C:
		return nil
	}
}

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
