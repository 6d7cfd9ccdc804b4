package fencing_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	. "github.com/ringmaster-agent/ringmaster/actors/fencing"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

// base is a node of three that has lost the store for so long that its session may have run out,
// and sees no peer.
func base() View {
	return View{Now: now, TTL: 10 * time.Second, Renewed: ago(time.Minute), Contact: ago(time.Minute), Others: 2, AwakeSince: ago(time.Hour)}
}

func TestVerdicts(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*View)
		until  time.Duration // from now; 0: no permission
		fenced bool
	}{
		"a session that was just renewed is evidence": {func(v *View) { v.Renewed = ago(time.Second) }, 1500 * time.Millisecond, false},
		"together with a peer's answer it is evidence for longer, without a gap between the two": {func(v *View) {
			v.Renewed, v.Contact, v.Reaching = ago(2*time.Second), ago(0), 2
		}, 2500 * time.Millisecond, false},
		"without gossip it is evidence until shortly before it can run out": {func(v *View) {
			v.Renewed, v.Contact, v.NoGossip = ago(time.Second), time.Time{}, true
		}, 6500 * time.Millisecond, false},
		"an old one is none, and its node is isolated":  {func(*View) {}, 2 * time.Second, false},
		"an isolated node stops if it was told so":      {func(v *View) { v.StopWhenIsolated = true }, 0, true},
		"a node that has just woken is not isolated":    {func(v *View) { v.AwakeSince = ago(time.Second) }, 0, false},
		"a node alone goes on":                          {func(v *View) { v.Others = 0 }, 2 * time.Second, false},
		"a node alone goes on when it was told to stop": {func(v *View) { v.Others, v.StopWhenIsolated = 0, true }, 2 * time.Second, false},
		"when no node reaches the store all go on": {func(v *View) {
			v.Contact = ago(time.Second)
		}, 2 * time.Second, false},
		"when others reach the store this node stops": {func(v *View) {
			v.Contact, v.Reaching = ago(time.Second), 1
		}, 0, true},
		"when the store comes back for others first, this node goes on for a while": {func(v *View) {
			v.Contact, v.Reaching, v.ReachingSince, v.Survived = ago(0), 1, ago(2*time.Second), true
		}, 2 * time.Second, false},
		"but not if their sessions had run out": {func(v *View) {
			v.Contact, v.Reaching, v.ReachingSince = ago(0), 1, ago(2*time.Second)
		}, 0, false},
		"and stops when it does not come back for it": {func(v *View) {
			v.Contact, v.Reaching, v.ReachingSince, v.Survived = ago(0), 1, ago(4*time.Second), true
		}, 0, true},
		"gossip that has heard nobody yet is no reason to trust the session alone": {func(v *View) {
			v.Renewed, v.Contact = ago(4*time.Second), time.Time{}
		}, 0, false},
		"a blip is not isolation": {func(v *View) {
			v.Renewed, v.Contact, v.StopWhenIsolated = ago(4*time.Second), ago(3*time.Second), true
		}, 0, false},
		"who hears too few, of whom one reaches the store, waits": {func(v *View) {
			v.Renewed, v.Reaching, v.Unseen, v.Others = ago(3*time.Second), 1, 2, 3
		}, 0, false},
		"who has lapsed does not give its session up yet when the store comes back for another one first": {func(v *View) {
			v.Contact, v.Reaching, v.ReachingSince, v.Lapsed = ago(0), 1, ago(3*time.Second), true
		}, 0, false},
		"but does when the store does not come back for it": {func(v *View) {
			v.Contact, v.Reaching, v.ReachingSince, v.Lapsed = ago(0), 1, ago(4*time.Second), true
		}, 0, true},
		"and is cut off when half of the session's time is over": {func(v *View) {
			v.Renewed, v.Reaching, v.Unseen, v.Others = ago(6*time.Second), 1, 2, 3
		}, 0, true},
		"who hears enough goes on until half of the session's time is over, also if one is missing": {func(v *View) {
			v.Renewed, v.Contact, v.Unseen, v.StopWhenIsolated = ago(3*time.Second), ago(0), 1, true
		}, 2 * time.Second, false},
		"then the missing one may have the store, and the group is isolated: told to go on": {func(v *View) {
			v.Renewed, v.Contact, v.Unseen = ago(5*time.Second), ago(0), 1
		}, 2 * time.Second, false},
		"who went on so is not reassured by one that reaches the store again": {func(v *View) {
			v.Renewed, v.Contact, v.Reaching, v.ReachingSince, v.Survived, v.WentOn = ago(20*time.Second), ago(0), 1, ago(time.Second), true, true
		}, 0, false},
		"nor by seeing everybody again, none of whom reaches it": {func(v *View) {
			v.Renewed, v.Contact, v.WentOn, v.StopWhenIsolated = ago(20*time.Second), ago(0), true, true
		}, 0, true},
		"or told to stop": {func(v *View) {
			v.Renewed, v.Contact, v.Unseen, v.StopWhenIsolated = ago(5*time.Second), ago(0), 1, true
		}, 0, true},
		"a short absence of the store is no reason to stop": {func(v *View) {
			v.Renewed, v.Contact, v.Reaching = ago(3*time.Second), ago(time.Second), 2
		}, 1500 * time.Millisecond, false},
		"it is one when half of the session's time is over": {func(v *View) {
			v.Renewed, v.Contact, v.Reaching = ago(5*time.Second), ago(time.Second), 2
		}, 0, false},
		"and a moment later the node is cut off": {func(v *View) {
			v.Renewed, v.Contact, v.Reaching = ago(6*time.Second), ago(time.Second), 2
		}, 0, true},
		"unless a peer has lost the store too: the others may not have said so yet": {func(v *View) {
			v.Renewed, v.Contact, v.Reaching, v.Away = ago(7*time.Second), ago(time.Second), 1, 1
		}, 0, false},
		"which they have by then": {func(v *View) {
			v.Renewed, v.Contact, v.Reaching, v.Away = ago(7500*time.Millisecond), ago(time.Second), 1, 1
		}, 0, true},
		"the permission ends before that": {func(v *View) {
			v.Renewed, v.Contact, v.Reaching = ago(4*time.Second), ago(0), 2
		}, time.Second, false},
		"without gossip the session alone decides": {func(v *View) {
			v.Renewed, v.Contact, v.NoGossip = ago(5*time.Second), time.Time{}, true
		}, 2500 * time.Millisecond, false},
		"in good time before it runs out": {func(v *View) {
			v.Renewed, v.Contact, v.AwakeSince, v.NoGossip = ago(8*time.Second), time.Time{}, ago(8*time.Second), true
		}, 0, false},
		"a session of an earlier process is evidence of nothing": {func(v *View) {
			v.Renewed, v.Contact, v.Reaching = time.Time{}, ago(0), 2
		}, 0, false},
		"peers are no evidence of what happened while the node was paused": {func(v *View) {
			v.Renewed, v.Contact, v.Reaching, v.Lapsed, v.AwakeSince = ago(4*time.Second), ago(0), 2, true, ago(time.Second)
		}, 0, false},
		"nor is it that no node reaches the store, at first": {func(v *View) {
			v.Renewed, v.Contact, v.Lapsed, v.AwakeSince = ago(4*time.Second), ago(0), true, ago(time.Second)
		}, 0, false},
		"nor after a while": {func(v *View) {
			v.Contact, v.Lapsed = ago(0), true
		}, 0, false},
		"unless the store went away for all before anybody could have taken over": {func(v *View) {
			v.Contact, v.Lapsed, v.AwaySince = ago(0), true, v.Renewed.Add(2*time.Second)
		}, 2 * time.Second, false},
		"if it went away long before, a clock is wrong": {func(v *View) {
			v.Contact, v.Lapsed, v.AwaySince = ago(0), true, v.Renewed.Add(-time.Hour)
		}, 0, false},
		"if it went away later they may have": {func(v *View) {
			v.Contact, v.Lapsed, v.AwaySince = ago(0), true, v.Renewed.Add(3*time.Second)
		}, 0, false},
		"a node that has just woken gives the store time to answer": {func(v *View) {
			v.Renewed, v.Contact, v.Reaching, v.Lapsed, v.AwakeSince = ago(8*time.Second), ago(0), 2, true, ago(time.Second)
		}, 0, false},
		"and then gives up": {func(v *View) {
			v.Renewed, v.Contact, v.Reaching, v.Lapsed, v.AwakeSince = ago(8*time.Second), ago(0), 2, true, ago(3*time.Second)
		}, 0, true},
		"without gossip the session of a node that was paused is no evidence": {func(v *View) {
			v.Renewed, v.Contact, v.Lapsed, v.AwakeSince, v.NoGossip = ago(5*time.Second), time.Time{}, true, ago(time.Second), true
		}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			v := base()
			test.change(&v)
			verdict := Decide(v)
			want := time.Time{}
			if test.until != 0 {
				want = now.Add(test.until)
			}
			require.Equal(t, want, verdict.Until, verdict.Reason)
			require.Equal(t, test.fenced, verdict.Fenced, verdict.Reason)
			require.NotEmpty(t, verdict.Reason)
		})
	}
}

