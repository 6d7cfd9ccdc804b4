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
	// reconcileGap is the least time between two decisions, so that a storm of events costs few of
	// them.
	reconcileGap = 20 * time.Millisecond
	// reconcileShare bounds the part of its time that the supervisor spends on deciding to one in
	// so many, as long as that makes nobody wait for more than longestGap, which a handover can
	// bear. Time counts by the clock, also that in which the process was starved.
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
	// audited is when decisions were audited last. unaudited: there was one since.
	audited   time.Time
	unaudited bool
}

// reconcile decides about what is on the agenda, and performs. A decision that panics is a bug, but
// none that stops anything.
func (s *supervisor) reconcile(c actor.Context) {
	s.reconciling.pending = false
	began := s.now()
	if m := s.membership; m != nil && m.wants(s.cluster.wantedPlace()) {
		s.cluster.takePlace(c)
	}
	if s.membership != nil && s.membership.answers.look(began) {
		s.agenda.addEverything()
	}
	about := s.agenda.take()
	s.units.forget(about, s.documents)
	view := s.view(began, about)
	var plan reshard.Plan
	err := protect(func() error { plan = reshard.Decide(view); return nil })
	if err == nil {
		s.perform(c, plan)
		s.follow(c, about, plan)
	} else {
		s.agenda.addEverything()
		s.Logger.Error("reconcile failed", zap.Error(err), stackOf(err))
	}
	if s.membership != nil {
		s.membership.answers.decided = true
	}
	took := s.now().Sub(began)
	s.metrics.reshardDuration.WithLabelValues(strconv.FormatBool(err == nil)).Observe(took.Seconds())
	s.reconciling.notBefore = s.now().Add(gapAfter(took))
	s.reconciling.unaudited = true
	if now := s.now(); now.Sub(s.reconciling.audited) >= auditGap {
		s.audit(now)
	}
	s.showMetricsSoon(c)
	s.departure.endIfStopped(c)
}

// gapAfter is how long no decision is made after one that took so long.
func gapAfter(took time.Duration) time.Duration {
	return max(reconcileGap, min(reconcileShare*took, max(longestGap, leastShare*took)))
}

// view is what is known of these units, or of all if there are none.
func (s *supervisor) view(now time.Time, about map[messages.Unit]bool) reshard.View {
	v := reshard.View{Now: now, About: about, Stopping: s.departure.begun && !s.departure.leaving, Complete: s.documents.complete()}
	v.Owners, v.Cluster = s.membership.view(s.Cluster, s.departure.begun, now)
	session := ""
	if s.membership != nil {
		session, v.Holds = s.membership.session, s.membership.registry.Holds()
	}
	if about == nil {
		v.Documents, v.Instances = make(map[string]reshard.Document, len(s.documents.known)), make(map[messages.Unit]reshard.Instance, len(s.units.all))
		for name, d := range s.documents.known {
			v.Documents[name] = s.documents.view(d)
		}
		for id, u := range s.units.all {
			v.Instances[id] = s.units.view(u, session)
		}
		return v
	}
	v.Documents, v.Instances = make(map[string]reshard.Document, len(about)), make(map[messages.Unit]reshard.Instance, len(about))
	for id := range about {
		if d, ok := s.documents.known[id.Config]; ok {
			v.Documents[id.Config] = s.documents.view(d)
		}
		if u, ok := s.units.all[id]; ok {
			v.Instances[id] = s.units.view(u, session)
		}
	}
	return v
}

func (s *supervisor) perform(c actor.Context, p reshard.Plan) {
	for _, stop := range p.Stop {
		u := s.units.all[stop.Unit]
		u.asked = stop.Reason
		if stop.Reason == messages.Fenced {
			u.permit.allow("")
		}
		if u.pid != nil {
			c.Send(u.pid, messages.StopInstance{Unit: u.Unit, Generation: u.generation, Reason: stop.Reason, Within: s.departure.drainTime(s.now())})
		}
	}
	for _, reload := range p.Reload {
		u, d := s.units.all[reload.Unit], s.documents.known[reload.Unit.Config]
		whole := s.documents.fetch(d.Name)
		if whole == nil {
			continue // it is decided again when that is there
		}
		u.ordered, u.config, u.local = reload.Version, whole, d.Local
		c.Send(u.pid, messages.ReloadInstance{
			Unit: u.Unit, Generation: u.generation, Revision: reload.Version.Revision, Config: messages.NewConfig(reload.Version.Digest, whole),
		})
	}
	for _, start := range p.Start {
		s.spawn(c, start)
	}
	s.documents.parse(c, s.desk)
	for _, run := range p.Run {
		if u := s.units.run(run, s.membership.session); u.phase == messages.PhasePreparing {
			c.Send(u.pid, messages.RunInstance{Unit: u.Unit, Generation: u.generation, Resume: u.resume})
		}
	}
	s.cluster.write(c, p.Write)
	if m := s.membership; s.children.ring != nil {
		if now := s.now(); m.answers.ask(p.Ask, now) {
			c.Send(s.children.ring, messages.AskStore{Asked: now})
		}
	}
}

// follow keeps what the decision about these units has left for later: what it holds, and what has
// to be looked at again.
func (s *supervisor) follow(c actor.Context, about map[messages.Unit]bool, p reshard.Plan) {
	if about == nil {
		s.reconciling.holds = map[messages.Unit]string{}
		exists := func(name string) bool { _, exists := s.documents.known[name]; return exists }
		s.agenda.forgetSlices(exists)
		s.documents.shrink()
		if s.membership != nil {
			s.membership.moves.forget(exists)
		}
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
	d := s.documents.known[start.Unit.Config]
	whole := s.documents.fetch(d.Name)
	if whole == nil {
		return // it is decided again when that is there
	}
	u, produce := s.units.begin(start, d.Local, whole)
	s.agenda.saw(u.Unit)
	// The name is unique: a name is free before its actor has stopped, so names are not used twice.
	name := fmt.Sprintf("instance/%s/%d", u.Key(), u.generation)
	pid, err := c.SpawnNamed(props(who{kindInstance, u.String()}, produce, guardChild(s.Logger), s.Options), name)
	s.units.began(u, pid, err)
	if err != nil {
		s.agenda.add(u.Unit)
		s.reconcileSoon(c)
		return
	}
	c.Send(pid, messages.StartInstance{
		Unit: u.Unit, Generation: u.generation, Revision: start.Version.Revision, Config: messages.NewConfig(start.Version.Digest, whole),
		Hold: start.Hold, Warm: start.Warm,
	})
}
