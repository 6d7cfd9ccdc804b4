package actors

import (
	"time"

	"github.com/ringmaster-agent/ringmaster/config"
)

const (
	// divisionLead is how long after its change a config's number of slices is in force: by then
	// all nodes have heard of it, and new slices have opened their logs, found their targets and
	// been claimed. Discovery alone may take half of it.
	divisionLead = 10 * time.Second
	// farAhead is how far in the future that may be, by this node's clock. More says that the clock
	// of who changed the config is wrong.
	farAhead = time.Minute
)

// succeed returns what is put in force when after replaces before, which may be nil. If the number
// of slices is another, the targets stay divided as they were for a while, which follows from the
// instant of the change alone, so that all nodes divide each target's ticks alike. A change that is
// told of too late, or of which that instant is not known, is in force at once.
func succeed(before, after *config.Instance, changed, now time.Time) *config.Instance {
	if before == nil {
		return after
	}
	var earlier []config.Division
	for _, d := range before.Earlier {
		if d.Until.After(now) {
			earlier = append(earlier, d)
		}
	}
	until := changed.Add(divisionLead)
	if before.Slices != after.Slices && until.After(now) && until.Before(now.Add(farAhead)) {
		earlier = prolong(earlier, before.Slices, changed, until)
	}
	if len(earlier) == 0 {
		return after
	}
	divided := *after
	divided.Earlier = earlier
	return &divided
}

// prolong returns the earlier divisions with that into so many slices, until the instant given. If
// that one is replaced soon after it was stored, it never comes in force, since its slices may not
// have begun anywhere: the one before it stays for longer. Who has not heard of it does the same.
func prolong(earlier []config.Division, slices int, changed, until time.Time) []config.Division {
	last := len(earlier) - 1
	if last >= 0 && earlier[last].Until.Sub(changed) > divisionLead/2 {
		earlier[last].Until = until
		return earlier
	}
	return append(earlier, config.Division{Slices: slices, Until: until})
}

// redivided is when the number of slices of the newest valid version is in force; zero if it was
// from the start.
func (d *document) redivided() time.Time {
	if d.config == nil || len(d.config.Earlier) == 0 {
		return time.Time{}
	}
	return d.config.Earlier[len(d.config.Earlier)-1].Until
}
