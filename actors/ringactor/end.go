package ringactor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors/fencing"
	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// ending is a session of another node that is being looked at or ended.
type ending struct {
	node string
	// busy: a call of the store is under way.
	busy bool
	// condemned: the member's record was taken away, so the session has to be ended, until
	// giveUpAt, when it has run out by itself.
	condemned bool
	giveUpAt  time.Time
}

// peerLookedAt is the outcome of looking at the session of a node that seems dead, and maybe ending it.
type peerLookedAt struct {
	node, session string
	// condemned: the record is gone. ended: the session is, too.
	condemned, ended bool
	reason           string
	err              error
}

// forgotten is the outcome of forgetting a member.
type forgotten struct {
	asker  *actor.PID
	node   string
	answer messages.MemberForgotten
	err    error
}

// evidence is what this node knows of a member whose session it might end.
func (p *peerHealth) evidence(m messages.Member) fencing.Evidence {
	_, canTell := p.Sessions.(cluster.IdleSessions)
	peer, known := p.seen[m.Node]
	if !known {
		peer = &heard{}
	}
	others := p.survey(p.members.roll.Leaving(p.now(), p.SessionTTL)...)
	for i := range others {
		if others[i].Answered.Before(p.countsFrom(p.now())) {
			others[i].Answered = time.Time{}
		}
	}
	return fencing.Evidence{
		Now: p.now(), TTL: p.SessionTTL, Dead: known && !peer.Alive,
		Fenced:  known && peer.Status.Fenced && peer.Status.Session == m.Session,
		Assured: peer.Assured, Answered: peer.answered,
		Together: fencing.Together(p.now(), p.own.uncounted(p.now(), p.SessionTTL), others), Members: len(others) + 1,
		Renewed: p.own.renewed(p.clocks), AwakeSince: p.clocks.awakeSince, CanTell: canTell, Idle: -1,
	}
}

// end looks at the session of a member, and ends it if the store agrees.
func (p *peerHealth) end(c actor.Context, m messages.Member, e fencing.Evidence) {
	p.ending[m.Session] = &ending{node: m.Node, busy: true, giveUpAt: p.now().Add(2 * p.SessionTTL)}
	out := peerLookedAt{node: m.Node, session: m.Session}
	p.begin(c, fencing.EndWithin, func(ctx context.Context) (err error) {
		out.condemned, out.ended, out.reason, err = ender{p.Cluster}.endSession(ctx, m, e)
		return err
	}, func(err error) any { out.err = err; return out })
}

// endCondemned ends the sessions whose end has failed.
func (p *peerHealth) endCondemned(c actor.Context) {
	if len(p.ending) == 0 {
		return
	}
	now := p.now()
	for _, session := range slices.Sorted(maps.Keys(p.ending)) {
		switch e := p.ending[session]; {
		case e.busy:
		case now.After(e.giveUpAt):
			delete(p.ending, session)
		default:
			e.busy = true
			out := peerLookedAt{node: e.node, session: session, condemned: true, reason: "its record was taken away before"}
			p.begin(c, fencing.EndWithin, func(ctx context.Context) error { return p.Sessions.EndSession(ctx, session) },
				func(err error) any { out.ended, out.err = err == nil, err; return out })
		}
	}
}

func (p *peerHealth) lookedAt(m peerLookedAt) {
	e := p.ending[m.session]
	if e == nil {
		return
	}
	e.busy, e.condemned = false, m.condemned
	if !m.condemned || m.ended {
		delete(p.ending, m.session)
	}
	if m.ended {
		p.SessionsEnded.Inc()
		p.Logger.Warn("ended the session of a dead node; other nodes take over its configs", zap.String("node", m.node), zap.String("session", m.session),
			zap.String("reason", m.reason))
	}
}

// forgetMember removes what a dead node has left in the store.
func (p *peerHealth) forgetMember(c actor.Context, m messages.ForgetMember) {
	out := forgotten{asker: c.Sender(), node: m.Node, answer: messages.MemberForgotten{Known: true}}
	if m.Node == p.Node {
		out.answer.Problem = "a node can't forget itself"
		p.forgotten(c, out)
		return
	}
	known := p.registry.Members()[m.Node]
	e := p.evidence(known)
	p.begin(c, storeTimeout, func(ctx context.Context) (err error) {
		out.answer, err = ender{p.Cluster}.forget(ctx, m.Node, known, e)
		return err
	}, func(err error) any { out.err = err; return out })
}

// forgotten answers who asked.
func (p *peerHealth) forgotten(c actor.Context, m forgotten) {
	if m.err != nil {
		m.answer.Problem = m.err.Error()
	}
	p.Logger.Info("asked to forget a member", zap.String("node", m.node), zap.Bool("known", m.answer.Known), zap.String("problem", m.answer.Problem))
	if m.asker != nil {
		c.Send(m.asker, m.answer)
	}
}

// ender ends sessions of others. It runs outside of the actor.
type ender struct{ Cluster }

// endSession ends the session if it may. The record goes first, if it is as it was before the store
// was asked: see package fencing. It runs outside of the actor.
func (r ender) endSession(ctx context.Context, m messages.Member, e fencing.Evidence) (condemned, ended bool, reason string, err error) {
	may, reason := fencing.MayEnd(e)
	if may == fencing.AskStore {
		if e.Idle, err = r.Sessions.(cluster.IdleSessions).SessionIdle(ctx, m.Session); err != nil {
			return false, false, reason, err
		}
		may, reason = fencing.MayEnd(e)
	}
	if may != fencing.EndIt {
		return false, false, reason, nil
	}
	if !e.Fenced {
		if err := r.Registry.RemoveMember(ctx, m.Node, cluster.Condition{Revision: m.Revision}); err != nil {
			return false, false, reason, fmt.Errorf("take the member's record away: %w", err)
		}
	}
	err = r.Sessions.EndSession(ctx, m.Session)
	return true, err == nil, reason, err
}

// forget runs outside of the actor. Known is the record as it was when the evidence was gathered.
func (r ender) forget(ctx context.Context, node string, known messages.Member, e fencing.Evidence) (messages.MemberForgotten, error) {
	answer := messages.MemberForgotten{Known: true}
	m, err := r.Registry.GetMember(ctx, node)
	if errors.Is(err, cluster.ErrNotFound) {
		return messages.MemberForgotten{}, nil
	}
	if err != nil {
		return answer, err
	}
	if over, err := r.sessionOver(ctx, m.Session); err != nil || over {
		if err == nil {
			err = r.Registry.RemoveMember(ctx, node, cluster.Condition{Revision: m.Revision})
		}
		return answer, err
	}
	if m.Revision != known.Revision {
		answer.Problem = "its record has changed a moment ago"
		return answer, nil
	}
	_, ended, reason, err := r.endSession(ctx, m, e)
	if err == nil && !ended {
		answer.Problem = reason
	}
	return answer, err
}

// sessionOver reports whether there is no such session any more.
func (r ender) sessionOver(ctx context.Context, id string) (bool, error) {
	idle, canTell := r.Sessions.(cluster.IdleSessions)
	if id == "" || !canTell {
		return id == "", nil
	}
	_, err := idle.SessionIdle(ctx, id)
	if errors.Is(err, cluster.ErrNotFound) {
		return true, nil
	}
	return false, err
}
