package ringactor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors/fencing"
	"github.com/ringmaster-agent/ringmaster/actors/knowledge"
	"github.com/ringmaster-agent/ringmaster/actors/presence"
	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// own is what the node has in the store.
type own struct {
	// session is nil if there is none, or if it is that of an earlier process.
	session cluster.Session
	// earlier is the session of the process before; its ID is empty unless the node goes by it.
	earlier messages.EarlierSession
	// record is the member record as it was written last, in this session.
	record messages.Member
	// since is when the node first registered.
	since time.Time
	// joined is when it first registered, or did so again after it had been away for as long as a
	// session lives. held is when the session before was last renewed.
	joined, held time.Time
	// belief is which renewals of the session count.
	belief fencing.Belief
	// othersMayHaveRun goes with SessionChanged.
	othersMayHaveRun bool
	// leaves: others may have read that the node leaves. It does not come back from that.
	leaves bool
	// answered: the store has answered the newest attempt to register.
	answered bool
}

// uncounted reports whether others may not count this node: it leaves, or it has joined a short while
// ago.
func (o *own) uncounted(now time.Time, ago time.Duration) bool {
	return o.leaves || now.Sub(o.joined) < ago
}

// id is the session that the node claims by; empty if it has none.
func (o *own) id() string {
	if o.session != nil {
		return o.session.ID()
	}
	return o.earlier.ID
}

// Outcomes of calls of the store.
type (
	// sessionOpened is that of opening a session and registering with it.
	sessionOpened struct {
		session cluster.Session
		member  messages.Member
		err     error
	}
	// memberWritten is that of writing the member record. Doubted is what was doubted when it began.
	memberWritten struct {
		session string
		member  messages.Member
		doubted time.Time
		err     error
	}
	// sessionClosed is that of ending the session.
	sessionClosed struct{ err error }
)

// refusal is a reason not to join that time may heal, after so long if that is known.
type refusal struct {
	reason string
	after  time.Duration
}

// conflictPause is the wait after the record of the earlier session went while this one was being
// written.
const conflictPause = 250 * time.Millisecond

func (r refusal) Error() string { return r.reason }

// step lets presence decide, and performs what it says.
func (r *ringActor) step(c actor.Context, in presence.Input) {
	before := r.state.Phase
	in.Now, in.Jitter, in.Listed, in.KeepClaims = r.now(), r.Jitter(), r.registry.Listed(), r.KeepClaims
	in.Rewrite = r.own.lost(r.Node, r.registry) || !r.own.belief.Doubted.IsZero() || r.own.outdated(r.unfit(), r.cordoned(), r.told.declines)
	in.StoreAnswers = r.own.session != nil && in.Now.Sub(r.own.session.LastRenewed()) < fencing.Fresh
	next, effect := presence.Step(r.state, in)
	if r.state.Failures > 0 && next.Failures == 0 {
		r.problem(c, r.peers.conflict) // what failed is not needed any more, or was done
	}
	r.state = next
	switch effect {
	case presence.Open:
		r.openSession(c)
	case presence.Write:
		r.putMember(c)
	case presence.GiveUp:
		r.Permits.giveUp()
	case presence.Close:
		r.closeSession(c)
	case presence.Drop:
		r.forgetSession(c)
	case presence.Abandon:
		r.own.session.Abandon()
		r.forgetSession(c)
	}
	if r.state.Phase == presence.Gone && before != presence.Gone {
		r.tell(c, messages.SessionEnded{})
	}
}

// checkSession notices that the session has ended, or that it must not be used any more.
func (r *ringActor) checkSession(c actor.Context) {
	session := r.own.session
	if session == nil {
		return
	}
	select {
	case <-session.Done():
		if r.state.Phase != presence.Closing {
			r.Logger.Warn("session expired; rejoining with a new one", zap.String("session", session.ID()))
			r.step(c, presence.Input{Kind: presence.Ended})
		}
		return
	default:
	}
	if r.state.Phase != presence.Present && r.state.Phase != presence.Writing {
		return
	}
	switch record, there := r.registry.Members()[r.Node]; {
	case there && record.Problem == "" && record.Incarnation != r.Incarnation && record.Revision > r.own.record.Revision:
		reason := fmt.Sprintf("another process runs as node %s, at %s, with the same name: this one does not scrape any more. Give one of them another "+
			"lifecycler.id", r.Node, record.Address)
		r.Logger.Error("two processes have the same node name; this one ends its session", zap.String("reason", reason))
		r.problem(c, reason)
		r.step(c, presence.Input{Kind: presence.Fenced})
	case r.own.lost(r.Node, r.registry) && !r.own.belief.Doubted.IsZero():
		r.condemned(c)
	}
}

