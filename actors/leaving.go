package actors

import (
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/cluster/ring"
	"github.com/ringmaster-agent/ringmaster/messages"
)

const (
	// leaveShare is the part of the time for a stop that handing over may take.
	leaveShare = 0.7
	// leaveLook is how often handing over is looked at when nothing is heard.
	leaveLook = 500 * time.Millisecond
	// longestHandover bounds a handover when the stop has no bound.
	longestHandover = time.Minute
)

// Private messages of the supervisor to itself.
type (
	// stillLeaving comes every now and then while the node hands over.
	stillLeaving struct{}
	// handedOver comes when handing over has had its time.
	handedOver struct{}
)

// leave takes the node out of the ring, if there is a cluster to leave, and has what runs here taken over by others.
func (s *supervisor) leave(c actor.Context, within time.Duration) {
	m := s.membership
	if m == nil || m.ring == nil || s.Cluster.KeepClaims || m.session == "" || !m.others(s.Cluster.Node) {
		return
	}
	s.stopping.leaving = true
	c.Send(m.ring, leaveRing{})
	bound := longestHandover
	if within > 0 {
		bound = time.Duration(leaveShare * float64(within))
	}
	s.startTimer(c, "leave", bound, handedOver{})
	s.lookAgain(c)
}

// lookAgain has the handing over looked at also when nothing is heard.
func (s *supervisor) lookAgain(c actor.Context) {
	if s.stopping != nil && s.stopping.leaving {
		s.startTimer(c, "leaving", leaveLook, stillLeaving{})
		s.reconcileSoon(c)
	}
}

// others reports whether there are other nodes to hand over to: in the ring, or about to get their part of it.
func (m *membership) others(self string) bool {
	for node, record := range m.registry.Members() {
		if node != self && record.State == messages.Active && record.Problem == "" {
			return true
		}
	}
	return m.owners != nil && slices.ContainsFunc(m.owners.Members(), func(member ring.Member) bool { return member.Name != self })
}

// nothingToHandOver reports whether this node holds no claim any more, or nobody is left to hand over to, or no way: the store is away.
func (s *supervisor) nothingToHandOver() bool {
	m := s.membership
	if m.ring == nil || m.session == "" || !m.others(s.Cluster.Node) || m.permit.storeAway() {
		return true
	}
	for id, claim := range m.registry.Claims() {
		// One that was released says which ticks were taken, and would go with the session.
		if _, wanted := s.documents[id.Config]; wanted && claim.Node == s.Cluster.Node && claim.Session == m.session {
			return false
		}
	}
	return true
}

// stopInstances ends the handing over: what still runs is stopped.
func (s *supervisor) stopInstances(c actor.Context) {
	if s.stopping == nil || !s.stopping.leaving {
		return
	}
	s.stopping.leaving = false
	s.Logger.Info("left the ring", zap.Int("instances", s.live()))
	s.agenda.addEverything()
	s.reconcileSoon(c)
}

// endMembership is the last step of an orderly end: nothing of this node is left in the store, unless it comes back soon.
func (s *supervisor) endMembership(c actor.Context) {
	if m := s.membership; m != nil && m.ring != nil && !s.Cluster.KeepClaims {
		if !s.stopping.ending {
			s.stopping.ending = true
			c.Send(m.ring, endSession{})
		}
		return
	}
	s.end(c, nil)
}
