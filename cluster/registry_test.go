package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/cluster/memstore"
	"github.com/ringmaster-agent/ringmaster/messages"
)

var (
	noon = time.Date(2026, 1, 1, 13, 0, 0, 5, time.FixedZone("CET", 3600))
	app  = messages.WholeConfig("app")
	part = messages.Unit{Config: "team/app", Slice: 2, Replica: 1}
)

func newRegistry(t *testing.T, prefix string) (*cluster.Registry, *memstore.Client) {
	store := memstore.New()
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return cluster.NewRegistry(store, prefix), store
}

func openSession(t *testing.T, s cluster.Store) cluster.Session {
	t.Helper()
	session, err := s.OpenSession(t.Context(), 10*time.Second)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, session.Close(context.WithoutCancel(t.Context()))) })
	return session
}

// next returns the next change of a watch, which has to come.
func next(t *testing.T, pull func() (cluster.RegistryChange, bool)) cluster.RegistryChange {
	t.Helper()
	change, ok := pull()
	require.True(t, ok, "the watch has ended")
	return change
}

func someMember(node string) messages.Member {
	return messages.Member{
		Node: node, Address: "10.0.0.1:9090", Scheme: "https", Gossip: "10.0.0.1:7946", Zone: "a", State: messages.Active,
		Tokens: messages.NewList[uint32](1, 4294967295), Settings: "digest", Version: "v1", Since: noon,
	}
}

func claims(units ...messages.Unit) (writes []messages.RecordWrite) {
	for _, u := range units {
		writes = append(writes, messages.RecordWrite{Unit: u, Kind: messages.ClaimUnit})
	}
	return writes
}

func TestAMemberComesBackAsItWasWritten(t *testing.T) {
	r, store := newRegistry(t, "collectors/")
	session := openSession(t, store)
	for _, state := range []messages.MemberState{messages.Joining, messages.Active, messages.Leaving} {
		m := someMember("a/b c")
		m.State = state
		rev, err := r.PutMember(t.Context(), m, session, cluster.Condition{})
		require.NoError(t, err)
		m.Revision, m.Session, m.Since = rev, session.ID(), noon.UTC()
		got, err := r.GetMember(t.Context(), "a/b c")
		require.NoError(t, err)
		require.Equal(t, m, got)
		listed, err := r.List(t.Context())
		require.NoError(t, err)
		require.Equal(t, messages.RegistryListed{Members: messages.NewList(m), Revision: rev}, listed)
	}
	_, err := store.Get(t.Context(), "collectors/members/a/b c")
	require.NoError(t, err, "prefix, folder and name are concatenated")
}

func TestAMemberGoesWithItsSessionOrWhenItIsRemoved(t *testing.T) {
	r, store := newRegistry(t, "collectors/")
	session := openSession(t, store)
	for _, node := range []string{"a", "b"} {
		_, err := r.PutMember(t.Context(), someMember(node), session, cluster.Condition{})
		require.NoError(t, err)
	}
	require.NoError(t, r.RemoveMember(t.Context(), "a", cluster.Condition{}))
	require.ErrorIs(t, r.RemoveMember(t.Context(), "a", cluster.Condition{}), cluster.ErrNotFound)
	require.NoError(t, store.EndSession(t.Context(), session.ID()))
	_, err := r.GetMember(t.Context(), "b")
	require.ErrorIs(t, err, cluster.ErrNotFound)
	_, err = r.PutMember(t.Context(), someMember("b"), session, cluster.Condition{})
	require.ErrorIs(t, err, cluster.ErrSessionLost)
}

func TestAMembersConditionReachesTheStore(t *testing.T) {
	r, store := newRegistry(t, "")
	session := openSession(t, store)
	rev, err := r.PutMember(t.Context(), someMember("a"), session, cluster.Condition{Absent: true})
	require.NoError(t, err)
	_, err = r.PutMember(t.Context(), someMember("a"), session, cluster.Condition{Absent: true})
	require.ErrorIs(t, err, cluster.ErrConflict)
	_, err = r.PutMember(t.Context(), someMember("a"), session, cluster.Condition{Revision: rev})
	require.NoError(t, err)
}

