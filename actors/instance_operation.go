package actors

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/ringmaster-agent/ringmaster/actors/lifecycle"
	"github.com/ringmaster-agent/ringmaster/messages"
)

const (
	// callTimeout bounds the context of opening, starting and reloading.
	callTimeout = time.Minute
	// openingTurn is how long an opening keeps its place among the few that are allowed at a time.
	// One that takes longer is waiting and not computing, and must not hold up its neighbours.
	openingTurn = time.Second
)

// operation is one call of the pipeline under way. The goroutine that makes the call writes the
// outcome and then closes done; nobody reads the outcome before.
type operation struct {
	kind   lifecycle.Op
	ctx    context.Context
	stop   context.CancelFunc
	done   chan struct{}
	timers []Timer

	pipeline Pipeline
	pending  uint64
	handover messages.Handover
	err      error
}

// opEnded says that the operation has its outcome.
type opEnded struct{ op *operation }

func newOperation(kind lifecycle.Op) *operation {
	ctx, stop := context.WithCancel(context.Background())
	return &operation{kind: kind, ctx: ctx, stop: stop, done: make(chan struct{})}
}

// cancel ends the context, and with it the timers. The outcome is still to be awaited.
func (o *operation) cancel() {
	o.stop()
	for _, t := range o.timers {
		t.Stop()
	}
}

// over reports whether there is an outcome.
func (o *operation) over() bool {
	select {
	case <-o.done:
		return true
	default:
		return false
	}
}

// cancelIn ends the context after a time.
func (i *instance) cancelIn(o *operation, d time.Duration) {
	o.timers = append(o.timers, i.Runtime.AfterFunc(d, o.stop))
}

// begin starts an operation of the pipeline in a goroutine. Its outcome comes back as opEnded.
func (i *instance) begin(c actor.Context, e lifecycle.Effect) {
	op := newOperation(e.Op)
	i.op = op
	switch e.Op {
	case lifecycle.Start, lifecycle.Reload:
		i.cancelIn(op, callTimeout)
	case lifecycle.StopScraping, lifecycle.Drain:
		i.cancelIn(op, i.flushTime())
	}
	if e.Op == lifecycle.Open || e.Op == lifecycle.Reload {
		i.applying = i.wanted
	}
	call := i.call(c.Self(), op, e.Remove)
	i.do(c.Self(), func() error {
		op.err = protect(call)
		close(op.done)
		return nil
	}, func(error) any { return opEnded{op: op} })
}

// flushTime is how long what is left may take to be sent.
func (i *instance) flushTime() time.Duration {
	flush := i.FlushDeadline
	if c := i.current.config; c != nil && c.RemoteFlushDeadline > 0 {
		flush = c.RemoteFlushDeadline
	}
	if !i.hurry.IsZero() {
		flush = min(flush, i.hurry.Sub(i.now()))
	}
	return flush
}

// call is the call of the pipeline that makes up the operation. It runs outside of the actor, so it
// only uses what it is given here.
func (i *instance) call(self *actor.PID, op *operation, remove bool) func() error {
	pipeline, applying, reason, resume, warm := i.pipeline, i.applying, i.state.Reason, i.resume, i.warm
	switch op.kind {
	case lifecycle.Open:
		return func() error { return i.open(self, op, applying, warm) }
	case lifecycle.Start:
		return func() error { return pipeline.Start(op.ctx, resume) }
	case lifecycle.Reload:
		return func() error { return pipeline.Reload(op.ctx, applying.config) }
	case lifecycle.StopScraping:
		return func() (err error) {
			op.handover, err = pipeline.StopScraping(op.ctx, reason)
			return err
		}
	case lifecycle.Drain:
		return func() (err error) {
			op.pending, err = pipeline.Drain(op.ctx)
			if op.ctx.Err() != nil && errors.Is(err, op.ctx.Err()) {
				err = nil // the time was over; pending says what that means
			}
			return err
		}
	case lifecycle.Close:
		return func() error { return pipeline.Close(remove) }
	default:
		return func() error { return fmt.Errorf("begin %v: not an operation", op.kind) }
	}
}

// open opens the pipeline when it is its turn. The time it may take counts from then on.
func (i *instance) open(self *actor.PID, op *operation, applying target, warm bool) error {
	// The stop counts more than the turn, when both are there: what happens must not be up to chance.
	if err := op.ctx.Err(); err != nil {
		return fmt.Errorf("wait for a turn to open: %w", err)
	}
	select {
	case i.opening <- struct{}{}:
	case <-op.ctx.Done():
		return fmt.Errorf("wait for a turn to open: %w", op.ctx.Err())
	}
	giveBack := func() { <-i.opening }
	turn := i.Runtime.AfterFunc(openingTurn, giveBack)
	defer func() {
		if turn.Stop() {
			giveBack()
		}
	}()
	ctx, cancel := i.Runtime.Timeout(op.ctx, callTimeout)
	defer cancel()
	broken := i.broken
	failed := func(err error) {
		broken.err.CompareAndSwap(nil, &err)
		i.root.Send(self, pipelineBroke{err: err})
	}
	pipeline, err := i.NewPipeline(ctx, PipelineSpec{Unit: i.unit, Config: applying.config, Failed: failed, Permit: i.permit, Warm: warm})
	if err == nil && pipeline == nil {
		return errors.New("open a pipeline: there is neither a pipeline nor an error")
	}
	op.pipeline = pipeline
	if err != nil {
		op.pipeline = nil
	}
	return err
}
