package reshard_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	. "github.com/ringmaster-agent/ringmaster/actors/reshard"
	"github.com/ringmaster-agent/ringmaster/messages"
)

var (
	prepared = Instance{Generation: 1, Phase: messages.PhasePreparing, Prepared: true, Ordered: one.Digest}
	running  = Instance{Generation: 1, Phase: messages.PhaseRunning, Prepared: true, Ordered: one.Digest, Epoch: 7}
	draining = Instance{Generation: 1, Phase: messages.PhaseDraining, Prepared: true, Ordered: one.Digest, Epoch: 7, Asked: messages.Moved}
	quiet    = with(draining, func(i *Instance) { i.Quiet, i.Handover, i.HandoverOf = true, "ticks", 7 })

	mine       = messages.Claim{Unit: app, Node: "me", Session: "now", Revision: 7}
	formerly   = messages.Claim{Unit: app, Node: "me", Session: "before", Revision: 7}
	released   = messages.Claim{Unit: app, Node: "other", Session: "theirs", Revision: 8, Released: true, Handover: "ticks"}
	theirs     = messages.Claim{Unit: app, Node: "other", Session: "theirs", Revision: 8}
	unreadable = messages.Claim{Unit: app, Session: "theirs", Revision: 8, Problem: "garbage"}
	scribble   = messages.Claim{Unit: app, Revision: 8, Problem: "garbage"}

	myIntent     = messages.Intent{Unit: app, Node: "me", Session: "now", Revision: 9}
	theirIntent  = messages.Intent{Unit: app, Node: "other", Session: "theirs", Revision: 9}
	formerIntent = messages.Intent{Unit: app, Node: "me", Session: "before", Revision: 9}
)

// ownedBy is a ring that gives every unit to one node, "" for none.
type ownedBy string

func (o ownedBy) Owner(messages.Unit) (string, Ownership) {
	if o == "me" {
		return "me", Owned
	}
	return string(o), NotOwned
}

func claimWith(c messages.Claim, change func(*messages.Claim)) messages.Claim { change(&c); return c }

// scene is a view of one config with its claim and intent; what is left out does not exist.
type scene struct {
	owner    Owners
	instance Instance
	claim    messages.Claim
	intent   messages.Intent
	but      func(*View)
}

func (s scene) view() View {
	v := View{
		Now: now, Owners: s.owner, Complete: true, Documents: map[string]Document{"app": {Valid: one}}, Instances: map[messages.Unit]Instance{},
		Cluster: &Cluster{Node: "me", Session: "now", Known: true, Answers: true, Claims: map[messages.Unit]messages.Claim{}, Intents: map[messages.Unit]messages.Intent{}},
	}
	if s.instance.Generation != 0 {
		v.Instances[app] = s.instance
	}
	if s.claim.Revision != 0 {
		v.Cluster.Claims[app] = s.claim
	}
	if s.intent.Revision != 0 {
		v.Cluster.Intents[app] = s.intent
	}
	if s.but != nil {
		s.but(&v)
	}
	return v
}

// The parts of a plan about the one unit.
type part func(*Plan)

func plan(parts ...part) (p Plan) {
	for _, add := range parts {
		add(&p)
	}
	return p
}

func starts(p *Plan) { p.Start = append(p.Start, Start{Unit: app, Version: one, Hold: true}) }
func warms(p *Plan) {
	p.Start = append(p.Start, Start{Unit: app, Version: one, Hold: true, Warm: true})
}
func reloads(p *Plan) { p.Reload = append(p.Reload, Reload{Unit: app, Version: two}) }
func stops(r messages.StopReason) part {
	return func(p *Plan) { p.Stop = append(p.Stop, Stop{Unit: app, Reason: r}) }
}
func runsBy(epoch int64) part {
	return func(p *Plan) { p.Run = append(p.Run, Run{Unit: app, Epoch: epoch}) }
}
func writes(k WriteKind, revision int64) part {
	return func(p *Plan) { p.Write = append(p.Write, Write{Unit: app, Kind: k, Revision: revision}) }
}
func releases(revision int64, h messages.Handover) part {
	return func(p *Plan) {
		p.Write = append(p.Write, Write{Unit: app, Kind: ReleaseUnit, Revision: revision, Handover: h})
	}
}
func holds(c Cause, detail string) part {
	return func(p *Plan) { p.Hold = append(p.Hold, Hold{Unit: app, Cause: c, Detail: detail}) }
}
func wakes(after time.Duration) part {
	return func(p *Plan) { p.Wake = map[messages.Unit]time.Time{app: now.Add(after)} }
}

