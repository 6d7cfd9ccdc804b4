package actors

import (
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/messages"
)

// supervisor is the root of the tree. It folds what it hears into documents and units, and
// reconciles: it lets reshard.Decide look at them and performs the plan.
type supervisor struct {
	*desk
	documents  *documents
	units      *units
	children   *children
	membership *membership // nil without a cluster
	memory     *memory
	leftovers  *leftovers
	probing    *probing
	cluster    *coordination
	departure  *departure
	// over: the actor itself is stopping, and waits for its children. What comes now comes too late.
	over bool
	// deaf ends the notices of faults on purpose.
	deaf func()
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
	d := newDesk(newTree(o))
	s := &supervisor{desk: d, documents: newDocuments(o.Logger, o.Configs == nil), children: &children{tree: d.tree}}
	if o.Cluster != nil {
		s.membership = newMembership(o.Cluster)
	}
	s.units = newUnits(d.tree, s.membership)
	s.documents.runs = func(name string) bool { return runsOneOf(s.units, s.agenda.unitsOf(name)) }
	s.memory = &memory{desk: d, documents: s.documents, membership: s.membership}
	s.leftovers = &leftovers{desk: d, documents: s.documents, units: s.units, membership: s.membership}
	s.probing = &probing{desk: d, units: s.units}
	end := &stopping{}
	s.cluster = &coordination{
		desk: d, children: s.children, documents: s.documents, units: s.units, membership: s.membership, memory: s.memory, leftovers: s.leftovers,
		stopping: end,
	}
	s.departure = &departure{desk: d, stopping: end, children: s.children, documents: s.documents, units: s.units, cluster: s.cluster}
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
	case ended:
		if outcome := s.calls.take(m); outcome != nil {
			s.route(c, outcome)
		}
	case messages.RegistryEvent:
		s.cluster.foldRegistry(c, m)
	case messages.RingEvent:
		s.foldRing(c, m)
	case writeAgain:
		s.cluster.writeAgain(c, m.records)
	case messages.ControlCommand:
		s.control(c, m)
	case messages.Question:
		s.answer(c, m)
	default:
		s.route(c, m)
	}
}

// route takes in what the supervisor tells itself.
func (s *supervisor) route(c actor.Context, message any) {
	switch m := message.(type) {
	case parsed:
		s.actOn(c, s.documents.foldParsed(m, s.now()))
	case reconcile:
		s.reconcile(c)
	case wakeUp:
		s.agenda.addDue(s.now())
		s.reconcileSoon(c)
	case showMetrics:
		s.reconciling.showing = false
		s.audit(s.now())
		s.metrics.show(s.picture())
	case tick:
		s.makeGood(c)
		s.documents.fetchAgain()
		s.documents.parse(c, s.desk)
		s.leftovers.find(c, s.departure.begun)
		s.probing.probe(c, s.departure.begun)
		s.agenda.addEverything()
		s.reconcileSoon(c)
	case respawnWatcher:
		s.spawnWatcher(c)
	case recalled:
		if m.err != nil {
			s.Logger.Warn("cannot read the last known configs; waiting for the store", zap.Error(m.err))
			break
		}
		s.memory.recalled = &m
		s.goByMemory(c)
	case relistConfigs:
		s.children.relist(c, false)
	case recallNow:
		s.memory.due = true
		s.goByMemory(c)
	case saveNow:
		s.memory.save(c)
	case saved:
		s.memory.saved(c, m)
	case probeNow:
		s.probing.probe(c, s.departure.begun)
	case probed:
		s.probing.fold(c, m)
	case leftoversFound:
		s.leftovers.fold(c, m)
	case respawnMembership:
		s.cluster.spawn(c)
	case stillLeaving:
		s.departure.lookAgain(c)
	case handedOver:
		s.departure.stopInstances(c)
	case timeIsUp:
		s.departure.giveUp(c)
	}
}

func (s *supervisor) start(c actor.Context) {
	s.root = actor.NewRootContext(c.ActorSystem(), nil)
	if s.Faults != nil {
		s.root.WithSenderMiddleware(newFaulty(who{kind: kindOutcome}, s.Options).sender)
	}
	s.supervisor = c.Self()
	s.deaf = s.notifyOfFaults()
	if err := s.metrics.register(s.Registerer); err != nil {
		s.Logger.Error("metrics can't be registered; the tree runs without them", zap.Error(err))
	}
	s.startTicking(c, s.ReshardInterval)
	s.actOn(c, s.documents.replaceLocal(s.Local))
	s.memory.recall(c)
	s.spawnWatcher(c)
	s.cluster.spawn(c)
	s.probing.probe(c, s.departure.begun)
	s.reconcileSoon(c)
}

// stop runs when the actor stops, for whatever reason; protoactor stops the children after it.
func (s *supervisor) stop() {
	s.over = true
	if s.deaf != nil {
		s.deaf()
	}
	s.stopTimers()
	s.metrics.unregister()
}

// relistRestored is when a store that seems to have been restored is listed a second time.
const relistRestored = 10 * time.Second

// relistConfigs comes when that time has come.
type relistConfigs struct{}

