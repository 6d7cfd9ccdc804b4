package fencing_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	. "github.com/ringmaster-agent/ringmaster/actors/fencing"
)

// A cut is what is left of a cluster's connections: nodes of one group hear each other, and some
// reach the store.
type cut struct {
	group []int
	reach []bool
}

// every calls f with each cut of n nodes and the store, each once.
func every(n int, f func(cut)) {
	group, reach := make([]int, n), make([]bool, n)
	var divide func(i, groups int)
	divide = func(i, groups int) {
		if i < n {
			for g := range groups + 1 {
				group[i] = g
				divide(i+1, max(groups, g+1))
			}
			return
		}
		for bits := range 1 << n {
			for j := range reach {
				reach[j] = bits>>j&1 == 1
			}
			f(cut{group, reach})
		}
	}
	divide(0, 0)
}

// member is one node of the model: what package ringactor keeps between two looks.
type member struct {
	renewed, reachingSince, until, over time.Time
	lapsed, fenced                      bool
	status                              Peer
}

// model is a cluster in which a cut happens at now. Nodes look four times a second, are asked
// twice, and renew their sessions once.
type model struct {
	cut
	ttl, dead time.Duration
	stop      bool
	nodes     []member
	said      [][]Peer // what node i last heard of node j
	// lag is how long the word of a node takes, words what each has said, oldest first.
	lag   time.Duration
	words [][]word
}

// word is what a node says from a time on.
type word struct {
	at time.Time
	Peer
}

func newModel(c cut, stop bool, dead, sinceRenewal time.Duration) *model {
	m := &model{cut: c, ttl: 10 * time.Second, dead: dead, stop: stop, nodes: make([]member, len(c.group)), said: make([][]Peer, len(c.group))}
	for i := range m.nodes {
		m.nodes[i].renewed = now.Add(-sinceRenewal)
		m.nodes[i].status.ReachesStore = true
		for range m.nodes {
			m.said[i] = append(m.said[i], Peer{Alive: true, Answered: now, ReachesStore: true, Registered: true})
		}
	}
	return m
}

// step is one look of every node, and what the store does meanwhile.
func (m *model) step(at time.Time) {
	since := at.Sub(now)
	for i := range m.nodes {
		n := &m.nodes[i]
		if m.reach[i] && n.over.IsZero() && since%time.Second == 0 {
			n.renewed = at
		}
		if n.over.IsZero() && at.Sub(n.renewed) >= m.ttl {
			n.over = at
		}
		for j := range m.nodes {
			switch {
			case i == j:
			case m.group[i] == m.group[j]:
				m.said[i][j] = m.heard(j, at)
				m.said[i][j].Alive = true
				m.said[i][j].Answered = at.Add(-since % (500 * time.Millisecond))
			case m.reach[i] && since >= min(m.dead, 3*time.Second)+time.Duration(j)*tick, since >= max(m.dead, 3*time.Second):
				m.said[i][j].Alive = false // one after the other
			}
		}
	}
	for i := range m.nodes {
		m.look(i, at)
	}
	for i := range m.nodes {
		m.endOthers(i, at)
	}
}

// look is what a node makes of it.
func (m *model) look(i int, at time.Time) {
	n := &m.nodes[i]
	if n.fenced {
		return
	}
	fresh := at.Sub(n.renewed) < Fresh
	v := View{
		Now: at, TTL: m.ttl, Renewed: n.renewed, AwakeSince: now.Add(-time.Hour), StopWhenIsolated: m.stop, Survived: true,
		Lapsed: !fresh && (n.lapsed || at.Sub(n.until) >= Idle-Fresh),
	}
	v.Survey(m.others(i))
	switch {
	case v.Reaching == 0:
		n.reachingSince = time.Time{}
	case n.reachingSince.IsZero():
		n.reachingSince = at
	}
	v.ReachingSince = n.reachingSince
	verdict := Decide(v)
	n.until, n.lapsed, n.fenced = verdict.Until, v.Lapsed, verdict.Fenced
	n.status = Peer{ReachesStore: fresh, Registered: true}
	if !fresh {
		n.status.AwaySince = n.renewed.Add(time.Second)
	}
	if m.lag > 0 {
		m.words[i] = append(m.words[i], word{at, n.status})
	}
}

// heard is what others hear of the node: what it said a while ago.
func (m *model) heard(j int, at time.Time) Peer {
	if m.lag == 0 {
		return m.nodes[j].status
	}
	heard := Peer{ReachesStore: true, Registered: true}
	for _, w := range m.words[j] {
		if !at.Before(w.at.Add(m.lag)) {
			heard = w.Peer
		}
	}
	return heard
}