// asks is that the store is asked, and looked at again later.
func asks(p *Plan) {
	p.Ask = append(p.Ask, app)
	wakes(time.Second)(p)
}

// silent is a store that was not asked lately, away one that has not answered.
func silent(v *View) { v.Cluster.Answers = false }
func away(v *View) {
	silent(v)
	v.Cluster.Away = true
}

// restored is a store that was restored a moment ago, and has brought the claim back.
func restored(v *View) {
	v.Cluster.TakeFrom, v.Cluster.GivenUp = now.Add(time.Second), map[messages.Unit]int64{app: v.Cluster.Claims[app].Revision}
}

// mayReturn is that the unit is left to others that may be running it.
func mayReturn(p *Plan) {
	p.Hold = append(p.Hold, Hold{Unit: app, Cause: OthersMayReturn, Until: now.Add(time.Second)})
	wakes(time.Second)(p)
}

var ended = with(quiet, func(i *Instance) { i.Phase = messages.PhaseStopped })

type sceneTest struct {
	name string
	scene
	want Plan
}

func decideScenes(t *testing.T, tests []sceneTest) {
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := test.view()
			require.Equal(t, test.want, Decide(v), "%+v", v.Instances)
		})
	}
}

func TestWhatThisNodeShouldRun(t *testing.T) {
	me, crashed := ownedBy("me"), with(running, func(i *Instance) { i.Phase = messages.PhaseFailed })
	decideScenes(t, []sceneTest{
		{"It starts on hold", scene{owner: me}, plan(starts)},
		{"While another runs it, it starts on hold and has time to find its targets", scene{owner: me, claim: theirs}, plan(warms)},
		{"Before it is prepared nothing is claimed", scene{owner: me, instance: with(prepared, func(i *Instance) { i.Prepared = false })}, Plan{}},
		{"Once prepared, it is claimed if nobody has", scene{owner: me, instance: prepared}, plan(writes(ClaimUnit, 0))},
		{"A claim that was released is taken", scene{owner: me, instance: prepared, claim: released}, plan(writes(ClaimUnit, 8))},
		{"A claim of an earlier session of this node is taken", scene{owner: me, instance: prepared, claim: formerly}, plan(writes(ClaimUnit, 7))},
		{"A claim of this node lets it run", scene{owner: me, instance: prepared, claim: mine}, plan(runsBy(7))},
		{"What runs by its claim needs nothing", scene{owner: me, instance: running, claim: mine}, Plan{}},
		{"What runs is told of a newer claim", scene{owner: me, instance: with(running, func(i *Instance) { i.Epoch = 6 }), claim: mine}, plan(runsBy(7))},
		{"What runs and has lost its claim claims again", scene{owner: me, instance: running}, plan(writes(ClaimUnit, 0))},
		{"What runs claims again with a new session", scene{owner: me, instance: running, claim: formerly}, plan(writes(ClaimUnit, 7))},
		{"A claim that may have been released is not run by, but made anew", scene{owner: me, instance: prepared, claim: mine, but: func(v *View) {
			v.Cluster.GivenUp = map[messages.Unit]int64{app: 7}
		}}, plan(writes(ClaimUnit, 7))},
		{"A claim that a restore of the store has brought back is not run by while others may run by later ones",
			scene{owner: me, instance: prepared, claim: mine, but: restored}, plan(mayReturn)},
		{"A released claim that a restore of the store has brought back is not taken at once",
			scene{owner: me, instance: prepared, claim: released, but: restored}, plan(mayReturn)},
		{"What runs claims again at once after a restore of the store", scene{owner: me, instance: running, claim: mine, but: restored}, plan(writes(ClaimUnit, 7))},
		{"What another runs is intended", scene{owner: me, instance: prepared, claim: theirs}, plan(writes(IntendUnit, 0), holds(ClaimedByAnother, "other"))},
		{"An intent is written once", scene{owner: me, instance: prepared, claim: theirs, intent: myIntent}, plan(holds(ClaimedByAnother, "other"))},
		{"An intent of an earlier session is written again, and not withdrawn", scene{owner: me, instance: prepared, claim: theirs, intent: formerIntent},
			plan(writes(IntendUnit, 0), holds(ClaimedByAnother, "other"))},
		{"An intent of another is waited for, so that two don't write over each other for ever",
			scene{owner: me, instance: prepared, claim: theirs, intent: theirIntent}, plan(holds(ClaimedByAnother, "other"))},
		{"A claim that can't be read is another's, and says why", scene{owner: me, instance: prepared, claim: unreadable, intent: myIntent},
			plan(holds(ClaimUnreadable, "garbage"))},
		{"What runs and was claimed by another is fenced", scene{owner: me, instance: running, claim: theirs}, plan(stops(messages.Fenced))},
		{"What runs is fenced by a claim that can't be read and lives with another session", scene{owner: me, instance: running, claim: unreadable},
			plan(stops(messages.Fenced))},
		{"What runs claims again when something was scribbled over its claim", scene{owner: me, instance: running, claim: scribble},
			plan(writes(ClaimUnit, 8))},
		{"What runs claims again when something was scribbled over its claim with its own session", scene{owner: me, instance: running,
			claim: claimWith(scribble, func(c *messages.Claim) { c.Session = "now" })}, plan(writes(ClaimUnit, 8))},
		{"What has not run by a claim of this session is not stopped by something that was scribbled over a claim", scene{owner: me, claim: scribble,
			instance: with(running, func(i *Instance) { i.Epoch = 0 })}, plan(holds(ClaimUnreadable, "garbage"))},
		{"An intent has no use once the claim is there", scene{owner: me, instance: prepared, claim: mine, intent: myIntent},
			plan(runsBy(7), writes(WithdrawIntent, 9))},
		{"An intent is withdrawn when the instance has failed", scene{owner: me, instance: crashed, claim: theirs, intent: myIntent},
			plan(writes(WithdrawIntent, 9), holds(StillEnding, ""))},
		{"An intent of an earlier process is withdrawn", scene{owner: me, claim: theirs, intent: formerIntent}, plan(warms, writes(WithdrawIntent, 9))},
		{"A claim is kept while its instance has failed", scene{owner: me, instance: crashed, claim: mine}, plan(holds(StillEnding, ""))},
		{"A claim is kept while its instance waits to start again", scene{owner: me, claim: mine, instance: Instance{
			Generation: 1, Phase: messages.PhaseStopped, FailedDigest: one.Digest, NotBefore: now.Add(time.Second)}},
			Plan{Hold: []Hold{{Unit: app, Cause: InBackoff, Until: now.Add(time.Second)}}, Wake: map[messages.Unit]time.Time{app: now.Add(time.Second)}}},
		{"A claim is kept while what should run here again is still ending", scene{owner: me, instance: quiet, claim: mine}, plan(holds(StillEnding, ""))},
		{"Without a session nothing is claimed", scene{owner: me, instance: prepared, but: func(v *View) { v.Cluster.Session = "" }},
			plan(holds(ClaimUnknown, ""))},
		{"Without a session what runs goes on", scene{owner: me, instance: running, claim: mine, but: func(v *View) { v.Cluster.Session = "" }},
			plan(holds(ClaimUnknown, ""))},
		{"Without a session a claim without one is not this node's", scene{owner: me, instance: prepared,
			claim: claimWith(mine, func(c *messages.Claim) { c.Session = "" }), but: func(v *View) { v.Cluster.Session = "" }}, plan(holds(ClaimUnknown, ""))},
		{"Before the claims are known nothing is claimed", scene{owner: me, instance: prepared, but: func(v *View) { v.Cluster.Known = false }},
			plan(holds(ClaimUnknown, ""))},
		{"What is being written is not written again", scene{owner: me, instance: prepared, but: func(v *View) {
			v.Cluster.Writing = map[Record]bool{{Unit: app}: true}
		}}, Plan{}},
		{"A claim that is being written does not hold back an intent", scene{owner: me, instance: prepared, claim: theirs, but: func(v *View) {
			v.Cluster.Writing = map[Record]bool{{Unit: app}: true}
		}}, plan(writes(IntendUnit, 0), holds(ClaimedByAnother, "other"))},
		{"What is not parsed yet is left alone", scene{owner: me, instance: running, claim: mine, but: func(v *View) { v.Documents["app"] = Document{} }}, Plan{}},
	})
}

