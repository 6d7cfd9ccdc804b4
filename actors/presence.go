package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors/fencing"
	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/messages"
)

const (
	// revokeTimeout bounds asking how long another node's session has been idle and ending it, together: less than the time between two
	// renewals of a session.
	revokeTimeout = 900 * time.Millisecond
	// storeTimeout bounds one call of the store.
	storeTimeout = 5 * time.Second
	// retryFirst and retryLongest bound the wait after a call of the store that failed.
	retryFirst   = 250 * time.Millisecond
	retryLongest = 5 * time.Second
)

// presence is the node's own session and member record.
type presence struct {
	// permit is the session's; nil if there is none.
	permit *permit
	// adopted: the permit is of the session of an earlier process.
	adopted bool
	// opening, putting: a call of the store is under way.
	opening, putting bool
	// record is the member record as it was written last, in this session.
	record messages.Member
	// since is when the node first registered.
	since time.Time
	// ready: the node knows the configs. leaving: it is on its way out. over: it has left.
	ready, leaving, over bool
	failures             int
	notBefore            time.Time
	problem              string
}

type (
	// sessionOpened is the outcome of opening a session and registering with it.
	sessionOpened struct {
		session cluster.Session
		member  messages.Member
		err     error
	}
	// memberWritten is the outcome of writing the member record.
	memberWritten struct {
		session string
		member  messages.Member
		err     error
	}
	// sessionReplaced says that a session that was given up has been ended, as far as possible.
	sessionReplaced struct{}
	// sessionClosed is the outcome of ending the session.
	sessionClosed struct{ err error }
)

// refusal is a reason not to join that time may heal, but no second try at once.
type refusal struct{ reason string }

func (r refusal) Error() string { return r.reason }

// checkSession notices that the session has ended.
func (r *ringActor) checkSession(c actor.Context) {
	if p := r.presence.permit; p != nil && !r.presence.over && p.ended() {
		r.Logger.Warn("session has ended; joining again with a new one", zap.String("session", p.session.ID()))
		r.giveUpSession(c)
	}
}

// giveUpSession makes the node one without a session. What it runs is not scraped until it has claimed it again.
func (r *ringActor) giveUpSession(c actor.Context) {
	r.presence.permit.void.Store(true)
	r.presence.permit, r.presence.record, r.watch.fenced = nil, messages.Member{}, false
	c.Send(r.supervisor, sessionChanged{})
}

// beMember does what is next on the way to being registered as it should be.
func (r *ringActor) beMember(c actor.Context) {
	p := &r.presence
	switch {
	case p.over || p.opening || p.putting || r.now().Before(p.notBefore) || !r.registry.Listed():
	case p.permit == nil || p.adopted:
		r.openSession(c)
	case p.record.State != p.wanted() || r.forgotten():
		r.putMember(c, p.wanted())
	default:
		r.recovered(c) // a write that seemed to fail may have been done
	}
}

// wanted is the state that the member record should have.
func (p *presence) wanted() messages.MemberState {
	switch {
	case p.leaving:
		return messages.Leaving
	case p.ready || p.record.State == messages.Active:
		return messages.Active
	default:
		return messages.Joining
	}
}

// forgotten reports whether somebody has removed the record of this node, which is alive, or has written over it what nobody can read.
func (r *ringActor) forgotten() bool {
	p := &r.presence
	if p.record.Revision == 0 || !r.registry.Listed() {
		return false
	}
	record, there := r.registry.Members()[r.Node]
	return there && record.Problem != "" && record.Revision > p.record.Revision || !there && r.registry.MemberLost(r.Node) > p.record.Revision
}

// openSession opens a session and registers with it, unless there is another node of this name, or one that this node can't agree with.
func (r *ringActor) openSession(c actor.Context) {
	r.presence.opening = true
	member := r.self()
	if r.presence.ready && !r.presence.leaving {
		member.State = messages.Active // it only comes back
	}
	others := make([]messages.Member, 0, len(r.registry.Members()))
	for _, m := range r.registry.Members() {
		others = append(others, m)
	}
	slices.SortFunc(others, func(a, b messages.Member) int { return strings.Compare(a.Node, b.Node) }) // the first that disagrees is named
	var out sessionOpened
	r.do(c.Self(), func() (err error) {
		ctx, cancel := r.Runtime.Timeout(r.ctx, storeTimeout)
		defer cancel()
		if err := r.agree(others); err != nil {
			return err
		}
		out.session, out.member, err = r.register(ctx, member)
		return err
	}, func(err error) any { out.err = err; return out })
}

