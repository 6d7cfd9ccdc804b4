package clusterview

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/messages"
	"github.com/ringmaster-agent/ringmaster/web"
)

// fakeTree is a supervisor that says what it was given.
type fakeTree struct {
	description messages.TreeDescription
	retried     []messages.Unit
	unknown     bool
	ordered     []messages.Order
	refused     error
	forget      error
}

func (f *fakeTree) DescribeOnly(context.Context, messages.DescribeTree) (messages.TreeDescription, error) {
	return f.description, nil
}
func (f *fakeTree) Retry(_ context.Context, u messages.Unit) error {
	f.retried = append(f.retried, u)
	if f.unknown {
		return actors.ErrUnknownUnit
	}
	return nil
}

func (f *fakeTree) Order(_ context.Context, o messages.Order) error {
	f.ordered = append(f.ordered, o)
	return f.refused
}

func (f *fakeTree) Forget(context.Context, string) error { return f.forget }

// fakeGossip knows some peers.
type fakeGossip struct {
	actors.Gossip
	peers []actors.Peer
}

func (f fakeGossip) Peers() []actors.Peer { return f.peers }

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func aView(tree *fakeTree, shared *actors.Cluster) *View {
	alive := true
	return New(Options{
		Self:   web.Member{ID: "me", State: web.StateActive, Address: "127.0.0.1:1", Share: 1, Alive: &alive},
		Shared: shared, Tree: tree, Now: func() time.Time { return noon },
	})
}

func TestANodeAloneIsAClusterOfOne(t *testing.T) {
	tree := &fakeTree{description: messages.TreeDescription{Complete: true, Units: messages.NewList(
		messages.UnitDescription{Unit: messages.WholeConfig("a"), Phase: messages.PhaseRunning, Since: noon},
		messages.UnitDescription{Unit: messages.WholeConfig("b"), Phase: messages.PhaseQuarantined},
		messages.UnitDescription{Unit: messages.WholeConfig("own"), Phase: messages.PhaseRunning, Local: true},
	)}}
	view := aView(tree, nil)
	state, err := view.State(t.Context(), web.Scope{})
	require.NoError(t, err)
	require.True(t, state.Settled)
	require.True(t, state.Permitted)
	require.Equal(t, 1, state.Unowned)
	require.Len(t, state.Members, 1)
	require.Equal(t, noon, state.Members[0].Seen)
	require.Equal(t, web.Unit{Config: "a", Owner: "me", ClaimedBy: "me", ClaimedSince: noon, Phase: "running"}, state.Units[0])
	require.Equal(t, web.Unit{Config: "b", Owner: "me", Phase: "quarantined"}, state.Units[1])
	require.True(t, state.Units[2].Local)

	members, err := view.Members(t.Context())
	require.NoError(t, err)
	require.Equal(t, state.Members[0].ID, members[0].ID)
	require.ErrorIs(t, view.Forget(t.Context(), "me"), web.ErrForgetSelf)
	require.ErrorIs(t, view.Forget(t.Context(), "other"), cluster.ErrNotFound)

	plan, err := view.Plan(t.Context(), web.Change{Join: 1})
	require.NoError(t, err)
	require.Equal(t, 2, plan.Units, "what is of the main file stays")
	_, err = view.Plan(t.Context(), web.Change{Leave: "other"})
	require.ErrorIs(t, err, cluster.ErrNotFound)
}