func TestWhatAnotherNodeShouldRun(t *testing.T) {
	other, nobody := ownedBy("other"), ownedBy("")
	crashed := Instance{Generation: 1, Phase: messages.PhaseStopped, FailedDigest: one.Digest, NotBefore: now.Add(time.Minute)}
	decideScenes(t, []sceneTest{
		{"It does not start here", scene{owner: other}, Plan{}},
		{"It does not start here for want of a node either", scene{owner: nobody}, plan(holds(NoOwner, ""))},
		{"It goes on here until the other is prepared", scene{owner: other, instance: running, claim: mine}, plan(holds(SuccessorNotReady, "other"))},
		{"It moves when the other is prepared", scene{owner: other, instance: running, claim: mine, intent: theirIntent}, plan(stops(messages.Moved))},
		{"It does not move for the intent of a third", scene{owner: ownedBy("third"), instance: running, claim: mine, intent: theirIntent},
			plan(holds(SuccessorNotReady, "third"))},
		{"While it goes on here its config changes here", scene{owner: other, instance: running, claim: mine, but: func(v *View) {
			v.Documents["app"] = Document{Valid: two}
		}}, plan(reloads, holds(SuccessorNotReady, "other"))},
		{"While there is nobody else it goes on here, and claims again what it lost", scene{owner: nobody, instance: running},
			plan(holds(NoOwner, ""), writes(ClaimUnit, 0))},
		{"While it goes on here it claims again what it lost", scene{owner: other, instance: running},
			plan(holds(SuccessorNotReady, "other"), writes(ClaimUnit, 0))},
		{"What was claimed here and is about to run runs", scene{owner: other, instance: prepared, claim: mine}, plan(runsBy(7), holds(SuccessorNotReady, "other"))},
		{"What was claimed here and is about to run moves if the other is prepared already",
			scene{owner: other, instance: prepared, claim: mine, intent: theirIntent}, plan(stops(messages.Moved))},
		{"What is only prepared here stops", scene{owner: other, instance: prepared, claim: theirs}, plan(stops(messages.Moved))},
		{"What is only prepared here stops, and its intent is withdrawn", scene{owner: other, instance: prepared, claim: theirs, intent: myIntent},
			plan(stops(messages.Moved), writes(WithdrawIntent, 9))},
		{"It is fenced if the other runs it already", scene{owner: other, instance: running, claim: theirs}, plan(stops(messages.Fenced))},
		{"It does not move while a claim that can't be read keeps the other out", scene{owner: other, instance: running, claim: scribble, intent: theirIntent},
			plan(writes(ClaimUnit, 8), holds(SuccessorNotReady, "other"))},
		{"It goes on until the store answers", scene{owner: other, instance: running, claim: mine, intent: theirIntent, but: silent},
			plan(asks, holds(StoreAsked, "other"))},
		{"It goes on while the store is away", scene{owner: other, instance: running, claim: mine, intent: theirIntent, but: away},
			plan(asks, holds(StoreAsked, "other"))},
		{"What is quiet is not released before the store answers", scene{owner: other, instance: quiet, claim: mine, but: silent}, plan(asks)},
		{"What is quiet starts again if the store is away, once it has ended", scene{owner: other, instance: quiet, claim: mine, but: away},
			plan(asks, holds(StoreAsked, "other"))},
		{"What was to be released starts again while the store is away", scene{owner: other, claim: mine, instance: ended, but: away},
			plan(starts, asks, holds(StoreAsked, "other"))},
		{"What is taken back is prepared", scene{owner: other, claim: mine, instance: with(prepared, func(i *Instance) { i.Prepared = false }), intent: theirIntent, but: away},
			plan(asks, holds(StoreAsked, "other"))},
		{"What is taken back runs by the claim", scene{owner: other, claim: mine, instance: prepared, intent: theirIntent, but: away},
			plan(asks, runsBy(7), holds(StoreAsked, "other"))},
		{"What may have been released is not taken back", scene{owner: other, claim: mine, instance: ended, but: func(v *View) {
			away(v)
			v.Cluster.GivenUp = map[messages.Unit]int64{app: 7}
		}}, plan(asks)},
		{"What is taken back moves when the store is there again", scene{owner: other, claim: mine, instance: prepared, intent: theirIntent},
			plan(stops(messages.Moved))},
		{"What is to scrape here once more does not if another has claimed it", scene{owner: other, instance: draining, claim: theirs}, plan(stops(messages.Fenced))},
		{"What was told so is not told again", scene{owner: other, claim: theirs, instance: with(draining, func(i *Instance) { i.Asked = messages.Fenced })}, Plan{}},
		{"What is quiet here needs nothing if another has claimed it", scene{owner: other, instance: quiet, claim: theirs}, Plan{}},
		{"The claim is kept while it still scrapes", scene{owner: other, instance: draining, claim: mine}, Plan{}},
		{"The claim is released when it is quiet, with what it hands over", scene{owner: other, instance: quiet, claim: mine}, plan(releases(7, "ticks"))},
		{"The claim of what is quiet waits for the tail to be sent, so long as there is time", scene{owner: other, claim: mine,
			instance: with(quiet, func(i *Instance) { i.ReleaseBy = now.Add(time.Second) })}, plan(wakes(time.Second))},
		{"The claim is released when all has been sent", scene{owner: other, claim: mine, instance: with(quiet, func(i *Instance) {
			i.Phase, i.ReleaseBy = messages.PhaseStopped, now.Add(time.Second)
		})}, plan(releases(7, "ticks"))},
		{"A claim that a restore of the store has brought back is released without the handover of a later one", scene{owner: other, instance: with(quiet, func(i *Instance) {
			i.HandoverOf = 9
		}), claim: mine}, plan(releases(7, ""))},
		{"… and not while others may run by later ones", scene{owner: other, instance: quiet, claim: mine, but: restored}, plan(wakes(time.Second))},
		{"A claim of an earlier session is released without a handover", scene{owner: other, instance: quiet, claim: formerly}, plan(releases(7, ""))},
		{"The claim of what waits to start again is released", scene{owner: other, instance: crashed, claim: mine}, plan(releases(7, ""))},
		{"The claim of what this node ran in an earlier session is released", scene{owner: other, claim: formerly}, plan(releases(7, ""))},
		{"A claim that was released is left to the other", scene{owner: other, instance: quiet,
			claim: claimWith(mine, func(c *messages.Claim) { c.Released = true })}, Plan{}},
		{"The other's claim is left alone", scene{owner: other, instance: quiet, claim: theirs}, Plan{}},
		{"The other's intent is left alone", scene{owner: other, claim: theirs, intent: theirIntent}, Plan{}},
		{"A claim that is being released is not released again", scene{owner: other, instance: quiet, claim: mine, but: func(v *View) {
			v.Cluster.Writing = map[Record]bool{{Unit: app}: true}
		}}, Plan{}},
		{"A release that may not have happened is tried again", scene{owner: other, instance: quiet, claim: mine, but: func(v *View) {
			v.Cluster.GivenUp = map[messages.Unit]int64{app: 7}
		}}, plan(releases(7, "ticks"))},
	})
}

