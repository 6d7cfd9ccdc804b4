package actors

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ringmaster-agent/ringmaster/actors/reshard"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// auditGap is the least time between two audits in a storm of decisions. What was missed stays missed
// until something else happens, and the gauges are shown after the last decision of a storm, which
// is when it is audited.
const auditGap = 100 * time.Millisecond

// audit lets the runtime know what was not decided and should have been, if it wants to.
func (s *supervisor) audit(now time.Time) {
	if s.Runtime.Audit == nil || s.agenda.all || !s.reconciling.unaudited {
		return
	}
	s.reconciling.audited, s.reconciling.unaudited = now, false
	if missed := missedBy(now, reshard.Decide(s.view(now, nil)), &s.agenda, s.reconciling.holds); missed != "" {
		s.Runtime.Audit(missed)
	}
}

// missedBy holds what was decided so far, each time about what had changed, against a decision about
// everything, and says what was missed.
func missedBy(now time.Time, plan reshard.Plan, agenda *agenda, holds map[messages.Unit]string) string {
	missed := func(u messages.Unit) bool {
		due, wakes := agenda.wakes[u]
		return !agenda.units[u] && (!wakes || due.After(now))
	}
	var found []string
	for u, command := range plan.Commands() {
		if missed(u) {
			found = append(found, fmt.Sprintf("%s %v", command, u))
		}
	}
	held := holdsOf(plan)
	for _, u := range unitsIn(held, holds) {
		if is, should := holds[u], held[u]; is != should && missed(u) {
			found = append(found, fmt.Sprintf("hold %v: %q, which is %q", u, should, is))
		}
	}
	for u, at := range plan.Wake {
		if is, ok := agenda.wakes[u]; missed(u) && (!ok || is.After(at)) {
			found = append(found, fmt.Sprintf("wake %v", u))
		}
	}
	return strings.Join(found, ", ")
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
