package actors_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/actors/actorstest"
	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
)

func TestAStoredConfigRuns(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.source.Put("a", valid(1))
		w.settle()
		w.is("a", messages.PhaseRunning)
		require.Equal(w, []string{"open", "start"}, w.pipelines.Calls("a"))
		require.Equal(w, []string{"a"}, w.directory.Names())
		u := w.unit("a")
		require.Equal(w, int64(1), u.RunningRevision)
		require.Equal(w, u.WantedDigest, u.RunningDigest)
		tree := w.describe()
		require.True(w, tree.Complete)
		require.True(w, tree.Settled)
		require.Equal(w, 1.0, w.metric("agent_metrics_active_instances"))
		require.Equal(w, 1.0, w.metric("agent_metrics_active_configs"))
		require.Equal(w, 1.0, w.metric("agent_metrics_configs_changed_total", "event", "created"))
		require.Positive(w, w.metric("agent_metrics_scraping_service_reshard_duration", "success", "true"))
	})
}

func TestAQuietWorldDoesAndSaysNothing(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.run("a", "b")
		w.pass(time.Minute)
		w.logs.TakeAll()
		w.pass(10 * time.Minute)
		require.Empty(w, w.pipelines.Calls("a"))
		require.Empty(w, w.logs.TakeAll())
	})
}

func TestABurstOfChangesIsReloadedWithTheNewest(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.run("a")
		for n := 2; n <= 20; n++ {
			w.source.Put("a", valid(n))
		}
		w.settle()
		calls := w.pipelines.Calls("a")
		require.NotEmpty(w, calls)
		require.LessOrEqual(w, len(calls), 2, "what is superseded is not applied")
		require.Equal(w, "reload "+valid(20), calls[len(calls)-1])
		require.Equal(w, int64(20), w.unit("a").RunningRevision)
	})
}

func TestChangesWhileAReloadIsUnderWayBecomeOneMore(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.run("a")
		w.pipelines.On("a", actorstest.Reload, func(context.Context) error { <-time.After(time.Second); return nil })
		for n := 2; n <= 6; n++ {
			w.source.Put("a", valid(n))
			w.settle()
		}
		w.pass(5 * time.Second)
		require.Equal(w, []string{"reload " + valid(2), "reload " + valid(6)}, w.pipelines.Calls("a"))
	})
}

func TestTheSameTextAtANewRevisionIsNotReloaded(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.run("a")
		w.source.Put("a", valid(1))
		w.settle()
		require.Empty(w, w.pipelines.Calls("a"))
	})
}

func TestADeletedConfigIsStoppedDrainedAndItsLogRemoved(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.run("a", "b")
		w.source.Delete("a")
		w.settle()
		require.Equal(w, []string{"stop scraping deleted", "drain", "close and remove"}, w.pipelines.Calls("a"))
		require.Equal(w, []string{"b"}, w.directory.Names())
		_, err := w.client.DescribeUnit(w.Context(), messages.WholeConfig("a"))
		require.ErrorIs(w, err, actors.ErrUnknownUnit)
		require.Equal(w, 1, w.describe().Units.Len())
		require.Equal(w, 1.0, w.metric("agent_metrics_active_instances"))
	})
}

func TestADeletedConfigWhoseReceiverIsDownKeepsItsLogAndSaysSo(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.run("a")
		w.pipelines.LeavePending("a", 42)
		w.source.Delete("a")
		w.pass(30 * time.Second)
		require.Equal(w, []string{"stop scraping deleted", "drain"}, w.pipelines.Calls("a"), "the deadline is a minute")
		w.pass(time.Minute)
		require.Equal(w, []string{"stop scraping deleted", "drain", "close"}, w.pipelines.Calls("a"))
		released := w.logs.FilterMessage("instance released").All()
		require.Len(w, released, 1)
		require.EqualValues(w, 42, released[0].ContextMap()["pending"])
	})
}

func TestAConfigThatComesBackWhileDrainingWaitsForTheLog(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.run("a")
		w.pipelines.LeavePending("a", 1)
		w.source.Delete("a")
		w.settle()
		w.source.Put("a", valid(2))
		w.settle()
		w.is("a", messages.PhaseDraining)
		require.Contains(w, w.unit("a").Hold, "previous generation")
		w.pipelines.LeavePending("a", 0)
		w.pass(2 * time.Minute)
		w.is("a", messages.PhaseRunning)
		require.Equal(w, []string{"stop scraping deleted", "drain", "close", "open", "start"}, w.pipelines.Calls("a"))
	})
}

