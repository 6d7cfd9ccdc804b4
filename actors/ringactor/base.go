package ringactor

import (
	"context"
	"errors"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors/async"
	"github.com/ringmaster-agent/ringmaster/actors/knowledge"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// base is what all rooms of the ring actor share: what it touches, what the store has told, and what
// is under way outside.
type base struct {
	Options
	ctx    context.Context
	cancel context.CancelFunc

	registry *knowledge.Records
	calls    []*call
	// reported is the newest ClusterProblem.
	reported string
}

func newBase(o Options) *base {
	ctx, cancel := context.WithCancel(context.Background())
	return &base{Options: o, ctx: ctx, cancel: cancel, registry: knowledge.NewRecords()}
}

// call is something under way outside of the actor. Its goroutine leaves the outcome and then
// closes done; nobody reads the outcome before.
type call struct {
	done    chan struct{}
	outcome any
}

// begin does something that may take time, but no longer than within, and takes up the outcome when
// it is there.
func (b *base) begin(c actor.Context, within time.Duration, work func(context.Context) error, outcome func(error) any) {
	pending := &call{done: make(chan struct{})}
	b.calls = append(b.calls, pending)
	b.Do(c.Self(), func() error {
		ctx, cancel := b.Runtime.Timeout(b.ctx, within)
		defer cancel()
		pending.outcome = outcome(async.Protect(func() error { return work(ctx) }))
		close(pending.done)
		return nil
	}, func(error) any { return callEnded{} })
}

// ended takes the outcomes of what has ended, in the order in which it was begun.
func (b *base) ended() []any {
	var outcomes []any
	pending := b.calls[:0]
	for _, one := range b.calls {
		select {
		case <-one.done:
			outcomes = append(outcomes, one.outcome)
		default:
			pending = append(pending, one)
		}
	}
	clear(b.calls[len(pending):])
	b.calls = pending
	return outcomes
}

// problem says why the node can't take its place, when that changes.
func (b *base) problem(c actor.Context, reason string) {
	if b.reported != reason {
		b.reported = reason
		b.tell(c, messages.ClusterProblem{Reason: reason})
	}
}

// failed says what went wrong, once. It is tried again by a later look.
func (b *base) failed(c actor.Context, what string, err error) {
	if b.reported == err.Error() {
		return
	}
	var refused refusal
	if errors.As(err, &refused) {
		b.Logger.Error(what, zap.String("node", b.Node), zap.Error(err))
	} else {
		b.Logger.Warn(what, zap.String("node", b.Node), zap.Error(err))
	}
	b.problem(c, err.Error())
}

func (b *base) tell(c actor.Context, event messages.RingEvent) { c.Send(b.Supervisor, event) }

func (b *base) now() time.Time { return b.Runtime.Now() }
