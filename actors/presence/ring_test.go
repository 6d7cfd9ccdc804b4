package presence_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/messages"

	. "github.com/ringmaster-agent/ringmaster/actors/presence"
)

// records are members' records by state.
func records(states map[string]messages.MemberState) map[string]messages.Member {
	out := map[string]messages.Member{}
	for node, state := range states {
		out[node] = messages.Member{Node: node, State: state, Tokens: messages.NewList[uint32](1)}
	}
	return out
}

// names are those on the ring.
func names(r *Ring) (out []string) {
	for _, m := range r.Members() {
		out = append(out, m.Node)
	}
	return out
}

func TestAJoinerWaitsUntilNobodyElseComesAndALeaverGoesAtOnce(t *testing.T) {
	var r Ring
	at := now
	nobody := func(string) bool { return false }
	follow := func(after time.Duration, alive func(string) bool, states map[string]messages.MemberState) (bool, time.Time) {
		at = at.Add(after)
		return r.Follow(RingView{Now: at, Settle: time.Second, Records: records(states), Alive: alive})
	}
	changed, again := follow(0, nobody, map[string]messages.MemberState{"a": messages.Active})
	require.False(t, changed)
	require.Equal(t, at.Add(time.Second), again)
	_, again = follow(900*time.Millisecond, nobody, map[string]messages.MemberState{"a": messages.Active, "b": messages.Active, "c": messages.Joining})
	require.Equal(t, at.Add(time.Second), again, "another one came")
	changed, again = follow(time.Second, nobody, map[string]messages.MemberState{"a": messages.Active, "b": messages.Active, "c": messages.Joining})
	require.True(t, changed)
	require.Zero(t, again)
	require.Equal(t, []string{"a", "b"}, names(&r))

	changed, _ = follow(time.Second, nobody, map[string]messages.MemberState{"a": messages.Active, "b": messages.Leaving, "c": messages.Active})
	require.True(t, changed, "what b ran waits for somebody")
	require.Equal(t, []string{"a"}, names(&r))
	changed, _ = follow(time.Second, nobody, map[string]messages.MemberState{"a": messages.Active, "c": messages.Active})
	require.True(t, changed)
	require.Equal(t, []string{"a", "c"}, names(&r))

	everybody := func(string) bool { return true }
	changed, _ = follow(time.Second, everybody, map[string]messages.MemberState{"a": messages.Active})
	require.False(t, changed, "c lives, and registers again")
	require.True(t, r.Unsure())
	changed, _ = follow(5*time.Second, everybody, map[string]messages.MemberState{"a": messages.Active})
	require.True(t, changed, "it did not")
	require.Equal(t, []string{"a"}, names(&r))
}

func TestARingThatNeverRestsSettlesAllTheSame(t *testing.T) {
	var r Ring
	states := map[string]messages.MemberState{}
	for i := range 6 {
		states[string(rune('a'+i))] = messages.Active
		changed, _ := r.Follow(RingView{
			Now: now.Add(time.Duration(i) * 999 * time.Millisecond), Settle: 900 * time.Millisecond, Records: records(states), Alive: func(string) bool { return true },
		})
		require.Equal(t, i == 5, changed)
	}
}

func TestANewcomerIsOneForAWhile(t *testing.T) {
	var r Roll
	records := map[string]messages.Member{"a": {Node: "a", State: messages.Active}}
	at := time.Unix(0, 0)
	r.Follow(at, "me", records, 10*time.Second)
	require.True(t, r.Newcomer("a", at.Add(9*time.Second), 10*time.Second))
	require.True(t, r.Newcomer("b", at.Add(time.Hour), 10*time.Second), "nobody has heard of it")
	r.Follow(at.Add(8*time.Second), "me", nil, 10*time.Second)
	r.Follow(at.Add(9*time.Second), "me", records, 10*time.Second)
	require.False(t, r.Newcomer("a", at.Add(10*time.Second), 10*time.Second), "it has been a member all the time")
}

func TestTheRollKeepsThoseWhoWereLostAndNotThoseWhoLeft(t *testing.T) {
	var r Roll
	r.Follow(now, "a", records(map[string]messages.MemberState{"a": messages.Active, "b": messages.Active, "c": messages.Active, "d": messages.Joining}), 10*time.Second)
	require.Equal(t, []string{"b", "c", "d"}, r.Others())
	require.Equal(t, []string{"b", "c", "d", "e"}, r.Others("b", "e"), "one that gossip sees first")
	r.Follow(now, "a", records(map[string]messages.MemberState{"b": messages.Leaving, "c": messages.Active}), 10*time.Second)
	require.Equal(t, []string{"c", "d"}, r.Others(), "b leaves, d is lost")
	r.Follow(now.Add(time.Second), "a", records(nil), 10*time.Second)
	require.Equal(t, []string{"c", "d"}, r.Others(), "c is lost, b has left")
	r.Follow(now.Add(10*time.Second), "a", records(nil), 10*time.Second)
	require.Equal(t, []string{"c"}, r.Others(), "no session of before d was lost is left")
}

func TestWhoIsAnotherProcessIsANewcomer(t *testing.T) {
	var r Roll
	at := time.Now()
	b := map[string]messages.Member{"b": {Node: "b", Incarnation: "b.1"}}
	r.Follow(at, "a", b, time.Minute)
	at = at.Add(time.Hour)
	r.Follow(at, "a", b, time.Minute)
	require.False(t, r.Newcomer("b", at, 10*time.Second))
	r.Follow(at, "a", map[string]messages.Member{"b": {Node: "b", Problem: "can't be read"}}, time.Minute)
	require.False(t, r.Newcomer("b", at, 10*time.Second), "that says nothing about the process")
	r.Follow(at, "a", map[string]messages.Member{"b": {Node: "b", Incarnation: "b.2"}}, time.Minute)
	require.True(t, r.Newcomer("b", at, 10*time.Second))
	require.False(t, r.Newcomer("b", at.Add(10*time.Second), 10*time.Second))
}