func TestAnInvalidRevisionKeepsTheOldOneRunningAndShowsWhy(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.run("a")
		w.source.Put("a", invalid)
		w.settle()
		u := w.unit("a")
		require.Equal(w, messages.PhaseRunning, u.Phase)
		require.Equal(w, int64(1), u.RunningRevision)
		require.Contains(w, u.InvalidReason, "no_such_key")
		require.Contains(w, u.Hold, "not valid")
		require.Empty(w, w.pipelines.Calls("a"))

		w.source.Put("a", valid(3))
		w.settle()
		require.Equal(w, []string{"reload " + valid(3)}, w.pipelines.Calls("a"))
		require.Empty(w, w.unit("a").InvalidReason)
		require.Empty(w, w.unit("a").Hold)
	})
}

func TestTheLastValidRevisionIsWhatACrashStartsAgain(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.run("a")
		w.source.Put("a", invalid)
		w.settle()
		w.pipelines.Newest("a").Break(errors.New("boom"))
		w.pass(10 * time.Second)
		w.is("a", messages.PhaseRunning)
		require.Equal(w, int64(1), w.unit("a").RunningRevision)
	})
}

func TestGarbageInTheStoreStopsNothingAndTheOthersRun(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.run("a", "b")
		w.source.PutGarbage("a")
		w.source.PutGarbage("c")
		w.source.Put("d", valid(1))
		w.settle()
		w.is("a", messages.PhaseRunning)
		w.is("b", messages.PhaseRunning)
		w.is("c", messages.PhaseWaiting)
		w.is("d", messages.PhaseRunning)
		require.Contains(w, w.unit("c").InvalidReason, "gzip")
		w.pass(5 * time.Minute) // listings say the same
		w.is("a", messages.PhaseRunning)
		require.Empty(w, w.pipelines.Calls("a"))
	})
}

func TestAParserThatPanicsIsAnInvalidConfigAndNotTheEnd(t *testing.T) {
	parse := func(d messages.Document) (*config.Instance, error) {
		if d.Name == "poison" {
			panic("poisoned")
		}
		return config.ParseInstance(d.Name, string(d.Text), config.InstanceOptions{})
	}
	inWorld(t, func(o *actors.Options) { o.Parse = parse }, func(w *world) {
		w.source.Put("poison", valid(1))
		w.source.Put("a", valid(1))
		w.settle()
		w.is("a", messages.PhaseRunning)
		require.Contains(w, w.unit("poison").InvalidReason, "poisoned")
	})
}

func TestLocalConfigsRunWithoutAStore(t *testing.T) {
	local := messages.NewList(messages.Document{Name: "l1", Text: messages.Text(valid(1))}, messages.Document{Name: "l2", Text: messages.Text(valid(1))})
	inWorld(t, func(o *actors.Options) { o.Configs, o.Local = nil, local }, func(w *world) {
		w.settle()
		require.True(w, w.describe().Settled)
		w.is("l1", messages.PhaseRunning)
		require.True(w, w.unit("l1").Local)
		w.client.ReplaceLocal(messages.Document{Name: "l1", Text: messages.Text(valid(2))}, messages.Document{Name: "l3", Text: messages.Text(valid(1))})
		w.settle()
		require.Equal(w, []string{"open", "start", "reload " + valid(2)}, w.pipelines.Calls("l1"))
		require.Equal(w, []string{"l1", "l3"}, w.directory.Names())
		require.Equal(w, []string{"open", "start", "stop scraping deleted", "drain", "close and remove"}, w.pipelines.Calls("l2"))
	})
}

func TestALocalConfigHidesAStoredOneOfTheSameName(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.run("a")
		w.client.ReplaceLocal(messages.Document{Name: "a", Text: messages.Text(valid(7))})
		w.settle()
		require.Equal(w, []string{"reload " + valid(7)}, w.pipelines.Calls("a"))
		require.True(w, w.unit("a").Local)
		w.client.ReplaceLocal()
		w.settle()
		require.Equal(w, []string{"reload " + valid(7), "reload " + valid(1)}, w.pipelines.Calls("a"))
	})
}