func (m *model) others(i int) []Peer {
	var peers []Peer
	for j := range m.nodes {
		if i != j {
			peers = append(peers, m.said[i][j])
		}
	}
	return peers
}

// endOthers ends the sessions that the node may end.
func (m *model) endOthers(i int, at time.Time) {
	if !m.reach[i] || !m.nodes[i].over.IsZero() {
		return
	}
	together := Together(at, false, m.others(i))
	for j := range m.nodes {
		n := &m.nodes[j]
		if i == j || !n.over.IsZero() {
			continue
		}
		asked := m.said[i][j].Answered.Add(-questions) // the next question was lost in the cut
		may, _ := MayEnd(Evidence{
			Now: at, TTL: m.ttl, Fenced: n.fenced && m.group[i] == m.group[j], Dead: !m.said[i][j].Alive, Assured: asked, Answered: asked,
			Together: together, Members: len(m.nodes), Renewed: m.nodes[i].renewed, AwakeSince: now.Add(-time.Hour), CanTell: true, Idle: at.Sub(n.renewed),
		})
		if may == EndIt {
			n.over = at
		}
	}
}

// scrapes reports whether the node may scrape by the session that it had before the cut.
func (m *model) scrapes(i int, at time.Time) bool {
	n := &m.nodes[i]
	return !n.fenced && (at.Before(n.until) || at.Sub(n.renewed) < Fresh)
}

const (
	tick = 250 * time.Millisecond
	// questions is how far apart two of them are.
	questions = 500 * time.Millisecond
)

// With when_isolated: stop no node scrapes by a session that is over, whatever the cut, and however
// long gossip takes to call somebody dead.
func TestNoCutOfUpToFiveNodesAndTheStoreLetsTwoNodesScrape(t *testing.T) {
	cuts := 0
	for n := 2; n <= 5; n++ {
		every(n, func(c cut) {
			cuts++
			for _, dead := range []time.Duration{2 * time.Second, 3 * time.Second, 20 * time.Second} {
				for _, sinceRenewal := range []time.Duration{0, 900 * time.Millisecond} {
					m := newModel(c, true, dead, sinceRenewal)
					for at := now; at.Before(now.Add(16 * time.Second)); at = at.Add(tick) {
						m.step(at)
						for i := range m.nodes {
							over := m.nodes[i].over
							taken := !over.IsZero() && slices.Contains(c.reach, true) // somebody can claim what was its
							require.False(t, taken && m.scrapes(i, at), "groups %v, reach the store %v: node %d scrapes %v after the cut, and its session was over %v after it",
								c.group, c.reach, i, at.Sub(now), over.Sub(now))
						}
					}
				}
			}
		})
	}
	require.Equal(t, 2*4+5*8+15*16+52*32, cuts)
}

// A cut that leaves the store with no node stops nobody who sees everybody.
func TestAnOutageOfTheStoreStopsNobody(t *testing.T) {
	for n := 2; n <= 5; n++ {
		m := newModel(cut{make([]int, n), make([]bool, n)}, true, 3*time.Second, 900*time.Millisecond)
		for at := now; at.Before(now.Add(time.Hour)); at = at.Add(tick) {
			m.step(at)
			for i := range m.nodes {
				m.nodes[i].over = time.Time{} // nobody can take over
				require.True(t, m.scrapes(i, at), "%v after the cut", at.Sub(now))
			}
		}
	}
}

// Nodes notice one after the other that the store is away, and hear even later that others have.
// None of them gives its session up for that, which would leave it with nothing to scrape by, and
// who stops for want of evidence goes on in a moment.
func TestAnOutageThatNodesNoticeOneAfterTheOtherStopsNobody(t *testing.T) {
	for n := 2; n <= 5; n++ {
		for first := range n { // who renewed its session last before the outage
			for _, lag := range []time.Duration{300 * time.Millisecond, time.Second, 1750 * time.Millisecond, 2250 * time.Millisecond} {
				m := newModel(cut{make([]int, n), make([]bool, n)}, true, 3*time.Second, 0)
				m.lag, m.words = lag, make([][]word, n)
				for i := range m.nodes {
					m.nodes[i].renewed = now.Add(-time.Duration((i+first)%n) * 1100 * time.Millisecond / time.Duration(n-1))
				}
				waits := make([]time.Duration, n)
				for at := now; at.Before(now.Add(time.Minute)); at = at.Add(tick) {
					m.step(at)
					for i := range m.nodes {
						m.nodes[i].over = time.Time{}
						require.False(t, m.nodes[i].fenced, "%d nodes, words take %v: node %d gives up %v after the outage began", n, lag, i, at.Sub(now))
						if !m.scrapes(i, at) {
							waits[i] += tick
						}
						require.LessOrEqual(t, waits[i], time.Second)
					}
				}
			}
		}
	}
}

