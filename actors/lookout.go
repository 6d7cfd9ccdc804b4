package actors

import (
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors/fencing"
	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// renewalTime is how long after a renewal the next one has been answered, while the store is there.
const renewalTime = time.Second

// pause is how much later than due a look must come for the process to have been paused.
const pause = time.Second

// lookout is what the node sees of its own state and of its peers.
type lookout struct {
	last, awakeSince time.Time
	// reason is the newest verdict's.
	reason string
	fenced bool
	// until is when the permission ends that the newest look found. lapsed: there was a time without one since the store last renewed
	// the session.
	until  time.Time
	lapsed bool
	// permitted is until when there was permission last.
	permitted time.Time
	// sessions are those that the peers had while the store answered this node last.
	sessions map[string]string
	// reachingSince is since when peers have said that they reach the store.
	reachingSince time.Time
	// belief is which renewals of the session count.
	belief belief
	// status is what the node said last of itself, conflict what gossip said last of its name.
	status   PeerStatus
	conflict string
	// peers are the gossip's, as of the newest look.
	peers map[string]Peer
	// ending is the sessions that are being looked at or ended.
	ending map[string]bool
}

// revoked is the outcome of looking at the session of a node that seems dead.
type revoked struct {
	node, session string
	ended         bool
	reason        string
	err           error
}

// awaySince is since when at the latest no living peer has reached the store; zero if one does, or does not say.
func (l *lookout) awaySince() time.Time {
	var latest time.Time
	for _, peer := range l.peers {
		switch {
		case !peer.Alive:
		case peer.Status.ReachesStore || peer.Status.AwaySince.IsZero():
			return time.Time{}
		case peer.Status.AwaySince.After(latest):
			latest = peer.Status.AwaySince
		}
	}
	return latest
}

// survived reports whether all peers that reach the store have the sessions that they had when it answered this node last. Now says that it does.
func (l *lookout) survived(now bool) bool {
	if now {
		clear(l.sessions)
	}
	for _, peer := range l.peers {
		switch {
		case now:
			l.sessions[peer.Node] = peer.Status.Session
		case peer.Alive && peer.Status.ReachesStore && l.sessions[peer.Node] != peer.Status.Session:
			return false
		}
	}
	return true
}

// wake notices that the process was paused.
func (l *lookout) wake(now time.Time) {
	if l.last.IsZero() || now.Sub(l.last) > lookInterval+pause {
		l.awakeSince = now
	}
	l.last = now
}

// checkPermit lets fencing decide whether the node may scrape, and does what it says.
func (r *ringActor) checkPermit(c actor.Context) {
	p := r.presence.permit
	if p == nil {
		return
	}
	r.watch.belief.believe(p, r.now())
	v := r.fencingView(p)
	verdict := fencing.Decide(v)
	r.sayEvidence(verdict)
	until := verdict.Until
	r.watch.lapsed, r.watch.until = v.Lapsed, until
	if until.After(r.watch.permitted) {
		r.watch.permitted = until
	}
	p.until.Store(&until)
	if verdict.Fenced {
		p.void.Store(true)
	}
	r.watch.fenced = p.void.Load()
	if p.void.Load() && v.Now.Sub(p.session.LastRenewed()) < fencing.Fresh {
		r.replaceSession(c, p)
	}
}

// fencingView is what there is to decide on.
func (r *ringActor) fencingView(p *permit) fencing.View {
	w, now := &r.watch, r.now()
	renewed := p.lastRenewed()
	fresh := now.Sub(renewed) < fencing.Fresh
	over := now.Sub(w.until) >= fencing.Idle-fencing.Fresh // less is too short for others to have taken over
	v := fencing.View{
		Now: now, TTL: r.SessionTTL, Renewed: renewed, Others: r.others(), NoGossip: r.Gossip == nil,
		Lapsed: !fresh && (w.lapsed || r.presence.adopted || over), AwakeSince: w.awakeSince, StopWhenIsolated: r.StopWhenIsolated,
	}
	if r.Gossip == nil {
		return v
	}
	v.Contact, v.AwaySince, v.Survived = r.Gossip.LastContact(), w.awaySince(), w.survived(fresh)
	for _, peer := range w.peers {
		if peer.Alive {
			v.Alive++
		}
		if peer.Alive && peer.Status.ReachesStore {
			v.Reaching++
		}
	}
	switch {
	case v.Reaching == 0:
		w.reachingSince = time.Time{}
	case w.reachingSince.IsZero():
		w.reachingSince = now
	}
	v.ReachingSince = w.reachingSince
	return v
}

// sayEvidence logs by what the node scrapes, or doesn't, when that has changed.
func (r *ringActor) sayEvidence(v fencing.Verdict) {
	if r.watch.reason != "" && v.Reason != r.watch.reason {
		r.Logger.Info("permission to scrape goes by other evidence", zap.String("reason", v.Reason),
			zap.Bool("permitted", !v.Until.IsZero()), zap.Bool("fenced", v.Fenced))
	}
	r.watch.reason = v.Reason
}

// replaceSession ends a session that was given up, now that the store answers again, and has another one opened.
func (r *ringActor) replaceSession(c actor.Context, p *permit) {
	r.Logger.Info("store answers again; joining with a new session", zap.String("session", p.session.ID()))
	r.giveUpSession(c)
	r.presence.opening = true // not before the old one has ended, and with it the record
	r.do(c.Self(), func() error {
		ctx, cancel := r.Runtime.Timeout(r.ctx, storeTimeout)
		defer cancel()
		return p.session.Close(ctx)
	}, func(error) any { return sessionReplaced{} }) // if that failed, it runs out by itself
}

// others is how many other nodes there were when the store last told, and those that gossip has seen since.
func (r *ringActor) others() int {
	n := 0
	for node, m := range r.registry.Members() {
		if node != r.Node && m.State != messages.Leaving {
			n++
		}
	}
	for node, peer := range r.watch.peers {
		if _, registered := r.registry.Members()[node]; !registered && peer.Alive {
			n++
		}
	}
	return n
}

// alive reports whether gossip sees the node alive.
func (r *ringActor) alive(node string) bool {
	if node == r.Node {
		return true
	}
	peer := r.watch.peers[node]
	return peer.Alive && !peer.Status.Fenced
}

// checkPeers says in gossip how this node is, and ends the sessions of peers that are dead.
func (r *ringActor) checkPeers(c actor.Context) {
	if r.Gossip == nil {
		return
	}
	r.sayStatus(c)
	addresses := make(map[string]string, len(r.registry.Members()))
	for node, m := range r.registry.Members() {
		if node != r.Node && m.Gossip != "" {
			addresses[node] = m.Gossip
		}
	}
	r.Gossip.SetPeers(addresses)
	r.watch.peers = map[string]Peer{}
	for _, peer := range r.Gossip.Peers() {
		r.watch.peers[peer.Node] = peer
		r.checkPeer(c, peer)
	}
	if conflict := r.Gossip.Conflict(); conflict != r.watch.conflict {
		r.watch.conflict = conflict
		if conflict != "" {
			r.Logger.Error("two nodes have one name", zap.String("reason", conflict))
		}
		c.Send(r.supervisor, clusterProblem{reason: conflict})
	}
}

func (r *ringActor) sayStatus(c actor.Context) {
	status := PeerStatus{Fenced: r.watch.fenced}
	if p := r.presence.permit; p != nil {
		status.Session = p.session.ID()
		renewed := p.session.LastRenewed()
		status.ReachesStore = r.now().Sub(renewed) < fencing.Fresh
		if r.presence.adopted {
			renewed = p.lastRenewed()
		}
		if !status.ReachesStore && !renewed.IsZero() {
			status.AwaySince = renewed.Add(renewalTime).Round(0).Truncate(time.Millisecond)
		}
	}
	if status == r.watch.status {
		return
	}
	if !status.AwaySince.IsZero() && r.watch.status.AwaySince.IsZero() && !r.presence.adopted {
		c.Send(r.supervisor, storeAway{renewed: r.presence.permit.session.LastRenewed()})
	}
	r.watch.status = status
	r.Gossip.SetStatus(status)
}

// checkPeer ends the peer's session if it is dead, or says that it has given the session up.
func (r *ringActor) checkPeer(c actor.Context, peer Peer) {
	m, registered := r.registry.Members()[peer.Node]
	fenced := peer.Status.Fenced && peer.Status.Session == m.Session
	if !registered || m.Session == "" || peer.Alive && !fenced || r.watch.ending[m.Session] || !r.credible() {
		return
	}
	idle, ok := r.Sessions.(cluster.IdleSessions)
	if !fenced && (!ok || r.now().Sub(peer.Assured) < fencing.Fresh) {
		return // it may hold what this node told it for evidence, or nobody can know whether it is dead to the store: its session runs out by itself
	}
	r.watch.ending[m.Session] = true
	out := revoked{node: peer.Node, session: m.Session, reason: "it has fenced itself"}
	r.do(c.Self(), func() error {
		ctx, cancel := r.Runtime.Timeout(r.ctx, revokeTimeout)
		defer cancel()
		if !fenced {
			age, err := idle.SessionIdle(ctx, m.Session)
			if err != nil || age < fencing.Idle {
				return err
			}
			out.reason = fmt.Sprintf("gossip says that it is dead, and its session was not renewed for %s", age.Round(100*time.Millisecond))
		}
		out.ended = true
		return r.Sessions.EndSession(ctx, m.Session)
	}, func(err error) any { out.err = err; return out })
}

// credible reports whether what this node thinks of others is worth something: it has not been paused lately, the store answers it, and
// at least half of the nodes are together with it.
func (r *ringActor) credible() bool {
	p, now := r.presence.permit, r.now()
	together := 1
	for _, peer := range r.watch.peers {
		if _, registered := r.registry.Members()[peer.Node]; registered && peer.Alive {
			together++
		}
	}
	return 2*together >= r.others()+1 && p != nil && now.Sub(r.watch.awakeSince) >= fencing.Idle && now.Sub(p.session.LastRenewed()) < fencing.Fresh
}

func (r *ringActor) revoked(m revoked) {
	delete(r.watch.ending, m.session)
	if m.ended && m.err == nil {
		r.metrics.cluster.revoked.Inc()
		r.Logger.Warn("session of a node was ended, so that others take over", zap.String("node", m.node), zap.String("session", m.session),
			zap.String("reason", m.reason))
	}
}