func TestWhatNobodyKnowsTheOwnerOf(t *testing.T) {
	decideScenes(t, []sceneTest{
		{"Nothing starts", scene{}, plan(holds(OwnerUnknown, ""))},
		{"What runs goes on", scene{instance: running, claim: mine}, plan(holds(OwnerUnknown, ""))},
		{"What runs claims again what it lost", scene{instance: running}, plan(holds(OwnerUnknown, ""), writes(ClaimUnit, 0))},
		{"What runs is fenced if another has claimed it", scene{instance: running, claim: theirs}, plan(holds(OwnerUnknown, ""), stops(messages.Fenced))},
		{"What is claimed here and about to run runs", scene{instance: prepared, claim: mine}, plan(holds(OwnerUnknown, ""), runsBy(7))},
		{"What is only prepared waits, and keeps its intent", scene{instance: prepared, claim: theirs, intent: myIntent}, plan(holds(OwnerUnknown, ""))},
		{"An intent that is true no longer is withdrawn", scene{claim: theirs, intent: myIntent}, plan(holds(OwnerUnknown, ""), writes(WithdrawIntent, 9))},
		{"A quiet instance keeps its claim", scene{instance: quiet, claim: mine}, plan(holds(OwnerUnknown, ""))},
	})
}

func TestWhatIsNotWantedAnyMore(t *testing.T) {
	me := ownedBy("me")
	gone := func(v *View) { v.Documents = nil }
	slice := messages.Unit{Config: "app", Slice: 1}
	unlisted := func(v *View) { v.Documents, v.Complete = nil, false }
	sliced := func(doc Document) func(*View) {
		return func(v *View) {
			v.Documents["app"], v.Owners = doc, ownedBy("other")
			v.Instances = map[messages.Unit]Instance{slice: running}
			v.Cluster.Claims = map[messages.Unit]messages.Claim{slice: claimWith(mine, func(c *messages.Claim) { c.Unit = slice })}
		}
	}
	decideScenes(t, []sceneTest{
		{"A deleted config stops", scene{owner: me, instance: running, claim: mine, but: gone}, plan(stops(messages.Deleted))},
		{"A deleted config stops whoever should run it", scene{owner: ownedBy("other"), instance: running, claim: mine, but: gone}, plan(stops(messages.Deleted))},
		{"The claim of a deleted config is kept while it still scrapes", scene{owner: me, instance: draining, claim: mine, but: gone}, Plan{}},
		{"The claim of a deleted config is removed when it is quiet", scene{owner: me, instance: quiet, claim: mine, but: gone}, plan(writes(RemoveClaim, 7))},
		{"The claim of a deleted config is removed when nothing runs", scene{owner: me, claim: mine, but: gone}, plan(writes(RemoveClaim, 7))},
		{"A released claim of a deleted config is removed", scene{owner: me, but: gone,
			claim: claimWith(mine, func(c *messages.Claim) { c.Released = true })}, plan(writes(RemoveClaim, 7))},
		{"A claim of an earlier session on a deleted config is removed", scene{owner: me, claim: formerly, but: gone}, plan(writes(RemoveClaim, 7))},
		{"Another's claim on a deleted config is left to it", scene{owner: me, claim: theirs, intent: theirIntent, but: gone}, Plan{}},
		{"An intent for a deleted config is withdrawn", scene{owner: me, claim: theirs, intent: myIntent, but: gone}, plan(writes(WithdrawIntent, 9))},
		{"Before the first complete listing no claim is removed", scene{owner: me, claim: mine, but: unlisted}, Plan{}},
		{"Before the first complete listing what runs goes on and claims again what it lost", scene{owner: me, instance: running, but: unlisted},
			plan(holds(NotListed, ""), writes(ClaimUnit, 0))},
		{"Before the first complete listing what another has claimed is fenced", scene{owner: me, instance: running, claim: theirs, but: unlisted},
			plan(holds(NotListed, ""), stops(messages.Fenced))},
		{"A slice that its config has no longer moves", scene{but: sliced(Document{Valid: one})},
			Plan{Stop: []Stop{{Unit: slice, Reason: messages.Moved}}}},
		{"A slice that its config has no longer, and that has targets yet, goes on by the new config", scene{but: sliced(Document{Valid: two, Redivided: now.Add(time.Second)})},
			Plan{Reload: []Reload{{Unit: slice, Version: two}}, Wake: map[messages.Unit]time.Time{slice: now.Add(time.Second)},
				Hold: []Hold{{Unit: slice, Cause: StillHasTargets, Until: now.Add(time.Second)}}}},
		{"A slice that knows its last ticks goes on until then", scene{but: sliced(Document{Valid: one, Redivided: now.Add(time.Second)})},
			Plan{Wake: map[messages.Unit]time.Time{slice: now.Add(time.Second)}, Hold: []Hold{{Unit: slice, Cause: StillHasTargets, Until: now.Add(time.Second)}}}},
		{"A slice that had its last ticks moves", scene{but: sliced(Document{Valid: one, Redivided: now})},
			Plan{Stop: []Stop{{Unit: slice, Reason: messages.Moved}}}},
		{"What a slice that its config has no longer has left unsent is sent", scene{but: func(v *View) {
			sliced(Document{Valid: one})(v)
			v.Instances[slice], v.Cluster.Claims = Instance{Generation: 1, Phase: messages.PhaseStopped, Leftover: true}, nil
		}}, Plan{Start: []Start{{Unit: slice, Version: one, Hold: true, Drain: true}}}},
		{"It is left alone while its log is being opened", scene{but: func(v *View) {
			sliced(Document{Valid: one})(v)
			v.Instances[slice], v.Cluster.Claims = Instance{Generation: 2, Phase: messages.PhasePreparing, Ordered: one.Digest, Drains: true}, nil
		}}, Plan{}},
		{"It is stopped when its log is open, and sent so", scene{but: func(v *View) {
			sliced(Document{Valid: one})(v)
			v.Instances[slice], v.Cluster.Claims = Instance{Generation: 2, Phase: messages.PhasePreparing, Ordered: one.Digest, Drains: true, Prepared: true}, nil
		}}, Plan{Stop: []Stop{{Unit: slice, Reason: messages.Moved}}}},
		{"A slice that its config has goes on until its owner is prepared", scene{but: sliced(Document{Valid: one, Slices: 2})},
			Plan{Hold: []Hold{{Unit: slice, Cause: SuccessorNotReady, Detail: "other"}}}},
		{"A slice of a config of which no version is valid goes on", scene{but: sliced(Document{Problem: "no"})},
			Plan{Hold: []Hold{{Unit: app, Cause: InvalidConfig, Detail: "no"}, {Unit: slice, Cause: SlicesUnknown}}}},
		{"A vanished config goes on, and keeps its claim", scene{owner: me, instance: running, claim: mine, but: func(v *View) {
			v.Documents["app"] = Document{Valid: one, Vanished: true}
		}}, plan(holds(VanishedConfig, ""))},
	})
}

