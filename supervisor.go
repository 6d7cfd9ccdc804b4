package ringmaster

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/actors/fault/around"
	"github.com/ringmaster-agent/ringmaster/actors/pipeline"
	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/internal/clusterview"
	"github.com/ringmaster-agent/ringmaster/messages"
	"github.com/ringmaster-agent/ringmaster/web"
)

// releasePatience is how long the release of a supervisor that has ended waits for pipelines that
// are still being closed.
const releasePatience = 10 * time.Second

// Supervisor is one that can be spawned. Use New.
type Supervisor struct {
	options   Options
	configs   *cluster.Configs // nil without a store
	cluster   *actors.Cluster  // nil if the node is alone
	directory *actors.Directory
	factory   *pipeline.Factory
	metrics   *tracked
	sessions  *sessions // nil if the node is alone

	// closers undo what New has opened, the last one first.
	closers []func()
	once    sync.Once
	// upkeep ends when the supervisor does.
	upkeep  context.CancelFunc
	working sync.WaitGroup

	running atomic.Pointer[running]
	handler atomic.Pointer[http.Handler]
	// history is what the node has done in the last hour.
	history web.History
	// journal is what has happened to the configs.
	journal  web.Journal
	released chan struct{}
}

// running is the actor.
type running struct {
	system *actor.ActorSystem
	pid    *actor.PID
	client *actors.Client
}

// New opens what a supervisor needs. Spawn its Props once, or Close it.
func New(o Options) (*Supervisor, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Supervisor{options: o, directory: actors.NewDirectory(), metrics: newTracked(o.Registerer), released: make(chan struct{})}
	if o.Store != nil {
		s.options.Store = around.Store(o.Store, o.Faults)
		s.configs = cluster.NewConfigs(s.options.Store, o.ConfigsPrefix)
	}
	for _, open := range []func() error{s.openDirectory, s.joinCluster, s.openGossip, s.openPipelines} {
		if err := open(); err != nil {
			s.release()
			return nil, err
		}
	}
	return s, nil
}

// Props are how to spawn the supervisor, once: a second spawn panics. The parent's supervision
// strategy is never asked.
func (s *Supervisor) Props() *actor.Props {
	o := s.options
	options := actors.Options{
		Local: messages.NewList(s.local()...), Parse: o.Parse, Outline: o.Outline,
		NewPipeline: around.Pipelines(s.factory.New, o.Faults), Leftovers: s.factory.Leftovers, Probe: s.factory.Probe,
		Directory: s.directory, Logger: o.Logger, Registerer: s.metrics.registerer(), ReshardInterval: o.ReshardInterval,
		RestartBackoff: o.RestartBackoff, FlushDeadline: o.FlushDeadline, Memory: o.Memory, Runtime: around.Clock(o.Runtime, o.Faults), Cluster: s.cluster,
		Middleware: append([]actor.ReceiverMiddleware{s.watching}, o.Middleware...), Faults: o.Faults, Subscriber: o.Subscriber, Publish: o.Publish,
		Notify: clusterview.Noting(&s.journal, time.Now),
	}
	if s.configs != nil {
		options.Configs = s.configs
	}
	return actors.Props(options).Configure(actor.WithOnInit(func(c actor.Context) { s.spawned(c.ActorSystem(), c.Self()) }))
}

// local are the configs of this process.
func (s *Supervisor) local() []messages.Document {
	var documents []messages.Document
	for _, name := range slices.Sorted(maps.Keys(s.options.Configs)) {
		documents = append(documents, messages.Document{Name: name, Text: messages.Text(s.options.Configs[name])})
	}
	return documents
}

// spawned is called as soon as the actor has an address.
func (s *Supervisor) spawned(system *actor.ActorSystem, pid *actor.PID) {
	r := &running{system: system, pid: pid, client: actors.NewClient(system, pid)}
	if !s.running.CompareAndSwap(nil, r) {
		panic("spawn a supervisor: it was spawned before; call New for each spawn")
	}
	view := s.openHandler(r)
	ctx, cancel := context.WithCancel(context.Background())
	s.upkeep = cancel
	s.working.Go(func() { s.factory.Upkeep(ctx, s.knownUnits) })
	s.working.Go(func() { s.history.Run(ctx, view) })
}

// watching has the end of the actor noticed, from its start on.
func (s *Supervisor) watching(next actor.ReceiverFunc) actor.ReceiverFunc {
	return func(c actor.ReceiverContext, envelope *actor.MessageEnvelope) {
		if _, begins := envelope.Message.(*actor.Started); begins && c.Self().Equal(s.PID()) {
			s.watch(c.ActorSystem(), c.Self())
		}
		next(c, envelope)
	}
}

// watch releases everything when the actor has ended.
func (s *Supervisor) watch(system *actor.ActorSystem, pid *actor.PID) {
	system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		switch c.Message().(type) {
		case *actor.Started:
			c.Watch(pid)
		case *actor.Terminated:
			c.Stop(c.Self())
			if !s.options.KeepUntilClose {
				go s.Close()
			}
		}
	}))
}

// PID is the supervisor's actor, nil before it was spawned.
func (s *Supervisor) PID() *actor.PID {
	if r := s.running.Load(); r != nil {
		return r.pid
	}
	return nil
}

// Client talks to the supervisor from outside of actors; nil before it was spawned.
func (s *Supervisor) Client() *actors.Client {
	if r := s.running.Load(); r != nil {
		return r.client
	}
	return nil
}

// Directory finds the pipelines that run.
func (s *Supervisor) Directory() *actors.Directory { return s.directory }

// Configs is the repository of stored configs; nil without a store.
func (s *Supervisor) Configs() *cluster.Configs { return s.configs }

// Stop ends the supervisor in good order, as actors.Stop does, and returns when everything is released.
func (s *Supervisor) Stop(ctx context.Context) error {
	r := s.running.Load()
	if r == nil {
		s.Close()
		return nil
	}
	err := actors.Stop(ctx, r.system, r.pid)
	select {
	case <-s.released:
		return err
	case <-ctx.Done():
		return errors.Join(err, ctx.Err())
	}
}

// Released is closed when the actor has ended and nothing of it is left: no goroutine, file,
// session, metric.
func (s *Supervisor) Released() <-chan struct{} { return s.released }

// Close releases everything. It is called by itself once the actor has ended; call it for a
// Supervisor that was never spawned.
func (s *Supervisor) Close() { s.once.Do(s.release) }

func (s *Supervisor) release() {
	if s.upkeep != nil {
		s.upkeep()
	}
	s.working.Wait()
	if s.factory != nil && !s.factory.AwaitIdle(releasePatience) {
		s.options.Logger.Error("pipelines of a supervisor that has ended are not closed yet; their logs stay in use")
	}
	for i := len(s.closers) - 1; i >= 0; i-- {
		s.closers[i]()
	}
	s.metrics.unregister()
	close(s.released)
}

// knownUnits are the keys of all units that the supervisor knows of. It is an error if it may not
// know all.
func (s *Supervisor) knownUnits(ctx context.Context) (map[string]bool, error) {
	description, err := s.Client().Describe(ctx)
	if err != nil {
		return nil, err
	}
	if !description.Complete || description.Doubt != "" || description.Stopping {
		return nil, errors.New("the set of configs is not known for sure")
	}
	keys := make(map[string]bool, description.Units.Len())
	for u := range description.Units.All() {
		keys[u.Unit.Key()] = true
	}
	return keys, nil
}
