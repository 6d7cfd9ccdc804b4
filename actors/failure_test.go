package actors_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/actors/actorstest"
	"github.com/ringmaster-agent/ringmaster/messages"
)

var errBoom = errors.New("boom")

func TestACrashLoopBacksOffIsQuarantinedAndLiftedByANewRevision(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.run("neighbour")
		w.pipelines.On("a", actorstest.Start, actorstest.Fail(errBoom))
		w.source.Put("a", valid(1))
		w.settle()
		w.is("a", messages.PhaseBackoff)
		u := w.unit("a")
		require.Contains(w, u.LastError, "boom")
		require.Contains(w, u.Hold, "waiting after a failure")
		require.InDelta(w, 5, time.Until(u.NextAttempt).Seconds(), 0.5)

		var attempts []time.Duration
		began, generation := time.Now(), u.Generation
		for w.unit("a").QuarantineReason == "" {
			w.pass(time.Second)
			if g := w.unit("a").Generation; g != generation {
				generation = g
				attempts = append(attempts, time.Since(began).Round(5*time.Second))
			}
			require.Less(w, time.Since(began), time.Hour)
		}
		require.Equal(w, []time.Duration{5 * time.Second, 15 * time.Second, 35 * time.Second, 75 * time.Second, 155 * time.Second,
			315 * time.Second, 615 * time.Second, 915 * time.Second, 1215 * time.Second}, attempts, "the wait doubles up to five minutes")
		w.is("a", messages.PhaseQuarantined)
		require.Equal(w, 10.0, w.metric("agent_metrics_instance_abnormal_exits_total", "instance_name", "a"))

		w.pass(50 * time.Minute)
		w.is("a", messages.PhaseQuarantined)
		require.Contains(w, w.unit("a").Hold, "tried again at")
		require.InDelta(w, 10, time.Until(w.unit("a").NextAttempt).Minutes(), 1)

		w.pipelines.On("a", actorstest.Start, nil)
		w.source.Put("a", valid(2))
		w.settle()
		w.is("a", messages.PhaseRunning)
		require.Empty(w, w.unit("a").QuarantineReason)
		require.Empty(w, w.pipelines.Calls("neighbour"))
	})
}

func TestAQuarantineLiftsItselfOnceAnHour(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.pipelines.On("a", actorstest.Open, actorstest.Fail(errBoom))
		w.source.Put("a", valid(1))
		w.pass(30 * time.Minute)
		w.is("a", messages.PhaseQuarantined)
		generation := w.unit("a").Generation
		w.pass(3 * time.Hour)
		w.is("a", messages.PhaseQuarantined)
		require.Equal(w, generation+3, w.unit("a").Generation, "an attempt an hour")
		w.pipelines.On("a", actorstest.Open, nil)
		w.pass(time.Hour)
		w.is("a", messages.PhaseRunning)
		require.Empty(w, w.unit("a").QuarantineReason)
	})
}

func TestAPersonLiftsAQuarantine(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.pipelines.On("a", actorstest.Open, actorstest.Fail(errBoom))
		w.source.Put("a", valid(1))
		w.pass(time.Hour)
		w.is("a", messages.PhaseQuarantined)
		w.pipelines.On("a", actorstest.Open, nil)
		require.NoError(w, w.client.Retry(w.Context(), messages.WholeConfig("a")))
		w.settle()
		w.is("a", messages.PhaseRunning)
		require.ErrorIs(w, w.client.Retry(w.Context(), messages.WholeConfig("nobody")), actors.ErrUnknownUnit)
	})
}

func TestEachPanicOfAPipelineEndsItsGenerationAndNothingElse(t *testing.T) {
	for _, operation := range []string{actorstest.Open, actorstest.Start, actorstest.Reload} {
		t.Run(operation, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				w.run("neighbour")
				w.pipelines.On("a", operation, actorstest.Panic("ouch"))
				w.source.Put("a", valid(1))
				w.settle()
				w.source.Put("a", valid(2))
				w.settle()
				require.Contains(w, w.unit("a").LastError, "ouch")
				stacks := w.logs.FilterMessage("data path panicked").All()
				require.NotEmpty(w, stacks)
				require.Contains(w, stacks[0].ContextMap()["stack"], "actorstest")
				w.pipelines.On("a", operation, nil)
				w.pass(15 * time.Second)
				w.is("a", messages.PhaseRunning)
				require.Equal(w, int64(3), w.unit("a").RunningRevision)
				require.Empty(w, w.pipelines.Calls("neighbour"))
			})
		})
	}
}

func TestAPanicWhileStoppingStillEndsTheGeneration(t *testing.T) {
	for _, operation := range []string{actorstest.StopScraping, actorstest.Drain, actorstest.Close} {
		t.Run(operation, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				w.run("a")
				w.pipelines.On("a", operation, actorstest.Panic("ouch"))
				w.source.Delete("a")
				w.settle()
				require.Empty(w, w.directory.Names())
				require.Equal(w, 0, w.describe().Units.Len())
				calls := w.pipelines.Calls("a")
				if operation != actorstest.Close {
					require.Equal(w, "close", calls[len(calls)-1], "a log of which nothing certain is known stays")
				}
				w.pipelines.On("a", operation, nil)
				w.source.Put("a", valid(1))
				w.settle()
				w.is("a", messages.PhaseRunning)
			})
		})
	}
}

