package clusterview

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/messages"
	"github.com/ringmaster-agent/ringmaster/web"
)

// stateUnhealthy is what the ring page calls a member that gossip takes for dead, or whose record
// can't be read.
const stateUnhealthy = "UNHEALTHY"

// Options say what is shown.
type Options struct {
	// Self is this node, as it is shown if it is alone.
	Self web.Member
	// Shared is nil if the node is alone.
	Shared *actors.Cluster
	Tree   Tree
	// Directory has what runs in this process.
	Directory *actors.Directory
	// Now is time.Now, or that of a test.
	Now func() time.Time
}

// Tree is the part of actors.Client that is used here.
type Tree interface {
	DescribeOnly(ctx context.Context, part messages.DescribeTree) (messages.TreeDescription, error)
	Retry(ctx context.Context, u messages.Unit) error
	Forget(ctx context.Context, node string) error
	Order(ctx context.Context, o messages.Order) error
}

// View is the door. Use New.
type View struct{ Options }

var (
	_ web.Cluster   = (*View)(nil)
	_ web.Ring      = (*View)(nil)
	_ web.Instances = (*View)(nil)
	_ web.Inspector = (*View)(nil)
)

// New returns the view of a node that is running.
func New(o Options) *View { return &View{o} }

// describe asks once while a request is answered, however many parts of a page want to know it.
func (v *View) describe(ctx context.Context, part messages.DescribeTree) (messages.TreeDescription, error) {
	if whole, known := web.Known[messages.TreeDescription](ctx, messages.DescribeTree{}); known && part.Config == "" {
		return whole, nil
	}
	return web.Once(ctx, part, func() (messages.TreeDescription, error) { return v.Tree.DescribeOnly(ctx, part) })
}

// State implements web.Cluster.
func (v *View) State(ctx context.Context, of web.Scope) (web.ClusterState, error) {
	description, err := v.describe(ctx, messages.DescribeTree{Config: of.Config, Own: of.Own, Brief: of.Members})
	if err != nil {
		return web.ClusterState{}, err
	}
	c := description.Cluster
	state := web.ClusterState{
		Session: c.Session, Settled: c.Settled, Permitted: c.Permitted, Problem: cmp.Or(c.Problem, description.StoreProblem, description.Doubt),
		Members: v.members(c), Units: make([]web.Unit, 0, description.Units.Len()), Unowned: c.Unowned,
		Moves: make([]web.Move, 0, c.Moves.Len()),
	}
	if v.Shared == nil {
		state.Settled, state.Permitted = description.Complete, true
	}
	held := map[string]bool{}
	for h := range c.Holds.All() {
		held[h.Config] = true
		state.Held = append(state.Held, web.Standing{Kind: web.HoldConfig, Name: h.Config, Reason: h.Reason, By: h.By, Since: h.Since, Problem: h.Problem})
	}
	for o := range c.Cordons.All() {
		state.Cordons = append(state.Cordons, *cordon(o))
	}
	for u := range description.Units.All() {
		shown := v.unit(u)
		shown.Held = held[shown.Config] && !shown.Local
		state.Units = append(state.Units, shown)
		if v.Shared == nil && shown.ClaimedBy == "" {
			state.Unowned++
		}
	}
	for i := c.Moves.Len() - 1; i >= 0; i-- {
		state.Moves = append(state.Moves, move(c.Moves.At(i)))
	}
	return state, nil
}

func (v *View) unit(u messages.UnitDescription) web.Unit {
	shown := web.Unit{
		Config: u.Unit.Config, Name: unitName(u.Unit), Slice: u.Unit.Slice, Replica: u.Unit.Replica,
		Owner: u.Owner, ClaimedBy: u.ClaimedBy, ClaimedSince: u.ClaimedSince, Epoch: u.Epoch,
		Local: u.Local, New: u.New, Phase: u.Phase.String(), Hold: u.Hold,
	}
	if v.Shared == nil || u.Local {
		shown.Owner = v.Self.ID
		if u.Phase == messages.PhaseRunning {
			shown.ClaimedBy, shown.ClaimedSince = v.Self.ID, u.Since
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
func (v *View) Members(ctx context.Context) ([]web.Member, error) {
	if v.Shared == nil {
		return v.members(messages.ClusterDescription{}), nil
	}
	description, err := v.describe(ctx, messages.DescribeTree{Brief: true})
	return v.members(description.Cluster), err
}

func (v *View) members(c messages.ClusterDescription) []web.Member {
	if v.Shared == nil {
		self := v.Self
		self.Seen = v.Now()
		return []web.Member{self}
	}
	members := make([]web.Member, 0, c.Members.Len())
	peers := v.peers()
	cordons := map[string]*web.Standing{}
	for o := range c.Cordons.All() {
		cordons[o.Node] = cordon(o)
	}
	for m := range c.Members.All() {
		shown := v.member(m, peers)
		shown.Cordon = cordons[shown.ID]
		members = append(members, shown)
	}
	return members
}

func (v *View) member(m messages.MemberDescription, peers map[string]actors.Peer) web.Member {
	r := m.Member
	shown := web.Member{
		ID: r.Node, State: r.State.String(), Scheme: r.Scheme, Address: r.Address, Registered: r.Since, Zone: r.Zone, Version: r.Version,
		Tokens: tokensOf(r), Share: m.Share, Problem: r.Problem, Unfit: r.Unfit,
	}
	if peer, known := peers[r.Node]; known || r.Node == v.Shared.Node {
		alive := r.Node == v.Shared.Node || peer.Alive
		shown.Alive, shown.ClockAhead = &alive, peer.ClockAhead
		if alive {
			shown.Seen = v.Now()
		}
	}
	if r.Problem != "" || shown.Alive != nil && !*shown.Alive {
		shown.State = stateUnhealthy
	}
	return shown
}

// peers is what gossip says of each node; nil without gossip.
func (v *View) peers() map[string]actors.Peer {
	if v.Shared.Gossip == nil {
		return nil
	}
	peers := map[string]actors.Peer{}
	for _, p := range v.Shared.Gossip.Peers() {
		peers[p.Node] = p
	}
	return peers
}

// Retry implements web.Cluster.
func (v *View) Retry(ctx context.Context, config string) (known bool, err error) {
	description, err := v.Tree.DescribeOnly(ctx, messages.DescribeTree{Config: config})
	if err != nil {
		return false, err
	}
	for u := range description.Units.All() {
		if u.Unit.Config != config || !concernsNode(u, v.Self.ID) {
			continue
		}
		switch err := v.Tree.Retry(ctx, u.Unit); {
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

func tokensOf(m messages.Member) []uint32 {
	tokens := make([]uint32, 0, m.Tokens.Len())
	for t := range m.Tokens.All() {
		tokens = append(tokens, t)
	}
	return tokens
}
