package actors

import (
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors/reshard"
	"github.com/ringmaster-agent/ringmaster/messages"
)

const (
	// reconcileGap is the least time between two decisions, so that a storm of events costs few of them.
	reconcileGap = 20 * time.Millisecond
	// reconcileShare bounds the part of its time that the supervisor spends on deciding to one in so many, as long as that makes nobody
	// wait for more than longestGap, which a handover can bear. Time counts by the clock, also that in which the process was starved.
	reconcileShare = 10
	longestGap     = 100 * time.Millisecond
	// leastShare bounds it to one in a few however long decisions take.
	leastShare = 4
)

// reconciling is the state of the decisions.
type reconciling struct {
	pending bool
	// notBefore is when the next may be made.
	notBefore time.Time
	// holds is what is held, by unit, in words.
	holds map[messages.Unit]string
	// showing: the gauges will be brought up to date.
	showing bool
}

// reconcileSoon makes sure that a decision is made after what was just folded in. At most one is pending.
func (s *supervisor) reconcileSoon(c actor.Context) {
	if s.reconciling.pending {
		return
	}
	s.reconciling.pending = true
	if wait := s.reconciling.notBefore.Sub(s.now()); wait > 0 {
		s.startTimer(c, "reconcile", wait, reconcile{})
		return
	}
	c.Send(c.Self(), reconcile{})
}

// reconcile decides about what is on the agenda, and performs. A decision that panics is a bug, but none that stops anything.
func (s *supervisor) reconcile(c actor.Context) {
	s.reconciling.pending = false
	began := s.now()
	s.tellReady()
	about := s.agenda.take()
	s.forgetGone(about)
	view := s.view(began, about)
	var plan reshard.Plan
	err := protect(func() error { plan = reshard.Decide(view); return nil })
	if err == nil {
		s.perform(c, plan)
		s.follow(c, about, plan)
	} else {
		s.agenda.addEverything()
		s.Logger.Error("decision failed", zap.Error(err), stackOf(err))
	}
	took := s.now().Sub(began)
	s.metrics.reshardDuration.WithLabelValues(strconv.FormatBool(err == nil)).Observe(took.Seconds())
	s.reconciling.notBefore = s.now().Add(gapAfter(took))
	s.audit()
	s.showMetricsSoon(c)
	s.endIfStopped(c)
}

// gapAfter is how long no decision is made after one that took so long.
func gapAfter(took time.Duration) time.Duration {
	return max(reconcileGap, min(reconcileShare*took, max(longestGap, leastShare*took)))
}

// view is what is known of these units, or of all if there are none.
func (s *supervisor) view(now time.Time, about map[messages.Unit]bool) reshard.View {
	v := reshard.View{Now: now, About: about, Stopping: s.stopping != nil && !s.stopping.leaving, Complete: s.complete()}
	v.Owners, v.Cluster = s.membership.view(s.Cluster, s.stopping != nil)
	if about == nil {
		v.Documents, v.Instances = make(map[string]reshard.Document, len(s.documents)), make(map[messages.Unit]reshard.Instance, len(s.units))
		for name, d := range s.documents {
			v.Documents[name] = s.viewDocument(d)
		}
		for id, u := range s.units {
			v.Instances[id] = s.viewUnit(u)
		}
		return v
	}
	v.Documents, v.Instances = make(map[string]reshard.Document, len(about)), make(map[messages.Unit]reshard.Instance, len(about))
	for id := range about {
		if d, ok := s.documents[id.Config]; ok {
			v.Documents[id.Config] = s.viewDocument(d)
		}
		if u, ok := s.units[id]; ok {
			v.Instances[id] = s.viewUnit(u)
		}
	}
	return v
}

func (s *supervisor) viewDocument(d *document) reshard.Document {
	_, vanished, _ := s.catalog.Get(d.Name)
	return reshard.Document{Local: d.Local, Vanished: vanished && !d.Local, Slices: d.slices(), Redivided: d.redivided(), Valid: d.valid, Problem: d.problem}
}

func (s *supervisor) viewUnit(u *unit) reshard.Instance {
	instance := u.view()
	if s.membership != nil && u.permit != nil && u.permit.current.Load() != s.membership.permit {
		instance.Epoch = 0 // of another session, and revisions come again in a store that has lost its data
	}
	return instance
}

