package presence

import (
	"slices"
	"time"

	"github.com/ringmaster-agent/ringmaster/messages"
)

// Roll is who the members are, and who they were before a fault. A member that left in order is
// none any more. One whose record went in another way is dead, or cut off, or was taken for dead:
// it counts for as long as sessions of that time may still be there to be ended. The zero value is
// empty.
type Roll struct {
	names map[string]entry
	// counting are those that count, sorted; nil: they are to be found again.
	counting []string
}

// entry is one of them.
type entry struct {
	leaving bool
	// leavingSince is when it was first heard that it leaves.
	leavingSince time.Time
	// since is when this process of it was first heard of.
	since       time.Time
	incarnation string
	// goneSince is when its record went; zero if it is there.
	goneSince time.Time
}

// Follow takes over what the records say, other than that of the node itself. A member whose record
// went counts for keep.
func (r *Roll) Follow(now time.Time, self string, records map[string]messages.Member, keep time.Duration) {
	if r.names == nil {
		r.names = map[string]entry{}
	}
	present := 0
	for node, m := range records {
		if node == self {
			continue
		}
		present++
		before, known := r.names[node]
		next := entry{leaving: m.State == messages.Leaving, since: before.since, incarnation: m.Incarnation}
		if next.leaving {
			next.leavingSince = before.leavingSince
			if !before.leaving {
				next.leavingSince = now
			}
		}
		if m.Problem != "" {
			next.leaving, next.leavingSince, next.incarnation = before.leaving, before.leavingSince, before.incarnation
		}
		if !known || next.incarnation != before.incarnation {
			next.since = now
		}
		if !known || next != before {
			r.names[node], r.counting = next, nil
		}
	}
	if len(r.names) == present {
		return
	}
	for node, e := range r.names {
		if _, there := records[node]; there {
			continue
		}
		if e.goneSince.IsZero() {
			e.goneSince = now
			r.names[node] = e
		}
		if e.leaving || now.Sub(e.goneSince) >= keep {
			delete(r.names, node)
			r.counting = nil
		}
	}
}

// Newcomer reports whether the node was not a member yet so long ago, or was another process: who
// has lost the store may still go by that one.
func (r *Roll) Newcomer(node string, now time.Time, ago time.Duration) bool {
	e, known := r.names[node]
	return !known || now.Sub(e.since) < ago
}

// Leaving are those that leave, and did not yet so long ago: who has lost the store may not have
// heard of it.
func (r *Roll) Leaving(now time.Time, ago time.Duration) (names []string) {
	for name, e := range r.names {
		if e.leaving && now.Sub(e.leavingSince) < ago {
			names = append(names, name)
		}
	}
	return names
}

// Known reports whether the node is a member, or was one before a fault.
func (r *Roll) Known(node string) bool {
	_, known := r.names[node]
	return known
}

// Others are the names of the other nodes that count, sorted, with those among also that are not
// known. Follow has to come right before it, since time alone drops those who were lost. The caller
// does not change them.
func (r *Roll) Others(also ...string) []string {
	if r.counting == nil {
		r.counting = make([]string, 0, len(r.names))
		for name, e := range r.names {
			if !e.leaving {
				r.counting = append(r.counting, name)
			}
		}
		slices.Sort(r.counting)
	}
	if len(also) == 0 {
		return r.counting
	}
	names := append(make([]string, 0, len(r.counting)+len(also)), r.counting...)
	for _, name := range also {
		if _, known := r.names[name]; !known {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