func TestMembersShowWhatTheirRecordsAndGossipSay(t *testing.T) {
	record := func(node string, state messages.MemberState) messages.MemberDescription {
		return messages.MemberDescription{Share: 0.25, Member: messages.Member{
			Node: node, State: state, Address: node + ":1", Scheme: "https", Since: noon, Version: "1", Tokens: messages.NewList[uint32](1, 2),
		}}
	}
	broken := messages.MemberDescription{Member: messages.Member{Node: "broken", Problem: "not JSON"}}
	tree := &fakeTree{description: messages.TreeDescription{Cluster: messages.ClusterDescription{
		Node: "me", Session: "s", Settled: true, Permitted: true, Unowned: 7,
		Members: messages.NewList(broken, record("dead", messages.Active), record("joiner", messages.Joining), record("me", messages.Active), record("quiet", messages.Leaving)),
		Moves:   messages.NewList(messages.Move{Unit: messages.WholeConfig("old")}, messages.Move{Unit: messages.Unit{Config: "new", Slice: 1, Replica: 2}, Reason: messages.MoveHandedOver}),
	}}}
	gossip := fakeGossip{peers: []actors.Peer{{Node: "joiner", Alive: true}, {Node: "dead"}}}
	state, err := aView(tree, &actors.Cluster{Node: "me", Gossip: gossip}).State(t.Context(), web.Scope{})
	require.NoError(t, err)
	states, alive := map[string]string{}, map[string]*bool{}
	for _, m := range state.Members {
		states[m.ID], alive[m.ID] = m.State, m.Alive
	}
	require.Equal(t, map[string]string{"broken": "UNHEALTHY", "dead": "UNHEALTHY", "joiner": "JOINING", "me": "ACTIVE", "quiet": "LEAVING"}, states)
	require.True(t, *alive["me"])
	require.True(t, *alive["joiner"])
	require.False(t, *alive["dead"])
	require.Nil(t, alive["quiet"], "gossip says nothing")
	require.Equal(t, 7, state.Unowned)
	require.Equal(t, []string{"new", "old"}, []string{state.Moves[0].Config, state.Moves[1].Config}, "newest first")
	require.Equal(t, "slice 1, replica 2", state.Moves[0].Name)
	require.Equal(t, "handed over", state.Moves[0].Reason)

	without, err := aView(tree, &actors.Cluster{Node: "me"}).State(t.Context(), web.Scope{})
	require.NoError(t, err)
	for _, m := range without.Members {
		if m.ID == "dead" {
			require.Nil(t, m.Alive)
			require.Equal(t, "ACTIVE", m.State, "without gossip nobody is taken for dead")
		}
	}
}

func TestWhatAnotherNodeRunsIsNoneOfOurInstances(t *testing.T) {
	for name, c := range map[string]struct {
		unit messages.UnitDescription
		ours bool
	}{
		"another's":             {messages.UnitDescription{Owner: "other", ClaimedBy: "other", Phase: messages.PhaseWaiting}, false},
		"another's now":         {messages.UnitDescription{Owner: "other", ClaimedBy: "other", Phase: messages.PhaseStopped}, false},
		"ours and waiting":      {messages.UnitDescription{Owner: "me", Owned: true, ClaimedBy: "other", Phase: messages.PhaseWaiting}, true},
		"being handed over":     {messages.UnitDescription{Owner: "other", ClaimedBy: "me", Phase: messages.PhaseRunning}, true},
		"draining":              {messages.UnitDescription{Owner: "other", ClaimedBy: "other", Phase: messages.PhaseDraining}, true},
		"failed with our claim": {messages.UnitDescription{Owner: "other", ClaimedBy: "me", Phase: messages.PhaseQuarantined}, true},
		"nobody's, as we know":  {messages.UnitDescription{Phase: messages.PhaseWaiting}, true},
	} {
		require.Equal(t, c.ours, concernsNode(c.unit, "me"), name)
	}
}

func TestARetryIsForAllUnitsOfAConfigOnThisNode(t *testing.T) {
	first, second := messages.WholeConfig("a"), messages.Unit{Config: "a", Slice: 1}
	tree := &fakeTree{description: messages.TreeDescription{Units: messages.NewList(
		messages.UnitDescription{Unit: first, Owned: true, Owner: "me", Phase: messages.PhaseQuarantined},
		messages.UnitDescription{Unit: second, Owned: true, Owner: "me", Phase: messages.PhaseRunning},
		messages.UnitDescription{Unit: messages.Unit{Config: "a", Slice: 2}, Owner: "other", Phase: messages.PhaseWaiting},
		messages.UnitDescription{Unit: messages.WholeConfig("b"), Owned: true, Owner: "me", Phase: messages.PhaseQuarantined},
	)}}
	known, err := aView(tree, &actors.Cluster{Node: "me"}).Retry(t.Context(), "a")
	require.NoError(t, err)
	require.True(t, known)
	require.Equal(t, []messages.Unit{first, second}, tree.retried)
	tree.unknown = true
	known, err = aView(tree, &actors.Cluster{Node: "me"}).Retry(t.Context(), "a")
	require.NoError(t, err)
	require.False(t, known, "nothing was started yet")
}

