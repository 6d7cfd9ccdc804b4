package presence

import (
	"cmp"
	"slices"
	"time"

	"github.com/ringmaster-agent/ringmaster/messages"
)

const (
	// absence is how long a member whose record has gone keeps its place while gossip sees it
	// alive: the store may have lost its data, and then every member registers again.
	absence = 5 * time.Second
	// settleAtMost is how many times the settle time a joiner waits at most while others come and go.
	settleAtMost = 5
)

// RingView is what the ring depends on.
type RingView struct {
	Now time.Time
	// Settle is how long the members must not have changed before a joiner gets its part.
	Settle time.Duration
	// Without is a node that has no place, since it leaves; empty if there is none.
	Without string
	// Records are those of the members, Alive whom gossip sees alive, or who may scrape unheard.
	Records map[string]messages.Member
	Alive   func(node string) bool
}

// Ring is who is on the ring, and who will be. The zero value is an empty one.
type Ring struct {
	places map[string]place
	// settled is the ring in force; it counts if there is one.
	settled []messages.RingMember
	exists  bool
	// wanted is what the members say, since, and first since when they have not said what is in force.
	wanted       []messages.RingMember
	since, first time.Time
}

// place is a member with a place on the ring.
type place struct {
	messages.RingMember
	// unfit: it can't run anything at the moment, so others do, if any of them can.
	unfit bool
	// goneSince is when its record went; zero if it is there.
	goneSince time.Time
}

// Members are those on the ring, by name. Nobody may change the list.
func (r *Ring) Members() []messages.RingMember { return r.settled }

// Unsure reports whether there is a member whose record has gone, so that time alone changes the ring.
func (r *Ring) Unsure() bool {
	for _, at := range r.places {
		if !at.goneSince.IsZero() {
			return true
		}
	}
	return false
}

// Follow brings the ring up to date. It reports whether that in force is another now, and when to
// call it again if nothing else happens; zero: never. Who has gone leaves the ring at once, since
// what it ran waits for somebody; who has come waits until others have stopped coming.
func (r *Ring) Follow(v RingView) (changed bool, again time.Time) {
	r.follow(v)
	wanted := r.members()
	if r.since.IsZero() || !equal(wanted, r.wanted) {
		r.wanted, r.since = wanted, v.Now
	}
	if r.exists && equal(r.wanted, r.settled) {
		r.first = time.Time{}
		return false, time.Time{}
	}
	if r.first.IsZero() {
		r.first = v.Now
	}
	if r.exists {
		left := slices.DeleteFunc(slices.Clone(r.settled), func(m messages.RingMember) bool {
			return !slices.ContainsFunc(wanted, func(other messages.RingMember) bool { return other.Node == m.Node })
		})
		changed = len(left) < len(r.settled)
		r.settled = left
		if equal(r.wanted, r.settled) {
			r.first = time.Time{}
			return changed, time.Time{}
		}
	}
	due := r.since.Add(v.Settle)
	if latest := r.first.Add(settleAtMost * v.Settle); latest.Before(due) {
		due = latest
	}
	if v.Now.Before(due) {
		return changed, due
	}
	r.settled, r.exists, r.first = r.wanted, true, time.Time{}
	return true, time.Time{}
}

// follow takes over what the records say. A record that can't be read changes nothing.
func (r *Ring) follow(v RingView) {
	if r.places == nil {
		r.places = map[string]place{}
	}
	for node, m := range v.Records {
		switch {
		case m.Problem != "":
		case m.State == messages.Active:
			r.places[node] = place{RingMember: messages.RingMember{Node: node, Zone: m.Zone, Tokens: m.Tokens, Declines: m.Declines, Cordoned: m.Cordoned}, unfit: m.Unfit != ""}
		default:
			delete(r.places, node)
		}
	}
	for node, at := range r.places {
		if _, there := v.Records[node]; there {
			continue
		}
		if at.goneSince.IsZero() {
			at.goneSince = v.Now
			r.places[node] = at
		}
		if !v.Alive(node) || v.Now.Sub(at.goneSince) >= absence {
			delete(r.places, node)
		}
	}
	delete(r.places, v.Without)
}

// members are those that can run something; all, if none can.
func (r *Ring) members() []messages.RingMember {
	members, unfit := make([]messages.RingMember, 0, len(r.places)), 0
	for _, at := range r.places {
		if at.unfit {
			unfit++
		}
	}
	for _, at := range r.places {
		if !at.unfit || unfit == len(r.places) {
			members = append(members, at.RingMember)
		}
	}
	slices.SortFunc(members, func(a, b messages.RingMember) int { return cmp.Compare(a.Node, b.Node) })
	return members
}

func equal(a, b []messages.RingMember) bool {
	return slices.EqualFunc(a, b, func(a, b messages.RingMember) bool {
		return a.Node == b.Node && a.Zone == b.Zone && a.Tokens.Equal(b.Tokens) && a.Declines.Equal(b.Declines) && a.Cordoned == b.Cordoned
	})
}