func TestABrokenDataPathIsClosedAndStartedAgain(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.run("a")
		w.pipelines.Newest("a").Break(errBoom)
		w.pipelines.Newest("a").Break(errBoom)
		w.settle()
		require.Empty(w, w.directory.Names())
		require.Equal(w, []string{"close"}, w.pipelines.Calls("a"))
		w.pass(5 * time.Second)
		w.is("a", messages.PhaseRunning)
		require.Equal(w, 1, w.unit("a").Restarts)
		require.Equal(w, 1, w.unit("a").Failures)
		w.pipelines.Newest("a").Break(errBoom)
		w.pass(time.Hour)
		require.Equal(w, 2, w.unit("a").Failures)
		w.pipelines.Newest("a").Break(errBoom)
		w.settle()
		require.Equal(w, 1, w.unit("a").Failures, "an hour without a failure starts the count again")
	})
}

func TestAReloadThatFailsLeavesTheOldConfigRunningAndIsTriedAgain(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.run("a")
		w.pipelines.On("a", actorstest.Reload, actorstest.Fail(errBoom))
		w.source.Put("a", valid(2))
		w.settle()
		u := w.unit("a")
		require.Equal(w, messages.PhaseRunning, u.Phase)
		require.Equal(w, int64(1), u.RunningRevision)
		require.Equal(w, int64(2), u.WantedRevision)
		require.Contains(w, u.Hold, "waiting after a failure")
		require.Equal(w, []string{"a"}, w.directory.Names())

		w.pass(time.Hour)
		require.NotEmpty(w, w.unit("a").QuarantineReason)
		require.Equal(w, messages.PhaseRunning, w.unit("a").Phase, "what ran goes on running")
		require.Len(w, w.pipelines.Calls("a"), 10)

		w.pipelines.On("a", actorstest.Reload, nil)
		w.source.Put("a", valid(3))
		w.settle()
		require.Equal(w, int64(3), w.unit("a").RunningRevision)
	})
}

func TestAHungOpeningDoesNotHoldUpAStop(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.run("a")
		w.pipelines.On("hung", actorstest.Open, actorstest.Hang)
		w.source.Put("hung", valid(1))
		w.settle()
		w.is("hung", messages.PhasePreparing)
		w.source.Delete("hung")
		w.settle()
		require.Equal(w, 1, w.describe().Units.Len(), "it ends as soon as its context does")
		w.is("a", messages.PhaseRunning)
	})
}

func TestAnOpeningThatIgnoresItsContextIsLeftBehindByAShutdownAndClosedWhenItReturns(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		stuck := make(chan struct{})
		release := sync.OnceFunc(func() { close(stuck) })
		defer release()
		w.run("a")
		w.pipelines.On("stuck", actorstest.Open, func(context.Context) error { <-stuck; return nil })
		w.source.Put("stuck", valid(1))
		w.settle()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		began := time.Now()
		err := actors.Stop(ctx, w.system, w.pid)
		w.stopped = true
		require.ErrorIs(w, err, actors.ErrUnfinished)
		require.ErrorContains(w, err, "stuck")
		require.LessOrEqual(w, time.Since(began), 10*time.Second)
		require.Equal(w, []string{"stop scraping shutdown", "drain", "close"}, w.pipelines.Calls("a"))
		release()
		w.settle()
		require.Equal(w, []string{"open", "close"}, w.pipelines.Calls("stuck"))
	})
}

// panics returns a middleware that panics on messages that match while it is armed.
func panics(armed *atomic.Bool, match func(actor.ReceiverContext, any) bool) actor.ReceiverMiddleware {
	return func(next actor.ReceiverFunc) actor.ReceiverFunc {
		return func(c actor.ReceiverContext, envelope *actor.MessageEnvelope) {
			if armed.Load() && match(c, envelope.Message) {
				panic("injected")
			}
			next(c, envelope)
		}
	}
}

func TestAPanicInAnInstancesReceiveReleasesThePipelineBeforeTheNextGenerationOpensIt(t *testing.T) {
	var armed atomic.Bool
	onReload := panics(&armed, func(_ actor.ReceiverContext, m any) bool { _, is := m.(messages.ReloadInstance); return is })
	inWorld(t, func(o *actors.Options) { o.Middleware = []actor.ReceiverMiddleware{onReload} }, func(w *world) {
		w.run("a", "neighbour")
		w.pipelines.On("a", actorstest.Close, func(context.Context) error { <-time.After(20 * time.Second); return nil })
		armed.Store(true)
		w.source.Put("a", valid(2))
		w.settle()
		armed.Store(false)
		require.Contains(w, w.unit("a").LastError, "injected")
		require.Equal(w, []string{"neighbour"}, w.directory.Names())
		w.pass(10 * time.Second)
		require.Equal(w, []string{"close"}, w.pipelines.Calls("a"), "the backoff is over, but the log is not released")
		require.Contains(w, w.unit("a").Hold, "previous generation")
		w.pass(20 * time.Second)
		w.is("a", messages.PhaseRunning)
		require.Equal(w, int64(3), w.unit("a").RunningRevision)
		require.Empty(w, w.pipelines.Calls("neighbour"))
		w.pipelines.On("a", actorstest.Close, nil)
	})
}

