package ringactor

import (
	"maps"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors/fencing"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// awayAfter is how long after a renewal the next one has been answered, while the store is there.
const awayAfter = time.Second

// reassured is how long a peer that was dead must have been back before its answers count. It may
// have been counted by the other side of a cut up to then, which counts answers for fencing.Fresh,
// and hears within a second whom the peer holds alive, if it still hears the peer.
const reassured = fencing.Fresh + time.Second

// peerHealth is what the node sees of its peers, what it says to them of itself, and what it does
// about those that are dead.
type peerHealth struct {
	*base
	own     *own
	members *members
	clocks  *clocks
	hearing
	// sessions are those that the peers had while the store answered this node last.
	sessions map[string]string
	// reachingSince is since when peers have said that they reach the store.
	reachingSince time.Time
	// status is what the node said last of itself, conflict what gossip said last of its name.
	status   PeerStatus
	conflict string
	// ending is the sessions of others that are being looked at or ended.
	ending map[string]*ending
}

// hearing is what gossip says of them.
type hearing struct {
	// seen are all of gossip's peers, as of the newest look.
	seen map[string]Peer
	// heard is when each of them was last seen alive.
	heard map[string]time.Time
	// back is when those of them that were dead came back.
	back map[string]time.Time
	// answered is when each of them was asked the question that it answered last, whether that
	// counts or not.
	answered map[string]time.Time
	// proven is by which session each of them was last heard that is the one in its record.
	proven map[string]string
}

func newPeerHealth(b *base, o *own, m *members, k *clocks) *peerHealth {
	return &peerHealth{
		base: b, own: o, members: m, clocks: k,
		hearing: hearing{
			seen: map[string]Peer{}, heard: map[string]time.Time{}, back: map[string]time.Time{}, answered: map[string]time.Time{},
			proven: map[string]string{},
		},
		sessions: map[string]string{}, ending: map[string]*ending{},
	}
}

// look takes in everything that gossip says, before anything is decided by it.
func (p *peerHealth) look(c actor.Context) {
	if p.Gossip == nil {
		return
	}
	addresses := make(map[string]string, len(p.registry.Members()))
	for node, m := range p.registry.Members() {
		if node != p.Node && m.Gossip != "" {
			addresses[node] = m.Gossip
		}
	}
	p.Gossip.SetPeers(addresses)
	seen := map[string]Peer{}
	clear(p.answered)
	for _, peer := range p.Gossip.Peers() {
		p.answered[peer.Node] = peer.Answered
		if before, known := p.seen[peer.Node]; known && !before.Alive && peer.Alive {
			p.back[peer.Node] = p.now()
		}
		if back := p.back[peer.Node]; peer.Answered.Before(p.clocks.trustFrom) || !back.IsZero() && peer.Answered.Before(back.Add(reassured)) {
			peer.Answered = time.Time{}
		}
		seen[peer.Node] = peer
		if m, registered := p.registry.Members()[peer.Node]; registered && m.Session != "" && peer.Status.Session == m.Session {
			p.proven[peer.Node] = m.Session
		}
		if peer.Alive {
			p.heard[peer.Node] = p.now()
		}
	}
	p.seen = seen
	maps.DeleteFunc(p.back, func(node string, _ time.Time) bool { _, known := seen[node]; return !known })
	maps.DeleteFunc(p.proven, func(node string, _ string) bool { _, known := seen[node]; return !known })
	maps.DeleteFunc(p.heard, func(node string, _ time.Time) bool { _, known := seen[node]; return !known })
	if conflict := p.Gossip.Conflict(); conflict != p.conflict {
		p.conflict = conflict
		if conflict != "" {
			p.Logger.Error("two nodes have the same name", zap.String("reason", conflict))
		}
		p.problem(c, conflict)
	}
}

// others are the names of the other members as of before a fault, with those that the store does
// not list and gossip has seen alive since it last answered: they may have registered, which this
// node could not hear.
func (p *peerHealth) others() []string {
	var also []string
	for node, heard := range p.heard {
		if _, registered := p.registry.Members()[node]; !registered && (p.seen[node].Alive || heard.After(p.own.belief.Renewed)) {
			also = append(also, node)
		}
	}
	return p.members.roll.Others(also...)
}

// alive reports whether gossip sees the node alive.
func (p *peerHealth) alive(node string) bool {
	peer := p.seen[node]
	return node == p.Node || peer.Alive && !peer.Status.Fenced
}

// survived reports whether all peers that reach the store have the sessions that they had when it
// answered this node last. Now says that it does.
func (p *peerHealth) survived(now bool) bool {
	if now {
		clear(p.sessions)
	}
	for _, peer := range p.seen {
		switch {
		case now:
			p.sessions[peer.Node] = peer.Status.Session
		case peer.Alive && peer.Status.ReachesStore && p.sessions[peer.Node] != peer.Status.Session:
			return false
		}
	}
	return true
}

// sayStatus says in gossip how this node is.
func (p *peerHealth) sayStatus(c actor.Context, fenced bool) {
	if p.Gossip == nil {
		return
	}
	status := PeerStatus{Session: p.own.id(), Fenced: fenced}
	if status.Session != "" {
		renewed := p.own.renewed(p.clocks)
		status.ReachesStore = p.now().Sub(renewed) < fencing.Fresh
		if p.own.session == nil {
			renewed = p.own.earlier.Renewed
		}
		if !status.ReachesStore && !renewed.IsZero() {
			status.AwaySince = renewed.Add(awayAfter).Round(0).Truncate(time.Millisecond)
		}
	}
	if status == p.status {
		return
	}
	if !status.AwaySince.IsZero() && p.status.AwaySince.IsZero() && p.own.session != nil {
		p.tell(c, messages.StoreAway{Renewed: p.own.session.LastRenewed()})
	}
	p.status = status
	p.Gossip.SetStatus(status)
}

// foreign reports whether who speaks by the name of a member is another process than the one that
// has registered by it: it has never said that it has the session in the record. Or it is the
// member in a newer session, of which this node has not heard.
func (p *peerHealth) foreign(node string) bool {
	m, registered := p.registry.Members()[node]
	return registered && m.Session != "" && p.proven[node] != m.Session
}

// survey is what gossip shows of all others, those that it does not see among them.
func (p *peerHealth) survey() []fencing.Peer {
	others := p.others()
	peers := make([]fencing.Peer, len(others))
	for i, node := range others {
		seen := p.seen[node]
		peers[i] = fencing.Peer{
			Alive: seen.Alive, Answered: seen.Answered, ReachesStore: seen.Status.ReachesStore, AwaySince: seen.Status.AwaySince,
			Foreign: p.foreign(node), Newcomer: p.members.roll.Newcomer(node, p.now(), p.SessionTTL),
		}
	}
	return peers
}

// check ends the sessions of peers that are dead, or that have given them up.
func (p *peerHealth) check(c actor.Context) {
	if p.Gossip == nil {
		return
	}
	p.endCondemned(c)
	for _, node := range slices.Sorted(maps.Keys(p.seen)) {
		m, registered := p.registry.Members()[node]
		if peer := p.seen[node]; !registered || m.Session == "" || p.ending[m.Session] != nil || peer.Alive && !peer.Status.Fenced {
			continue
		}
		e := p.evidence(m)
		if may, _ := fencing.MayEnd(e); may != fencing.LeaveIt {
			p.end(c, m, e)
		}
	}
}
