package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/cluster/ring"
	"github.com/ringmaster-agent/ringmaster/messages"
	"github.com/ringmaster-agent/ringmaster/web"
)

// stateUnhealthy is what the ring page calls a member that gossip takes for dead, or whose record can't be read.
const stateUnhealthy = "UNHEALTHY"

// clusterView shows the cluster to the HTTP API, as far as this node knows it. A node that shares its work with nobody is shown as a cluster of one.
type clusterView struct {
	// self is this node, as it is shown if it is alone.
	self web.Member
	// shared is nil if the node is alone.
	shared *actors.Cluster
	tree   treeClient
	now    func() time.Time
}

// treeClient is the part of actors.Client that clusterView uses.
type treeClient interface {
	Describe(ctx context.Context) (messages.TreeDescription, error)
	Retry(ctx context.Context, u messages.Unit) error
}

var (
	_ web.Cluster = clusterView{}
	_ web.Ring    = clusterView{}
)

func (d *daemon) clusterView(node string) clusterView {
	alive := true
	return clusterView{
		self: web.Member{
			ID: node, State: web.StateActive, Scheme: d.scheme(), Address: d.listener.Addr().String(), Version: d.Version,
			Zone: d.settings.agent().Metrics.ScrapingService.Lifecycler.AvailabilityZone, Registered: time.Now(), Share: 1, Alive: &alive,
		},
		shared: d.cluster, tree: d.tree.client, now: time.Now,
	}
}

// State implements web.Cluster.
func (v clusterView) State(ctx context.Context) (web.ClusterState, error) {
	description, err := v.tree.Describe(ctx)
	if err != nil {
		return web.ClusterState{}, err
	}
	c := description.Cluster
	state := web.ClusterState{
		Session: c.Session, Settled: c.Settled, Permitted: c.Permitted, Problem: firstOf(c.Problem, description.StoreProblem, description.Doubt),
		Members: v.members(c), Units: make([]web.Unit, 0, description.Units.Len()), Unowned: c.Unowned,
		Moves: make([]web.Move, 0, c.Moves.Len()),
	}
	if v.shared == nil {
		state.Settled, state.Permitted = description.Complete, true
	}
	for u := range description.Units.All() {
		shown := v.unit(u)
		state.Units = append(state.Units, shown)
		if v.shared == nil && shown.ClaimedBy == "" {
			state.Unowned++
		}
	}
	for i := c.Moves.Len() - 1; i >= 0; i-- {
		m := c.Moves.At(i)
		state.Moves = append(state.Moves, web.Move{
			Config: m.Unit.Config, Name: unitName(m.Unit), From: m.From, To: m.To, At: m.At, Epoch: m.Epoch, Reason: m.Reason.String(),
		})
	}
	return state, nil
}

func (v clusterView) unit(u messages.UnitDescription) web.Unit {
	shown := web.Unit{
		Config: u.Unit.Config, Name: unitName(u.Unit), Slice: u.Unit.Slice, Replica: u.Unit.Replica,
		Owner: u.Owner, ClaimedBy: u.ClaimedBy, ClaimedSince: u.ClaimedSince, Epoch: u.Epoch,
		Local: u.Local, Phase: u.Phase.String(), Hold: u.Hold,
	}
	if v.shared == nil || u.Local {
		shown.Owner = v.self.ID
		if u.Phase == messages.PhaseRunning {
			shown.ClaimedBy, shown.ClaimedSince = v.self.ID, u.Since
		}
	}
	return shown
}

// unitName tells a config's units apart, for people; empty for its first.
func unitName(u messages.Unit) string {
	switch {
	case u.First():
		return ""
	case u.Replica == 0:
		return fmt.Sprintf("slice %d", u.Slice)
	case u.Slice == 0:
		return fmt.Sprintf("replica %d", u.Replica)
	default:
		return fmt.Sprintf("slice %d, replica %d", u.Slice, u.Replica)
	}
}

