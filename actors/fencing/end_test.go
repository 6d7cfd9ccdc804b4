package fencing_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	. "github.com/ringmaster-agent/ringmaster/actors/fencing"
)

// dead is what the survivors of three know of the third, which has been killed.
func dead() Evidence {
	return Evidence{
		Now: now, TTL: 10 * time.Second, Dead: true, Assured: ago(4 * time.Second), Answered: ago(4 * time.Second), Together: 2, Members: 3,
		Renewed: ago(500 * time.Millisecond), AwakeSince: ago(time.Hour), CanTell: true, Idle: 3500 * time.Millisecond,
	}
}

func TestASessionIsEndedOnlyWithAllTheEvidence(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Evidence)
		may    Ending
		reason string
	}{
		"that of a killed node is":                              {func(*Evidence) {}, EndIt, "gossip says that it is dead, and its session was not renewed for 3.5s"},
		"not before the store was asked":                        {func(e *Evidence) { e.Idle = -1 }, AskStore, "gossip says that it is dead"},
		"nor if it renews its session":                          {func(e *Evidence) { e.Idle = 2900 * time.Millisecond }, LeaveIt, "renewed 2.9s ago"},
		"nor if gossip holds it alive":                          {func(e *Evidence) { e.Dead = false }, LeaveIt, "does not say that the node is dead"},
		"nor if it was told that it is held alive":              {func(e *Evidence) { e.Assured = ago(2400 * time.Millisecond) }, LeaveIt, "a moment ago"},
		"nor if it has answered since a fault could have begun": {func(e *Evidence) { e.Answered = ago(3200 * time.Millisecond) }, LeaveIt, "answered this node a moment ago"},
		"nor by a minority":                                     {func(e *Evidence) { e.Together = 1 }, LeaveIt, "only 1 of 3"},
		"by half it is, since contact needs more than half":     {func(e *Evidence) { e.Together, e.Members = 2, 4 }, EndIt, "not renewed"},
		"nor by a node that was paused":                         {func(e *Evidence) { e.AwakeSince = ago(2 * time.Second) }, LeaveIt, "paused"},
		"nor by one that the store does not answer":             {func(e *Evidence) { e.Renewed = ago(2500 * time.Millisecond) }, LeaveIt, "does not renew"},
		"nor if the store can't tell":                           {func(e *Evidence) { e.CanTell = false }, LeaveIt, "can't tell"},
		"one that has fenced itself needs nothing else":         {func(e *Evidence) { *e = Evidence{Now: now, Fenced: true} }, EndIt, "fenced itself"},
		"nor does that of a process that is known to be over":   {func(e *Evidence) { *e = Evidence{Now: now, Remembers: true} }, EndIt, "process before this one"},
		"the next process of a name waits as long as the one before may go on": {func(e *Evidence) {
			*e = Evidence{Now: now, TTL: 10 * time.Second, CanTell: true, Successor: true, Idle: 4900 * time.Millisecond}
		}, LeaveIt, "renewed 4.9s ago"},
		"and then takes its place": {func(e *Evidence) {
			*e = Evidence{Now: now, TTL: 10 * time.Second, CanTell: true, Successor: true, Idle: 5 * time.Second}
		}, EndIt, "the process before of this name is gone"},
		"without gossip it waits for as long as that one would go on": {func(e *Evidence) {
			*e = Evidence{Now: now, TTL: 10 * time.Second, CanTell: true, Successor: true, NoGossip: true, Idle: 7400 * time.Millisecond}
		}, LeaveIt, "renewed 7.4s ago"},
		"and then takes its place, too": {func(e *Evidence) {
			*e = Evidence{Now: now, TTL: 10 * time.Second, CanTell: true, Successor: true, NoGossip: true, Idle: 7500 * time.Millisecond}
		}, EndIt, "the process before of this name is gone"},
	} {
		t.Run(name, func(t *testing.T) {
			e := dead()
			test.change(&e)
			may, reason := MayEnd(e)
			require.Equal(t, test.may, may, reason)
			require.Contains(t, reason, test.reason)
		})
	}
}

