package actors

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/ringmaster-agent/ringmaster/messages"
)

// desk is what all rooms of the supervisor share: what the next decision is about and when it is
// made, the timers, and what is under way outside.
type desk struct {
	*tree
	agenda      agenda
	reconciling reconciling
	timers      map[string]Timer
	calls       calls
}

func newDesk(t *tree) *desk {
	return &desk{tree: t, timers: map[string]Timer{}, agenda: newAgenda(t.Options), reconciling: reconciling{holds: map[messages.Unit]string{}}}
}

// startTimer sends the message to the supervisor after d. A timer of the same name that is still
// running is replaced.
func (k *desk) startTimer(c actor.Context, name string, d time.Duration, message any) {
	if t, ok := k.timers[name]; ok {
		t.Stop()
	}
	k.timers[name] = k.after(max(d, 0), c.Self(), message)
}

// startTicking has the tick come every so often from now on.
func (k *desk) startTicking(c actor.Context, interval time.Duration) {
	if t, ok := k.timers["tick"]; ok {
		t.Stop()
	}
	k.timers["tick"] = k.every(interval, c.Self(), tick{})
}

// stopTimers stops all of them.
func (k *desk) stopTimers() {
	for _, t := range k.timers {
		t.Stop()
	}
}

// begin runs f in a goroutine. What message makes of its error comes to the supervisor.
func (k *desk) begin(c actor.Context, f func() error, message func(error) any) {
	k.calls.begin(k.tree, c.Self(), f, message)
}

// reconcileSoon makes sure that a decision is made after what was just folded in. At most one is
// pending.
func (k *desk) reconcileSoon(c actor.Context) {
	if k.reconciling.pending {
		return
	}
	k.reconciling.pending = true
	if wait := k.reconciling.notBefore.Sub(k.now()); wait > 0 {
		k.startTimer(c, "reconcile", wait, reconcile{})
		return
	}
	c.Send(c.Self(), reconcile{})
}
