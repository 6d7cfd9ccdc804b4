package actors

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors/lifecycle"
	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// instance is one generation of one unit. It feeds what happens to lifecycle.State.Step and
// performs the effects.
type instance struct {
	*tree
	identity
	logger *zap.Logger

	state    lifecycle.State
	op       *operation
	pipeline Pipeline

	targets
	orders
	handovers
	outcomes
	// over is closed when the generation has released everything. The supervisor looks at it.
	over chan struct{}
	// permit is the unit's.
	permit func() bool
}

// identity says which instance it is.
type identity struct {
	unit       messages.Unit
	generation uint64
}

// targets are the versions of its config: wanted is the newest, applying that of the operation under
// way, current the one in force.
type targets struct{ wanted, applying, current target }

// orders are how it was told to start and to stop.
type orders struct {
	// warm: the pipeline finds its targets before it is prepared.
	warm bool
	// hurry is when the draining has to be over, if a stop said so.
	hurry time.Time
}

// handovers are what the node before has left (resume), and what there is for the next once it is
// quiet (handover).
type handovers struct {
	resume, handover messages.Handover
	quiet            bool
}

// outcomes are what has gone wrong, and what is left.
type outcomes struct {
	// failure is why it failed; problem and pending are what the drain and the close left.
	failure string
	problem string
	pending uint64
	// broken is what the pipeline has reported, which is heard once.
	broken *breakage
	heard  bool
}

// breakage is the first failure that a pipeline has reported, nil if there was none.
type breakage struct{ err atomic.Pointer[error] }

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

// pipelineBroke says that the pipeline reported a failure. Sent by whichever goroutine of the
// pipeline noticed it.
type pipelineBroke struct{ err error }

func newInstance(t *tree, u messages.Unit, generation uint64, over chan struct{}, permit func() bool) *instance {
	return &instance{
		tree: t, identity: identity{unit: u, generation: generation}, over: over, permit: permit, outcomes: outcomes{broken: &breakage{}},
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
		i.broke(c, m.err)
	case *actor.Stopping:
		i.abandon()
	}
}

func (i *instance) command(c actor.Context, command messages.InstanceCommand) {
	switch m := command.(type) {
	case messages.StartInstance:
		if m.Generation == i.generation {
			i.warm = m.Warm
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
	case messages.CheckInstance:
		if m.Generation == i.generation {
			i.check(c, m)
		}
	}
}

// check does what the instance was told and has not heard, and takes in what has happened to it
// without its hearing of it.
func (i *instance) check(c actor.Context, m messages.CheckInstance) {
	if i.op != nil && i.op.over() {
		i.opEnded(c, i.op)
	}
	if err := i.broken.err.Load(); err != nil {
		i.broke(c, *err)
	}
	stops := m.Reason != messages.NotStopping
	switch {
	case i.state.Phase == messages.PhaseNew && !stops:
		i.command(c, messages.StartInstance{Generation: m.Generation, Revision: m.Revision, Config: m.Config, Hold: m.Hold, Warm: m.Hold})
	case !stops && i.wanted.digest() != m.Config.Digest():
		i.command(c, messages.ReloadInstance{Generation: m.Generation, Revision: m.Revision, Config: m.Config})
	case stops && i.state.Reason == messages.NotStopping:
		i.command(c, messages.StopInstance{Generation: m.Generation, Reason: m.Reason, Within: m.Within})
	}
	if !stops && !m.Hold {
		i.command(c, messages.RunInstance{Generation: m.Generation, Resume: m.Resume})
	}
	c.Send(i.supervisor, messages.InstanceChecked{
		Unit: i.unit, Generation: i.generation, Phase: i.state.Phase, Prepared: i.state.Opened, Revision: i.current.revision, Digest: i.current.digest(),
		Reloading: i.state.Reload || i.state.Busy == lifecycle.Reload, Quiet: i.quiet, Handover: i.handover, Failure: i.failure, Reason: i.state.Reason,
	})
}

// broke takes in that the pipeline has reported a failure.
func (i *instance) broke(c actor.Context, err error) {
	if i.heard {
		return
	}
	i.heard = true
	i.failure = "the data path failed: " + err.Error()
	i.logStack(err)
	i.step(c, lifecycle.Input{Kind: lifecycle.Broke})
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
		i.quiet = true
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
	switch {
	case op.err == nil:
		i.current = i.applying
	case op.kind == lifecycle.Reload && i.wanted == i.applying:
		i.wanted = i.current // the supervisor orders it again
	}
}

// note keeps the first thing that went wrong while ending.
func (i *instance) note(op *operation) {
	if op.err != nil && i.problem == "" {
		i.problem = i.failure
	}
}

// abandon releases what is left when the actor ends before its generation did: after a panic in
// Receive, or with its parent. Nothing is drained; what is left stays in the log for whoever opens
// it next.
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

// logStack logs where a panic came from. What failed, and that it did, is the supervisor's to log:
// it is told in an event.
func (i *instance) logStack(err error) {
	var panicked *PanicError
	if errors.As(err, &panicked) {
		i.logger.Error("data path panicked", zap.Error(err), stackOf(err))
	}
}
