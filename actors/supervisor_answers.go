package actors

import (
	"time"

	"github.com/ringmaster-agent/ringmaster/messages"
)

// answers is what is known of whether the store answers. It is asked only when something depends on it.
type answers struct {
	// asked is when the newest question was asked, since when the oldest was that waits for an
	// answer, answered when the newest was that has one, which was heard then.
	asked, since, answered, heardAt time.Time
	// decided: that answer has been decided by.
	decided bool
	// away: the store has not answered for so long that it counts as away.
	away bool
	// units wait for an answer.
	units map[messages.Unit]bool
}

const (
	// askPause is the least time between two questions, unless the one before is answered.
	askPause = 900 * time.Millisecond
	// justAnswered is how old an answer may be for the store to be there.
	justAnswered = 50 * time.Millisecond
	// awayAfter is how long the store may take for an answer before it counts as away.
	awayAfter = 1900 * time.Millisecond
)

// ask has these units wait for an answer, and reports whether the store has to be asked for it.
func (a *answers) ask(units []messages.Unit, now time.Time) bool {
	for _, u := range units {
		if a.units == nil {
			a.units = map[messages.Unit]bool{}
		}
		a.units[u] = true
	}
	if len(units) == 0 || !a.since.IsZero() && now.Sub(a.asked) < askPause {
		return false
	}
	a.asked = now
	if a.since.IsZero() {
		a.since = now
	}
	return true
}

// heard takes in the answer to the question that was asked then, and returns who has waited for it.
func (a *answers) heard(asked, now time.Time) map[messages.Unit]bool {
	if !asked.After(a.answered) {
		return nil
	}
	units := a.units
	a.answered, a.since, a.units = asked, time.Time{}, nil
	a.heardAt, a.decided = now, false
	return units
}

// fresh reports whether the store has answered just now. An answer counts for one decision at
// least, however long that one takes to come.
func (a *answers) fresh(now time.Time) bool {
	return !a.heardAt.IsZero() && (!a.decided || now.Sub(a.heardAt) < justAnswered)
}

// look brings away up to date, and reports whether that has changed.
func (a *answers) look(now time.Time) bool {
	before := a.away
	a.away = !a.since.IsZero() && now.Sub(a.since) >= awayAfter
	return a.away != before
}