func (r *ringActor) self() messages.Member {
	if r.presence.since.IsZero() {
		r.presence.since = r.now()
	}
	m := messages.Member{
		Node: r.Node, Address: r.Address, Scheme: r.Scheme, Zone: r.Zone, Version: r.Version, Settings: r.Settings,
		Tokens: messages.NewList(r.Tokens...), Since: r.presence.since,
	}
	if r.Gossip != nil {
		m.Gossip = r.Gossip.Address()
	}
	return m
}

// agree refuses to join members that go by other settings.
func (r *ringActor) agree(members []messages.Member) error {
	for _, m := range members {
		if m.Node != r.Node && m.Problem == "" && m.Settings != r.Settings {
			return refusal{fmt.Sprintf("node %s (%s) runs with other settings (%s) than this node, %s (%s): two clusters on one prefix, or a "+
				"change that has not reached every node; the replication factor and the prefixes have to be the same", m.Node, m.Address, m.Settings, r.Node, r.Settings)}
		}
	}
	return nil
}

// register opens a session and writes the member record with it. It runs outside of the actor.
func (r *ringActor) register(ctx context.Context, m messages.Member) (cluster.Session, messages.Member, error) {
	before, err := r.Registry.GetMember(ctx, r.Node)
	if err != nil && !errors.Is(err, cluster.ErrNotFound) {
		return nil, m, err
	}
	cond := cluster.Condition{Revision: before.Revision, Absent: before.Revision == 0}
	if before.Revision != 0 {
		if err := r.succeeds(ctx, before); err != nil {
			return nil, m, err
		}
		// A restart within the session's life moves nothing, if the node goes on where it was on the ring.
		if before.State == messages.Active && before.Tokens.Equal(m.Tokens) {
			m.State = messages.Active
		}
	}
	session, err := r.Sessions.OpenSession(ctx, r.SessionTTL)
	if err != nil {
		return nil, m, err
	}
	m.Session = session.ID()
	m.Revision, err = r.Registry.PutMember(ctx, m, session, cond)
	if err != nil {
		return nil, m, errors.Join(err, session.Close(ctx))
	}
	return session, m, nil
}

// succeeds makes sure that the node which registered by this name before is not alive any more.
func (r *ringActor) succeeds(ctx context.Context, before messages.Member) error {
	if before.Problem == "" && before.Address == r.Address {
		return nil // this process listens there, so that one does not any more
	}
	idle, ok := r.Sessions.(cluster.IdleSessions)
	if ok {
		age, err := idle.SessionIdle(ctx, before.Session)
		switch {
		case errors.Is(err, cluster.ErrNotFound):
			return nil
		case err != nil:
			return err
		case age >= fencing.Idle:
			// If it was only paused, it learns by this that its name is another's now.
			return r.Sessions.EndSession(ctx, before.Session)
		}
	}
	return refusal{fmt.Sprintf("there is another node called %s, at %s; this one is at %s. If that one is gone, this node joins within seconds; "+
		"otherwise give one of them another lifecycler.id", r.Node, before.Address, r.Address)}
}

func (r *ringActor) sessionOpened(c actor.Context, m sessionOpened) {
	p := &r.presence
	p.opening = false
	if errors.Is(m.err, cluster.ErrConflict) {
		p.notBefore = r.now().Add(retryFirst) // the record of the earlier session went meanwhile
		return
	}
	if m.err != nil {
		r.retryLater(c, "node can't join", m.err)
		return
	}
	r.recovered(c)
	p.permit, p.adopted, r.watch.belief = &permit{now: r.now, session: m.session}, false, belief{}
	p.record = m.member
	r.metrics.cluster.sessions.Inc()
	r.Logger.Info("node has registered", zap.String("node", r.Node), zap.String("session", m.session.ID()), zap.Stringer("state", m.member.State))
	r.registry.Fold(messages.MemberPut{Member: m.member})
	lapsed := !r.watch.permitted.IsZero() && r.now().Sub(r.watch.permitted) >= fencing.Idle
	c.Send(r.supervisor, sessionChanged{session: m.session.ID(), permit: p.permit, lapsed: lapsed})
	r.checkPermit(c)
	r.beMember(c)
	r.membersChanged(c)
}

