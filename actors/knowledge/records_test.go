package knowledge_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	. "github.com/ringmaster-agent/ringmaster/actors/knowledge"
	"github.com/ringmaster-agent/ringmaster/messages"
)

var app = messages.WholeConfig("app")

func claimAt(revision int64) messages.Claim {
	return messages.Claim{Unit: app, Node: "me", Session: "now", Revision: revision}
}

func put(revision int64) messages.RegistryEvent { return messages.ClaimPut{Claim: claimAt(revision)} }

func gone(revision int64) messages.RegistryEvent {
	return messages.ClaimGone{Unit: app, Revision: revision}
}

func listed(revision int64, claims ...messages.Claim) messages.RegistryEvent {
	return messages.RegistryListed{Revision: revision, Claims: messages.NewList(claims...)}
}

func afresh(revision int64, claims ...messages.Claim) messages.RegistryEvent {
	return messages.RegistryListed{Revision: revision, Claims: messages.NewList(claims...), Afresh: true}
}

func TestRecords(t *testing.T) {
	type events []messages.RegistryEvent
	for _, test := range []struct {
		name   string
		before events
		event  messages.RegistryEvent
		// want is the revision of the claim that is known after, 0: none.
		want    int64
		changed bool
	}{
		{"A record that is new is taken", nil, put(2), 2, true},
		{"A newer one replaces it", events{put(2)}, put(3), 3, true},
		{"An older one is dropped", events{put(3)}, put(2), 3, false},
		{"The same one changes nothing", events{put(2)}, put(2), 2, false},
		{"A record that goes is gone", events{put(2)}, gone(3), 0, true},
		{"An older deletion is dropped", events{put(3)}, gone(2), 3, false},
		{"The deletion of what is not known is remembered", events{gone(3)}, put(2), 0, false},
		{"What comes after a deletion is taken", events{put(2), gone(3)}, put(4), 4, true},
		{"An older deletion does not make a newer one forgotten", events{gone(5), gone(3)}, put(4), 0, false},
		{"The first listing is a change although it is empty", nil, listed(2), 0, true},
		{"A listing brings what is not known", events{listed(1)}, listed(3, claimAt(2)), 2, true},
		{"A listing that says what is known changes nothing", events{listed(3, claimAt(2))}, listed(4, claimAt(2)), 2, false},
		{"What a listing lacks is gone", events{listed(3, claimAt(2))}, listed(4), 0, true},
		{"What is newer than the listing that lacks it stays", events{listed(1), put(5)}, listed(4), 5, false},
		{"What is newer than what the listing has stays", events{listed(1), put(5)}, listed(4, claimAt(3)), 5, false},
		{"What is deleted after the listing that has it is gone", events{listed(1), gone(5)}, listed(4, claimAt(3)), 0, false},
		{"A put that is older than the listing that lacks it is dropped", events{listed(4)}, put(3), 0, false},
		{"A deletion that is older than the listing is dropped", events{listed(4, claimAt(2))}, gone(3), 2, false},
		{"A put at the revision of the listing is in it", events{listed(4)}, put(4), 0, false},
		{"A listing that is older than the one before is dropped", events{listed(9)}, listed(4, claimAt(2)), 0, false},
		{"A listing that is older than the one before takes nothing away", events{listed(9, claimAt(3))}, listed(2), 3, false},
		{"A store that is another one is believed although it is behind", events{listed(9, claimAt(8))}, afresh(2), 0, true},
		{"A store that is another one is believed about what it has", events{listed(9, claimAt(8)), gone(10)}, afresh(2, claimAt(1)), 1, true},
		{"After a store that is another one revisions count from there", events{listed(9, claimAt(8)), gone(10), afresh(2)}, put(3), 3, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := NewRecords()
			for _, e := range test.before {
				r.Fold(e)
			}
			require.Equal(t, test.changed, r.Fold(test.event))
			require.Equal(t, test.want, r.Claims()[app].Revision)
			_, known := r.Claims()[app]
			require.Equal(t, test.want != 0, known)
		})
	}
}

func TestARegistryThatWasNotListedSaysSo(t *testing.T) {
	r := NewRecords()
	r.Fold(put(2))
	require.False(t, r.Listed())
	r.Fold(listed(3))
	require.True(t, r.Listed())
}

func TestARegistryKeepsMembersClaimsAndIntentsApart(t *testing.T) {
	r := NewRecords()
	member := messages.Member{Node: "app", Revision: 2}
	intent := messages.Intent{Unit: app, Node: "me", Revision: 3}
	require.True(t, r.Fold(messages.MemberPut{Member: member}))
	require.True(t, r.Fold(messages.IntentPut{Intent: intent}))
	require.True(t, r.Fold(put(4)))
	require.True(t, r.Fold(gone(5)))
	require.Equal(t, map[string]messages.Member{"app": member}, r.Members())
	require.Equal(t, map[messages.Unit]messages.Intent{app: intent}, r.Intents())
	require.Empty(t, r.Claims())
	require.True(t, r.Fold(messages.MemberGone{Node: "app", Revision: 6}))
	require.True(t, r.Fold(messages.IntentGone{Unit: app, Revision: 6}))
	require.Empty(t, r.Members())
	require.Empty(t, r.Intents())
	require.True(t, r.Fold(messages.RegistryListed{Revision: 9, Members: messages.NewList(member), Intents: messages.NewList(intent)}))
	require.Len(t, r.Members(), 1)
	require.Len(t, r.Intents(), 1)
}