func TestAShutdown(t *testing.T) {
	me := ownedBy("me")
	stopping := func(v *View) { v.Stopping = true }
	leaving := func(v *View) { v.Stopping, v.Cluster.Leaving = true, true }
	shut := with(quiet, func(i *Instance) { i.Asked = messages.Shutdown })
	decideScenes(t, []sceneTest{
		{"It stops what runs", scene{owner: me, instance: running, claim: mine, but: stopping}, plan(stops(messages.Shutdown))},
		{"It keeps the claims for the next process", scene{owner: me, instance: shut, claim: mine, but: stopping}, Plan{}},
		{"It keeps the claims of what has stopped", scene{owner: me, claim: mine, but: stopping}, Plan{}},
		{"It withdraws the intents", scene{owner: me, claim: theirs, intent: myIntent, but: stopping}, plan(writes(WithdrawIntent, 9))},
		{"A node that leaves stops what still runs", scene{owner: ownedBy(""), instance: running, claim: mine, but: leaving}, plan(stops(messages.Shutdown))},
		{"A node that leaves keeps the claim while it still scrapes", scene{instance: with(draining, func(i *Instance) { i.Asked = messages.Shutdown }),
			claim: mine, but: leaving}, Plan{}},
		{"A node that leaves releases the claim when it is quiet", scene{instance: shut, claim: mine, but: leaving}, plan(releases(7, "ticks"))},
		{"A node that leaves releases the claim of what has stopped", scene{claim: mine, but: leaving}, plan(releases(7, ""))},
		{"A node that leaves releases once", scene{claim: claimWith(mine, func(c *messages.Claim) { c.Released = true }), but: leaving}, Plan{}},
		{"A node that leaves and is not to stop yet keeps on running what nobody else can", scene{owner: ownedBy(""), instance: running, claim: mine, but: func(v *View) {
			v.Cluster.Leaving = true
		}}, plan(holds(NoOwner, ""))},
	})
}

