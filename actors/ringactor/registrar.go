package ringactor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ringmaster-agent/ringmaster/actors/fencing"
	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// registrar registers the node. It runs outside of the actor.
type registrar struct{ Cluster }

// agree refuses to join members that go by other settings.
func (r registrar) agree(members []messages.Member) error {
	for _, m := range members {
		if m.Node != r.Node && m.Problem == "" && m.Settings != r.Settings {
			return refusal{reason: fmt.Sprintf("node %s (%s) runs with other settings (%s) than this node, %s (%s): two clusters on one prefix, or a "+
				"change that has not reached every node; the replication factor and the prefixes have to be the same", m.Node, m.Address, m.Settings, r.Node, r.Settings)}
		}
	}
	return nil
}

// register opens a session and writes the member record with it, over that of the process before,
// whose session it ends then.
func (r registrar) register(ctx context.Context, m messages.Member) (cluster.Session, messages.Member, error) {
	before, err := r.Registry.GetMember(ctx, r.Node)
	if err != nil && !errors.Is(err, cluster.ErrNotFound) {
		return nil, m, err
	}
	cond := cluster.Condition{Revision: before.Revision, Absent: before.Revision == 0}
	if before.Revision != 0 {
		if err := r.succeeds(ctx, before); err != nil {
			return nil, m, err
		}
		// A restart within the session's life moves nothing, if the node goes on where it was on
		// the ring.
		if m.State == messages.Joining && before.State == messages.Active && before.Tokens.Equal(m.Tokens) {
			m.State = messages.Active
		}
	}
	session, err := r.Sessions.OpenSession(ctx, r.SessionTTL)
	if err != nil {
		return nil, m, err
	}
	m.Session = session.ID()
	m.Revision, err = r.Registry.PutMember(ctx, m, session, cond)
	if err == nil && before.Session != "" && before.Session != m.Session {
		// What is bound to it is nobody's. If this fails, all of it is done again.
		err = r.Sessions.EndSession(ctx, before.Session)
	}
	if err != nil {
		return nil, m, errors.Join(err, session.Close(ctx))
	}
	return session, m, nil
}

// succeeds makes sure that the process which registered by this name before is not alive any more.
func (r registrar) succeeds(ctx context.Context, before messages.Member) error {
	if before.Problem == "" && before.Incarnation == r.Incarnation || before.Session == "" {
		return nil
	}
	idle, canTell := r.Sessions.(cluster.IdleSessions)
	e := fencing.Evidence{
		TTL: r.SessionTTL, Successor: true, NoGossip: r.Gossip == nil, CanTell: canTell, Idle: -1,
		Remembers: r.Predecessor != nil && r.Predecessor() == before.Session,
	}
	var after time.Duration
	verdict, reason := fencing.MayEnd(e)
	if verdict == fencing.AskStore {
		age, err := idle.SessionIdle(ctx, before.Session)
		if errors.Is(err, cluster.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		e.Idle = age
		verdict, reason = fencing.MayEnd(e)
		after = e.Wait()
	}
	if verdict == fencing.EndIt {
		return nil
	}
	return refusal{after: after, reason: fmt.Sprintf("there is another node called %s, at %s; this one is at %s. If that one is gone, this node joins within seconds; "+
		"otherwise give one of them another lifecycler.id (%s)", r.Node, before.Address, r.Address, reason)}
}