func TestAClaimIsGivenUpUntilItIsAnother(t *testing.T) {
	for _, test := range []struct {
		name  string
		event messages.RegistryEvent
		still bool
	}{
		{"It is told again", put(5), true},
		{"Something older is told", gone(4), true},
		{"A listing has it", listed(6, claimAt(5)), true},
		{"A listing has another one", listed(6, claimAt(6)), false},
		{"A listing lacks it", listed(6), false},
		{"There is a newer one", put(6), false},
		{"It is gone", gone(6), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := NewRecords()
			r.Fold(put(5))
			r.GiveUp(app, 5)
			r.Fold(test.event)
			require.Equal(t, test.still, r.GivenUp()[app] == 5)
			require.Equal(t, test.still, len(r.GivenUp()) == 1)
		})
	}
}

func TestAClaimThatARestoreHasBroughtBackIsGivenUp(t *testing.T) {
	for _, test := range []struct {
		name          string
		before, event messages.RegistryEvent
		givenUp       bool
	}{
		{"There was a later one", listed(9, claimAt(8)), afresh(6, claimAt(5)), true},
		{"There was none any more", listed(9), afresh(6, claimAt(5)), true},
		{"It was removed a moment ago", gone(12), afresh(11, claimAt(11)), true},
		{"It is the same as before", listed(9, claimAt(5)), afresh(6, claimAt(5)), false},
		{"It is newer than all that was known", listed(9, claimAt(5)), afresh(10, claimAt(10)), false},
		{"The store did not go back", listed(9, claimAt(5)), listed(10, claimAt(10)), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := NewRecords()
			r.Fold(listed(4))
			r.Fold(test.before)
			r.Fold(test.event)
			require.Equal(t, test.givenUp, len(r.GivenUp()) == 1)
			r.Fold(test.event)
			require.Equal(t, test.givenUp, len(r.GivenUp()) == 1, "also when it is listed again")
			r.Fold(put(20))
			require.Empty(t, r.GivenUp(), "a new claim counts")
		})
	}
}

// Events and listings of one history, in any order, some of them twice and some never, lead to the
// state of the newest listing and of what came after it.
func TestARegistryEndsWhereTheStoreIs(t *testing.T) {
	for seed := range uint64(3000) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		history, known := randomHistory(rnd)
		// What is told is everything after the last listing, and anything before it.
		last := slices.IndexFunc(history, func(e messages.RegistryEvent) bool { _, ok := e.(messages.RegistryListed); return ok })
		for i, e := range history {
			if _, ok := e.(messages.RegistryListed); ok {
				last = i
			}
		}
		var told []messages.RegistryEvent
		for i, e := range history {
			for range rnd.IntN(3) {
				told = append(told, e)
			}
			if i >= last {
				told = append(told, e)
			}
		}
		rnd.Shuffle(len(told), func(i, j int) { told[i], told[j] = told[j], told[i] })
		r := NewRecords()
		for _, e := range told {
			before := maps.Clone(r.Claims())
			changed := r.Fold(e)
			if !changed {
				require.Equal(t, before, maps.Clone(r.Claims()), "seed %d", seed)
			}
		}
		require.Equal(t, known, maps.Clone(r.Claims()), "seed %d: %v", seed, told)
		for _, e := range told {
			require.False(t, r.Fold(e), "seed %d: nothing that was told is news", seed)
		}
	}
}

// randomHistory is what happens in a store, told as events with a listing now and then, and what it
// holds in the end.
func randomHistory(rnd *rand.Rand) ([]messages.RegistryEvent, map[messages.Unit]messages.Claim) {
	known := map[messages.Unit]messages.Claim{}
	var history []messages.RegistryEvent
	for revision := range int64(2 + rnd.IntN(20)) {
		revision++
		unit := messages.Unit{Config: "app", Slice: rnd.IntN(3)}
		if _, ok := known[unit]; ok && rnd.IntN(2) == 0 {
			delete(known, unit)
			history = append(history, messages.ClaimGone{Unit: unit, Revision: revision})
		} else {
			known[unit] = messages.Claim{Unit: unit, Node: "me", Revision: revision}
			history = append(history, messages.ClaimPut{Claim: known[unit]})
		}
		if revision == 1 || rnd.IntN(6) == 0 {
			history = append(history, messages.RegistryListed{Revision: revision, Claims: messages.NewList(slices.Collect(maps.Values(known))...)})
		}
	}
	return history, known
}
