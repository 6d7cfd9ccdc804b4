package daemon

import (
	"context"
	"errors"
	"fmt"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/actors/fencing"
	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/messages"
	"github.com/ringmaster-agent/ringmaster/web"
)

// memberRemover is what a registry offers that members' records can be removed from.
type memberRemover interface {
	RemoveMember(ctx context.Context, node string) error
}

// Forget implements web.Ring. It removes the record, which a member that lives writes again at once. The session, and with it all claims, it ends only with
// the evidence that nodes ask of each other: gossip says that the node is dead, and the store that the session has long not been renewed.
func (v clusterView) Forget(ctx context.Context, node string) error {
	if node == v.self.ID {
		return web.ErrForgetSelf
	}
	if v.shared == nil {
		return fmt.Errorf("forget member %q: %w", node, cluster.ErrNotFound)
	}
	registry, ok := v.shared.Registry.(memberRemover)
	if !ok {
		return errors.New("members can't be removed from this registry")
	}
	member, err := v.shared.Registry.GetMember(ctx, node)
	if err != nil {
		return fmt.Errorf("forget member: %w", err)
	}
	if peer, known := v.peers()[node]; known {
		if err := v.endDeadSession(ctx, member, peer); err != nil {
			return err
		}
	}
	// It may have gone with the session.
	if err := registry.RemoveMember(ctx, node); err != nil && !errors.Is(err, cluster.ErrNotFound) {
		return fmt.Errorf("forget member: %w", err)
	}
	return nil
}

func (v clusterView) endDeadSession(ctx context.Context, m messages.Member, peer actors.Peer) error {
	sessions, ok := v.shared.Sessions.(cluster.IdleSessions)
	if !ok || m.Session == "" || peer.Alive || v.now().Sub(peer.Assured) < fencing.Fresh {
		return nil
	}
	switch idle, err := sessions.SessionIdle(ctx, m.Session); {
	case errors.Is(err, cluster.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("forget member %q: %w", m.Node, err)
	case idle < fencing.Idle:
		return nil
	}
	if err := v.shared.Sessions.EndSession(ctx, m.Session); err != nil {
		return fmt.Errorf("forget member %q: %w", m.Node, err)
	}
	return nil
}