// foldInstance takes in what an instance tells.
func (s *supervisor) foldInstance(c actor.Context, event messages.InstanceEvent) {
	known, decide := s.units.fold(event)
	if known {
		unit, _ := event.Subject()
		s.agenda.add(unit)
	}
	if _, failed := event.(messages.InstanceFailed); failed && known {
		s.probing.probe(c, s.departure.begun)
	}
	if decide {
		s.reconcileSoon(c)
	}
}

// foldWatcher takes in what is heard of the stored configs.
func (s *supervisor) foldWatcher(c actor.Context, event messages.WatcherEvent) {
	s.actOn(c, s.documents.fold(event))
	if _, away := event.(messages.ConfigsUnavailable); away {
		s.memory.due = true
		s.goByMemory(c)
	}
}

// foldRing takes in what the ring actor tells.
func (s *supervisor) foldRing(c actor.Context, event messages.RingEvent) {
	switch m := event.(type) {
	case messages.SessionChanged:
		s.cluster.sessionChanged(c, m)
	case messages.RingChanged:
		s.cluster.ringChanged(c, m)
	case messages.RecordsWritten:
		s.cluster.recordsWritten(c, m)
	case messages.RecordsPending:
		s.cluster.writeAgain(c, s.membership.lost(m))
	case messages.StoreAway:
		s.membership.renewed = m.Renewed
		s.memory.remember(c)
	case messages.StoreAnswered:
		for u := range s.membership.answers.heard(m.Asked, s.now()) {
			s.agenda.add(u)
		}
		s.reconcileSoon(c)
	case messages.ClusterProblem:
		s.membership.problem = m.Reason
	case messages.SessionEnded:
		if s.departure.ending {
			s.departure.end(c, nil)
		}
	}
}

// goByMemory goes by what is remembered if the store has not answered in time. It is evidence of
// the past: nothing is deleted by it, and what the store says later counts more.
func (s *supervisor) goByMemory(c actor.Context) {
	m := s.memory.takeRecalled()
	if m == nil {
		return
	}
	s.Logger.Warn("store does not answer; starting with the last known configs", zap.Int("configs", len(m.documents)), zap.Int("claims", len(m.cluster.Claims)))
	s.actOn(c, s.documents.recall(m.documents))
	if s.membership != nil && !s.membership.registry.Listed() && m.cluster.Session != "" {
		listing := messages.RegistryListed{
			Members: messages.NewList(m.cluster.Members...), Claims: messages.NewList(m.cluster.Claims...), Revision: m.cluster.Revision,
		}
		s.cluster.foldRegistry(c, listing)
		s.membership.recalled = true
		if s.children.ring != nil {
			c.Send(s.children.ring, listing)
			s.membership.earlier = messages.EarlierSession{ID: m.cluster.Session, Incarnation: m.cluster.Incarnation, Renewed: m.cluster.Renewed}
			s.cluster.takePlace(c)
		}
	}
	s.reconcileSoon(c)
}

// actOn does what has to be done about configs that are different.
func (s *supervisor) actOn(c actor.Context, d different) {
	for _, kind := range d.kinds {
		s.metrics.configsChanged.WithLabelValues(kind.String()).Inc()
	}
	for _, name := range d.configs {
		if known, ok := s.documents.known[name]; ok {
			s.agenda.saw(messages.Unit{Config: name, Slice: known.slices() - 1})
		}
		s.agenda.addConfig(name)
	}
	for _, name := range d.stored {
		s.memory.remember(c, name)
	}
	if d.everything {
		s.agenda.addEverything()
	}
	if d.relist {
		s.startTimer(c, "relist", relistRestored, relistConfigs{})
	}
	s.metrics.activeConfigs.Set(float64(s.documents.valid))
	s.documents.parse(c, s.desk)
	s.reconcileSoon(c)
}

func (s *supervisor) spawnWatcher(c actor.Context) {
	if s.departure.watches() {
		s.children.spawnConfigs(c)
	}
}

// terminated is told of every child that is gone.
func (s *supervisor) terminated(c actor.Context, who *actor.PID) {
	if wait, ok := s.children.configsGone(who); ok {
		if s.departure.watches() {
			s.startTimer(c, "watcher", wait, respawnWatcher{})
		}
		return
	}
	if wait, ok := s.children.clusterGone(who); ok {
		if s.children.ring == nil {
			s.membership.nothingIsWritten()
			s.agenda.addEverything()
		}
		s.startTimer(c, "membership", wait, respawnMembership{})
		return
	}
	if u := s.units.gone(who); u != nil {
		s.agenda.add(u.Unit)
		s.reconcileSoon(c)
	}
}

// HandleFailure implements actor.SupervisorStrategy: a child that panicked is stopped, never
// restarted. What follows is its termination.
func (s *supervisor) HandleFailure(_ *actor.ActorSystem, to actor.Supervisor, child *actor.PID, _ *actor.RestartStatistics, reason, message any) {
	err, ok := reason.(error)
	if !ok {
		err = fmt.Errorf("panic: %v", reason)
	}
	s.Logger.Error("actor panicked", zap.String("actor", child.Id), zap.String("message", fmt.Sprintf("%T", message)), zap.Error(err), stackOf(err))
	if u := s.units.panicked(child, err.Error()); u != nil {
		s.agenda.add(u.Unit)
	}
	to.StopChildren(child)
}
