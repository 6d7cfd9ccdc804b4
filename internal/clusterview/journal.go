package clusterview

import (
	"fmt"
	"time"

	"github.com/ringmaster-agent/ringmaster/messages"
	"github.com/ringmaster-agent/ringmaster/web"
)

// Noting returns a function that writes what a supervisor tells into a journal.
func Noting(j *web.Journal, now func() time.Time) func(messages.Notice) {
	return func(n messages.Notice) {
		note := func(u messages.Unit, wrong bool, text string, args ...any) {
			j.Note(u.Config, web.Happened{At: now(), Unit: unitName(u), Text: fmt.Sprintf(text, args...), Wrong: wrong})
		}
		switch n := n.(type) {
		case messages.UnitStarted:
			note(n.Unit, false, "runs, at revision %d", n.Revision)
		case messages.UnitStopped:
			switch {
			case n.Reason == messages.NotStopping: // UnitFailed has told it
			case n.Pending > 0:
				note(n.Unit, false, "stopped, %s; %d samples are left on disk", n.Reason, n.Pending)
			default:
				note(n.Unit, false, "stopped, %s", n.Reason)
			}
		case messages.UnitFailed:
			note(n.Unit, true, "failed: %s", n.Reason)
		case messages.UnitQuarantined:
			note(n.Unit, true, "quarantined: %s", n.Reason)
		case messages.UnitMoved:
			j.Note(n.Move.Unit.Config, web.MovedEvent(move(n.Move)))
		case messages.FaultInjected:
			if n.Unit != "" {
				j.Note(n.Unit, web.Happened{At: now(), Text: "a fault on purpose, " + n.Rule + ": " + n.Action + " at " + n.Point, Wrong: true})
			}
		}
	}
}

func move(m messages.Move) web.Move {
	return web.Move{Config: m.Unit.Config, Name: unitName(m.Unit), From: m.From, To: m.To, At: m.At, Epoch: m.Epoch, Reason: m.Reason.String()}
}