func TestAMemberIsForgottenByTheTreeWhichMayRefuse(t *testing.T) {
	shared := &actors.Cluster{Node: "me"}
	tree := &fakeTree{}
	require.ErrorIs(t, aView(tree, shared).Forget(t.Context(), "me"), web.ErrForgetSelf)
	require.ErrorIs(t, aView(tree, nil).Forget(t.Context(), "other"), cluster.ErrNotFound)
	require.NoError(t, aView(tree, shared).Forget(t.Context(), "other"))
	tree.forget = actors.ErrUnknownMember
	require.ErrorIs(t, aView(tree, shared).Forget(t.Context(), "stranger"), cluster.ErrNotFound)
	tree.forget = fmt.Errorf("%w: it is alive", actors.ErrMemberStays)
	err := aView(tree, shared).Forget(t.Context(), "other")
	require.ErrorIs(t, err, web.ErrMemberStays)
	require.ErrorContains(t, err, "it is alive")
}

func TestOrdersArePassedOnAndShown(t *testing.T) {
	tree := &fakeTree{description: messages.TreeDescription{
		Units: messages.NewList(
			messages.UnitDescription{Unit: messages.WholeConfig("app"), Owner: "me", Hold: "held by ann"},
			messages.UnitDescription{Unit: messages.WholeConfig("own"), Local: true, Phase: messages.PhaseRunning}),
		Cluster: messages.ClusterDescription{
			Members: messages.NewList(messages.MemberDescription{Member: messages.Member{Node: "me"}}, messages.MemberDescription{Member: messages.Member{Node: "other"}}),
			Holds:   messages.NewList(messages.ConfigHold{Config: "app", By: "ann"}, messages.ConfigHold{Config: "own"}),
			Cordons: messages.NewList(messages.NodeCordon{Node: "absent"}, messages.NodeCordon{Node: "other", Drain: true, Reason: "disk"}),
		},
	}}
	view := aView(tree, &actors.Cluster{Node: "me"})
	state, err := view.State(t.Context(), web.Scope{})
	require.NoError(t, err)
	require.Equal(t, []web.Standing{{Kind: web.HoldConfig, Name: "app", By: "ann"}, {Kind: web.HoldConfig, Name: "own"}}, state.Held)
	require.Equal(t, []web.Standing{{Kind: web.CordonNode, Name: "absent"}, {Kind: web.DrainNode, Name: "other", Reason: "disk"}}, state.Cordons)
	require.True(t, state.Units[0].Held)
	require.False(t, state.Units[1].Held, "what the main file has is not held")
	require.Nil(t, state.Members[0].Cordon)
	require.Equal(t, &web.Standing{Kind: web.DrainNode, Name: "other", Reason: "disk"}, state.Members[1].Cordon)

	for order, want := range map[web.Order]messages.Order{
		{Kind: web.HoldConfig, Name: "app", Reason: "r", By: "b"}:         messages.HoldConfig{Config: "app", Reason: "r", By: "b"},
		{Kind: web.ReleaseConfig, Name: "app"}:                            messages.ReleaseConfig{Config: "app"},
		{Kind: web.CordonNode, Name: "other", By: "b"}:                    messages.CordonNode{Node: "other", By: "b"},
		{Kind: web.DrainNode, Name: "other", Force: true, Reason: "disk"}: messages.CordonNode{Node: "other", Drain: true, Force: true, Reason: "disk"},
		{Kind: web.UncordonNode, Name: "other"}:                           messages.UncordonNode{Node: "other"},
	} {
		tree.ordered = nil
		require.NoError(t, view.Order(t.Context(), order))
		require.Equal(t, []messages.Order{want}, tree.ordered)
	}
	require.ErrorIs(t, view.Order(t.Context(), web.Order{Kind: "dance"}), web.ErrOrderRefused)
	tree.refused = actors.ErrNoSubject
	require.ErrorIs(t, view.Order(t.Context(), web.Order{Kind: web.UncordonNode}), cluster.ErrNotFound)
	tree.refused = fmt.Errorf("%w: too few", actors.ErrOrderRefused)
	err = view.Order(t.Context(), web.Order{Kind: web.DrainNode})
	require.ErrorIs(t, err, web.ErrOrderRefused)
	require.EqualError(t, err, "order refused: too few")
}
