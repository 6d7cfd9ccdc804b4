package actors_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/actors/actorstest"
	"github.com/ringmaster-agent/ringmaster/messages"
)

func TestAShutdownStopsDrainsAndClosesAndKeepsTheLog(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.run("a", "b")
		w.stop(time.Minute)
		for _, name := range []string{"a", "b"} {
			require.Equal(w, []string{"stop scraping shutdown", "drain", "close"}, w.pipelines.Calls(name))
		}
		_, err := w.client.Describe(w.Context())
		require.ErrorIs(w, err, actors.ErrStopped)
		require.NoError(w, actors.Stop(w.Context(), w.system, w.pid), "stopping what has stopped is no error")
	})
}

func TestAShutdownIsBoundedAlsoWhenTheReceiverIsDown(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.run("a", "b")
		w.pipelines.LeavePending("a", 5)
		began := time.Now()
		w.stop(10 * time.Second)
		require.Less(w, time.Since(began), 10*time.Second)
		require.Equal(w, []string{"stop scraping shutdown", "drain", "close"}, w.pipelines.Calls("a"))
	})
}

func TestAShutdownWithoutADeadlineIsBoundedByTheConfigs(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.source.Put("a", valid(1)+"remote_flush_deadline: 5s\n")
		w.settle()
		w.pipelines.LeavePending("a", 5)
		began := time.Now()
		require.NoError(w, actors.Stop(context.Background(), w.system, w.pid))
		w.stopped = true
		require.InDelta(w, 5, time.Since(began).Seconds(), 0.5)
	})
}

func TestAShutdownHurriesADeletion(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.run("a")
		w.pipelines.LeavePending("a", 5)
		w.source.Delete("a")
		w.settle()
		began := time.Now()
		w.stop(5 * time.Second)
		require.Less(w, time.Since(began), 5*time.Second)
		require.Equal(w, []string{"stop scraping deleted", "drain", "close"}, w.pipelines.Calls("a"))
	})
}

func TestASecondShutdownCanOnlyShortenTheFirst(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.run("a")
		w.pipelines.LeavePending("a", 5)
		first := make(chan error, 1)
		go func() { first <- actors.Stop(context.Background(), w.system, w.pid) }()
		w.pass(time.Second)
		began := time.Now()
		w.stop(3 * time.Second)
		require.Less(w, time.Since(began), 3*time.Second)
		require.NoError(w, <-first)
	})
}

func TestAShutdownStopsInstancesOnTheirWayAndStartsNoMore(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.pipelines.On("opening", actorstest.Open, actorstest.Hang)
		w.pipelines.On("failing", actorstest.Open, actorstest.Fail(errors.New("no")))
		w.source.Put("opening", valid(1))
		w.source.Put("failing", valid(1))
		w.settle()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		began := time.Now()
		require.NoError(w, actors.Stop(ctx, w.system, w.pid))
		w.stopped = true
		require.Less(w, time.Since(began), time.Second)
		w.source.Put("late", valid(1))
		w.pass(time.Minute)
		require.Empty(w, w.pipelines.Calls("late"))
	})
}

func TestAnEmbeddingParentThatStopsTakesTheTreeWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pipelines, source := actorstest.NewPipelines(), actorstest.NewSource()
		system := actors.NewSystem(nil)
		var tree *actor.PID
		parent := newProbe(system, func(c actor.Context) {
			tree = c.Spawn(actors.Props(actors.Options{Configs: source, NewPipeline: pipelines.New}))
		})
		source.Put("a", valid(1))
		<-time.After(moment)
		synctest.Wait()
		require.Equal(t, []string{"open", "start"}, pipelines.Calls("a"))
		description, err := actors.NewClient(system, tree).Describe(t.Context())
		require.NoError(t, err)
		require.Equal(t, messages.PhaseRunning, description.Units.At(0).Phase)

		system.Root.Stop(parent.pid)
		<-time.After(2 * time.Second)
		synctest.Wait()
		require.Equal(t, []string{"open", "start", "close"}, pipelines.Calls("a"), "what is left stays on disk")
		require.Zero(t, pipelines.Open())
		_, err = actors.NewClient(system, tree).Describe(t.Context())
		require.ErrorIs(t, err, actors.ErrStopped)
		<-time.After(2 * time.Second)
	})
}

func TestAClientStopsWaitingWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		system := actors.NewSystem(nil)
		mute := newProbe(system, func(actor.Context) {})
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := actors.NewClient(system, mute.pid).Describe(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, actors.Stop(ctx, system, mute.pid), context.DeadlineExceeded)
		<-time.After(2 * time.Second)
	})
}
