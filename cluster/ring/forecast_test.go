package ring

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/messages"
)

func aForecast(members, configs int) Forecast {
	var f Forecast
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range members {
		f.Members = append(f.Members, Member{Name: fmt.Sprintf("n%d", i), Zone: fmt.Sprintf("z%d", i%2), Tokens: NewTokens(128, nil, rnd.Uint32)})
	}
	for i := range configs {
		f.Units = append(f.Units, messages.WholeConfig(fmt.Sprintf("app-%d", i)))
	}
	return f
}

func totals(s Shift) (before, after int) {
	for _, l := range s.Loads {
		before, after = before+l.Before, after+l.After
	}
	return before, after
}

func TestALeaveMovesWhatTheLeaverOwnsAndNothingElse(t *testing.T) {
	f := aForecast(3, 300)
	s, known := f.Leave("n1")
	require.True(t, known)
	require.Zero(t, s.Draws, "it is exact")
	before, after := totals(s)
	require.Equal(t, 300, before)
	require.Equal(t, 300, after)
	require.Equal(t, Load{Member: "n1", Before: s.Moved}, s.Loads[1])
	for i := range s.Before {
		if s.Before[i] == s.After[i] {
			continue
		}
		require.Equal(t, "n1", s.Before[i])
		require.NotContains(t, []string{"", "n1"}, s.After[i])
	}
	_, known = f.Leave("n9")
	require.False(t, known)
}

func TestTheLastOneToLeaveLeavesNobody(t *testing.T) {
	s, _ := aForecast(1, 5).Leave("n0")
	require.Equal(t, 5, s.Moved)
	require.Equal(t, make([]string, 5), s.After)
}

func TestAJoinMovesAboutThePartOfTheJoinersAndIsAnEstimate(t *testing.T) {
	f := aForecast(3, 1000)
	s, err := f.Join(t.Context(), 2, 7)
	require.NoError(t, err)
	require.InDelta(t, 400, s.Moved, 60, "2 of 5")
	require.Equal(t, forecastDraws, s.Draws)
	require.LessOrEqual(t, s.Least, s.Moved)
	require.GreaterOrEqual(t, s.Most, s.Moved)
	require.Empty(t, s.After)
	require.Len(t, s.Loads, 5)
	again, err := f.Join(t.Context(), 2, 7)
	require.NoError(t, err)
	require.Equal(t, s, again, "the same seed draws the same")
	other, err := f.Join(t.Context(), 2, 8)
	require.NoError(t, err)
	require.NotEqual(t, s.Loads, other.Loads)
}

func TestJoinersTakeNamesThatAreFreeAndZonesByTurns(t *testing.T) {
	f := aForecast(2, 10)
	f.Members[0].Name = "new-1"
	joiners := f.joiners(3, rand.New(rand.NewPCG(0, 0)))
	require.Equal(t, []string{"new-2", "new-3", "new-4"}, []string{joiners[0].Name, joiners[1].Name, joiners[2].Name})
	require.Equal(t, []string{"z0", "z1", "z0"}, []string{joiners[0].Zone, joiners[1].Zone, joiners[2].Zone})
	require.Len(t, joiners[0].Tokens, 128)
}

func TestReplicasAreOnDifferentMembersBeforeAndAfter(t *testing.T) {
	f := aForecast(3, 0)
	for i := range 100 {
		name := fmt.Sprintf("app-%d", i)
		f.Units = append(f.Units, messages.WholeConfig(name), messages.Unit{Config: name, Replica: 1})
	}
	owners := f.owners(f.Members)
	for i := 0; i < len(owners); i += 2 {
		require.NotEqual(t, owners[i], owners[i+1])
	}
	s, _ := f.Leave("n0")
	_, after := totals(s)
	require.Equal(t, 200, after)
	require.Empty(t, f.owners(f.Members[:1])[1], "there is nobody for a second replica")
}

func TestAForecastEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := aForecast(3, 10).Join(ctx, 1, 0)
	require.ErrorIs(t, err, context.Canceled)
}
