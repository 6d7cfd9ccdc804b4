package actors

import (
	"sort"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/cluster/ring"
	"github.com/ringmaster-agent/ringmaster/messages"
)

const (
	// absence is how long a member whose record has gone keeps its place while gossip sees it alive: the store may have lost its data, and then
	// every member registers again.
	absence = 5 * time.Second
	// settlePatience is how many times the settle time a joiner waits at most while others come and go.
	settlePatience = 5
)

// seats is who has a place on the ring, by node.
type seats map[string]seat

type seat struct {
	ring.Member
	// goneSince is when its record went; zero if it is there.
	goneSince time.Time
}

// settling is the ring on its way from what it is to what the members say.
type settling struct {
	current *ring.Ring
	// wanted is what the members say, since, and first since when they have not said what current is.
	wanted       *ring.Ring
	since, first time.Time
	timer        Timer
}

// settled comes when the members may have settled.
type settled struct{}

// membersChanged brings the seats up to date with the members' records, and has the ring follow.
func (r *ringActor) membersChanged(c actor.Context) {
	if !r.registry.Listed() {
		return
	}
	now := r.now()
	r.seats.follow(r.registry.Members(), r.alive, now)
	if r.presence.leaving {
		delete(r.seats, r.Node)
	}
	s := &r.settling
	wanted := ring.New(r.seats.members(), ring.Options{ZoneAware: r.ZoneAware})
	if s.wanted == nil || !wanted.Equal(s.wanted) {
		s.wanted, s.since = wanted, now
	}
	if s.current != nil && s.wanted.Equal(s.current) {
		s.first = time.Time{}
		return
	}
	if s.first.IsZero() {
		s.first = now
	}
	if s.current != nil {
		r.dropLeavers(c)
	}
	r.settle(c)
}

// follow takes over what the records say. A record that can't be read changes nothing.
func (s seats) follow(records map[string]messages.Member, alive func(node string) bool, now time.Time) {
	for node, m := range records {
		switch {
		case m.Problem != "":
		case m.State == messages.Active:
			tokens := make([]uint32, 0, m.Tokens.Len())
			for t := range m.Tokens.All() {
				tokens = append(tokens, t)
			}
			s[node] = seat{Member: ring.Member{Name: node, Zone: m.Zone, Tokens: tokens}}
		default:
			delete(s, node)
		}
	}
	for node, at := range s {
		if _, there := records[node]; there {
			continue
		}
		if at.goneSince.IsZero() {
			at.goneSince = now
			s[node] = at
		}
		if !alive(node) || now.Sub(at.goneSince) >= absence {
			delete(s, node)
		}
	}
}

func (s seats) anyGone() bool {
	for _, at := range s {
		if !at.goneSince.IsZero() {
			return true
		}
	}
	return false
}

func (s seats) members() []ring.Member {
	members := make([]ring.Member, 0, len(s))
	for _, at := range s {
		members = append(members, at.Member)
	}
	sort.Slice(members, func(a, b int) bool { return members[a].Name < members[b].Name })
	return members
}

// dropLeavers takes those who are gone off the ring at once: what they ran waits for somebody.
func (r *ringActor) dropLeavers(c actor.Context) {
	var left []ring.Member
	for _, m := range r.settling.current.Members() {
		if _, there := r.seats[m.Name]; there {
			left = append(left, m)
		}
	}
	if len(left) < len(r.settling.current.Members()) {
		r.turn(c, ring.New(left, ring.Options{ZoneAware: r.ZoneAware}))
	}
}

// settle takes the members' ring when it has not changed for a while.
func (r *ringActor) settle(c actor.Context) {
	s := &r.settling
	now := r.now()
	due := earliest(s.since.Add(r.Settle), s.first.Add(settlePatience*r.Settle))
	stopTimer(s.timer)
	switch {
	case s.wanted == nil || s.current != nil && s.wanted.Equal(s.current):
	case now.Before(due):
		s.timer = r.after(due.Sub(now), c.Self(), settled{})
	default:
		s.first = time.Time{}
		r.turn(c, s.wanted)
	}
}

// turn makes another ring the settled one.
func (r *ringActor) turn(c actor.Context, to *ring.Ring) {
	names := make([]string, 0, len(to.Members()))
	for _, m := range to.Members() {
		names = append(names, m.Name)
	}
	r.Logger.Info("ring changed", zap.Strings("members", names))
	r.settling.current = to
	c.Send(r.supervisor, ringChanged{ring: to})
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