// The table in the failure model is what the deciders say.
func TestTheTableOfCutsIsInTheFailureModel(t *testing.T) {
	text, err := os.ReadFile("../../docs/failure-model.md")
	require.NoError(t, err)
	table := cutsTable()
	require.True(t, strings.Contains(string(text), table), "docs/failure-model.md lacks the table of cuts as it is now:\n\n%s", table)
}

// cutsTable is a line for each cut into two groups.
func cutsTable() string {
	var out strings.Builder
	out.WriteString("| Nodes with the store | Nodes without | Units of the latter are free after | They scrape until, with `stop` | and with `continue` |\n|---|---|---|---|---|\n")
	for n := 2; n <= 5; n++ {
		for without := 1; without < n; without++ {
			c := cut{make([]int, n), make([]bool, n)}
			for i := range n {
				c.reach[i] = i < n-without
				if !c.reach[i] {
					c.group[i] = 1
				}
			}
			stops, free := outcome(c, true)
			goesOn, _ := outcome(c, false)
			fmt.Fprintf(&out, "| %d | %d | %s | %s | %s |\n", n-without, without, free, stops, goesOn)
		}
	}
	return out.String()
}

// outcome is until when the last node, which is cut off, scrapes, and when its session is over.
func outcome(c cut, stop bool) (scrapes, free string) {
	m := newModel(c, stop, 3*time.Second, 0)
	i := len(c.group) - 1
	var spans []string
	var from time.Time
	for at := now; at.Before(now.Add(time.Minute)); at = at.Add(tick) {
		m.step(at)
		switch may := m.scrapes(i, at); {
		case may && from.IsZero():
			from = at
		case !may && !from.IsZero():
			spans = append(spans, fmt.Sprintf("%.1f s", at.Sub(now).Seconds()))
			from = time.Time{}
		}
	}
	scrapes = strings.Join(spans, ", ")
	if !from.IsZero() {
		if len(spans) > 0 {
			scrapes += ", and again from " + fmt.Sprintf("%.1f s on", from.Sub(now).Seconds())
		} else {
			scrapes = "goes on"
		}
	}
	if over := m.nodes[i].over; !over.IsZero() {
		free = fmt.Sprintf("%.1f s", over.Sub(now).Seconds())
	}
	return scrapes, free
}

// A node leaves, and a cut parts the members in two: a side that has lost the store, where each may
// or may not have heard that it leaves, and one that has the store and knows. However they are
// parted, if one of the first has contact, none of the second may end a session.
func TestAMemberThatLeavesMakesNoMajorityOfBothSides(t *testing.T) {
	for stay := 1; stay <= 5; stay++ {
		leaver, n := stay, stay+1
		for lost := range 1 << n {
			for heard := range 1 << n {
				contact, mayEnd := sidesOfALeave(n, leaver, lost, heard)
				require.False(t, contact && mayEnd, "%d stay and one leaves; without the store: %0*b, of which have heard that it leaves: %0*b", stay, n, lost, n, heard)
			}
		}
	}
}

// sidesOfALeave reports whether any node that has lost the store has contact, and whether any other
// one is with enough members to end sessions.
func sidesOfALeave(n, leaver, lost, heard int) (contact, mayEnd bool) {
	in := func(set, i int) bool { return set>>i&1 == 1 }
	for i := range n {
		var peers []Peer
		for j := range n {
			p := Peer{Alive: true, Registered: true, ReachesStore: !in(lost, j)}
			if in(lost, i) == in(lost, j) {
				p.Answered = now
			}
			switch {
			case j == i, j == leaver && in(lost, i) && in(heard, i):
				continue
			case j == leaver && !in(lost, i):
				p.Leaving = true
			}
			peers = append(peers, p)
		}
		if in(lost, i) {
			v := View{Now: now, Leaving: i == leaver}
			v.Survey(peers)
			contact = contact || len(peers) > 0 && !v.Contact.IsZero()
		} else {
			mayEnd = mayEnd || 2*Together(now, i == leaver, peers) >= len(peers)+1
		}
	}
	return contact, mayEnd
}
