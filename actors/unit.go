package actors

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors/lifecycle"
	"github.com/ringmaster-agent/ringmaster/actors/reshard"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// unit is what the supervisor knows of one unit on this node.
type unit struct {
	messages.Unit
	logger *zap.Logger

	pid        *actor.PID
	generation uint64
	phase      messages.Phase
	since      time.Time
	local      bool
	// ordered is the version it was last told to run, running the one it said is in force.
	ordered, running reshard.Version
	// asked is the reason of the last stop it was told.
	asked messages.StopReason
	// prepared: the newest generation has all it needs to scrape. epoch is that of the claim it may scrape with.
	prepared bool
	epoch    int64
	permit   *unitPermit
	// quiet: it has stopped scraping; its claim is released by releaseBy. handover is for who scrapes next, resume for this generation.
	quiet            bool
	releaseBy        time.Time
	handover, resume messages.Handover
	// claimed is the revision of the newest claim that this process has written.
	claimed int64
	// lapsed: since it was let scrape, others may have run the unit. It has not scraped, and what it remembers of its ticks is out of date.
	lapsed bool
	// leftover: there is a log with something in it that was not sent, and another node runs the unit. drains: the newest generation
	// is there to send it.
	leftover, drains bool
	// tookOverFrom is the node that released the unit to this one.
	tookOverFrom string
	// terminated: the actor is gone. told: InstanceStopped came. The generation has ended when both are so.
	terminated, told bool
	// over is closed when everything the generation held is released, which shows when its last words were lost.
	over chan struct{}
	// silent counts the ticks since it was gone and over without a word.
	silent int

	failures  lifecycle.Failures
	lastError string
	attempts  int
	pending   uint64
}

// ended reports whether there is no generation any more.
func (u *unit) ended() bool {
	return u.phase == messages.PhaseStopped || u.phase == messages.PhaseWaiting
}

// foldInstance takes in what an instance tells.
func (s *supervisor) foldInstance(c actor.Context, event messages.InstanceEvent) {
	subject, generation := event.Subject()
	u, ok := s.units[subject]
	if !ok || u.generation != generation || u.ended() {
		return
	}
	s.agenda.add(subject)
	switch e := event.(type) {
	case messages.InstancePrepared:
		u.prepared = true
	case messages.InstanceRunning:
		u.running = reshard.Version{Revision: e.Revision, Digest: e.Digest}
		s.become(u, messages.PhaseRunning)
		return
	case messages.InstanceReloaded:
		u.running = reshard.Version{Revision: e.Revision, Digest: e.Digest}
		u.logger.Info("instance reloaded", zap.Uint64("generation", generation), zap.Int64("revision", e.Revision))
		return
	case messages.InstanceReloadFailed:
		s.fail(u, e.Digest, e.Reason)
		if u.ordered.Digest == e.Digest {
			// Nothing newer was ordered since, so what it runs is what it had before.
			u.ordered = u.running
		}
	case messages.InstanceDraining:
		if u.epoch == 0 && s.membership != nil && !u.local {
			// It was never let scrape, so what was left to it is left to the next.
			u.quiet, u.handover, u.releaseBy = true, u.resume, s.now()
		}
		s.become(u, messages.PhaseDraining)
	case messages.InstanceQuiet:
		u.quiet, u.handover, u.releaseBy = true, e.Handover, s.now().Add(s.releaseAfter(u.Config))
	case messages.InstanceFailed:
		s.fail(u, u.ordered.Digest, e.Reason)
		s.become(u, messages.PhaseFailed)
	case messages.InstanceStopped:
		u.pending = e.Pending
		if e.Problem != "" {
			u.lastError = e.Problem
		}
		fields := []zap.Field{zap.Uint64("generation", generation), zap.Stringer("reason", u.asked), zap.Uint64("pending", e.Pending)}
		if e.Problem != "" {
			fields = append(fields, zap.String("problem", e.Problem))
		}
		u.logger.Info("instance released", fields...)
		u.told = true
		s.settle(u)
	}
	s.reconcileSoon(c)
}

