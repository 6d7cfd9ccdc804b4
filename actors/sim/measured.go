package sim

import (
	"slices"
	"time"

	"github.com/ringmaster-agent/ringmaster/actors/fencing"
)

const (
	// startWithin is how long after its start a cluster scrapes everything there is.
	startWithin = 12 * time.Second
	// measuredFor is how long after the end of a fault everything is as it should be, and is looked at.
	measuredFor = 45 * time.Second
)

// playMeasured has one fault at a time go wrong, and asks what it has cost.
func (s *storm) playMeasured() {
	s.Run(startWithin + s.upTo(20*time.Second))
	for range 1 + s.rnd.IntN(3) {
		if s.failure == "" {
			s.measure(s.drawFault(func(f fault) bool { return f.unscraped != unmeasured }))
		}
	}
}

// Cost is what one fault has cost.
type Cost struct {
	Fault string
	// Unscraped is for how long the unluckiest target was scraped by nobody, beyond its interval.
	Unscraped time.Duration
	// Writes is how many calls of the store the busiest node has written by, Units how many units
	// there are.
	Writes, Units int
}

// measure lets one thing go wrong, and asks whether it has cost more than it may.
func (s *storm) measure(f fault) {
	from, writes, commands := s.now, map[*node]int{}, s.ledger.commands
	for _, n := range s.nodes {
		writes[n] = n.writes
	}
	s.say("", "now: %s", f.name)
	s.allowed, s.settles = s.bound(f), measuredFor
	s.ledger.limbo, s.ledger.away, s.ledger.caught = false, 0, false
	s.served = max(s.options.Replicas, 1)
	few := s.options.Replicas > 1 && len(s.staying()) <= s.options.Replicas
	f.do(s)
	if few && s.allowed > nothing {
		s.allow(unmeasured) // without one of the nodes there is none for some replicas
	}
	for s.failure == "" && slices.ContainsFunc(s.queue, func(q queued) bool { return q.event.fault }) {
		s.Run(time.Second)
	}
	if f.unscraped == midMove && s.ledger.limbo {
		s.allow(midMove + s.ledger.away)
	}
	if f.still && !s.options.NoGossip && s.ledger.commands != commands {
		s.fail("%s: instances were told %d times to do something", f.name, s.ledger.commands-commands)
	}
	if len(s.staying()) < 2 {
		// Calm starts another node, and a newcomer holds up who takes over: it counts as a member,
		// and does not help yet to end a session.
		s.Run(max(0, s.allowed) + time.Second)
	}
	s.calm()
	s.Run(s.settles)
	switch {
	case f.unscraped == unmeasured:
		s.allow(unmeasured) // drawn since only faults of its name are played
	case f.unscraped == takeover && s.allowed != unmeasured && s.ledger.caught:
		s.allow(max(s.allowed, tookBack))
	}
	s.checkSettled()
	cost := Cost{Fault: f.name, Unscraped: s.checkUnscraped(f.name, s.allowed, from), Units: len(s.wanted())}
	for _, n := range s.nodes {
		cost.Writes = max(cost.Writes, n.writes-writes[n])
	}
	// Of each unit a claim, an intent and a release; of the node its session and its record; and
	// what has to be tried again.
	if most := 20 + 2*cost.Units; cost.Writes > most {
		s.fail("%s: a node has written %d times, and there are %d units", f.name, cost.Writes, cost.Units)
	}
	s.costs = append(s.costs, cost)
}

// bound is for how long a fault may leave a target unscraped.
func (s *storm) bound(f fault) time.Duration {
	switch {
	case f.unscraped == takeover, f.unscraped == cutOff && s.options.NoGossip, f.unscraped == tookBack && s.takeover() > takeover:
		return s.takeover()
	default:
		return f.unscraped
	}
}

// allow says for how long the fault under way may leave a target unscraped, if that depends on more
// than its kind.
func (s *storm) allow(d time.Duration) { s.allowed = d }

// takeover is how long it takes others to take over from a dead node: as soon as gossip and the
// store agree about it, if there is gossip and the store can tell, or else when its session has run
// out.
func (s *storm) takeover() time.Duration {
	if s.options.NoGossip || s.options.NoIdle {
		return s.runOut()
	}
	return takeover
}

// runOut is how long it takes others to take over when a session runs out.
func (s *storm) runOut() time.Duration {
	if s.options.NoGossip {
		return runOut + fencing.Fresh // who has no gossip goes on for longer, and the others wait for that
	}
	return runOut
}

// allowedFor is for how long targets of a config may not be scraped, if the fault has that bound.
func (s *storm) allowedFor(name string, bound, from time.Duration) time.Duration {
	allowed := s.redivided(name, from)
	if bound != nothing {
		allowed = max(bound, allowed, s.surplus(name, from))
	}
	if allowed > nothing {
		allowed += intervalOf(name)
	}
	return allowed
}

// redivided is for how long targets of a config may wait that got another number of slices, or is
// about to, because a clock is ahead.
func (s *storm) redivided(name string, from time.Duration) time.Duration {
	if s.ledger.at(name).divided >= from-dividedAfter {
		return min(s.ahead(), dividedAfter)
	}
	return nothing
}

// surplus is for how long targets of a config wait that gets fewer slices, if a node that runs one
// of those that are to go ends before they do: nobody starts it any more.
func (s *storm) surplus(name string, from time.Duration) time.Duration {
	r := s.ledger.at(name)
	died := func(n *node) bool {
		return n.dead && n.panicked >= r.divided && n.panicked < r.divided+dividedAfter
	}
	if r.fewer && r.divided >= from && slices.ContainsFunc(s.nodes, died) {
		return dividedAfter
	}
	return nothing
}

// checkUnscraped asks how long targets were not scraped since an instant, and returns the longest,
// beyond its interval.
func (s *storm) checkUnscraped(what string, bound, from time.Duration) (longest time.Duration) {
	for _, name := range s.configs {
		allowed := s.allowedFor(name, bound, from)
		for replica := range s.served {
			gap, known := s.unscraped(name, replica, from, s.now)
			if known && bound >= 0 && gap > allowed {
				s.fail("%s: a target of %s, replica %d, was not scraped for %v, and may be for %v", what, name, replica, gap, allowed)
			}
			longest = max(longest, gap-intervalOf(name))
		}
	}
	return longest
}