// adoptSession goes on by the session of the process before, for as long as fencing allows: nobody else can have taken over if no node reaches
// the store.
func (r *ringActor) adoptSession(c actor.Context, m adoptSession) {
	if r.presence.permit != nil {
		return
	}
	r.presence.permit, r.presence.adopted = &permit{now: r.now, session: earlierSession{id: m.id}}, true
	if !m.renewed.IsZero() {
		r.presence.permit.renewed.Store(&m.renewed)
	}
	c.Send(r.supervisor, sessionChanged{session: m.id, permit: r.presence.permit})
	r.checkPermit(c)
}

func (r *ringActor) putMember(c actor.Context, state messages.MemberState) {
	p := &r.presence
	p.putting = true
	session := p.permit.session
	m := r.self()
	m.State, m.Session = state, session.ID()
	out := memberWritten{session: session.ID()}
	r.do(c.Self(), func() (err error) {
		ctx, cancel := r.Runtime.Timeout(r.ctx, storeTimeout)
		defer cancel()
		m.Revision, err = r.Registry.PutMember(ctx, m, session, cluster.Condition{})
		return err
	}, func(err error) any { out.member, out.err = m, err; return out })
}

func (r *ringActor) memberWritten(c actor.Context, m memberWritten) {
	p := &r.presence
	p.putting = false
	if m.err != nil {
		r.checkSession(c)
		r.retryLater(c, "member record could not be written", m.err)
		return
	}
	r.recovered(c)
	if p.permit == nil || p.permit.session.ID() != m.session {
		return
	}
	p.record = m.member
	r.Logger.Info("node changed its state in the ring", zap.String("node", r.Node), zap.Stringer("to", m.member.State))
	r.registry.Fold(messages.MemberPut{Member: m.member})
	r.beMember(c)
	r.membersChanged(c)
}

// retryLater says what went wrong, once, and has it tried again by a later look.
func (r *ringActor) retryLater(c actor.Context, what string, err error) {
	p := &r.presence
	wait := retryLongest
	if p.failures < 5 {
		wait = retryFirst << p.failures
	}
	p.failures++
	p.notBefore = r.now().Add(wait/2 + time.Duration(r.Jitter()*float64(wait/2)))
	if p.problem == err.Error() {
		return
	}
	p.problem = err.Error()
	var refused refusal
	if errors.As(err, &refused) {
		r.Logger.Error(what, zap.String("node", r.Node), zap.Error(err))
	} else {
		r.Logger.Warn(what, zap.String("node", r.Node), zap.Error(err))
	}
	c.Send(r.supervisor, clusterProblem{reason: err.Error()})
}

func (r *ringActor) recovered(c actor.Context) {
	p := &r.presence
	p.failures, p.notBefore = 0, time.Time{}
	if p.problem != "" {
		p.problem = ""
		c.Send(r.supervisor, clusterProblem{})
	}
}

// endSession ends the node's presence: nothing of it is left in the store.
func (r *ringActor) endSession(c actor.Context) {
	r.presence.over = true
	p := r.presence.permit
	if p == nil {
		c.Send(r.supervisor, sessionEnded{})
		return
	}
	p.void.Store(true)
	r.do(c.Self(), func() error {
		ctx, cancel := r.Runtime.Timeout(r.ctx, storeTimeout)
		defer cancel()
		return p.session.Close(ctx)
	}, func(err error) any { return sessionClosed{err: err} })
}

func (r *ringActor) sessionClosed(c actor.Context, m sessionClosed) {
	if m.err != nil {
		r.Logger.Warn("session could not be ended; it runs out by itself", zap.Duration("within", r.SessionTTL), zap.Error(m.err))
	}
	r.presence.permit = nil
	c.Send(r.supervisor, sessionEnded{})
}