// Members implements web.Ring.
func (v clusterView) Members(ctx context.Context) ([]web.Member, error) {
	if v.shared == nil {
		return v.members(messages.ClusterDescription{}), nil
	}
	description, err := v.tree.Describe(ctx)
	return v.members(description.Cluster), err
}

func (v clusterView) members(c messages.ClusterDescription) []web.Member {
	if v.shared == nil {
		self := v.self
		self.Seen = v.now()
		return []web.Member{self}
	}
	members := make([]web.Member, 0, c.Members.Len())
	peers := v.peers()
	for m := range c.Members.All() {
		members = append(members, v.member(m, peers))
	}
	return members
}

func (v clusterView) member(m messages.MemberDescription, peers map[string]actors.Peer) web.Member {
	r := m.Member
	shown := web.Member{
		ID: r.Node, State: r.State.String(), Scheme: r.Scheme, Address: r.Address, Registered: r.Since, Zone: r.Zone, Version: r.Version,
		Tokens: tokensOf(r), Share: m.Share, Problem: r.Problem,
	}
	if peer, known := peers[r.Node]; known || r.Node == v.shared.Node {
		alive := r.Node == v.shared.Node || peer.Alive
		shown.Alive = &alive
		if alive {
			shown.Seen = v.now()
		}
	}
	if r.Problem != "" || shown.Alive != nil && !*shown.Alive {
		shown.State = stateUnhealthy
	}
	return shown
}

// peers is what gossip says of each node; nil without gossip.
func (v clusterView) peers() map[string]actors.Peer {
	if v.shared.Gossip == nil {
		return nil
	}
	peers := map[string]actors.Peer{}
	for _, p := range v.shared.Gossip.Peers() {
		peers[p.Node] = p
	}
	return peers
}

// Retry implements web.Cluster.
func (v clusterView) Retry(ctx context.Context, config string) (known bool, err error) {
	description, err := v.tree.Describe(ctx)
	if err != nil {
		return false, err
	}
	for u := range description.Units.All() {
		if u.Unit.Config != config || !concernsNode(u, v.self.ID) {
			continue
		}
		switch err := v.tree.Retry(ctx, u.Unit); {
		case err == nil:
			known = true
		case !errors.Is(err, actors.ErrUnknownUnit):
			return known, err
		}
	}
	return known, nil
}

// concernsNode reports whether the unit is more to the node than a config that another one runs.
func concernsNode(u messages.UnitDescription, node string) bool {
	switch u.Phase {
	case messages.PhaseNew, messages.PhasePreparing, messages.PhaseRunning, messages.PhaseDraining, messages.PhaseFailed:
		return true
	default:
		return u.Owned || u.Owner == "" || u.ClaimedBy == node
	}
}

// Plan implements web.Cluster.
func (v clusterView) Plan(ctx context.Context, change web.Change) (web.Plan, error) {
	description, err := v.tree.Describe(ctx)
	if err != nil {
		return web.Plan{}, err
	}
	p := planning{}
	for u := range description.Units.All() {
		if !u.Local {
			p.units = append(p.units, u.Unit)
		}
	}
	if v.shared == nil {
		p.members = []ring.Member{{Name: v.self.ID, Zone: v.self.Zone, Tokens: someTokens(v.self.ID)}}
		return p.plan(ctx, change)
	}
	if !description.Cluster.Settled {
		return web.Plan{}, web.ErrUnsettled
	}
	p.zoneAware = v.shared.ZoneAware
	for m := range description.Cluster.Members.All() {
		if r := m.Member; r.Problem == "" && r.State == messages.Active {
			p.members = append(p.members, ring.Member{Name: r.Node, Zone: r.Zone, Tokens: tokensOf(r)})
		}
	}
	return p.plan(ctx, change)
}

func tokensOf(m messages.Member) []uint32 {
	tokens := make([]uint32, 0, m.Tokens.Len())
	for t := range m.Tokens.All() {
		tokens = append(tokens, t)
	}
	return tokens
}