// me is the process that writes.
var me = cluster.Author{Node: "me", Incarnation: "first"}

// What Write returns is what a watch tells and what a listing has, field by field, so nobody sees a
// difference between them.
func TestAWriteReturnsWhatTheStoreTells(t *testing.T) {
	r, store := newRegistry(t, "collectors/")
	session := openSession(t, store)
	pull, stop := iter.Pull(r.Watch(t.Context(), 0))
	defer stop()
	step := func(writes ...messages.RecordWrite) []messages.RegistryEvent {
		written, err := r.Write(t.Context(), me, session, noon.Add(time.Nanosecond), writes)
		require.NoError(t, err)
		require.Len(t, written, len(writes))
		var seen, events []messages.RegistryEvent
		for i := range written {
			require.Equal(t, writes[i].Record(), written[i].Record)
			events = append(events, written[i].Event())
			seen = append(seen, next(t, pull).Event)
		}
		require.ElementsMatch(t, events, seen)
		return events
	}
	claimed := step(append(claims(app, part), messages.RecordWrite{Unit: app, Kind: messages.IntendUnit})...)
	claim := claimed[0].(messages.ClaimPut).Claim
	require.Equal(t, messages.Claim{Unit: app, Node: "me", Incarnation: "first", Session: session.ID(), Revision: claim.Revision, Since: noon.UTC().Add(time.Nanosecond)}, claim)
	require.Equal(t, part, claimed[1].(messages.ClaimPut).Claim.Unit)
	intent := claimed[2].(messages.IntentPut).Intent

	listed, err := r.List(t.Context())
	require.NoError(t, err)
	require.Equal(t, messages.NewList(intent), listed.Intents)
	require.Equal(t, 2, listed.Claims.Len())
	require.Equal(t, claim, listed.Claims.At(0))
	require.Equal(t, claim.Revision, listed.Revision, "one batch is one revision")

	released := step(messages.RecordWrite{Unit: app, Kind: messages.ReleaseUnit, Revision: claim.Revision, Handover: `ticks "<&>" 1`})
	claim = released[0].(messages.ClaimPut).Claim
	require.True(t, claim.Released)
	require.Equal(t, messages.Handover(`ticks "<&>" 1`), claim.Handover)
	gone := step(messages.RecordWrite{Unit: app, Kind: messages.RemoveClaim, Revision: claim.Revision},
		messages.RecordWrite{Unit: app, Kind: messages.WithdrawIntent, Revision: intent.Revision})
	require.IsType(t, messages.ClaimGone{}, gone[0])
	require.IsType(t, messages.IntentGone{}, gone[1])
}

func TestAWriteWhoseConditionDoesNotHoldIsLeftOut(t *testing.T) {
	r, store := newRegistry(t, "collectors/")
	session := openSession(t, store)
	first, err := r.Write(t.Context(), me, session, noon, claims(app))
	require.NoError(t, err)
	revision := first[0].Claim.Revision
	for _, test := range []struct {
		name  string
		write messages.RecordWrite
	}{
		{"A claim on what is claimed", messages.RecordWrite{Unit: app}},
		{"A claim on what has changed", messages.RecordWrite{Unit: app, Revision: revision + 1}},
		{"A release of what has changed", messages.RecordWrite{Unit: app, Kind: messages.ReleaseUnit, Revision: revision + 1}},
		{"A claim on what has gone", messages.RecordWrite{Unit: messages.WholeConfig("b"), Revision: revision}},
		{"A removal of what has changed", messages.RecordWrite{Unit: app, Kind: messages.RemoveClaim, Revision: revision + 1}},
		{"A removal of what has gone", messages.RecordWrite{Unit: messages.WholeConfig("b"), Kind: messages.RemoveClaim, Revision: revision}},
	} {
		t.Run(test.name, func(t *testing.T) {
			other := messages.WholeConfig(test.name)
			events, err := r.Write(t.Context(), cluster.Author{Node: "other"}, session, noon, append(claims(other), test.write))
			require.NoError(t, err)
			require.False(t, events[0].Refused, "its neighbour is written")
			require.True(t, events[1].Refused)
			require.Nil(t, events[1].Event())
			listed, err := r.List(t.Context())
			require.NoError(t, err)
			require.Contains(t, slices.Collect(listed.Claims.All()), first[0].Claim, "it is as it was")
		})
	}
}

