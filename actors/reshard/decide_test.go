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
	now  = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	app  = messages.WholeConfig("app")
	one  = Version{Revision: 1, Digest: messages.Digest{1}}
	two  = Version{Revision: 2, Digest: messages.Digest{2}}
	runs = Instance{Generation: 1, Phase: messages.PhaseRunning, Ordered: one.Digest}
)

// fixedOwners answers from a map; what is not in it is unknown.
type fixedOwners map[messages.Unit]Ownership

func (o fixedOwners) Owner(u messages.Unit) (string, Ownership) { return "another", o[u] }

func view(change func(*View)) View {
	v := View{
		Now: now, Owners: Alone{}, Complete: true,
		Documents: map[string]Document{"app": {Valid: one}},
		Instances: map[messages.Unit]Instance{app: runs},
	}
	change(&v)
	return v
}

func with(i Instance, change func(*Instance)) Instance { change(&i); return i }

func TestDecide(t *testing.T) {
	start := func(v Version) Plan { return Plan{Start: []Start{{Unit: app, Version: v}}} }
	reload := func(v Version) Plan { return Plan{Reload: []Reload{{Unit: app, Version: v}}} }
	stop := func(r messages.StopReason) Plan { return Plan{Stop: []Stop{{Unit: app, Reason: r}}} }
	hold := func(c Cause) Plan { return Plan{Hold: []Hold{{Unit: app, Cause: c}}} }
	for _, test := range []struct {
		name string
		view func(*View)
		want Plan
	}{
		{"A quiet world has an empty plan", func(*View) {}, Plan{}},
		{"A new config starts", func(v *View) { v.Instances = nil }, start(one)},
		{"A config that is not parsed yet neither starts nor stops", func(v *View) { v.Documents["app"] = Document{} }, Plan{}},
		{"A changed config is reloaded", func(v *View) { v.Documents["app"] = Document{Valid: two} }, reload(two)},
		{"A config with a new revision and the same content is left alone", func(v *View) {
			v.Documents["app"] = Document{Valid: Version{Revision: 9, Digest: one.Digest}}
		}, Plan{}},
		{"A reload that was ordered is not ordered again", func(v *View) {
			v.Documents["app"] = Document{Valid: two}
			v.Instances[app] = with(runs, func(i *Instance) { i.Ordered = two.Digest })
		}, Plan{}},
		{"A config that changes while preparing is reloaded", func(v *View) {
			v.Documents["app"] = Document{Valid: two}
			v.Instances[app] = with(runs, func(i *Instance) { i.Phase = messages.PhasePreparing })
		}, reload(two)},
		{"A deleted config stops", func(v *View) { v.Documents = nil }, stop(messages.Deleted)},
		{"A stop that was asked for is not asked for again", func(v *View) {
			v.Documents = nil
			v.Instances[app] = with(runs, func(i *Instance) { i.Asked = messages.Deleted })
		}, Plan{}},
		{"Before the first complete listing nothing stops", func(v *View) { v.Documents, v.Complete = nil, false }, hold(NotListed)},
		{"A local config that was removed stops without any listing", func(v *View) {
			v.Documents, v.Complete = nil, false
			v.Instances[app] = with(runs, func(i *Instance) { i.Local = true })
		}, stop(messages.Deleted)},
		{"An invalid new revision leaves the old one running and says why", func(v *View) {
			v.Documents["app"] = Document{Valid: one, Problem: "line 3: no"}
		}, Plan{Hold: []Hold{{Unit: app, Cause: InvalidConfig, Detail: "line 3: no"}}}},
		{"The last valid revision starts again after a crash, also when a newer one is invalid", func(v *View) {
			v.Documents["app"] = Document{Valid: one, Problem: "no"}
			v.Instances[app] = with(runs, func(i *Instance) { i.Phase = messages.PhaseStopped })
		}, Plan{Start: []Start{{Unit: app, Version: one}}, Hold: []Hold{{Unit: app, Cause: InvalidConfig, Detail: "no"}}}},
		{"An invalid config that never was valid does not start", func(v *View) {
			v.Documents["app"], v.Instances = Document{Problem: "no"}, nil
		}, Plan{Hold: []Hold{{Unit: app, Cause: InvalidConfig, Detail: "no"}}}},
		{"A vanished config goes on running", func(v *View) { v.Documents["app"] = Document{Valid: one, Vanished: true} }, hold(VanishedConfig)},
		{"A config that a store lacks which is not the one that had it goes on running", func(v *View) {
			v.Documents["app"] = Document{Valid: one, Orphaned: true}
		}, hold(OrphanedConfig)},
		{"A crashed instance waits for its backoff", func(v *View) {
			v.Instances[app] = Instance{Generation: 1, Phase: messages.PhaseStopped, FailedDigest: one.Digest, NotBefore: now.Add(time.Second)}
		}, Plan{Hold: []Hold{{Unit: app, Cause: InBackoff, Until: now.Add(time.Second)}}, Wake: map[messages.Unit]time.Time{app: now.Add(time.Second)}}},
		{"A crashed instance starts when its backoff is over", func(v *View) {
			v.Instances[app] = Instance{Generation: 1, Phase: messages.PhaseStopped, FailedDigest: one.Digest, NotBefore: now}
		}, start(one)},
		{"A quarantined unit stays stopped", func(v *View) {
			v.Instances[app] = Instance{Generation: 1, Phase: messages.PhaseStopped, FailedDigest: one.Digest, Quarantined: true, NotBefore: now.Add(time.Hour)}
		}, Plan{Hold: []Hold{{Unit: app, Cause: InQuarantine, Until: now.Add(time.Hour)}}, Wake: map[messages.Unit]time.Time{app: now.Add(time.Hour)}}},
		{"A quarantined unit has an attempt when its time has come", func(v *View) {
			v.Instances[app] = Instance{Generation: 1, Phase: messages.PhaseStopped, FailedDigest: one.Digest, Quarantined: true, NotBefore: now}
		}, start(one)},
		{"A change lifts a quarantine", func(v *View) {
			v.Documents["app"] = Document{Valid: two}
			v.Instances[app] = Instance{Generation: 1, Phase: messages.PhaseStopped, FailedDigest: one.Digest, Quarantined: true, NotBefore: now.Add(time.Hour)}
		}, start(two)},
		{"A reload that is quarantined leaves the old config running", func(v *View) {
			v.Documents["app"] = Document{Valid: two}
			v.Instances[app] = with(runs, func(i *Instance) { i.FailedDigest, i.Quarantined, i.NotBefore = two.Digest, true, now.Add(time.Hour) })
		}, Plan{Hold: []Hold{{Unit: app, Cause: InQuarantine, Until: now.Add(time.Hour)}}, Wake: map[messages.Unit]time.Time{app: now.Add(time.Hour)}}},
		{"A config that came back waits for the old generation to end", func(v *View) {
			v.Instances[app] = with(runs, func(i *Instance) { i.Phase, i.Asked = messages.PhaseDraining, messages.Deleted })
		}, hold(StillEnding)},
		{"A failed generation is waited for", func(v *View) {
			v.Instances[app] = with(runs, func(i *Instance) { i.Phase = messages.PhaseFailed })
		}, hold(StillEnding)},
		{"A deleted config whose generation is over needs nothing", func(v *View) {
			v.Documents = nil
			v.Instances[app] = with(runs, func(i *Instance) { i.Phase = messages.PhaseStopped })
		}, Plan{}},
		{"An unknown owner changes nothing that runs", func(v *View) { v.Owners = fixedOwners{} }, hold(OwnerUnknown)},
		{"An unknown owner starts nothing", func(v *View) { v.Owners, v.Instances = nil, nil }, hold(OwnerUnknown)},
		{"A unit of another node moves away", func(v *View) { v.Owners = fixedOwners{app: NotOwned} }, stop(messages.Moved)},
		{"A unit of another node does not start here", func(v *View) { v.Owners, v.Instances = fixedOwners{app: NotOwned}, nil }, Plan{}},
		{"A shutdown stops what runs", func(v *View) { v.Stopping = true }, stop(messages.Shutdown)},
		{"A shutdown hurries what drains", func(v *View) {
			v.Stopping = true
			v.Instances[app] = with(runs, func(i *Instance) { i.Phase, i.Asked = messages.PhaseDraining, messages.Deleted })
		}, stop(messages.Shutdown)},
		{"A shutdown starts nothing", func(v *View) { v.Stopping, v.Instances = true, nil }, Plan{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, test.want, Decide(view(test.view)))
		})
	}
}