// Whatever is known: no permission outlasts what others need to take over, unless nobody can or the
// node was told to go on alone.
func TestNoPermissionOutlastsTheSession(t *testing.T) {
	ages := []time.Duration{0, time.Second, 2499 * time.Millisecond, 2500 * time.Millisecond, 4 * time.Second, 5 * time.Second, 7 * time.Second, 9 * time.Second, time.Minute}
	for _, renewed := range ages {
		for _, contact := range ages {
			for _, never := range []bool{false, true} {
				v := base()
				v.Renewed, v.Contact, v.Reaching, v.StopWhenIsolated = ago(renewed), ago(contact), 1, true
				if never {
					v.Contact, v.NoGossip = time.Time{}, true
				}
				verdict := Decide(v)
				if verdict.Until.IsZero() {
					continue
				}
				require.False(t, verdict.Fenced)
				require.True(t, verdict.Until.Before(v.Renewed.Add(v.TTL)), "%+v", v)
				canBeEnded := !never && contact >= Fresh // peers may think that the node is dead
				require.False(t, canBeEnded && verdict.Until.After(v.Renewed.Add(Idle)), "%+v", v)
			}
		}
	}
}

func TestAClockThatIsBehindHidesNoPeerThatHasReachedTheStoreSince(t *testing.T) {
	for name, test := range map[string]struct {
		away   time.Time
		permit bool
	}{
		"it lost the store with the others":                       {ago(59 * time.Second), true},
		"it lost the store later":                                 {ago(30 * time.Second), false},
		"it lost the store later, says a clock an hour behind it": {ago(time.Hour + 30*time.Second), false},
	} {
		t.Run(name, func(t *testing.T) {
			v := base()
			v.Lapsed = true
			v.Survey([]Peer{{Alive: true, Answered: now, AwaySince: ago(59 * time.Second)}, {Alive: true, Answered: now, AwaySince: test.away}})
			require.Equal(t, test.permit, !Decide(v).Until.IsZero())
		})
	}
}
