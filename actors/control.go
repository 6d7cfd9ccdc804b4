package actors

import (
	"slices"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors/lifecycle"
	"github.com/ringmaster-agent/ringmaster/messages"
)

func (s *supervisor) control(c actor.Context, command messages.ControlCommand) {
	switch m := command.(type) {
	case messages.ReplaceLocal:
		s.replaceLocal(c, m.Documents)
		s.reconcileSoon(c)
	case messages.DefaultsChanged:
		s.Logger.Info("defaults changed", zap.Stringer("digest", m.Digest), zap.Int("configs", len(s.documents)))
		for _, d := range s.documents {
			if d.Problem == "" {
				s.askToParse(d)
			}
		}
		s.parse(c)
	case messages.RetryInstance:
		u, known := s.units[m.Unit]
		if known {
			u.logger.Info("instance is retried", zap.Int("failures", u.failures.Count))
			u.failures = lifecycle.Failures{}
			s.agenda.add(u.Unit)
			s.reconcileSoon(c)
		}
		respond(c, messages.RetryAccepted{Known: known})
	case messages.StopTree:
		s.stopTree(c, m)
	}
}

func (s *supervisor) answer(c actor.Context, question messages.Question) {
	switch m := question.(type) {
	case messages.DescribeTree:
		respond(c, s.describe())
	case messages.DescribeUnit:
		_, running := s.units[m.Unit]
		_, wanted := s.documents[m.Unit.Config]
		if !running && !wanted {
			respond(c, messages.UnitAnswer{})
			return
		}
		respond(c, messages.UnitAnswer{Known: true, Unit: s.describeUnit(m.Unit)})
	}
}

// respond answers, if there is somebody to answer.
func respond(c actor.Context, answer any) {
	if c.Sender() != nil {
		c.Respond(answer)
	}
}

func (s *supervisor) describe() messages.TreeDescription {
	seen := make(map[messages.Unit]bool, len(s.units))
	descriptions := make([]messages.UnitDescription, 0, len(s.units))
	settled := s.membership.settled() && s.complete() && s.parsing.running == 0 && !s.reconciling.pending
	add := func(id messages.Unit) {
		if !seen[id] {
			seen[id] = true
			d := s.describeUnit(id)
			settled = settled && (d.Phase != messages.PhasePreparing || s.units[id].prepared)
			descriptions = append(descriptions, d)
		}
	}
	for id := range s.units {
		add(id)
	}
	for name := range s.documents {
		for _, id := range s.unitsOf(name) {
			add(id)
		}
	}
	slices.SortFunc(descriptions, func(a, b messages.UnitDescription) int { return a.Unit.Compare(b.Unit) })
	return messages.TreeDescription{
		Complete: s.complete(), Settled: settled, Stopping: s.stopping != nil,
		StoreProblem: s.storeProblem, Doubt: s.catalog.Doubt(),
		Units: messages.NewList(descriptions...), Cluster: s.describeCluster(),
	}
}

func (s *supervisor) describeUnit(id messages.Unit) messages.UnitDescription {
	out := messages.UnitDescription{Unit: id, Phase: messages.PhaseWaiting, Hold: s.reconciling.holds[id]}
	s.describeClaim(&out)
	if d, ok := s.documents[id.Config]; ok {
		out.Local, out.InvalidReason = d.Local, d.problem
		out.WantedRevision, out.WantedDigest = d.valid.Revision, d.valid.Digest
	}
	u, ok := s.units[id]
	if !ok {
		return out
	}
	out.Phase, out.Since, out.Generation = u.phase, u.since, u.generation
	out.RunningRevision, out.RunningDigest = u.running.Revision, u.running.Digest
	out.LastError, out.Failures, out.Restarts, out.Pending = u.lastError, u.failures.Count, max(u.attempts-1, 0), u.pending
	if u.failures.Digest != out.WantedDigest {
		return out // the failures are about another version
	}
	switch {
	case u.failures.Quarantined:
		out.QuarantineReason = u.lastError
	case u.failures.NotBefore.After(s.now()):
		out.NextAttempt = u.failures.NotBefore
	}
	if u.phase == messages.PhaseStopped {
		switch {
		case u.failures.Quarantined:
			out.Phase = messages.PhaseQuarantined
		case u.failures.Count > 0:
			out.Phase = messages.PhaseBackoff
		}
	}
	return out
}
