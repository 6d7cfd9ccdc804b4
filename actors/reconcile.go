package actors

import (
	"fmt"
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
	// holds is what the last one held, by unit, in words.
	holds map[messages.Unit]string
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

// reconcile decides and performs. A decision that panics is a bug, but none that stops anything.
func (s *supervisor) reconcile(c actor.Context) {
	s.reconciling.pending = false
	began := s.now()
	s.forgetGone()
	s.tellReady()
	view := s.view(began)
	var plan reshard.Plan
	err := protect(func() error { plan = reshard.Decide(view); return nil })
	if err == nil {
		s.perform(c, plan)
	} else {
		s.Logger.Error("decision failed", zap.Error(err), stackOf(err))
	}
	took := s.now().Sub(began)
	s.metrics.reshardDuration.WithLabelValues(strconv.FormatBool(err == nil)).Observe(took.Seconds())
	s.reconciling.notBefore = s.now().Add(gapAfter(took))
	if s.membership != nil {
		s.metrics.cluster.show(s)
	}
	s.endIfStopped(c)
}

// gapAfter is how long no decision is made after one that took so long.
func gapAfter(took time.Duration) time.Duration {
	return max(reconcileGap, min(reconcileShare*took, max(longestGap, leastShare*took)))
}

func (s *supervisor) view(now time.Time) reshard.View {
	v := reshard.View{
		Now: now, Stopping: s.stopping != nil && !s.stopping.leaving, Complete: s.complete(),
		Documents: make(map[string]reshard.Document, len(s.documents)),
		Instances: make(map[messages.Unit]reshard.Instance, len(s.units)),
	}
	v.Owners, v.Cluster = s.membership.view(s.Cluster, s.stopping != nil)
	valid := 0
	for name, d := range s.documents {
		_, vanished, _ := s.catalog.Get(name)
		v.Documents[name] = reshard.Document{Local: d.Local, Vanished: vanished && !d.Local, Slices: d.slices(), Redivided: d.redivided(), Valid: d.valid, Problem: d.problem}
		if d.config != nil {
			valid++
		}
	}
	for id, u := range s.units {
		instance := u.view()
		if s.membership != nil && u.permit != nil && u.permit.current.Load() != s.membership.permit {
			instance.Epoch = 0 // of another session, and revisions come again in a store that has lost its data
		}
		v.Instances[id] = instance
	}
	s.metrics.activeConfigs.Set(float64(valid))
	return v
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
	s.reconciling.holds = make(map[messages.Unit]string, len(p.Hold))
	for _, h := range p.Hold {
		words := h.String()
		if before, ok := s.reconciling.holds[h.Unit]; ok {
			words = before + "; " + words
		}
		s.reconciling.holds[h.Unit] = words
	}
	if !p.Wake.IsZero() {
		s.startTimer(c, "wake", p.Wake.Sub(s.now()), reconcile{})
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
	}
	return u
}

// forgetGone drops units whose config is gone and that have nothing running: their failures are of no interest any more.
func (s *supervisor) forgetGone() {
	for id, u := range s.units {
		if _, wanted := s.documents[id.Config]; !wanted && u.ended() {
			delete(s.units, id)
			s.metrics.abnormalExits.DeleteLabelValues(id.Key())
		}
	}
}
