package clusterview

import (
	"context"
	"fmt"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/cluster/ring"
	"github.com/ringmaster-agent/ringmaster/messages"
	"github.com/ringmaster-agent/ringmaster/web"
)

// Plan implements web.Cluster.
func (v *View) Plan(ctx context.Context, change web.Change) (web.Plan, error) {
	description, err := v.describe(ctx, messages.DescribeTree{})
	if err != nil {
		return web.Plan{}, err
	}
	var f ring.Forecast
	for u := range description.Units.All() {
		if !u.Local {
			f.Units = append(f.Units, u.Unit)
		}
	}
	if v.Shared == nil {
		f.Members = []ring.Member{ring.Alone(v.Self.ID, v.Self.Zone)}
		return plan(ctx, f, change)
	}
	if !description.Cluster.Settled {
		return web.Plan{}, web.ErrUnsettled
	}
	f.Options.ZoneAware = v.Shared.ZoneAware
	for m := range description.Cluster.Members.All() {
		if r := m.Member; r.Problem == "" && r.State == messages.Active {
			f.Members = append(f.Members, ring.Member{Name: r.Node, Zone: r.Zone, Tokens: tokensOf(r)})
		}
	}
	return plan(ctx, f, change)
}

// plan is the forecast as the API shows it. cluster.ErrNotFound if who leaves is no member.
func plan(ctx context.Context, f ring.Forecast, change web.Change) (web.Plan, error) {
	s, known := f.Leave(change.Leave)
	switch {
	case change.Leave == "":
		var err error
		if s, err = f.Join(ctx, change.Join, change.Seed); err != nil {
			return web.Plan{}, err
		}
	case !known:
		return web.Plan{}, fmt.Errorf("find member %q: %w", change.Leave, cluster.ErrNotFound)
	}
	p := web.Plan{Units: len(f.Units), Moved: s.Moved, Draws: s.Draws, Least: s.Least, Most: s.Most}
	for _, l := range s.Loads {
		p.Nodes = append(p.Nodes, web.PlannedNode{Node: l.Member, Before: l.Before, After: l.After})
	}
	for i := range s.After {
		if s.Before[i] != s.After[i] {
			u := f.Units[i]
			p.Moves = append(p.Moves, web.PlannedMove{
				Config: u.Config, Name: unitName(u), Slice: u.Slice, Replica: u.Replica, From: s.Before[i], To: s.After[i],
			})
		}
	}
	return p, nil
}
