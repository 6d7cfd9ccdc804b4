package actors

import (
	"time"

	"github.com/ringmaster-agent/ringmaster/actors/reshard"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// agenda is what the next decision is about: the units of which something is different now. A
// cluster has many units, of which few change at a time.
type agenda struct {
	// all: it is about everything.
	all   bool
	units map[messages.Unit]bool
	// wakes is when time alone puts units on the agenda.
	wakes map[messages.Unit]time.Time
	// replicas is how many each config has. widest is the most slices that a config has been seen
	// with, if that is more than one: what changes about a config is about those too that it has no
	// longer.
	replicas int
	widest   map[string]int
}

func newAgenda(o Options) agenda {
	a := agenda{all: true, units: map[messages.Unit]bool{}, wakes: map[messages.Unit]time.Time{}, replicas: 1, widest: map[string]int{}}
	if o.Cluster != nil {
		a.replicas = o.Cluster.Replicas
	}
	return a
}

// add puts a unit on it.
func (a *agenda) add(u messages.Unit) {
	a.saw(u)
	if !a.all {
		a.units[u] = true
	}
}

// addReplicas puts all replicas of a unit on it: a node that is cordoned goes on with those that it
// has claimed, so a claim says something about all of them.
func (a *agenda) addReplicas(u messages.Unit) {
	a.add(u)
	for u.Replica = range a.replicas {
		a.add(u)
	}
}

// addConfig puts all units of a config on it.
func (a *agenda) addConfig(name string) {
	if a.all {
		return
	}
	for _, u := range a.unitsOf(name) {
		a.units[u] = true
	}
}

// unitsOf are the units that the config has, or had.
func (a *agenda) unitsOf(name string) []messages.Unit {
	return reshard.Units(name, a.widest[name], a.replicas)
}

// addEverything puts everything on it.
func (a *agenda) addEverything() {
	a.all, a.units = true, map[messages.Unit]bool{}
}

// addRegistered puts on it what an event of the registry is about. Members count by the ring that
// is made of them.
func (a *agenda) addRegistered(event messages.RegistryEvent) {
	switch e := event.(type) {
	case messages.RegistryListed:
		for claim := range e.Claims.All() {
			a.saw(claim.Unit)
		}
		for intent := range e.Intents.All() {
			a.saw(intent.Unit)
		}
		a.addEverything()
	case messages.ClaimPut:
		a.addReplicas(e.Claim.Unit)
	case messages.ClaimGone:
		a.addReplicas(e.Unit)
	case messages.HoldPut:
		a.addConfig(e.Hold.Config)
	case messages.HoldGone:
		a.addConfig(e.Config)
	case messages.IntentPut:
		a.add(e.Intent.Unit)
	case messages.IntentGone:
		a.add(e.Unit)
	}
}

// addDue puts on it what time has brought.
func (a *agenda) addDue(now time.Time) {
	for u, at := range a.wakes {
		if !at.After(now) {
			a.add(u)
		}
	}
}

// saw notes that there is, or was, such a unit.
func (a *agenda) saw(u messages.Unit) {
	if u.Slice > 0 {
		a.widest[u.Config] = max(a.widest[u.Config], u.Slice+1)
	}
}

// forgetSlices drops what is known of configs that are no more.
func (a *agenda) forgetSlices(exists func(config string) bool) {
	for name := range a.widest {
		if !exists(name) {
			delete(a.widest, name)
		}
	}
}

// take empties it. It returns what was on it, nil for everything.
func (a *agenda) take() map[messages.Unit]bool {
	all, units := a.all, a.units
	a.all, a.units = false, map[messages.Unit]bool{}
	if all {
		return nil
	}
	return units
}

// follow takes up what a plan about these units leaves for later: those that were told something
// may need another step.
func (a *agenda) follow(about map[messages.Unit]bool, p reshard.Plan) {
	if about == nil {
		a.wakes = map[messages.Unit]time.Time{}
	}
	for u := range about {
		delete(a.wakes, u)
	}
	for u, at := range p.Wake {
		a.wakes[u] = at
	}
	for u := range p.Commands() {
		a.add(u)
	}
}

// nextWake is when time puts something on it next; zero if it does not.
func (a *agenda) nextWake() time.Time {
	var next time.Time
	for _, at := range a.wakes {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return next
}