func TestALocalConfigIsOfThisNodeOnly(t *testing.T) {
	local := func(v *View) { v.Documents["app"] = Document{Local: true, Valid: one} }
	decideScenes(t, []sceneTest{
		{"It starts and scrapes whatever the ring says", scene{owner: ownedBy("other"), but: local}, Plan{Start: []Start{{Unit: app, Version: one}}}},
		{"It starts and scrapes when the ring is not known", scene{but: local}, Plan{Start: []Start{{Unit: app, Version: one}}}},
		{"It goes on whoever claims what", scene{owner: ownedBy("other"), instance: runsLocal, claim: theirs, intent: theirIntent, but: local}, Plan{}},
		{"It has no replicas", scene{owner: ownedBy("me"), instance: runsLocal, but: func(v *View) { local(v); v.Cluster.Replicas = 3 }}, Plan{}},
	})
}

var runsLocal = with(running, func(i *Instance) { i.Local, i.Epoch = true, 0 })

func TestALocalConfigLeavesTheStoredOneItHidesToOthers(t *testing.T) {
	hides := func(v *View) { v.Documents["app"] = Document{Local: true, Hides: true, Valid: one} }
	alone := func(v *View) { v.Documents["app"] = Document{Local: true, Valid: one} }
	starts := func(p *Plan) { p.Start = append(p.Start, Start{Unit: app, Version: one}) }
	decideScenes(t, []sceneTest{
		{"What runs by a claim is stopped", scene{owner: ownedBy("other"), instance: running, claim: mine, but: hides}, plan(stops(messages.Moved), holds(StillEnding, ""))},
		{"While it scrapes the claim is kept", scene{instance: with(running, func(i *Instance) { i.Asked = messages.Moved }), claim: mine, but: hides}, plan(holds(StillEnding, ""))},
		{"Then it is released with its handover", scene{instance: ended, claim: mine, but: hides}, plan(starts, releases(7, "ticks"))},
		{"So is one of before a restart", scene{instance: runsLocal, claim: formerly, but: hides}, plan(releases(7, ""))},
		{"One on a config that the store has not is removed", scene{instance: runsLocal, claim: mine, but: alone}, plan(writes(RemoveClaim, 7))},
		{"Not before the store has been listed", scene{instance: runsLocal, claim: mine, but: func(v *View) { alone(v); v.Complete = false }}, Plan{}},
		{"When the main file has it no longer, it is stopped and waits for a claim", scene{owner: ownedBy("me"), instance: runsLocal},
			plan(stops(messages.Moved), holds(StillEnding, ""))},
	})
}