func TestEqualViewsHaveEqualPlans(t *testing.T) {
	v := View{Now: now, Owners: Alone{}, Complete: true, Documents: map[string]Document{}}
	for i := range 100 {
		v.Documents[fmt.Sprintf("app-%03d", i)] = Document{Valid: one, Problem: "also"}
	}
	first := Decide(v)
	require.Len(t, first.Start, 100)
	require.Equal(t, "app-000", first.Start[0].Unit.Config)
	for range 5 {
		require.Equal(t, first, Decide(v))
	}
}

// Whatever the view, what Decide asks for is done, and then it asks for nothing: there is no plan
// that feeds itself.
func TestPerformingAPlanLeavesAQuietWorld(t *testing.T) {
	phases := []messages.Phase{messages.PhaseNew, messages.PhasePreparing, messages.PhaseRunning, messages.PhaseDraining, messages.PhaseFailed, messages.PhaseStopped}
	documents := []map[string]Document{nil, {"app": {}}, {"app": {Valid: one}}, {"app": {Valid: two}}, {"app": {Valid: one, Vanished: true, Problem: "no"}}}
	owners := []Owners{nil, Alone{}, fixedOwners{app: NotOwned}}
	plans := 0
	for _, phase := range phases {
		for _, asked := range []messages.StopReason{messages.NotStopping, messages.Deleted, messages.Shutdown} {
			for _, docs := range documents {
				for _, owner := range owners {
					for bits := range 8 {
						i := Instance{Generation: 1, Phase: phase, Asked: asked, Ordered: one.Digest, FailedDigest: one.Digest, Quarantined: bits&4 != 0, NotBefore: now.Add(time.Hour)}
						v := View{Now: now, Owners: owner, Complete: bits&1 != 0, Stopping: bits&2 != 0, Documents: docs,
							Instances: map[messages.Unit]Instance{app: i}}
						plan := Decide(v)
						plans += len(plan.Start) + len(plan.Reload) + len(plan.Stop)
						v.Instances = map[messages.Unit]Instance{app: perform(i, plan)}
						require.True(t, Decide(v).Quiet(), "%+v\nled to %+v\nand then to %+v", i, plan, Decide(v))
					}
				}
			}
		}
	}
	require.Positive(t, plans)
}

func perform(i Instance, p Plan) Instance {
	for _, s := range p.Start {
		i = Instance{Generation: i.Generation + 1, Ordered: s.Version.Digest}
	}
	for _, r := range p.Reload {
		i.Ordered = r.Version.Digest
	}
	for _, s := range p.Stop {
		i.Asked = s.Reason
	}
	return i
}