func TestNothingIsWrittenWithoutASession(t *testing.T) {
	r, store := newRegistry(t, "collectors/")
	session := openSession(t, store)
	_, err := r.Write(t.Context(), me, session, noon, claims(app, part))
	require.NoError(t, err)
	require.NoError(t, store.EndSession(t.Context(), session.ID()))
	listed, err := r.List(t.Context())
	require.NoError(t, err)
	require.Zero(t, listed.Claims.Len(), "claims end with their session")
	events, err := r.Write(t.Context(), me, session, noon, claims(app))
	require.ErrorIs(t, err, cluster.ErrSessionLost)
	require.Empty(t, events)
}

func TestWritesAreBoundedAndFailAsAWhole(t *testing.T) {
	r, store := newRegistry(t, "collectors/")
	session := openSession(t, store)
	var units []messages.Unit
	for i := range cluster.MaxBatch + 1 {
		units = append(units, messages.WholeConfig(fmt.Sprint("app-", i)))
	}
	_, err := r.Write(t.Context(), me, session, noon, claims(units...))
	require.ErrorContains(t, err, "101")
	events, err := r.Write(t.Context(), me, session, noon, claims(units[1:]...))
	require.NoError(t, err)
	require.Len(t, events, cluster.MaxBatch)
	events, err = r.Write(t.Context(), me, session, noon, nil)
	require.NoError(t, err)
	require.Empty(t, events)
	store.FailNext(memstore.OpBatch, errors.New("no"))
	_, err = r.Write(t.Context(), me, session, noon, claims(app))
	require.ErrorContains(t, err, "write 1 claims and intents: ")
	store.FailNext(memstore.OpList, errors.New("no"))
	_, err = r.List(t.Context())
	require.ErrorContains(t, err, "list members and claims: ")
}

func TestWhatCanNotBeReadIsToldAsSuch(t *testing.T) {
	for _, test := range []struct {
		name, key, value string
		// problem is what the event says; none: it is told as gone.
		problem string
	}{
		{"A member that is no JSON", "members/a", "garbage", "not JSON"},
		{"A member that is cut off", "members/a", `{"v":1,"node":"a"`, "not JSON"},
		{"A member that is empty", "members/a", "", "not JSON"},
		{"A member without a version", "members/a", `{"node":"a","state":"ACTIVE"}`, "no version"},
		{"A member of a newer version", "members/a", `{"v":2,"node":"a","state":"ACTIVE"}`, "version 2"},
		{"A member of a newer version whose fields have other types", "members/a", `{"v":2,"node":["a"]}`, "version 2"},
		{"A member whose fields have other types", "members/a", `{"v":1,"node":["a"]}`, "read the record"},
		{"A member at another's key", "members/a", `{"v":1,"node":"b","state":"ACTIVE"}`, `that of node "b"`},
		{"A member in a state that does not exist", "members/a", `{"v":1,"node":"a","state":"UNKNOWN"}`, "unknown state"},
		{"A token that is none", "members/a", `{"v":1,"node":"a","state":"ACTIVE","tokens":[4294967296]}`, "read the record"},
		{"A claim that is no JSON", "claims/app", "garbage", "not JSON"},
		{"A claim that is null", "claims/app", "null", "no version"},
		{"A claim of a newer version", "claims/app", `{"v":7,"node":"a"}`, "version 7"},
		{"A claim without a node", "claims/app", `{"v":1}`, "names no node"},
		{"An intent that is no JSON", "intents/app", "garbage", ""},
		{"An intent without a node", "intents/app", `{"v":1}`, ""},
		{"An intent of a newer version", "intents/app", `{"v":2,"node":"a"}`, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, store := newRegistry(t, "collectors/")
			good := openSession(t, store)
			_, err := r.PutMember(t.Context(), someMember("z"), good, cluster.Condition{})
			require.NoError(t, err)
			pull, stop := iter.Pull(r.Watch(t.Context(), 0))
			defer stop()
			require.Equal(t, "z", next(t, pull).Event.(messages.MemberPut).Member.Node)
			rev := putRaw(t, store, "collectors/"+test.key, test.value)
			told := next(t, pull)
			require.Equal(t, rev, told.Revision)

			listed, err := r.List(t.Context())
			require.NoError(t, err)
			require.Equal(t, "z", listed.Members.At(listed.Members.Len()-1).Node, "its neighbour is not hurt")
			problem := ""
			switch e := told.Event.(type) {
			case messages.MemberPut:
				problem = e.Member.Problem
				require.Equal(t, messages.Member{Node: "a", Revision: rev, Problem: problem}, e.Member, "nothing of it is believed")
				require.Equal(t, e.Member, listed.Members.At(0))
				got, err := r.GetMember(t.Context(), "a")
				require.NoError(t, err)
				require.Equal(t, e.Member, got)
			case messages.ClaimPut:
				problem = e.Claim.Problem
				require.Equal(t, messages.Claim{Unit: app, Revision: rev, Problem: problem}, e.Claim, "nothing of it is believed")
				require.True(t, e.Claim.Held(), "nobody may take it for absent")
				require.Equal(t, messages.NewList(e.Claim), listed.Claims)
			default:
				require.Equal(t, messages.IntentGone{Unit: app, Revision: rev}, e)
				require.Zero(t, listed.Intents.Len())
			}
			require.Contains(t, problem, test.problem)
			require.Equal(t, test.problem == "", problem == "")
		})
	}
}

