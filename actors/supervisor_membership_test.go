package actors

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/messages"
)

func TestWhereAGenerationEndedCountsOnlyWhileItsClaimIsTheNewest(t *testing.T) {
	id := messages.WholeConfig("app")
	claimed := func(node, incarnation string, revision int64) messages.RegistryListed {
		return messages.RegistryListed{Revision: 50, Claims: messages.NewList(messages.Claim{Unit: id, Node: node, Incarnation: incarnation, Session: "s", Revision: revision})}
	}
	for name, test := range map[string]struct {
		listed     messages.RegistryListed
		handoverOf int64
		outdated   bool
	}{
		"its claim is the newest":                    {claimed("a", "a.1", 40), 40, false},
		"this process has claimed the unit again":    {claimed("a", "a.1", 41), 40, true},
		"another node has claimed it":                {claimed("b", "b.1", 40), 40, true},
		"an earlier process of this node had it":     {claimed("a", "a.0", 40), 40, true},
		"there is no claim":                          {messages.RegistryListed{Revision: 50}, 40, true},
		"it had no claim, so there is nothing to do": {messages.RegistryListed{Revision: 50}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMembership((&Cluster{Node: "a"}).WithDefaults())
			m.sessionChanged(messages.SessionChanged{Session: "s", Incarnation: "a.1"}, time.Time{})
			m.fold(test.listed, time.Time{})
			u := &unit{Unit: id}
			u.handoverOf = test.handoverOf
			require.Equal(t, test.outdated, m.outdates(u))
		})
	}
}

func TestWhoHearsThatTheStoreIsAnotherWaitsForThoseWhoHaveNotHeard(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	m := newMembership((&Cluster{Node: "a"}).WithDefaults())
	m.recalled = true
	m.fold(messages.RegistryListed{Revision: 50, Afresh: true}, now)
	require.Zero(t, m.takeFrom, "it has heard of no other store before")
	m.fold(messages.RegistryListed{Revision: 51}, now)
	require.Zero(t, m.takeFrom, "it is the same")
	m.fold(messages.RegistryListed{Revision: 52, Afresh: true}, now)
	require.Equal(t, now.Add(m.othersReturn), m.takeFrom)
	require.GreaterOrEqual(t, m.othersReturn, 3*time.Second)
}
