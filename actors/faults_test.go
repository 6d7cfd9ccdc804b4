package actors_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/actors/actorstest"
	"github.com/ringmaster-agent/ringmaster/actors/fault"
	"github.com/ringmaster-agent/ringmaster/actors/fault/faulttest"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// inFaultyWorld is inWorld with faults.
func inFaultyWorld(t *testing.T, play func(w *world, faults *fault.Registry)) {
	t.Helper()
	faults := fault.New(fault.Options{})
	inWorld(t, func(o *actors.Options) { o.Faults = faults }, func(w *world) {
		defer func() { faults.Close(); w.pass(time.Second) }()
		play(w, faults)
	})
}

// during is a rule for so long.
func during(d time.Duration, r fault.Rule) fault.Rule {
	r.Name, r.Duration = "test", fault.Duration(d)
	return r
}

// put puts a rule in force; its timers belong to the bubble, since the registry is asked within it.
func put(w *world, faults *fault.Registry, r fault.Rule) {
	w.Helper()
	require.NoError(w, faults.Put(r))
}

func TestWhateverHappensToMessagesAUnitRunsAgainAndItsNeighbourNeverStops(t *testing.T) {
	for name, rule := range map[string]fault.Rule{
		"its actor panics":                   {Point: fault.ActorReceive, Action: fault.Panic, Actors: "instance", Units: "a"},
		"its actor is stopped":               {Point: fault.ActorReceive, Action: fault.Stop, Actors: "instance", Units: "a"},
		"its actor can't be spawned":         {Point: fault.ActorSpawn, Action: fault.Error, Actors: "instance", Units: "a"},
		"its messages are lost":              {Point: fault.ActorReceive, Action: fault.Drop, Actors: "instance", Units: "a"},
		"its messages are late":              {Point: fault.ActorReceive, Action: fault.Delay, Delay: fault.Duration(3 * time.Second), Actors: "instance", Units: "a"},
		"its messages come twice":            {Point: fault.ActorReceive, Action: fault.Duplicate, Actors: "instance", Units: "a"},
		"its messages are reordered":         {Point: fault.ActorReceive, Action: fault.Reorder, Delay: fault.Duration(time.Second), Actors: "instance", Units: "a"},
		"its mailbox stalls":                 {Point: fault.ActorReceive, Action: fault.Stall, Actors: "instance", Units: "a"},
		"what it says is lost":               {Point: fault.ActorSend, Action: fault.Drop, Actors: "instance", Units: "a"},
		"what it says is late":               {Point: fault.ActorSend, Action: fault.Delay, Delay: fault.Duration(3 * time.Second), Actors: "instance", Units: "a"},
		"what it says comes twice":           {Point: fault.ActorSend, Action: fault.Duplicate, Actors: "instance", Units: "a"},
		"the watcher panics":                 {Point: fault.ActorReceive, Action: fault.Panic, Actors: "configs"},
		"the watcher can't be spawned":       {Point: fault.ActorSpawn, Action: fault.Error, Actors: "configs"},
		"the supervisor hears nothing of it": {Point: fault.ActorReceive, Action: fault.Drop, Actors: "supervisor", Messages: "Instance*", Units: "a"},
		"the store's news are lost":          {Point: fault.ActorReceive, Action: fault.Drop, Actors: "supervisor", Messages: "ConfigPut"},
		"outcomes are lost":                  {Point: fault.ActorSend, Action: fault.Drop, Actors: "outcome"},
	} {
		t.Run(name, func(t *testing.T) {
			inFaultyWorld(t, func(w *world, faults *fault.Registry) {
				w.run("neighbour")
				put(w, faults, during(20*time.Second, rule))
				w.source.Put("a", valid(1))
				w.pass(10 * time.Second)
				w.source.Put("a", valid(2))
				w.pass(15 * time.Second)
				require.Empty(w, faults.Rules(), "it has ended by itself")
				require.NotEmpty(w, faults.Hits(), "it has hit something")
				w.pass(3 * time.Minute) // reshard intervals, and the backoff
				w.is("a", messages.PhaseRunning)
				require.Equal(w, w.unit("a").WantedRevision, w.unit("a").RunningRevision)
				w.is("neighbour", messages.PhaseRunning)
				require.Empty(w, w.pipelines.Calls("neighbour"), "a fault never takes a neighbour down")
			})
		})
	}
}

func TestAMailboxThatStalledGoesOnInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := faulttest.New(t, fault.Rule{Point: fault.ActorReceive, Action: fault.Stall, Actors: "supervisor", Duration: fault.Duration(5 * time.Second)})
		w := newWorld(t, nil, func(o *actors.Options) { o.Faults = faults })
		defer w.abort()
		asked := newProbe(w.system, func(c actor.Context) {
			for range 3 {
				c.Request(w.pid, messages.DescribeTree{})
			}
		})
		w.settle()
		require.Empty(t, asked.seen, "it stands still")
		w.pass(6 * time.Second)
		require.Len(t, asked.seen, 3)
		w.stop(time.Minute)
	})
}

func TestAPanicOfTheSupervisorOnPurposeEndsTheTreeAndReleasesEverything(t *testing.T) {
	inFaultyWorld(t, func(w *world, faults *fault.Registry) {
		w.run("a")
		put(w, faults, during(time.Minute, fault.Rule{Point: fault.ActorReceive, Action: fault.Panic, Actors: "supervisor", Messages: "DescribeTree"}))
		w.system.Root.Send(w.pid, messages.DescribeTree{})
		w.settle()
		w.stopped = true
		require.Zero(w, w.pipelines.Open())
	})
}

func TestFaultsThatAreOffAreNotThere(t *testing.T) {
	inFaultyWorld(t, func(w *world, faults *fault.Registry) {
		w.run("a", "b")
		w.pipelines.On("a", actorstest.Start, nil)
		require.Empty(w, faults.Hits())
	})
}