func TestKeysThatAreNobodysAreNotTold(t *testing.T) {
	for _, prefix := range []string{"", "collectors/", "collectors"} {
		t.Run(fmt.Sprintf("under %q", prefix), func(t *testing.T) {
			r, store := newRegistry(t, prefix)
			pull, stop := iter.Pull(r.Watch(t.Context(), 0))
			defer stop()
			for _, key := range []string{
				"agent", "members", "members/", "claims", "claims/", "claims/app\x1f1", "claims/app\x1f01\x1f0", "claims/\x1f1\x1f1", "intents/",
				"members2/a", "configurations/app", "/members/a", "xmembers/a",
			} {
				putRaw(t, store, prefix+key, `{"v":1,"node":"a"}`)
				_, err := store.Delete(t.Context(), prefix+key, cluster.Condition{})
				require.NoError(t, err)
				putRaw(t, store, prefix+key, `{"v":1,"node":"a"}`)
			}
			putRaw(t, store, prefix+"claims/"+part.Key(), `{"v":1,"node":"a","later":"fields are left alone"}`)
			require.Equal(t, part, next(t, pull).Event.(messages.ClaimPut).Claim.Unit)
			listed, err := r.List(t.Context())
			require.NoError(t, err)
			require.Zero(t, listed.Members.Len()+listed.Intents.Len())
			require.Equal(t, 1, listed.Claims.Len())
			require.Equal(t, "a", listed.Claims.At(0).Node)
		})
	}
}

func TestAWatchTellsTheEndOfASession(t *testing.T) {
	r, store := newRegistry(t, "collectors/")
	session := openSession(t, store)
	_, err := r.PutMember(t.Context(), someMember("me"), session, cluster.Condition{})
	require.NoError(t, err)
	_, err = r.Write(t.Context(), me, session, noon, append(claims(part), messages.RecordWrite{Unit: app, Kind: messages.IntendUnit}))
	require.NoError(t, err)
	listed, err := r.List(t.Context())
	require.NoError(t, err)
	pull, stop := iter.Pull(r.Watch(t.Context(), listed.Revision))
	defer stop()
	require.NoError(t, store.EndSession(t.Context(), session.ID()))
	var events []messages.RegistryEvent
	var revision int64
	for range 3 {
		change := next(t, pull)
		require.Equal(t, cluster.EventDelete, change.Kind)
		events, revision = append(events, change.Event), change.Revision
	}
	require.ElementsMatch(t, []messages.RegistryEvent{
		messages.MemberGone{Node: "me", Revision: revision}, messages.ClaimGone{Unit: part, Revision: revision}, messages.IntentGone{Unit: app, Revision: revision},
	}, events)
}

