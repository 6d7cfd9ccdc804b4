package sim

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/ringmaster-agent/ringmaster/messages"
)

// hint reports whether the message is news of one change in the store, which may come late, twice,
// or not at all.
func hint(message any) bool {
	switch message.(type) {
	case messages.RegistryListed, messages.ConfigsListed:
		return false
	case messages.RegistryEvent, messages.WatcherEvent:
		return true
	default:
		return false
	}
}

// oldNews has a node hear again and again of what is no longer so, while nodes come and go.
func (s *storm) oldNews() {
	if n := s.any(); n != nil {
		d := 10*time.Second + s.span()
		s.say(n.name, "hears old news for %v", d)
		n.host.echo = s.now + d
		s.later(d, func() {})
		switch s.rnd.IntN(3) {
		case 0:
			s.deleteMember()
		case 1:
			s.later(time.Second, s.deleteClaim)
		default:
			s.joinOrLeave()
		}
		s.later(d/2, s.joinOrLeave)
	}
}

// echo has a hint come a second time, later.
func (n *node) echo(c actor.ReceiverContext, message any) {
	w, self := n.world, c.Self()
	if w.now >= n.host.echo || !hint(message) {
		return
	}
	lost := w.store.lost
	w.after(n, w.upTo(6*time.Second), func() {
		if w.store.lost == lost { // what is of before a loss of data comes before the listing that tells of it
			w.system.Root.Send(self, message)
		}
	})
}

// blindListing has the next listing of a node lack all configs, as that of a store which is being
// repaired.
func (s *storm) blindListing() {
	if n := s.any(); n != nil && !s.blinded {
		s.blinded, n.host.blind = true, true // a second one in a row is believed
		s.later(s.options.Reshard+5*time.Second, func() { n.host.blind = false })
	}
}