// become moves the unit to another phase.
func (s *supervisor) become(u *unit, to messages.Phase) {
	if u.phase == to {
		return
	}
	if to == messages.PhaseRunning {
		s.running++
	}
	if u.phase == messages.PhaseRunning {
		s.running--
	}
	s.metrics.activeInstances.Set(float64(s.running))
	fields := []zap.Field{
		zap.Uint64("generation", u.generation), zap.Stringer("from", u.phase), zap.Stringer("to", to), zap.Int64("revision", u.ordered.Revision),
	}
	u.logger.Info("instance changed phase", append(fields, s.circumstances(u, to)...)...)
	u.phase, u.since = to, s.now()
}

// circumstances are why a unit changes its phase, and which node had it before or has it next.
func (s *supervisor) circumstances(u *unit, to messages.Phase) []zap.Field {
	var fields []zap.Field
	if to == messages.PhaseDraining {
		fields = append(fields, zap.Stringer("reason", u.asked))
	}
	if s.membership == nil {
		return fields
	}
	claim := s.membership.registry.Claims()[u.Unit]
	switch {
	case to == messages.PhaseRunning && u.tookOverFrom != "":
		fields = append(fields, zap.String("from_node", u.tookOverFrom), zap.Int64("epoch", u.epoch))
	case to == messages.PhaseRunning:
		fields = append(fields, zap.Int64("epoch", u.epoch))
	case u.asked == messages.Fenced:
		fields = append(fields, zap.String("to_node", claim.Node))
	case u.asked == messages.Moved && s.membership.owners != nil:
		owner, _ := s.membership.owners.Owner(u.Unit)
		fields = append(fields, zap.String("to_node", owner))
	}
	return fields
}

// fail remembers a failure of the unit with a config.
func (s *supervisor) fail(u *unit, digest messages.Digest, reason string) {
	now := s.now()
	u.failures = u.failures.Add(s.policy, digest, now, s.Jitter())
	u.lastError = reason
	s.metrics.abnormalExits.WithLabelValues(u.Key()).Inc()
	fields := []zap.Field{zap.Uint64("generation", u.generation), zap.String("reason", reason), zap.Int("failures", u.failures.Count)}
	if u.failures.Quarantined {
		u.logger.Error("instance quarantined", fields...)
		return
	}
	u.logger.Warn("instance failed", append(fields, zap.Duration("backoff", u.failures.NotBefore.Sub(now)))...)
}

// settle ends the generation if its actor is gone and everything it held is released.
func (s *supervisor) settle(u *unit) {
	if u.terminated && u.told && !u.ended() {
		u.running = reshard.Version{}
		s.become(u, messages.PhaseStopped)
	}
}

// settleSilent ends generations that are gone and over and whose last words were lost. It gives them until the second tick,
// since they may only be late.
func (s *supervisor) settleSilent() {
	for _, u := range s.sorted() {
		if !u.terminated || u.ended() {
			continue
		}
		select {
		case <-u.over:
			u.silent++
		default:
		}
		if u.silent < 2 {
			continue
		}
		if u.asked == messages.NotStopping && u.phase != messages.PhaseFailed {
			s.fail(u, u.ordered.Digest, "the instance ended without saying why")
		}
		u.told = true
		s.settle(u)
	}
}

// view is the unit as the decision sees it.
func (u *unit) view() reshard.Instance {
	return reshard.Instance{
		Generation: u.generation, Phase: u.phase, Local: u.local, Ordered: u.ordered.Digest, Asked: u.asked,
		Lapsed: u.lapsed, Leftover: u.leftover, Drains: u.drains, Prepared: u.prepared, Epoch: u.epoch, Quiet: u.quiet, Handover: u.handover, ReleaseBy: u.releaseBy,
		FailedDigest: u.failures.Digest, NotBefore: u.failures.NotBefore, Quarantined: u.failures.Quarantined,
	}
}