func TestAWatchSaysWhenItHasMissedSomething(t *testing.T) {
	r, store := newRegistry(t, "collectors/")
	for range 5 {
		putRaw(t, store, "collectors/agent", "x")
	}
	store.Server().Compact(4)
	pull, stop := iter.Pull(r.Watch(t.Context(), 1))
	defer stop()
	change := next(t, pull)
	require.Equal(t, cluster.EventRelist, change.Kind)
	require.Nil(t, change.Event)
	require.NotZero(t, change.Revision)
}

func TestAWatchEndsWithItsContextAndWithTheStore(t *testing.T) {
	r, store := newRegistry(t, "collectors/")
	ctx, cancel := context.WithCancel(t.Context())
	pull, stop := iter.Pull(r.Watch(ctx, 0))
	defer stop()
	cancel()
	_, ok := pull()
	require.False(t, ok)

	pull, stop = iter.Pull(r.Watch(t.Context(), 0))
	defer stop()
	putRaw(t, store, "collectors/claims/app", `{"v":1,"node":"a"}`)
	next(t, pull)
	require.NoError(t, store.Close())
	_, ok = pull()
	require.False(t, ok)
}

func TestWhatPeopleOrderedIsToldAndListedUntilItIsTakenBack(t *testing.T) {
	r, store := newRegistry(t, "collectors/")
	pull, stop := iter.Pull(r.Watch(t.Context(), 0))
	defer stop()
	require.NoError(t, r.Order(t.Context(), noon, messages.HoldConfig{Config: "team/app", Reason: "too much", By: "ann"}))
	hold := messages.ConfigHold{Config: "team/app", Reason: "too much", By: "ann", Since: noon.UTC(), Revision: 1}
	hold.Revision = next(t, pull).Revision
	require.NoError(t, r.Order(t.Context(), noon, messages.CordonNode{Node: "a", Drain: true}))
	told := next(t, pull)
	cordon := messages.NodeCordon{Node: "a", Drain: true, Since: noon.UTC(), Revision: told.Revision}
	require.Equal(t, messages.CordonPut{Cordon: cordon}, told.Event)
	listed, err := r.List(t.Context())
	require.NoError(t, err)
	require.Equal(t, messages.RegistryListed{Holds: messages.NewList(hold), Cordons: messages.NewList(cordon), Revision: cordon.Revision}, listed)

	require.NoError(t, r.Order(t.Context(), noon, messages.ReleaseConfig{Config: "team/app"}))
	told = next(t, pull)
	require.Equal(t, messages.HoldGone{Config: "team/app", Revision: told.Revision}, told.Event)
	require.NoError(t, r.Order(t.Context(), noon, messages.UncordonNode{Node: "a"}))
	told = next(t, pull)
	require.Equal(t, messages.CordonGone{Node: "a", Revision: told.Revision}, told.Event)
	require.ErrorIs(t, r.Order(t.Context(), noon, messages.ReleaseConfig{Config: "team/app"}), cluster.ErrNotFound)
	require.ErrorIs(t, r.Order(t.Context(), noon, messages.UncordonNode{Node: "a"}), cluster.ErrNotFound)

	for key, value := range map[string]string{"holds/b": `{"v": 99}`, "cordons/b": "garbage"} {
		_, err := store.Put(t.Context(), cluster.PutRequest{Key: "collectors/" + key, Value: []byte(value)})
		require.NoError(t, err)
	}
	listed, err = r.List(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, listed.Holds.At(0).Problem, "what can't be read holds all the same")
	require.NotEmpty(t, listed.Cordons.At(0).Problem)
}
