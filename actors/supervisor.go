package actors

import (
	"fmt"
	"math"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors/lifecycle"
	"github.com/ringmaster-agent/ringmaster/actors/reshard"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// supervisor is the root of the tree. It folds what it hears into documents and units, and reconciles: it lets
// reshard.Decide look at them and performs the plan.
type supervisor struct {
	*tree
	policy lifecycle.Policy

	catalog   *reshard.Catalog
	local     map[string]messages.Document
	documents map[string]*document
	// valid is how many of them have a config.
	valid   int
	parsing parsing

	units map[messages.Unit]*unit
	byPID map[string]*unit
	// generation is the number of the newest start attempt of any unit.
	generation uint64
	running    int

	watcher         *actor.PID
	watcherFailures lifecycle.Failures
	storeProblem    string

	membership  *membership // nil without a cluster
	memory      memory
	agenda      agenda
	reconciling reconciling
	timers      map[string]Timer
	stopping    *stopping
	// over: the actor itself is stopping, and waits for its children. What comes now comes too late.
	over bool
}

// Private messages of the supervisor to itself.
type (
	// reconcile asks for one decision. At most one is on its way.
	reconcile struct{}
	// wakeUp comes when time alone may change what is decided.
	wakeUp struct{}
	// showMetrics comes when the gauges are to be brought up to date.
	showMetrics struct{}
	// tick comes every reshard interval, in case an event was lost.
	tick struct{}
	// respawnWatcher comes when the backoff of the watcher is over.
	respawnWatcher struct{}
	// timeIsUp comes when the tree has used up the time it was given to stop.
	timeIsUp struct{}
)

func newSupervisor(o Options) *supervisor {
	s := &supervisor{
		tree:        &tree{Options: o, metrics: newMetrics(o), opening: make(chan struct{}, o.ConcurrentOpens)},
		policy:      lifecycle.DefaultPolicy(o.RestartBackoff),
		catalog:     reshard.NewCatalog(),
		local:       map[string]messages.Document{},
		documents:   map[string]*document{},
		units:       map[messages.Unit]*unit{},
		byPID:       map[string]*unit{},
		timers:      map[string]Timer{},
		agenda:      newAgenda(o),
		reconciling: reconciling{holds: map[messages.Unit]string{}},
	}
	if o.Cluster != nil {
		s.membership = newMembership()
	}
	return s
}

// Receive implements actor.Actor.
func (s *supervisor) Receive(c actor.Context) {
	if s.over {
		return
	}
	switch m := c.Message().(type) {
	case *actor.Started:
		s.start(c)
	case *actor.Stopping:
		s.stop()
	case *actor.Terminated:
		s.terminated(c, m.Who)
	case messages.InstanceEvent:
		s.foldInstance(c, m)
	case messages.WatcherEvent:
		s.foldWatcher(c, m)
	case messages.RegistryEvent:
		s.foldRegistry(c, m)
	case sessionChanged:
		s.sessionChanged(c, m)
	case ringChanged:
		s.ringChanged(c, m)
	case recordsWritten:
		s.recordsWritten(c, m)
	case writeAgain:
		s.writeAgain(c, m)
	case storeAway:
		s.membership.renewed = m.renewed
		s.remember(c)
	case clusterProblem:
		s.membership.problem = m.reason
	case sessionEnded:
		s.end(c, nil)
	case messages.ControlCommand:
		s.control(c, m)
	case messages.Question:
		s.answer(c, m)
	case parsed:
		s.foldParsed(c, m)
	case reconcile:
		s.reconcile(c)
	case wakeUp:
		s.agenda.addDue(s.now())
		s.reconcileSoon(c)
	case showMetrics:
		s.showMetrics()
	case tick:
		s.startTimer(c, "tick", s.ReshardInterval, tick{})
		s.settleSilent()
		s.findLeftovers(c)
		s.agenda.addEverything()
		s.reconcileSoon(c)
	case respawnWatcher:
		s.spawnWatcher(c)
	case recalled:
		s.recalled(c, m)
	case relistConfigs:
		if s.watcher != nil {
			c.Send(s.watcher, listNow{})
		}
	case recallNow:
		s.memory.due = true
		s.goByMemory(c)
	case saveNow:
		s.save(c)
	case saved:
		s.saved(c, m)
	case leftoversFound:
		s.leftoversFound(c, m)
	case respawnMembership:
		s.spawnMembership(c)
	case stillLeaving:
		s.lookAgain(c)
	case handedOver:
		s.stopInstances(c)
	case timeIsUp:
		s.giveUp(c)
	}
}

func (s *supervisor) start(c actor.Context) {
	s.root = actor.NewRootContext(c.ActorSystem(), nil)
	s.supervisor = c.Self()
	if err := s.metrics.register(s.Registerer); err != nil {
		s.Logger.Error("metrics can't be registered; the tree runs without them", zap.Error(err))
	}
	s.startTimer(c, "tick", s.ReshardInterval, tick{})
	s.replaceLocal(c, s.Local)
	s.recall(c)
	s.spawnWatcher(c)
	s.spawnMembership(c)
	s.reconcileSoon(c)
}

// stop runs when the actor stops, for whatever reason; protoactor stops the children after it.
func (s *supervisor) stop() {
	s.over = true
	for _, t := range s.timers {
		t.Stop()
	}
	s.metrics.unregister()
}

// startTimer sends the message to the supervisor after d. A timer of the same name that is still running is replaced.
func (s *supervisor) startTimer(c actor.Context, name string, d time.Duration, message any) {
	if t, ok := s.timers[name]; ok {
		t.Stop()
	}
	s.timers[name] = s.after(max(d, 0), c.Self(), message)
}

// complete reports whether every stored config is known.
func (s *supervisor) complete() bool { return s.Configs == nil || s.catalog.Complete() }

func (s *supervisor) spawnWatcher(c actor.Context) {
	if s.Configs == nil || s.stopping != nil || s.watcher != nil {
		return
	}
	s.watcher = c.SpawnPrefix(props(func() actor.Actor { return newWatcher(s.tree, configFeed{s.Configs}, s.supervisor) }, guardChild(s.Logger), s.Options), "watcher/")
}

// terminated is told of every child that is gone.
func (s *supervisor) terminated(c actor.Context, who *actor.PID) {
	if s.watcher != nil && who.Equal(s.watcher) {
		s.watcher = nil
		if s.stopping == nil {
			// It never gives up by itself, so it crashed.
			policy := lifecycle.Policy{First: time.Second, Longest: time.Minute, Quiet: 10 * time.Minute, Budget: math.MaxInt}
			now := s.now()
			s.watcherFailures = s.watcherFailures.Add(policy, messages.Digest{}, now, s.Jitter())
			s.startTimer(c, "watcher", s.watcherFailures.NotBefore.Sub(now), respawnWatcher{})
		}
		return
	}
	if s.membership.terminated(who) {
		s.membershipTerminated(c)
		return
	}
	u, ok := s.byPID[who.Id]
	if !ok {
		return
	}
	delete(s.byPID, who.Id)
	// What the instance said before may still be on its way: a termination overtakes the messages sent before it.
	u.terminated = true
	s.settle(u)
	s.agenda.add(u.Unit)
	s.reconcileSoon(c)
}

// HandleFailure implements actor.SupervisorStrategy: a child that panicked is stopped, never restarted. What follows is
// its termination.
func (s *supervisor) HandleFailure(_ *actor.ActorSystem, to actor.Supervisor, child *actor.PID, _ *actor.RestartStatistics, reason, message any) {
	err, ok := reason.(error)
	if !ok {
		err = fmt.Errorf("panic: %v", reason)
	}
	s.Logger.Error("actor panicked", zap.String("actor", child.Id), zap.String("message", fmt.Sprintf("%T", message)), zap.Error(err), stackOf(err))
	if u, ok := s.byPID[child.Id]; ok && !u.ended() {
		s.fail(u, u.ordered.Digest, err.Error())
		s.become(u, messages.PhaseFailed)
		s.agenda.add(u.Unit)
	}
	to.StopChildren(child)
}
