package daemon

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/cluster/ring"
	"github.com/ringmaster-agent/ringmaster/messages"
	"github.com/ringmaster-agent/ringmaster/web"
)

func aPlanning(members, configs int) planning {
	p := planning{}
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range members {
		p.members = append(p.members, ring.Member{Name: fmt.Sprintf("n%d", i), Zone: fmt.Sprintf("z%d", i%2), Tokens: ring.NewTokens(128, nil, rnd.Uint32)})
	}
	for i := range configs {
		p.units = append(p.units, messages.WholeConfig(fmt.Sprintf("app-%d", i)))
	}
	return p
}

func totals(p web.Plan) (before, after int) {
	for _, n := range p.Nodes {
		before, after = before+n.Before, after+n.After
	}
	return before, after
}

func TestALeaveMovesWhatTheLeaverOwnsAndNothingElse(t *testing.T) {
	p := aPlanning(3, 300)
	plan, err := p.plan(t.Context(), web.Change{Leave: "n1"})
	require.NoError(t, err)
	require.Zero(t, plan.Draws, "it is exact")
	require.Len(t, plan.Moves, plan.Moved)
	before, after := totals(plan)
	require.Equal(t, 300, before)
	require.Equal(t, 300, after)
	for _, n := range plan.Nodes {
		if n.Node == "n1" {
			require.Equal(t, plan.Moved, n.Before)
			require.Zero(t, n.After)
		}
	}
	for _, m := range plan.Moves {
		require.Equal(t, "n1", m.From)
		require.NotContains(t, []string{"", "n1"}, m.To)
	}
	_, err = p.plan(t.Context(), web.Change{Leave: "n9"})
	require.ErrorIs(t, err, cluster.ErrNotFound)
}

func TestTheLastOneToLeaveLeavesNobody(t *testing.T) {
	plan, err := aPlanning(1, 5).plan(t.Context(), web.Change{Leave: "n0"})
	require.NoError(t, err)
	require.Len(t, plan.Moves, 5)
	require.Empty(t, plan.Moves[0].To)
}

func TestAJoinMovesAboutThePartOfTheJoinersAndIsAnEstimate(t *testing.T) {
	p := aPlanning(3, 1000)
	plan, err := p.plan(t.Context(), web.Change{Join: 2, Seed: 7})
	require.NoError(t, err)
	require.InDelta(t, 400, plan.Moved, 60, "2 of 5")
	require.Equal(t, planDraws, plan.Draws)
	require.LessOrEqual(t, plan.Least, plan.Moved)
	require.GreaterOrEqual(t, plan.Most, plan.Moved)
	require.Empty(t, plan.Moves)
	require.Len(t, plan.Nodes, 5)
	again, err := p.plan(t.Context(), web.Change{Join: 2, Seed: 7})
	require.NoError(t, err)
	require.Equal(t, plan, again, "the same seed draws the same")
	other, err := p.plan(t.Context(), web.Change{Join: 2, Seed: 8})
	require.NoError(t, err)
	require.NotEqual(t, plan.Nodes, other.Nodes)
}

func TestJoinersTakeNamesThatAreFreeAndZonesByTurns(t *testing.T) {
	p := aPlanning(2, 10)
	p.zoneAware = true
	p.members[0].Name = "new-1"
	joiners := p.joiners(web.Change{Join: 3}, 0)
	require.Equal(t, []string{"new-2", "new-3", "new-4"}, []string{joiners[0].Name, joiners[1].Name, joiners[2].Name})
	require.Equal(t, []string{"z0", "z1", "z0"}, []string{joiners[0].Zone, joiners[1].Zone, joiners[2].Zone})
	require.Len(t, joiners[0].Tokens, 128)
}

func TestReplicasAreOnDifferentMembersBeforeAndAfter(t *testing.T) {
	p := aPlanning(3, 0)
	for i := range 100 {
		name := fmt.Sprintf("app-%d", i)
		p.units = append(p.units, messages.WholeConfig(name), messages.Unit{Config: name, Replica: 1})
	}
	owners := p.owners(p.ring(p.members))
	for i := 0; i < len(owners); i += 2 {
		require.NotEqual(t, owners[i], owners[i+1])
	}
	plan, err := p.plan(t.Context(), web.Change{Leave: "n0"})
	require.NoError(t, err)
	_, after := totals(plan)
	require.Equal(t, 200, after)
	one := aPlanning(1, 0)
	one.units = p.units
	require.Empty(t, one.owners(one.ring(one.members))[1], "there is nobody for a second replica")
}

func TestAPlanEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := aPlanning(3, 10).plan(ctx, web.Change{Join: 1})
	require.ErrorIs(t, err, context.Canceled)
}
