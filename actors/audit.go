package actors

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ringmaster-agent/ringmaster/actors/reshard"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// audit holds what was decided so far, each time about what had changed, against a decision about everything, and tells of what was missed.
func (s *supervisor) audit() {
	if s.Runtime.Audit == nil || s.agenda.all {
		return
	}
	now := s.now()
	plan := reshard.Decide(s.view(now, nil))
	missed := func(u messages.Unit) bool {
		due, wakes := s.agenda.wakes[u]
		return !s.agenda.units[u] && (!wakes || due.After(now))
	}
	var found []string
	for u, command := range plan.Commands() {
		if missed(u) {
			found = append(found, fmt.Sprintf("%s %v", command, u))
		}
	}
	held := holdsOf(plan)
	for _, u := range unitsIn(held, s.reconciling.holds) {
		if is, should := s.reconciling.holds[u], held[u]; is != should && missed(u) {
			found = append(found, fmt.Sprintf("hold %v: %q, which is %q", u, should, is))
		}
	}
	for u, at := range plan.Wake {
		if is, ok := s.agenda.wakes[u]; missed(u) && (!ok || is.After(at)) {
			found = append(found, fmt.Sprintf("wake %v", u))
		}
	}
	if len(found) > 0 {
		s.Runtime.Audit(strings.Join(found, ", "))
	}
}

// holdsOf is what the plan holds, by unit, in words.
func holdsOf(p reshard.Plan) map[messages.Unit]string {
	holds := make(map[messages.Unit]string, len(p.Hold))
	for _, h := range p.Hold {
		words := h.String()
		if before, ok := holds[h.Unit]; ok {
			words = before + "; " + words
		}
		holds[h.Unit] = words
	}
	return holds
}

// unitsIn are the keys of both, in order.
func unitsIn(a, b map[messages.Unit]string) []messages.Unit {
	var units []messages.Unit
	for u := range a {
		units = append(units, u)
	}
	for u := range b {
		if _, both := a[u]; !both {
			units = append(units, u)
		}
	}
	slices.SortFunc(units, messages.Unit.Compare)
	return units
}
