package actors

import (
	"github.com/asynkron/protoactor-go/actor"

	"github.com/ringmaster-agent/ringmaster/actors/reshard"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// leftovers is the looking for logs of units that do not run here.
type leftovers struct {
	*desk
	documents  *documents
	units      *units
	membership *membership
	// searching: it is under way.
	searching bool
}

// leftoversFound is the units of other nodes that have something unsent in a log here.
type leftoversFound struct{ units []messages.Unit }

// find looks for logs of units that other nodes run, or nobody since they are held: of before a
// crash, or of a move while a receiver was down. It is done when the ring is first known, and then at
// every tick. Stopping: the tree is, and opens nothing more.
func (l *leftovers) find(c actor.Context, stopping bool) {
	if l.Leftovers == nil || l.membership == nil || l.membership.owners == nil || l.searching || stopping {
		return
	}
	var asked []messages.Unit
	slices := map[string]int{}
	for name, d := range l.documents.known {
		if d.Local || d.config == nil {
			continue
		}
		_, held := l.membership.registry.Holds()[name]
		slices[name] = max(d.slices(), l.agenda.widest[name])
		for _, id := range l.documents.unitsOf(name, l.agenda.replicas) {
			_, ownership := l.membership.owners.Owner(id)
			if u, known := l.units.all[id]; (held || ownership == reshard.NotOwned) && (!known || u.ended()) {
				asked = append(asked, id)
			}
		}
	}
	for name := range l.agenda.widest {
		d, exists := l.documents.known[name]
		if !exists || d.config == nil {
			continue
		}
		// Nor does anybody run a slice that its config has no longer.
		for _, id := range l.agenda.unitsOf(name) {
			if u, known := l.units.all[id]; id.Slice >= d.slices() && (!known || u.ended()) {
				asked = append(asked, id)
			}
		}
	}
	if len(slices) == 0 && len(asked) == 0 {
		return
	}
	l.searching = true
	var found leftoversFound
	l.begin(c, func() error {
		found.units = l.Leftovers(asked, slices)
		return nil
	}, func(error) any { return found })
}

// fold takes in what was found.
func (l *leftovers) fold(c actor.Context, m leftoversFound) {
	l.searching = false
	for _, id := range m.units {
		if _, wanted := l.documents.known[id.Config]; !wanted {
			continue
		}
		l.agenda.saw(id)
		if u := l.units.get(id); u.ended() && !u.leftover {
			u.leftover = true
			l.agenda.add(id)
			u.logger.Info("sending unsent samples of a unit that does not run here")
		}
	}
	l.reconcileSoon(c)
}
