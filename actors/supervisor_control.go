package actors

import (
	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors/lifecycle"
	"github.com/ringmaster-agent/ringmaster/messages"
)

func (s *supervisor) control(c actor.Context, command messages.ControlCommand) {
	switch m := command.(type) {
	case messages.ReplaceLocal:
		s.actOn(c, s.documents.replaceLocal(m.Documents))
	case messages.DefaultsChanged:
		s.Logger.Info("defaults changed", zap.Stringer("digest", m.Digest), zap.Int("configs", len(s.documents.known)))
		s.documents.parseAgain()
		s.documents.parse(c, s.desk)
	case messages.RetryInstance:
		u, known := s.units.all[m.Unit]
		if known {
			u.logger.Info("instance is retried", zap.Int("failures", u.failures.Count))
			u.failures = lifecycle.Failures{}
			s.agenda.add(u.Unit)
			s.reconcileSoon(c)
		}
		respond(c, messages.RetryAccepted{Known: known})
	case messages.ForgetMember:
		s.cluster.forgetMember(c, m)
	case messages.Order:
		s.cluster.order(c, m)
	case messages.StopTree:
		s.departure.stopTree(c, m)
	}
}

func (s *supervisor) answer(c actor.Context, question messages.Question) {
	switch m := question.(type) {
	case messages.DescribeTree:
		respond(c, s.picture().tree(m))
	case messages.DescribeUnit:
		respond(c, s.picture().answer(m.Unit))
	}
}

// respond answers, if there is somebody to answer.
func respond(c actor.Context, answer any) {
	if c.Sender() != nil {
		c.Respond(answer)
	}
}
