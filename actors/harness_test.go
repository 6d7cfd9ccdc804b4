package actors_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/actors/actorstest"
	"github.com/ringmaster-agent/ringmaster/messages"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// moment is longer than the least time between two decisions, and much shorter than any backoff.
const moment = 100 * time.Millisecond

// world is one supervisor in a bubble of virtual time, with everything around it faked.
type world struct {
	*testing.T
	system    *actor.ActorSystem
	pid       *actor.PID
	client    *actors.Client
	source    *actorstest.Source
	pipelines *actorstest.Pipelines
	directory *actors.Directory
	registry  *prometheus.Registry
	logs      *observer.ObservedLogs
	stopped   bool
}

// inWorld plays a test in a bubble: in it time passes only when everybody waits. At the end the
// tree is stopped, and no pipeline may be left open or have been misused.
func inWorld(t *testing.T, change func(*actors.Options), play func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, change)
		defer w.abort()
		play(w)
		if !w.stopped {
			w.stop(time.Minute)
		}
		w.settle()
		require.Empty(t, w.pipelines.Violations())
		require.Zero(t, w.pipelines.Open(), "pipelines left open")
		require.Empty(t, w.directory.Names())
	})
}

// newWorld spawns a supervisor; system may be nil.
func newWorld(t *testing.T, system *actor.ActorSystem, change func(*actors.Options)) *world {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	logger := zap.New(core)
	if system == nil {
		system = actors.NewSystem(logger)
	}
	w := &world{
		T: t, system: system, logs: logs,
		source: actorstest.NewSource(), pipelines: actorstest.NewPipelines(),
		directory: actors.NewDirectory(), registry: prometheus.NewRegistry(),
	}
	options := actors.Options{
		Configs: w.source, NewPipeline: w.pipelines.New, Directory: w.directory, Registerer: w.registry, Logger: logger,
		Jitter:  func() float64 { return 1 },
		Runtime: actors.Runtime{SinceBoot: func() time.Duration { return 0 }, Audit: func(missed string) { t.Errorf("not decided: %s", missed) }},
	}
	if change != nil {
		change(&options)
	}
	w.pid = w.system.Root.Spawn(actors.Props(options))
	w.client = actors.NewClient(w.system, w.pid)
	return w
}

// pass lets virtual time pass, and then everybody finish.
func (w *world) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (w *world) settle() { w.pass(moment) }

func (w *world) stop(within time.Duration) {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	require.NoError(w, actors.Stop(ctx, w.system, w.pid))
	w.stopped = true
}

// abort ends what a failed test left running, so that its failure is seen instead of the bubble's
// complaint.
func (w *world) abort() {
	w.system.Root.Stop(w.pid)
	w.pass(2 * time.Second) // protoactor's throttle of its log about dead letters holds a goroutine for a second
}

func (w *world) describe() messages.TreeDescription {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	tree, err := w.client.Describe(ctx)
	require.NoError(w, err)
	return tree
}

// unit describes the only unit of a config.
func (w *world) unit(name string) messages.UnitDescription {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	u, err := w.client.DescribeUnit(ctx, messages.WholeConfig(name))
	require.NoError(w, err)
	return u
}

// runs asserts the phase of a config's unit.
func (w *world) is(name string, phase messages.Phase) {
	w.Helper()
	require.Equal(w, phase.String(), w.unit(name).Phase.String(), "%+v", w.unit(name))
}

// run stores configs and lets them come to run; then it forgets how.
func (w *world) run(names ...string) {
	w.Helper()
	for _, name := range names {
		w.source.Put(name, valid(1))
	}
	w.settle()
	for _, name := range names {
		w.is(name, messages.PhaseRunning)
		w.pipelines.Forget(name)
	}
}

// metric is the value of a series without labels, or the sum of all with that name.
func (w *world) metric(name string, labels ...string) float64 {
	w.Helper()
	families, err := w.registry.Gather()
	require.NoError(w, err)
	sum := 0.0
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
	series:
		for _, m := range family.GetMetric() {
			for i := 0; i+1 < len(labels); i += 2 {
				found := false
				for _, l := range m.GetLabel() {
					found = found || l.GetName() == labels[i] && l.GetValue() == labels[i+1]
				}
				if !found {
					continue series
				}
			}
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum
}

// valid is the text of a valid config; different numbers are different configs.
func valid(n int) string {
	return "host_filter: false\nwal_truncate_frequency: " + (time.Hour + time.Duration(n)*time.Second).String() + "\n"
}

const invalid = "no_such_key: 1\n"

// probe is an actor that passes on everything it is told.
type probe struct {
	pid  *actor.PID
	seen chan any
}

func newProbe(system *actor.ActorSystem, started func(actor.Context)) *probe {
	p := &probe{seen: make(chan any, 100)}
	p.pid = system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if _, ok := c.Message().(*actor.Started); ok {
			started(c)
			return
		}
		select {
		case p.seen <- c.Message():
		default:
		}
	}))
	return p
}
