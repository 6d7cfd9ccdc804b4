package actors

import (
	"errors"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors/lifecycle"
	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// instance is one generation of one unit. It feeds what happens to lifecycle.State.Step and performs the effects.
type instance struct {
	*tree
	unit       messages.Unit
	generation uint64
	logger     *zap.Logger

	state    lifecycle.State
	op       *operation
	pipeline Pipeline

	// wanted is the newest config, applying the one of the operation under way, current the one in force.
	wanted, applying, current target
	// resume is what the node before has left, handover what there is for the next.
	resume, handover messages.Handover
	// hurry is when the draining has to be over, if a stop said so.
	hurry time.Time
	// failure is why it failed; problem and pending are what the drain and the close left.
	failure string
	problem string
	pending uint64
	// over is closed when the generation has released everything. The supervisor looks at it.
	over chan struct{}
	// permit is the unit's.
	permit func() bool
}

// target is one version of a config.
type target struct {
	revision int64
	config   *config.Instance
}

func (t target) digest() messages.Digest {
	if t.config == nil {
		return messages.Digest{}
	}
	return messages.Digest(t.config.Digest())
}

// pipelineBroke says that the pipeline reported a failure. Sent by whichever goroutine of the pipeline noticed it.
type pipelineBroke struct{ err error }

func newInstance(t *tree, u messages.Unit, generation uint64, over chan struct{}, permit func() bool) *instance {
	return &instance{
		tree: t, unit: u, generation: generation, over: over, permit: permit,
		logger: t.Logger.With(zap.String("instance", u.String()), zap.Uint64("generation", generation)),
	}
}

// Receive implements actor.Actor.
func (i *instance) Receive(c actor.Context) {
	switch m := c.Message().(type) {
	case messages.InstanceCommand:
		i.command(c, m)
	case opEnded:
		i.opEnded(c, m.op)
	case pipelineBroke:
		i.failure = "the data path failed: " + m.err.Error()
		i.logStack(m.err)
		i.step(c, lifecycle.Input{Kind: lifecycle.Broke})
	case *actor.Stopping:
		i.abandon()
	}
}

func (i *instance) command(c actor.Context, command messages.InstanceCommand) {
	switch m := command.(type) {
	case messages.StartInstance:
		if m.Generation == i.generation {
			i.want(m.Revision, m.Config)
			i.step(c, lifecycle.Input{Kind: lifecycle.StartWanted, Hold: m.Hold})
		}
	case messages.RunInstance:
		if m.Generation == i.generation && i.state.Held {
			i.resume = m.Resume
			i.step(c, lifecycle.Input{Kind: lifecycle.RunWanted})
		}
	case messages.ReloadInstance:
		if m.Generation == i.generation {
			i.want(m.Revision, m.Config)
			i.step(c, lifecycle.Input{Kind: lifecycle.ReloadWanted})
		}
	case messages.StopInstance:
		if m.Generation == i.generation {
			if at := i.now().Add(m.Within); m.Within > 0 && (i.hurry.IsZero() || at.Before(i.hurry)) {
				i.hurry = at
			}
			i.step(c, lifecycle.Input{Kind: lifecycle.StopWanted, Reason: m.Reason})
		}
	}
}

func (i *instance) want(revision int64, c messages.Config) {
	parsed, _ := c.Value().(*config.Instance)
	i.wanted = target{revision: revision, config: parsed}
}

func (i *instance) step(c actor.Context, in lifecycle.Input) {
	var effects []lifecycle.Effect
	i.state, effects = i.state.Step(in)
	for _, e := range effects {
		switch e.Kind {
		case lifecycle.Begin:
			i.begin(c, e)
		case lifecycle.Cancel:
			i.op.cancel()
		case lifecycle.Hurry:
			if busy := i.state.Busy; busy == lifecycle.StopScraping || busy == lifecycle.Drain {
				i.cancelIn(i.op, i.flushTime())
			}
		case lifecycle.Report:
			i.report(c, e.Report)
		case lifecycle.End:
			close(i.over)
			c.Stop(c.Self())
		}
	}
}

func (i *instance) report(c actor.Context, what lifecycle.Reported) {
	u, g := i.unit, i.generation
	var event messages.InstanceEvent
	switch what {
	case lifecycle.Prepared:
		event = messages.InstancePrepared{Unit: u, Generation: g}
	case lifecycle.Running:
		i.Directory.put(u, g, i.pipeline)
		event = messages.InstanceRunning{Unit: u, Generation: g, Revision: i.current.revision, Digest: i.current.digest()}
	case lifecycle.Reloaded:
		event = messages.InstanceReloaded{Unit: u, Generation: g, Revision: i.current.revision, Digest: i.current.digest()}
	case lifecycle.ReloadFailed:
		event = messages.InstanceReloadFailed{Unit: u, Generation: g, Digest: i.applying.digest(), Reason: i.failure}
	case lifecycle.Draining:
		i.Directory.remove(u, g)
		event = messages.InstanceDraining{Unit: u, Generation: g, Reason: i.state.Reason}
	case lifecycle.Quiet:
		event = messages.InstanceQuiet{Unit: u, Generation: g, Handover: i.handover}
	case lifecycle.Failed:
		i.Directory.remove(u, g)
		event = messages.InstanceFailed{Unit: u, Generation: g, Reason: i.failure}
	case lifecycle.Stopped:
		event = messages.InstanceStopped{Unit: u, Generation: g, Pending: i.pending, Problem: i.problem}
	}
	c.Send(i.supervisor, event)
}

// opEnded takes in the outcome of the operation under way; that of any other is stale.
func (i *instance) opEnded(c actor.Context, op *operation) {
	if op != i.op {
		return
	}
	i.op = nil
	op.cancel()
	in := lifecycle.Input{Kind: lifecycle.Done}
	var panicked *PanicError
	switch {
	case errors.As(op.err, &panicked):
		in.Kind = lifecycle.Panicked
	case op.err != nil:
		in.Kind = lifecycle.Errored
	}
	if op.err != nil {
		i.failure = op.kind.String() + ": " + op.err.Error()
		i.logStack(op.err)
	}
	switch op.kind {
	case lifecycle.Open:
		i.pipeline = op.pipeline
		i.applied(op)
	case lifecycle.Reload:
		i.applied(op)
	case lifecycle.StopScraping:
		i.handover = op.handover
		i.note(op)
	case lifecycle.Close:
		i.note(op)
	case lifecycle.Drain:
		i.pending = op.pending
		in.Drained = op.err == nil && op.pending == 0
		i.note(op)
	}
	i.step(c, in)
}

func (i *instance) applied(op *operation) {
	if op.err == nil {
		i.current = i.applying
	}
}

// note keeps the first thing that went wrong while ending.
func (i *instance) note(op *operation) {
	if op.err != nil && i.problem == "" {
		i.problem = i.failure
	}
}

// abandon releases what is left when the actor ends before its generation did: after a panic in Receive, or with its
// parent. Nothing is drained; what is left stays in the log for whoever opens it next.
func (i *instance) abandon() {
	i.Directory.remove(i.unit, i.generation)
	select {
	case <-i.over:
		return
	default:
	}
	op, pipeline := i.op, i.pipeline
	stopped := messages.InstanceStopped{Unit: i.unit, Generation: i.generation}
	i.do(i.supervisor, func() error {
		defer close(i.over)
		if op != nil {
			op.cancel()
			i.Runtime.Wait(op.done)
			if op.kind == lifecycle.Open {
				pipeline = op.pipeline
			}
			if op.kind == lifecycle.Close {
				return op.err
			}
		}
		if pipeline == nil {
			return nil
		}
		return pipeline.Close(false)
	}, func(err error) any {
		if err != nil {
			i.logStack(err)
			stopped.Problem = err.Error()
		}
		return stopped
	})
}

// logStack logs where a panic came from. What failed, and that it did, is the supervisor's to log: it is told in an event.
func (i *instance) logStack(err error) {
	var panicked *PanicError
	if errors.As(err, &panicked) {
		i.logger.Error("data path panicked", zap.Error(err), stackOf(err))
	}
}