// condemned is about a node whose record was taken away while its session was not renewed: somebody
// is about to end the session.
func (r *ringActor) condemned(c actor.Context) {
	r.Logger.Warn("another node declared this one dead; rejoining with a new session", zap.String("session", r.own.id()))
	r.step(c, presence.Input{Kind: presence.Fenced})
}

// forgetSession makes the node one without a session. What it runs is not scraped until it has
// claimed it again.
func (r *ringActor) forgetSession(c actor.Context) {
	r.Permits.clear()
	if r.own.session != nil {
		r.own.held = r.own.session.LastRenewed()
	}
	r.own.session, r.own.earlier, r.own.record, r.own.belief = nil, messages.EarlierSession{}, messages.Member{}, fencing.Belief{}
	r.own.othersMayHaveRun, r.own.answered = false, false
	r.writes.drop(c)
	r.tellSession(c)
}

func (r *ringActor) tellSession(c actor.Context) {
	incarnation := r.Incarnation
	if r.own.session == nil {
		incarnation = r.own.earlier.Incarnation
	}
	r.tell(c, messages.SessionChanged{Session: r.own.id(), Incarnation: incarnation, OthersMayHaveRun: r.own.othersMayHaveRun})
}

// lost reports whether somebody has removed the record of this node, which is alive, has written
// over it what nobody can read, or has put back an earlier one.
func (o *own) lost(node string, registry *knowledge.Records) bool {
	if o.record.Revision == 0 || !registry.Listed() {
		return false
	}
	record, there := registry.Members()[node]
	switch {
	case !there:
		return registry.MemberLost(node) > o.record.Revision
	case record.Problem != "":
		return record.Revision > o.record.Revision
	default:
		return record.Revision < o.record.Revision // the store went back, and with it the record
	}
}

// wrote reports whether the record is a later one of this process and session: a write that seemed
// to fail was done after all.
func (o *own) wrote(record messages.Member, incarnation string) bool {
	return record.Problem == "" && record.Incarnation == incarnation && record.Session == o.id() && record.Revision > o.record.Revision
}

// outdated reports whether the record says otherwise of what the node can, and may, run.
func (o *own) outdated(unfit string, cordoned bool, declines messages.List[string]) bool {
	record := &o.record
	return record.Revision != 0 && (record.Unfit != unfit || record.Cordoned != cordoned || !record.Declines.Equal(declines))
}

// openSession opens a session and registers with it, unless there is another node of this name, or
// one that this node can't agree with.
func (r *ringActor) openSession(c actor.Context) {
	member := r.self()
	member.State = r.state.Intended
	others := make([]messages.Member, 0, len(r.registry.Members()))
	for _, m := range r.registry.Members() {
		others = append(others, m)
	}
	slices.SortFunc(others, func(a, b messages.Member) int { return cmp.Compare(a.Node, b.Node) }) // the first that disagrees is named
	var out sessionOpened
	r.begin(c, storeTimeout, func(ctx context.Context) (err error) {
		by := registrar{r.Cluster}
		if err := by.agree(others); err != nil {
			return err
		}
		out.session, out.member, err = by.register(ctx, member)
		if err == nil && r.ctx.Err() != nil {
			out.session.Abandon() // nobody is left to renew it for
		}
		return err
	}, func(err error) any { out.err = err; return out })
}

func (r *ringActor) self() messages.Member {
	if r.own.since.IsZero() {
		r.own.since = r.now()
	}
	m := messages.Member{
		Node: r.Node, Incarnation: r.Incarnation, Address: r.Address, Scheme: r.Scheme, Zone: r.Zone, Version: r.Version, Settings: r.Settings,
		Tokens: messages.NewList(r.Tokens...), Since: r.own.since, Unfit: r.unfit(), Declines: r.told.declines, Cordoned: r.cordoned(),
	}
	if r.Gossip != nil {
		m.Gossip = r.Gossip.Address()
	}
	return m
}

func (r *ringActor) sessionOpened(c actor.Context, m sessionOpened) {
	if m.err != nil {
		conflict := errors.Is(m.err, cluster.ErrConflict)
		var refused refusal
		r.own.answered = errors.As(m.err, &refused) || conflict
		if conflict {
			refused.after = conflictPause
		}
		r.step(c, presence.Input{Kind: presence.OpenFailed, After: refused.after})
		if !conflict {
			r.failed(c, "node can't join", m.err)
		}
		return
	}
	r.Permits.install(m.session.ID(), m.session)
	r.own.session, r.own.earlier, r.own.record, r.own.belief = m.session, messages.EarlierSession{}, m.member, fencing.Belief{}
	if r.own.joined.IsZero() || r.now().Sub(r.own.held) >= r.SessionTTL {
		r.own.joined = r.now()
	}
	r.SessionsOpened.Inc()
	r.Logger.Info("node has registered", zap.String("node", r.Node), zap.String("session", m.session.ID()), zap.Stringer("state", m.member.State))
	r.problem(c, "")
	r.registry.Fold(messages.MemberPut{Member: m.member})
	permitted := r.permission.permitted
	unpermitted := !permitted.IsZero() && r.now().Sub(permitted) >= fencing.Idle
	r.own.othersMayHaveRun = unpermitted || r.permission.wentOn
	r.tellSession(c)
	r.checkPermit(c)
	r.step(c, presence.Input{Kind: presence.Opened, Record: m.member.State})
	r.step(c, presence.Input{Kind: presence.Looked})
	r.membersChanged(c)
}