func (s *supervisor) perform(c actor.Context, p reshard.Plan) {
	for _, stop := range p.Stop {
		u := s.units[stop.Unit]
		u.asked = stop.Reason
		if stop.Reason == messages.Fenced {
			u.permit.current.Store(nil)
		}
		if u.pid != nil {
			c.Send(u.pid, messages.StopInstance{Unit: u.Unit, Generation: u.generation, Reason: stop.Reason, Within: s.drainTime()})
		}
	}
	for _, reload := range p.Reload {
		u, d := s.units[reload.Unit], s.documents[reload.Unit.Config]
		u.ordered, u.local = reload.Version, d.Local
		c.Send(u.pid, messages.ReloadInstance{
			Unit: u.Unit, Generation: u.generation, Revision: reload.Version.Revision, Config: messages.NewConfig(reload.Version.Digest, d.config),
		})
	}
	for _, start := range p.Start {
		s.spawn(c, start)
	}
	for _, run := range p.Run {
		s.run(c, run)
	}
	s.write(c, p.Write)
}

// follow keeps what the decision about these units has left for later: what it holds, and what has to be looked at again.
func (s *supervisor) follow(c actor.Context, about map[messages.Unit]bool, p reshard.Plan) {
	if about == nil {
		s.reconciling.holds = map[messages.Unit]string{}
		s.agenda.forgetSlices(func(name string) bool { _, exists := s.documents[name]; return exists })
	}
	for id := range about {
		delete(s.reconciling.holds, id)
	}
	maps.Copy(s.reconciling.holds, holdsOf(p))
	s.agenda.follow(about, p)
	if next := s.agenda.nextWake(); !next.IsZero() {
		s.startTimer(c, "wake", next.Sub(s.now()), wakeUp{})
	}
}

// spawn starts the next generation of a unit.
func (s *supervisor) spawn(c actor.Context, start reshard.Start) {
	d := s.documents[start.Unit.Config]
	u := s.unit(start.Unit)
	u.leftover, u.drains, u.lapsed = false, start.Drain, false
	s.generation++
	u.attempts++
	u.generation, u.local, u.ordered = s.generation, d.Local, start.Version
	u.asked, u.pending = messages.NotStopping, 0
	if u.epoch != 0 || u.handover != "" {
		u.resume, u.tookOverFrom = u.handover, ""
	}
	u.handover, u.quiet = "", false
	u.prepared, u.epoch, u.permit = false, 0, &unitPermit{free: !start.Hold}
	u.terminated, u.told, u.silent, u.over = false, false, 0, make(chan struct{})
	shared, unitID, generation, over := s.tree, u.Unit, u.generation, u.over
	permit := u.permit.allowed
	produce := func() actor.Actor { return newInstance(shared, unitID, generation, over, permit) }
	// The name is unique: a name is free before its actor has stopped, so names are not used twice.
	name := fmt.Sprintf("instance/%s/%d", u.Key(), u.generation)
	pid, err := c.SpawnNamed(props(produce, guardChild(s.Logger), s.Options), name)
	if err != nil {
		s.fail(u, start.Version.Digest, "spawn the instance's actor: "+err.Error())
		s.become(u, messages.PhaseStopped)
		s.agenda.add(u.Unit)
		s.reconcileSoon(c)
		return
	}
	u.pid = pid
	s.byPID[pid.Id] = u
	s.become(u, messages.PhasePreparing)
	c.Send(pid, messages.StartInstance{
		Unit: u.Unit, Generation: u.generation, Revision: start.Version.Revision, Config: messages.NewConfig(start.Version.Digest, d.config), Hold: start.Hold,
	})
}

// unit returns what is known of the unit, from now on something.
func (s *supervisor) unit(id messages.Unit) *unit {
	u, ok := s.units[id]
	if !ok {
		u = &unit{Unit: id, phase: messages.PhaseWaiting, logger: s.Logger.With(zap.String("instance", id.String()))}
		s.units[id] = u
		s.agenda.saw(id)
	}
	return u
}

// forgetGone drops those of these units, or of all if there are none, whose config is gone and that have nothing running: their failures are of
// no interest any more.
func (s *supervisor) forgetGone(about map[messages.Unit]bool) {
	forget := func(u *unit) {
		if _, wanted := s.documents[u.Config]; !wanted && u.ended() {
			delete(s.units, u.Unit)
			s.metrics.abnormalExits.DeleteLabelValues(u.Key())
		}
	}
	if about == nil {
		for _, u := range s.units {
			forget(u)
		}
	}
	for id := range about {
		if u, ok := s.units[id]; ok {
			forget(u)
		}
	}
}
