package clusterview

import (
	"context"
	"errors"
	"fmt"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/web"
)

// Forget implements web.Ring. The ring actor does it, on the evidence that nodes ask of each other
// before one ends another's session.
func (v *View) Forget(ctx context.Context, node string) error {
	if node == v.Self.ID {
		return web.ErrForgetSelf
	}
	if v.Shared == nil {
		return fmt.Errorf("forget member %q: %w", node, cluster.ErrNotFound)
	}
	err := v.Tree.Forget(ctx, node)
	switch {
	case errors.Is(err, actors.ErrUnknownMember):
		return fmt.Errorf("forget member %q: %w", node, cluster.ErrNotFound)
	case errors.Is(err, actors.ErrMemberStays):
		return fmt.Errorf("%w: %w", web.ErrMemberStays, err)
	default:
		return err
	}
}
