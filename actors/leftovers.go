package actors

import (
	"github.com/asynkron/protoactor-go/actor"

	"github.com/ringmaster-agent/ringmaster/actors/reshard"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// leftoversFound is the units of other nodes that have something unsent in a log here.
type leftoversFound struct{ units []messages.Unit }

// findLeftovers looks for logs of units that other nodes run: of before a crash, or of a move while a receiver was down. It is done when the ring is
// first known, and then at every tick.
func (s *supervisor) findLeftovers(c actor.Context) {
	if s.Leftovers == nil || s.membership == nil || s.membership.owners == nil || s.membership.searching || s.stopping != nil {
		return
	}
	var asked []messages.Unit
	for name, d := range s.documents {
		if d.Local || d.config == nil {
			continue
		}
		for _, id := range s.unitsOf(name) {
			_, ownership := s.membership.owners.Owner(id)
			if u, known := s.units[id]; ownership == reshard.NotOwned && (!known || u.ended()) {
				asked = append(asked, id)
			}
		}
	}
	for id, u := range s.units {
		// Nor does anybody run a slice that its config has no longer.
		if d, exists := s.documents[id.Config]; exists && d.config != nil && id.Slice >= d.slices() && u.ended() {
			asked = append(asked, id)
		}
	}
	if len(asked) == 0 {
		return
	}
	s.membership.searching = true
	var found leftoversFound
	s.do(c.Self(), func() error {
		found.units = s.Leftovers(asked)
		return nil
	}, func(error) any { return found })
}

func (s *supervisor) leftoversFound(c actor.Context, m leftoversFound) {
	s.membership.searching = false
	for _, id := range m.units {
		if _, wanted := s.documents[id.Config]; !wanted {
			continue
		}
		if u := s.unit(id); u.ended() && !u.leftover {
			u.leftover = true
			s.agenda.add(id)
			u.logger.Info("log has unsent samples of a unit that does not run here; sending them")
		}
	}
	s.reconcileSoon(c)
}