func TestPanicsInLifecycleMessagesNeitherRestartNorHangAnything(t *testing.T) {
	var armed atomic.Bool
	inStopping := panics(&armed, func(c actor.ReceiverContext, m any) bool {
		return strings.Contains(c.Self().Id, "/instance/a/") && isEnding(m)
	})
	inWorld(t, func(o *actors.Options) { o.Middleware = []actor.ReceiverMiddleware{inStopping} }, func(w *world) {
		w.run("a", "b")
		armed.Store(true)
		w.source.Delete("a")
		w.settle()
		require.Equal(w, []string{"b"}, w.directory.Names())
		require.Equal(w, []string{"stop scraping deleted", "drain", "close and remove"}, w.pipelines.Calls("a"))
		require.Equal(w, 1, w.describe().Units.Len())
		w.stop(time.Minute)
	})
}

func isEnding(m any) bool {
	switch m.(type) {
	case *actor.Stopping, *actor.Stopped:
		return true
	default:
		return false
	}
}

func TestEventsOfAnotherGenerationAreDropped(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.run("a")
		first := w.unit("a").Generation
		w.pipelines.Newest("a").Break(errBoom)
		w.pass(10 * time.Second)
		unit := messages.WholeConfig("a")
		for _, stale := range []messages.InstanceEvent{
			messages.InstanceFailed{Unit: unit, Generation: first, Reason: "late"},
			messages.InstanceDraining{Unit: unit, Generation: first},
			messages.InstanceStopped{Unit: unit, Generation: first},
			messages.InstanceFailed{Unit: messages.WholeConfig("nobody"), Generation: first},
		} {
			w.system.Root.Send(w.pid, stale)
		}
		w.settle()
		w.is("a", messages.PhaseRunning)
		require.Equal(w, 1, w.unit("a").Failures)
		require.Equal(w, 1, w.unit("a").Restarts)
	})
}

func TestLostWordsOfAnInstanceAreMadeGoodByTheTick(t *testing.T) {
	var deaf atomic.Bool
	drop := func(next actor.ReceiverFunc) actor.ReceiverFunc {
		return func(c actor.ReceiverContext, envelope *actor.MessageEnvelope) {
			if _, event := envelope.Message.(messages.InstanceEvent); event && deaf.Load() {
				return
			}
			next(c, envelope)
		}
	}
	inWorld(t, func(o *actors.Options) { o.Middleware = []actor.ReceiverMiddleware{drop} }, func(w *world) {
		w.run("a")
		deaf.Store(true)
		w.pipelines.Newest("a").Break(errBoom)
		w.settle()
		deaf.Store(false)
		w.is("a", messages.PhaseRunning)
		w.pass(3 * time.Minute)
		w.is("a", messages.PhaseRunning)
		require.Equal(w, 1, w.unit("a").Restarts)
		require.Contains(w, w.unit("a").LastError, "without saying why")
	})
}

func TestAPanicOfTheSupervisorEndsTheTreeAndIsSeenByWhoWatchesIt(t *testing.T) {
	var armed atomic.Bool
	onTick := panics(&armed, func(c actor.ReceiverContext, m any) bool {
		_, describe := m.(messages.DescribeTree)
		return describe
	})
	inWorld(t, func(o *actors.Options) { o.Middleware = []actor.ReceiverMiddleware{onTick} }, func(w *world) {
		w.run("a")
		watch := newProbe(w.system, func(c actor.Context) { c.Watch(w.pid) })
		armed.Store(true)
		_, err := w.client.Describe(w.Context())
		require.ErrorIs(w, err, actors.ErrStopped)
		w.settle()
		require.IsType(w, &actor.Terminated{}, <-watch.seen)
		require.Equal(w, []string{"close"}, w.pipelines.Calls("a"))
		w.system.Root.Stop(watch.pid)
		w.stopped = true
	})
}

func TestACrashOfTheWatcherIsFollowedByAnother(t *testing.T) {
	var armed atomic.Bool
	crash := panics(&armed, func(c actor.ReceiverContext, m any) bool {
		return strings.Contains(c.Self().Id, "/watcher/") && !isEnding(m)
	})
	inWorld(t, func(o *actors.Options) { o.Middleware = []actor.ReceiverMiddleware{crash} }, func(w *world) {
		w.run("a")
		armed.Store(true)
		w.source.Put("b", valid(1))
		w.settle()
		armed.Store(false)
		w.is("a", messages.PhaseRunning)
		w.pass(5 * time.Second)
		w.is("b", messages.PhaseRunning)
	})
}
