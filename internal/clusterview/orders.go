package clusterview

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/messages"
	"github.com/ringmaster-agent/ringmaster/web"
)

// Order implements web.Cluster.
func (v *View) Order(ctx context.Context, o web.Order) error {
	order, err := orderOf(o)
	if err != nil {
		return err
	}
	switch err := v.Tree.Order(ctx, order); {
	case errors.Is(err, actors.ErrNoSubject):
		return fmt.Errorf("%w: %w", cluster.ErrNotFound, err)
	case errors.Is(err, actors.ErrOrderRefused):
		return fmt.Errorf("%w%s", web.ErrOrderRefused, strings.TrimPrefix(err.Error(), actors.ErrOrderRefused.Error()))
	default:
		return err
	}
}

func orderOf(o web.Order) (messages.Order, error) {
	switch o.Kind {
	case web.HoldConfig:
		return messages.HoldConfig{Config: o.Name, Reason: o.Reason, By: o.By}, nil
	case web.ReleaseConfig:
		return messages.ReleaseConfig{Config: o.Name}, nil
	case web.CordonNode, web.DrainNode:
		return messages.CordonNode{Node: o.Name, Drain: o.Kind == web.DrainNode, Force: o.Force, Reason: o.Reason, By: o.By}, nil
	case web.UncordonNode:
		return messages.UncordonNode{Node: o.Name}, nil
	default:
		return nil, fmt.Errorf("%w: there is no order %q", web.ErrOrderRefused, o.Kind)
	}
}

// cordon is a cordon as it is shown.
func cordon(c messages.NodeCordon) *web.Standing {
	shown := web.Standing{Kind: web.CordonNode, Name: c.Node, Reason: c.Reason, By: c.By, Since: c.Since, Problem: c.Problem}
	if c.Drain {
		shown.Kind = web.DrainNode
	}
	return &shown
}