func TestANewcomerIsNotTogetherWithANodeThatEndsSessions(t *testing.T) {
	answers := Peer{Alive: true, Registered: true, Answered: ago(time.Second)}
	newcomer := answers
	newcomer.Newcomer = true
	require.Equal(t, 2, Together(now, false, []Peer{answers, {}, newcomer}), "those who have lost the store do not know of it")
	require.Equal(t, 1, Together(now, true, []Peer{answers, {}, newcomer}), "nor of this one, which has just joined itself")
}

func TestAnotherProcessOfAMembersNameIsNotTogetherWithANodeThatEndsSessions(t *testing.T) {
	answers := Peer{Alive: true, Registered: true, Answered: ago(time.Second)}
	foreign, starting := answers, answers
	foreign.Foreign, starting.Registered = true, false
	require.Equal(t, 2, Together(now, false, []Peer{answers, foreign, starting}), "the other side may hear the one that has registered")
}

// The other side may have a majority of those that the store lists.
func TestWhomTheStoreDoesNotListIsNoEvidenceWithoutThoseItLists(t *testing.T) {
	answers, silent := Peer{Alive: true, Answered: ago(time.Second)}, Peer{}
	unlisted := answers
	unlisted.Unlisted = true
	contact := func(peers ...Peer) time.Time {
		v := View{Now: now, TTL: 10 * time.Second}
		v.Survey(peers)
		return v.Contact
	}
	require.Equal(t, ago(time.Second), contact(answers, silent))
	require.Zero(t, contact(unlisted, silent))
	require.Zero(t, contact(answers, unlisted, silent, silent), "they may have registered")
	require.Equal(t, ago(time.Second), contact(answers, unlisted, silent))
	require.Equal(t, ago(time.Second), contact(unlisted), "the store lists nobody else")
	require.Zero(t, contact())
}

func TestARenewalAfterAGapCountsOnceTheRecordIsWritten(t *testing.T) {
	at := func(d time.Duration) time.Time { return now.Add(d) }
	b := Belief{}.Take(at(0), at(0))
	require.Equal(t, at(0), b.Renewed, "the first is that of the opening")
	b = b.Take(at(time.Second), at(1100*time.Millisecond))
	require.Equal(t, at(time.Second), b.Renewed)
	b = b.Take(at(3500*time.Millisecond), at(3600*time.Millisecond))
	require.Equal(t, at(3500*time.Millisecond), b.Renewed, "others need three seconds")

	b = b.Take(at(6*time.Second), at(6500*time.Millisecond))
	require.Equal(t, at(3500*time.Millisecond), b.Renewed, "it may have reached the store after three seconds")
	require.Equal(t, at(6*time.Second), b.Doubted)
	doubted := b.Doubted
	b = b.Take(at(7*time.Second), at(7*time.Second))
	require.Equal(t, at(7*time.Second), b.Doubted, "nor does the next one count")
	b = b.Confirm(doubted)
	require.Equal(t, Belief{Renewed: at(7 * time.Second)}, b)
	require.Equal(t, b, b.Confirm(time.Time{}), "a write that was about something else")

	gap := Belief{Renewed: at(0), Doubted: at(10 * time.Second)}
	require.Equal(t, Belief{Renewed: at(5 * time.Second)}, gap.Confirm(at(5*time.Second)), "there was another gap since")
}

func TestTimeThatTheMonotonicClockHasNotSeenShows(t *testing.T) {
	before := Reading{Now: time.Now(), Boot: time.Hour}
	after := Reading{Now: before.Now.Add(time.Second), Boot: time.Hour + time.Second}
	require.Zero(t, Skipped(before, after))
	after.Boot += 400 * time.Millisecond
	require.Zero(t, Skipped(before, after), "clocks are never quite the same")
	after.Boot += time.Minute
	require.Equal(t, time.Minute+400*time.Millisecond, Skipped(before, after))
	after.Boot = 0
	require.Zero(t, Skipped(before, after), "a system that does not tell")
}
