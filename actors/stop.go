package actors

import (
	"maps"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/messages"
)

// stopping is the state of a tree that was told to stop.
type stopping struct {
	// until is when the time is up; zero if there is no bound but that of each config.
	until time.Time
	// leaving: what runs goes on until others have taken it over; nothing is stopped yet.
	leaving bool
	// ending: all instances have stopped, and the session is being ended.
	ending bool
	// askers want to know when it is over.
	askers []*actor.PID
}

func (s *supervisor) stopTree(c actor.Context, m messages.StopTree) {
	if s.stopping == nil {
		s.stopping = &stopping{}
		s.Logger.Info("stopping", zap.Int("instances", s.live()), zap.Duration("within", m.Within))
		if s.watcher != nil {
			c.Stop(s.watcher)
		}
		s.leave(c, m.Within)
	}
	if asker := c.Sender(); asker != nil {
		s.stopping.askers = append(s.stopping.askers, asker)
	}
	if until := s.now().Add(m.Within); m.Within > 0 && (s.stopping.until.IsZero() || until.Before(s.stopping.until)) {
		s.stopping.until = until
		s.startTimer(c, "stop", m.Within, timeIsUp{})
		s.hurryUp(c)
	}
	s.agenda.addEverything()
	s.reconcileSoon(c)
}

// hurryUp tells the instances that are stopping already that there is less time.
func (s *supervisor) hurryUp(c actor.Context) {
	for _, u := range s.sorted() {
		if u.asked == messages.Shutdown && !u.terminated {
			c.Send(u.pid, messages.StopInstance{Unit: u.Unit, Generation: u.generation, Reason: u.asked, Within: s.drainTime()})
		}
	}
}

// drainTime is how long instances may drain: what is left of the tree's time, less some to close in.
func (s *supervisor) drainTime() time.Duration {
	if s.stopping == nil || s.stopping.until.IsZero() {
		return 0
	}
	left := s.stopping.until.Sub(s.now())
	return max(left-min(left/10, time.Second), 1)
}

// sorted are the units in order, for what others see the order of.
func (s *supervisor) sorted() []*unit {
	return slices.SortedFunc(maps.Values(s.units), func(a, b *unit) int { return a.Compare(b.Unit) })
}

func (s *supervisor) live() int {
	n := 0
	for _, u := range s.units {
		if !u.ended() {
			n++
		}
	}
	return n
}

// endIfStopped ends the supervisor when the last instance has stopped.
func (s *supervisor) endIfStopped(c actor.Context) {
	switch {
	case s.stopping == nil:
	case s.stopping.leaving:
		if s.nothingToHandOver() {
			s.stopInstances(c)
		}
	case s.live() == 0:
		s.endMembership(c)
	}
}

// giveUp ends the supervisor although there are instances left. What they hold is released in the background, as far as
// their pipelines let it.
func (s *supervisor) giveUp(c actor.Context) {
	var left []messages.Unit
	for _, u := range s.sorted() {
		if !u.ended() {
			left = append(left, u.Unit)
			u.logger.Error("instance did not stop in time", zap.Uint64("generation", u.generation), zap.Stringer("phase", u.phase))
		}
	}
	s.end(c, left)
}

func (s *supervisor) end(c actor.Context, unfinished []messages.Unit) {
	for _, asker := range s.stopping.askers {
		c.Send(asker, messages.TreeStopped{Unfinished: messages.NewList(unfinished...)})
	}
	s.stopping.askers = nil
	c.Stop(c.Self())
}
