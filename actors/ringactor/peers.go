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

// recordCounts is for how long the record of a peer with a new session shows that the store answers
// the peer. Within that time gossip says so itself, or that the peer has lost the store again.
const recordCounts = 4 * time.Second

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
	saying
	// conflict is what gossip said last of the node's name.
	conflict string
	// ending is the sessions of others that are being looked at or ended.
	ending map[string]*ending
	// surveyed is the room for the newest survey.
	surveyed []fencing.Peer
}

// saying is what the node says of itself.
type saying struct {
	// status is what this actor said last. said: it has said something; before that, peers go by what
	// the actor before it said.
	status PeerStatus
	said   bool
	// toldAway: this node has told peers that the store does not answer, and the store has not answered
	// since. back is when it last did after that.
	toldAway bool
	back     time.Time
}

// differs takes in how the node is, and reports whether peers have to be told.
func (s *saying) differs(status PeerStatus, now time.Time) bool {
	switch {
	case !status.AwaySince.IsZero():
		s.toldAway = true
	case s.toldAway && status.ReachesStore:
		s.toldAway, s.back = false, now
	}
	return !s.said || status != s.status
}

// mayBeBelievedAway reports whether a peer that hears nothing any more may still go by what it was
// told: that the store does not answer this node.
func (s *saying) mayBeBelievedAway(now time.Time) bool {
	return s.toldAway || !s.back.IsZero() && now.Sub(s.back) < fencing.AnswerLife
}

// countsFrom is from when on an answer of a peer shows that the peer is on this node's side, which
// has the store. Before that, this node did not have it, and the peer may have come to another side
// since.
func (s *saying) countsFrom(now time.Time) time.Time {
	if s.toldAway {
		return now
	}
	return s.back
}

// hearing is what gossip says of them. It is looked at four times a second, so nothing of it is made
// anew.
type hearing struct {
	// seen are all of gossip's peers, as of the newest look, and names their names, sorted.
	seen  map[string]*heard
	names []string
	// looks is how many looks there were.
	looks uint64
	// addresses are where the gossip of the other members is.
	addresses map[string]string
}

// heard is what gossip says of a peer.
type heard struct {
	Peer
	// lastAlive is when it was last seen alive; zero if never.
	lastAlive time.Time
	// back is when it came back after it was dead; zero if it was not.
	back time.Time
	// answered is when it was asked the question that it answered last, whether that counts or not.
	answered time.Time
	// proven is by which session it was last heard that is the one in its record.
	proven string
	// recorded is the session in its record, and recordedAt when this node heard of that.
	recorded   string
	recordedAt time.Time
	// look is the number of the newest look that found it.
	look uint64
}

func newPeerHealth(b *base, o *own, m *members, k *clocks) *peerHealth {
	return &peerHealth{
		base: b, own: o, members: m, clocks: k, hearing: hearing{seen: map[string]*heard{}},
		sessions: map[string]string{}, ending: map[string]*ending{},
	}
}

// look takes in everything that gossip says, before anything is decided by it.
func (p *peerHealth) look(c actor.Context) {
	if p.Gossip == nil {
		return
	}
	if p.registry.Listed() {
		p.nameMembers()
	}
	p.looks++
	p.names = p.names[:0]
	for _, peer := range p.Gossip.Peers() {
		p.hear(peer)
		p.names = append(p.names, peer.Node)
	}
	slices.Sort(p.names)
	if len(p.seen) > len(p.names) {
		maps.DeleteFunc(p.seen, func(_ string, h *heard) bool { return h.look != p.looks })
	}
	if conflict := p.Gossip.Conflict(); conflict != p.conflict {
		p.conflict = conflict
		if conflict != "" {
			p.Logger.Error("two nodes have the same name", zap.String("reason", conflict))
		}
		p.problem(c, conflict)
	}
}

// nameMembers tells gossip where the other members are.
func (p *peerHealth) nameMembers() {
	n, same := 0, p.addresses != nil
	for node, m := range p.registry.Members() {
		if node != p.Node && m.Gossip != "" {
			n++
			same = same && p.addresses[node] == m.Gossip
		}
	}
	if !same || n != len(p.addresses) {
		p.addresses = make(map[string]string, n) // gossip may hold on to the one before
		for node, m := range p.registry.Members() {
			if node != p.Node && m.Gossip != "" {
				p.addresses[node] = m.Gossip
			}
		}
	}
	p.Gossip.SetPeers(p.addresses)
}

// hear takes in what gossip says of one peer.
func (p *peerHealth) hear(peer Peer) {
	h, known := p.seen[peer.Node]
	if !known {
		h = &heard{}
		p.seen[peer.Node] = h
	}
	if known && !h.Alive && peer.Alive {
		h.back = p.now()
	}
	h.Peer, h.answered, h.look = peer, peer.Answered, p.looks
	justBack := !h.back.IsZero() && peer.Answered.Before(h.back.Add(reassured))
	if justBack || peer.Answered.Before(p.clocks.trustFrom) {
		h.Answered = time.Time{}
	}
	says, recorded := peer.Status.Session, p.registry.Members()[peer.Node].Session
	if recorded != h.recorded {
		h.recorded, h.recordedAt = recorded, p.now()
	}
	if says != "" && says != h.proven && says == recorded {
		h.proven = says
	}
	if peer.Alive {
		h.lastAlive = p.now()
	}
}