func TestNewDefaultsReloadWhatTheyChange(t *testing.T) {
	globals := []*config.Global{config.DefaultGlobal(), globalWith(t, "scrape_interval: 7s")}
	use := make(chan *config.Global, 1)
	use <- globals[0]
	parse := func(d messages.Document) (*config.Instance, error) {
		global := <-use
		defer func() { use <- global }()
		return config.ParseInstance(d.Name, string(d.Text), config.InstanceOptions{Global: global})
	}
	inWorld(t, func(o *actors.Options) { o.Parse = parse }, func(w *world) {
		w.run("a", "b")
		w.client.DefaultsChanged(messages.Digest(globals[0].Digest()))
		w.settle()
		require.Empty(w, w.pipelines.Calls("a"), "the same defaults change nothing")
		<-use
		use <- globals[1]
		w.client.DefaultsChanged(messages.Digest(globals[1].Digest()))
		w.settle()
		require.Equal(w, []string{"reload " + valid(1)}, w.pipelines.Calls("a"))
		require.Equal(w, []string{"reload " + valid(1)}, w.pipelines.Calls("b"))
	})
}

func globalWith(t *testing.T, line string) *config.Global {
	t.Helper()
	agent, err := config.LoadAgent("agent.yaml", []byte("metrics:\n  global:\n    "+line+"\n"), config.LoadOptions{})
	require.NoError(t, err)
	return agent.Metrics.Global
}

func TestAThousandInstancesStartAndStop(t *testing.T) {
	const n = 1000
	inWorld(t, nil, func(w *world) {
		for i := range n {
			w.source.Put(fmt.Sprintf("app-%d", i), valid(1))
		}
		w.pass(time.Second)
		require.Len(w, w.directory.Names(), n)
		require.True(w, w.describe().Settled)
		require.EqualValues(w, n, w.metric("agent_metrics_active_instances"))
	})
}

func TestOpeningIsBoundedAndAHungOneGivesItsTurnAway(t *testing.T) {
	inWorld(t, func(o *actors.Options) { o.ConcurrentOpens = 2 }, func(w *world) {
		var opening, tooMany atomic.Int32
		slow := func(context.Context) error {
			defer opening.Add(-1)
			if opening.Add(1) > 2 {
				tooMany.Add(1)
			}
			<-time.After(10 * time.Millisecond)
			return nil
		}
		for i := range 5 {
			w.pipelines.On(fmt.Sprintf("hung-%d", i), actorstest.Open, actorstest.Hang)
			w.source.Put(fmt.Sprintf("hung-%d", i), valid(1))
		}
		w.settle()
		for i := range 20 {
			w.pipelines.On(fmt.Sprintf("app-%d", i), actorstest.Open, slow)
			w.source.Put(fmt.Sprintf("app-%d", i), valid(1))
		}
		w.pass(10 * time.Second)
		require.Len(w, w.directory.Names(), 20)
		require.Zero(w, tooMany.Load())
		w.is("hung-0", messages.PhasePreparing)
		require.False(w, w.describe().Settled)
	})
}

func TestTwoSupervisorsInOneActorSystemDoNotMeet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := newWorld(t, nil, nil)
		defer one.abort()
		two := newWorld(t, one.system, nil)
		defer two.abort()
		one.run("a")
		two.run("a", "b")
		one.source.Delete("a")
		one.settle()
		require.Empty(t, one.directory.Names())
		require.Equal(t, []string{"a", "b"}, two.directory.Names())
		require.Empty(t, two.pipelines.Calls("a"))
		one.stop(time.Minute)
		two.is("a", messages.PhaseRunning)
		require.EqualValues(t, 2, two.metric("agent_metrics_active_instances"))
		two.stop(time.Minute)
		require.Zero(t, one.pipelines.Open()+two.pipelines.Open())
	})
}

func TestTwoSupervisorsOnOneRegistererBothRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := newWorld(t, nil, nil)
		defer one.abort()
		one.run("a")
		two := newWorld(t, one.system, func(o *actors.Options) { o.Registerer = one.registry })
		defer two.abort()
		two.run("b")
		two.stop(time.Minute)
		require.EqualValues(t, 1, one.metric("agent_metrics_active_instances"), "the second must not take away the metrics of the first")
		one.stop(time.Minute)
		families, err := one.registry.Gather()
		require.NoError(t, err)
		require.Empty(t, families, "metrics are unregistered with their owner")
	})
}
