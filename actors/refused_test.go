package actors

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/actors/reshard"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// A node that has lost its session and has another one goes on running, without permission, what it
// ran. Who has claimed a unit meanwhile, and left it again, may have taken ticks that this node
// thinks are due.
func TestAUnitWhoseClaimWasRefusedStartsAnew(t *testing.T) {
	s := quietSupervisor(10)
	var id messages.Unit
	for id = range s.units.all {
		break
	}
	s.membership.session = "another"
	claim := s.membership.registry.Claims()[id]
	require.True(t, s.membership.registry.Fold(messages.ClaimGone{Unit: id, Revision: claim.Revision + 100}))
	decide := func() reshard.Plan { return reshard.Decide(s.view(s.now(), map[messages.Unit]bool{id: true})) }
	plan := decide()
	require.Empty(t, plan.Stop)
	require.Len(t, plan.Write, 1, "nobody is known to have run it")

	s.agenda.take()
	require.False(t, s.units.refused(reshard.Record{Unit: id, Intent: true}, s.membership.session))
	require.Empty(t, decide().Stop, "an intent says nothing of who ran it")
	require.True(t, s.units.refused(reshard.Record{Unit: id}, s.membership.session))
	require.Equal(t, []reshard.Stop{{Unit: id, Reason: messages.Fenced}}, decide().Stop)
}

func TestARefusedClaimStopsNothingThatMayScrape(t *testing.T) {
	s := quietSupervisor(10)
	s.membership.session = "another"
	for id, u := range s.units.all {
		u.permit.allow(s.membership.session)
		require.False(t, s.units.refused(reshard.Record{Unit: id}, s.membership.session))
		require.False(t, u.contested)
	}
}
