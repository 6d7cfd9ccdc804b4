package actors

import "github.com/asynkron/protoactor-go/actor"

// check comes to a watcher at every tick, in case it waits for a message that was lost.
type check struct{}

// makeGood has everything go on that waits for a message, in case that one was lost: whoever waits
// for one message for ever is stuck by losing it. The tick itself does not depend on being heard.
func (s *supervisor) makeGood(c actor.Context) {
	for _, outcome := range s.calls.lost() {
		s.route(c, outcome)
	}
	s.reconciling.pending, s.reconciling.showing = false, false
	s.units.finishSilent()
	for _, m := range s.units.checks(s.departure.drainTime(s.now())) {
		c.Send(s.units.all[m.Unit].pid, m)
	}
	s.checkChildren(c)
	if s.memory.asked {
		s.memory.save(c)
	}
	if m := s.memory; m.recalled != nil && s.now().Sub(m.began) >= recallAfter {
		m.due = true
		s.goByMemory(c)
	}
	s.cluster.takePlace(c)
	s.departure.lookAgain(c)
	if until := s.departure.until; !until.IsZero() && s.now().After(until) {
		s.departure.giveUp(c)
	}
}

// checkChildren has the watchers look whether they wait in vain, and spawns those whose time has come.
func (s *supervisor) checkChildren(c actor.Context) {
	now := s.now()
	if !now.Before(s.children.configsFailures.NotBefore) {
		s.spawnWatcher(c)
	}
	if !now.Before(s.children.clusterFailures.NotBefore) {
		s.cluster.spawn(c)
	}
	s.children.check(c)
}
