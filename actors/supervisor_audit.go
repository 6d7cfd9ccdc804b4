package actors

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ringmaster-agent/ringmaster/actors/reshard"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// audit holds what was decided so far, each time about what had changed, against a decision about
// everything, and says what was missed.
func audit(now time.Time, plan reshard.Plan, agenda *agenda, holds map[messages.Unit]string) string {
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