// others are the names of the other members as of before a fault, with those that the store does
// not list and gossip has seen alive since it last answered: they may have registered, which this
// node could not hear.
func (p *peerHealth) others() []string {
	var also []string
	for node, h := range p.seen {
		if h.lastAlive.IsZero() {
			continue
		}
		_, registered := p.registry.Members()[node]
		if !registered && (h.Alive || h.lastAlive.After(p.own.belief.Renewed)) {
			also = append(also, node)
		}
	}
	return p.members.roll.Others(also...)
}

// alive reports whether gossip sees the node alive.
func (p *peerHealth) alive(node string) bool {
	peer, seen := p.seen[node]
	return node == p.Node || seen && peer.Alive && !peer.Status.Fenced
}

// mayGoOn reports whether a member whose record has gone may still scrape. Either gossip sees it
// alive. Or it was parted from this node before this node had the store again: then it believes for
// fencing.AnswerLife that no node reaches the store, and scrapes on while its session runs out.
func (p *peerHealth) mayGoOn(node string) bool {
	peer, seen := p.seen[node]
	return p.alive(node) || seen && p.mayBeBelievedAway(p.now()) && !peer.Status.Fenced
}

// survived reports whether all peers that reach the store have the sessions that they had when it
// answered this node last. Now says that it does.
func (p *peerHealth) survived(now bool) bool {
	if now {
		p.keepSessions()
		return true
	}
	for node, peer := range p.seen {
		another := peer.Status.Session == "" || p.sessions[node] != peer.Status.Session || p.registeredAnew(node)
		if peer.Alive && p.reaches(node) && another {
			return false
		}
	}
	return true
}

// keepSessions notes the sessions that the peers have now.
func (p *peerHealth) keepSessions() {
	for node, peer := range p.seen {
		if before, known := p.sessions[node]; !known || before != peer.Status.Session {
			p.sessions[node] = peer.Status.Session
		}
	}
	if len(p.sessions) > len(p.seen) {
		maps.DeleteFunc(p.sessions, func(node, _ string) bool { return p.seen[node] == nil })
	}
}

// sayStatus says in gossip how this node is.
func (p *peerHealth) sayStatus(c actor.Context, fenced bool) {
	if p.Gossip == nil {
		return
	}
	status := PeerStatus{Session: p.own.id(), Fenced: fenced, ReachesStore: p.own.answered}
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
	if !p.differs(status, p.now()) {
		return
	}
	if !status.AwaySince.IsZero() && p.status.AwaySince.IsZero() && p.own.session != nil {
		p.tell(c, messages.StoreAway{Renewed: p.own.session.LastRenewed()})
	}
	p.status, p.said = status, true
	p.Gossip.SetStatus(status)
}

// foreign reports whether who speaks by the name of a member is another process than the one that
// has registered by it: it has never said that it has the session in the record. Or it is the
// member in a newer session, of which this node has not heard.
func (p *peerHealth) foreign(node string) bool {
	m, registered := p.registry.Members()[node]
	if !registered || m.Session == "" {
		return false
	}
	h, seen := p.seen[node]
	return !seen || h.proven != m.Session
}

// registeredAnew reports whether the store has, since a moment ago, a record of a peer with another
// session than that by which gossip knows it. Whoever wrote that reaches the store, though gossip
// does not say so yet.
func (p *peerHealth) registeredAnew(node string) bool {
	h, seen := p.seen[node]
	return seen && h.proven != "" && p.foreign(node) && p.now().Sub(h.recordedAt) < recordCounts
}

// reaches reports whether the store answers a peer, as far as it says so or the store shows it.
func (p *peerHealth) reaches(node string) bool {
	h, seen := p.seen[node]
	return seen && h.Status.ReachesStore || p.registeredAnew(node)
}

// survey is what gossip shows of all others, those that it does not see among them, and of those
// that leave, if they are to be counted. It is good until the next one.
func (p *peerHealth) survey(leaving ...string) []fencing.Peer {
	p.surveyed = p.surveyed[:0]
	for _, node := range p.others() {
		p.surveyed = append(p.surveyed, p.peer(node))
	}
	for _, node := range leaving {
		peer := p.peer(node)
		peer.Leaving = true
		p.surveyed = append(p.surveyed, peer)
	}
	return p.surveyed
}

// peer is what gossip shows of one of them.
func (p *peerHealth) peer(node string) fencing.Peer {
	peer := fencing.Peer{Unlisted: !p.members.roll.Known(node), Foreign: p.foreign(node), Newcomer: p.members.roll.Newcomer(node, p.now(), p.SessionTTL)}
	if h, seen := p.seen[node]; seen {
		peer.Alive, peer.Answered = h.Alive, h.Answered
		peer.ReachesStore, peer.AwaySince = p.reaches(node), h.Status.AwaySince
		peer.Registered = h.Status.Session != "" && h.Status.Session == p.registry.Members()[node].Session
	}
	return peer
}

// check ends the sessions of peers that are dead, or that have given them up.
func (p *peerHealth) check(c actor.Context) {
	if p.Gossip == nil {
		return
	}
	p.endCondemned(c)
	for _, node := range p.names {
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
