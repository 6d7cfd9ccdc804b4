package sim

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/ringmaster-agent/ringmaster/messages"
)

// mishap is what becomes of one message to come.
type mishap struct {
	// kind is what happens.
	kind mishapKind
	// skip is how many messages are spared before.
	skip int
	// who begins the name of the actor whose message it is; empty: any.
	who string
}

// mishapKind is a kind of mishap.
type mishapKind uint8

const (
	lost mishapKind = iota
	doubled
	late
	panicked
)

// String is the kind in a word.
func (k mishapKind) String() string {
	return [...]string{"lost", "doubled", "late", "answered with a panic"}[k]
}

// befall has the mishap happen to a message, if it is its turn. It reports whether the message is
// not to be received now.
func (n *node) befall(c actor.ReceiverContext, message any, receive func()) bool {
	m := n.mishap
	if m == nil || !ours(message) || !strings.Contains(c.Self().Id, m.who) {
		return false
	}
	if m.skip--; m.skip >= 0 {
		return false
	}
	n.mishap = nil
	w, self := n.world, c.Self()
	w.say(n.name, "%T to %s is %v", message, self.Id, m.kind)
	switch m.kind {
	case doubled:
		receive()
		return false
	case late:
		w.after(n, w.upTo(5*time.Second), func() { w.system.Root.Send(self, message) })
	case panicked:
		n.panicked = w.now
		if self.Equal(n.supervisor) {
			n.stopping = true // that ends the process
		}
		panic(errors.New("injected"))
	}
	return true
}

// ours reports whether it is a message of the tree's actors to each other, of which each has to be
// made up for.
func ours(message any) bool {
	switch message.(type) {
	case messages.StopTree, messages.DescribeTree:
		return false // whoever asks from outside asks again
	}
	kind := fmt.Sprintf("%T", message)
	return !strings.HasPrefix(kind, "*actor.") && !strings.HasPrefix(kind, "actor.")
}

// upset has a message of a node be lost, doubled, or late.
func (s *storm) upset() {
	if n := s.any(); n != nil {
		n.mishap = &mishap{kind: []mishapKind{lost, lost, doubled, late}[s.rnd.IntN(4)], skip: s.rnd.IntN(60)}
		s.settles, s.ledger.upset = 2*s.options.Reshard+settleWithin, true
		s.disturbNode()
	}
}

// panicSomewhere has an actor of a node panic.
func (s *storm) panicSomewhere() {
	if n := s.any(); n != nil {
		n.unplanned = true
		n.mishap = &mishap{kind: panicked, who: []string{"ring/", "registry/", "configs/", "instance", ""}[s.rnd.IntN(5)], skip: s.rnd.IntN(20)}
		if s.disturbNode() {
			s.allow(s.runOut()) // who has just joined, or leaves, does not help to end the session of the node that ends
		}
		if len(s.staying())-1 < s.options.Replicas {
			s.allow(unmeasured) // without the node that ends there is none left for some replicas
		}
	}
}

// disturbNode has something happen that makes actors talk, and reports whether a node joins or leaves.
func (s *storm) disturbNode() (moves bool) {
	if moves = s.rnd.IntN(2) == 0; moves {
		s.joinOrLeave()
	} else {
		s.churn()
	}
	s.later(10*time.Second, func() {})
	return moves
}
