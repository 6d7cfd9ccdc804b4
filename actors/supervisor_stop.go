package actors

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/messages"
)

// stopping is how far a tree is that was told to stop.
type stopping struct {
	// begun: it was told to.
	begun bool
	// until is when the time is up; zero if there is no bound but that of each config.
	until time.Time
	// leaving: what runs goes on until others have taken it over; nothing is stopped yet.
	leaving    bool
	leaveUntil time.Time
	// left: the node has been taken off the ring.
	left bool
	// ending: all instances have stopped, and the session is being ended.
	ending bool
}

// departure is the end of the tree: the node hands over and leaves the ring, all instances stop, and
// its session ends.
type departure struct {
	*desk
	*stopping
	children  *children
	documents *documents
	units     *units
	cluster   *coordination
	// askers want to know when it is over.
	askers []*actor.PID
}

// watches reports whether it matters what is stored.
func (t *stopping) watches() bool { return !t.begun || t.leaving }

// place is what the node wants to be in its cluster.
func (t *stopping) place(complete bool) messages.Place {
	switch {
	case t.ending:
		return messages.PlaceGone
	case t.left:
		return messages.PlaceLeaving
	case complete:
		return messages.PlaceActive
	default:
		return messages.PlaceJoining
	}
}

// drainTime is how long instances may drain: what is left of the tree's time, less some to close
// in. 0: as their configs say.
func (t *stopping) drainTime(now time.Time) time.Duration {
	if t.until.IsZero() {
		return 0
	}
	left := t.until.Sub(now)
	return max(left-min(left/10, time.Second), 1)
}

// stopTree begins the end of the tree, or has it come sooner.
func (d *departure) stopTree(c actor.Context, m messages.StopTree) {
	if !d.begun {
		d.begun = true
		d.Logger.Info("stopping", zap.Int("instances", d.units.live()), zap.Duration("within", m.Within))
		d.startTicking(c, min(stoppingTick, d.ReshardInterval))
		d.leave(c, m.Within)
		d.stopWatching(c)
	}
	if asker := c.Sender(); asker != nil {
		d.askers = append(d.askers, asker)
	}
	if until := d.now().Add(m.Within); m.Within > 0 && (d.until.IsZero() || until.Before(d.until)) {
		d.until = until
		d.startTimer(c, "stop", m.Within, timeIsUp{})
		for _, stop := range d.units.stopping(d.drainTime(d.now())) {
			c.Send(d.units.all[stop.Unit].pid, stop)
		}
	}
	d.agenda.addEverything()
	d.reconcileSoon(c)
}

// stoppingTick is how often everything is looked at while the tree stops, which has no time for a
// lost message.
const stoppingTick = 2 * time.Second

// stopWatching ends the watch of the configs, unless the node still hands over: what is deleted
// meanwhile need not be.
func (d *departure) stopWatching(c actor.Context) {
	if d.children.configs != nil && !d.leaving {
		c.Stop(d.children.configs)
	}
}

// endIfStopped ends the supervisor when the last instance has stopped.
func (d *departure) endIfStopped(c actor.Context) {
	switch {
	case !d.begun:
	case d.leaving:
		if d.children.ring == nil || d.permits.StoreAway() || d.cluster.membership.nothingToHandOver(d.documents) {
			d.stopInstances(c)
		}
	case d.units.live() == 0:
		d.endMembership(c)
	}
}

// giveUp ends the supervisor although there are instances left. What they hold is released in the
// background, as far as their pipelines let it.
func (d *departure) giveUp(c actor.Context) {
	d.end(c, d.units.unfinished())
}

func (d *departure) end(c actor.Context, unfinished []messages.Unit) {
	for _, asker := range d.askers {
		c.Send(asker, messages.TreeStopped{Unfinished: messages.NewList(unfinished...)})
	}
	d.askers = nil
	c.Stop(c.Self())
}