// adopt goes on by the session of the process before, for as long as fencing allows: nobody else
// can have taken over if no node reaches the store.
func (r *ringActor) adopt(c actor.Context, earlier messages.EarlierSession) {
	if r.own.session != nil || r.own.earlier.ID == earlier.ID {
		return
	}
	r.step(c, presence.Input{Kind: presence.Adopt})
	if !r.state.Earlier {
		return
	}
	r.own.earlier, r.own.belief = earlier, fencing.Belief{Renewed: earlier.Renewed}
	r.Permits.install(earlier.ID, nil)
	r.tellSession(c)
	r.checkPermit(c)
}

// putMember writes the record over the one that this process wrote before, and over nobody else's.
// One that is gone is written anew unless the session is in doubt: then who has taken it away may be
// about to end the session, and the node would take the new one for a proof that nobody is.
func (r *ringActor) putMember(c actor.Context) {
	session, m := r.own.session, r.self()
	m.State, m.Session = r.state.Intended, session.ID()
	r.own.leaves = r.own.leaves || m.State == messages.Leaving
	cond := cluster.Condition{Revision: r.own.record.Revision}
	if late, there := r.registry.Members()[r.Node]; there && r.own.wrote(late, r.Incarnation) {
		cond.Revision = late.Revision
	}
	if r.own.lost(r.Node, r.registry) && !r.own.belief.InDoubt(r.now()) {
		cond = cluster.Condition{Absent: true}
		if garbage, there := r.registry.Members()[r.Node]; there {
			cond = cluster.Condition{Revision: garbage.Revision}
		}
	}
	out := memberWritten{session: session.ID(), doubted: r.own.belief.Doubted}
	r.begin(c, storeTimeout, func(ctx context.Context) (err error) {
		m.Revision, err = r.Registry.PutMember(ctx, m, session, cond)
		return err
	}, func(err error) any { out.member, out.err = m, err; return out })
}

func (r *ringActor) memberWritten(c actor.Context, m memberWritten) {
	if r.own.id() != m.session || r.state.Phase != presence.Writing {
		return
	}
	if m.err != nil {
		r.step(c, presence.Input{Kind: presence.WriteFailed})
		r.checkSession(c)
		switch {
		case errors.Is(m.err, cluster.ErrConflict) && !m.doubted.IsZero():
			r.condemned(c)
		default:
			r.failed(c, "member record could not be written", m.err)
		}
		return
	}
	changed := r.own.record.State != m.member.State
	if before := r.own.record.Unfit; before != m.member.Unfit {
		r.Logger.Warn("told the other nodes whether this node can run configs", zap.String("node", r.Node), zap.String("reason", m.member.Unfit))
	}
	r.own.record = m.member
	r.own.belief = r.own.belief.Confirm(m.doubted)
	r.problem(c, "")
	if changed {
		r.Logger.Info("node changed its state in the ring", zap.String("node", r.Node), zap.Stringer("to", m.member.State))
	}
	r.registry.Fold(messages.MemberPut{Member: m.member})
	r.step(c, presence.Input{Kind: presence.Wrote, Record: m.member.State})
	r.checkPermit(c)
	r.step(c, presence.Input{Kind: presence.Looked})
	r.membersChanged(c)
}

// closeSession ends the session.
func (r *ringActor) closeSession(c actor.Context) {
	session := r.own.session
	r.Logger.Info("ending the session of this node", zap.String("session", session.ID()))
	r.forgetSession(c)
	r.begin(c, storeTimeout, session.Close, func(err error) any { return sessionClosed{err: err} })
}

func (r *ringActor) sessionClosed(c actor.Context, m sessionClosed) {
	if m.err != nil {
		r.Logger.Warn("session could not be ended; it runs out by itself", zap.Duration("within", r.SessionTTL), zap.Error(m.err))
	}
	r.step(c, presence.Input{Kind: presence.Closed})
	r.step(c, presence.Input{Kind: presence.Looked})
}