func TestEachReplicaIsAUnit(t *testing.T) {
	v := scene{owner: ownedBy("me")}.view()
	v.Cluster.Replicas = 2
	v.Documents["app"] = Document{Valid: one, Slices: 2}
	p := Decide(v)
	require.Len(t, p.Start, 4)
	require.Equal(t, messages.Unit{Config: "app", Slice: 1, Replica: 1}, p.Start[3].Unit)
}

func TestEveryWriteAndEveryHoldHasWords(t *testing.T) {
	seen := map[string]bool{}
	for c := InvalidConfig; c <= StillHasTargets; c++ {
		words := Hold{Cause: c, Detail: "node-7"}.String()
		require.NotContains(t, words, "cause")
		require.False(t, seen[words])
		seen[words] = true
	}
	for k := ClaimUnit; k <= WithdrawIntent; k++ {
		require.NotEmpty(t, fmt.Sprint(k))
	}
	require.Contains(t, Hold{Cause: ClaimedByAnother, Detail: "node-7"}.String(), "node-7")
	require.Contains(t, Hold{Cause: SuccessorNotReady, Detail: "node-7"}.String(), "node-7")
	require.Contains(t, Hold{Cause: ClaimUnreadable, Detail: "not JSON"}.String(), "not JSON")
}

func TestAHeldConfigStopsEndsItsClaimAndSendsWhatIsLeft(t *testing.T) {
	held := func(v *View) {
		v.Holds = map[string]messages.ConfigHold{"app": {Config: "app", By: "ann"}}
	}
	says := holds(HeldByOrder, messages.ConfigHold{Config: "app", By: "ann"}.String())
	for name, test := range map[string]struct {
		scene scene
		want  Plan
	}{
		"nothing runs":                   {scene{owner: ownedBy("me")}, plan(says)},
		"it runs":                        {scene{owner: ownedBy("me"), instance: running, claim: mine}, plan(says, stops(messages.Held))},
		"it runs and is another's":       {scene{owner: ownedBy("other"), instance: running, claim: mine, intent: theirIntent}, plan(says, stops(messages.Held))},
		"it runs and nobody knows whose": {scene{instance: running, claim: mine}, plan(says, stops(messages.Held))},
		"it is prepared":                 {scene{owner: ownedBy("me"), instance: prepared, claim: theirs, intent: myIntent}, plan(says, stops(messages.Held), writes(WithdrawIntent, 9))},
		"it has stopped scraping": {
			scene{owner: ownedBy("me"), instance: with(quiet, func(i *Instance) { i.Asked = messages.Held }), claim: mine}, plan(says, writes(RemoveClaim, 7)),
		},
		"it is gone": {scene{owner: ownedBy("me"), claim: mine}, plan(says, writes(RemoveClaim, 7))},
		"no version of it is valid": {
			scene{owner: ownedBy("me"), claim: mine, but: func(v *View) { v.Documents["app"] = Document{Problem: "no"} }}, plan(says, writes(RemoveClaim, 7)),
		},
		"another runs it still": {scene{owner: ownedBy("me"), claim: theirs}, plan(says)},
		"its log has unsent samples": {
			scene{owner: ownedBy("me"), instance: Instance{Generation: 1, Phase: messages.PhaseStopped, Leftover: true}},
			plan(says, func(p *Plan) { p.Start = append(p.Start, Start{Unit: app, Version: one, Hold: true, Drain: true}) }),
		},
		"they are about to be sent": {
			scene{owner: ownedBy("me"), instance: Instance{Generation: 1, Phase: messages.PhasePreparing, Drains: true}}, plan(says),
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := test.scene.but
			test.scene.but = func(v *View) {
				held(v)
				if before != nil {
					before(v)
				}
			}
			require.Equal(t, test.want, Decide(test.scene.view()))
		})
	}
	t.Run("the main file has one of that name", func(t *testing.T) {
		v := scene{owner: ownedBy("me"), but: held}.view()
		v.Documents["app"] = Document{Local: true, Valid: one}
		require.Len(t, Decide(v).Start, 1)
	})
}
