package scrape

import (
	"context"
	"slices"
	"time"
)

const (
	// enoughTime is how long no tick should become due after a stop for a successor: what a move
	// takes, and some more.
	enoughTime = 500 * time.Millisecond
	// longestChoice bounds how long such a stop waits for its moment; it is one interval at most.
	// Of many targets with a long interval there is hardly ever a better moment than the best one
	// of this time.
	longestChoice = 5 * time.Second
	// shortestEnd is how long running scrapes may go on though a tick of another target is due,
	// which is late then.
	shortestEnd = 100 * time.Millisecond
	// timeoutSlack lets a scrape end whose timeout is as long as its interval.
	timeoutSlack = 20 * time.Millisecond
)

// planned is what the choice of a moment knows of a target.
type planned struct {
	next     time.Time     // tick
	interval time.Duration //
	takes    time.Duration // the last scrape
	busy     time.Time     // when the running scrape will have ended, if it takes as long; zero: none is running
}

// quietMoment returns when to stop so that a successor has the longest time until the next tick: at
// once, or with one of the ticks of the next interval, which is still taken. The first moment that
// leaves enough time is good, else the best one.
func quietMoment(now time.Time, targets []planned) time.Time {
	if len(targets) == 0 {
		return now
	}
	shortest := targets[0].interval
	for _, t := range targets {
		shortest = min(shortest, t.interval)
	}
	horizon := now.Add(min(shortest, longestChoice))
	due, over := dueTicks(now, horizon.Add(shortest), targets)
	best, most := now, timeLeft(now, over, due[0].at)
	for i := 0; most < min(enoughTime, shortest/2) && i < len(due)-1 && !due[i].at.After(horizon); i++ {
		over = later(over, due[i].over)
		if left := timeLeft(due[i].at, over, due[i+1].at); left > most {
			best, most = due[i].at, left
		}
	}
	return best
}

// dueTick is a tick with the time at which its scrape will be over.
type dueTick struct{ at, over time.Time }

// dueTicks returns the ticks from now until an instant, sorted, and when what is running now will
// be over. There is at least one, if there are targets: the next of the target with the shortest
// interval is due before.
func dueTicks(now, until time.Time, targets []planned) (due []dueTick, over time.Time) {
	over = now
	for _, t := range targets {
		over = later(over, t.busy)
		for at := later(now, t.next); len(due) == 0 || !at.After(until); at = at.Add(t.interval) {
			due = append(due, dueTick{at, at.Add(t.takes)})
		}
	}
	slices.SortFunc(due, func(a, b dueTick) int { return a.at.Compare(b.at) })
	return due, over
}

// timeLeft is what a successor has until the next tick after a stop at a moment, when the last
// scrape is over or, if that takes too long, cut off.
func timeLeft(moment, over, next time.Time) time.Duration {
	released := later(moment, over)
	if cut := cutOff(moment, next); cut.Before(released) {
		released = cut
	}
	return next.Sub(released)
}

// cutOff is when scrapes that run at a stop for a successor are cut off: they must not hold up the
// next tick of another target.
func cutOff(stopped, next time.Time) time.Time {
	return later(stopped.Add(shortestEnd), next.Add(timeoutSlack))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// awaitMoment returns when it is time to stop for a successor, or when ctx is over.
func (s *Scraper) awaitMoment(ctx context.Context) {
	now := s.options.Shared.now()
	moment := quietMoment(now, s.plannedTargets(now))
	timer := time.NewTimer(moment.Sub(now))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (s *Scraper) plannedTargets(now time.Time) []planned {
	s.mu.Lock()
	defer s.mu.Unlock()
	var targets []planned
	for _, p := range s.pools {
		for _, l := range p.loops {
			if planned, more := l.planned(now); more {
				targets = append(targets, planned)
			}
		}
	}
	return targets
}

// planned reports more if the target has a tick to come.
func (l *loop) planned(now time.Time) (p planned, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p = planned{interval: l.schedule.interval, takes: l.shown.duration}
	next := l.tick
	if l.running != nil {
		next++
		p.busy = later(now, l.shown.began.Add(p.takes))
	}
	next, more = l.division.first(l.schedule, next)
	p.next = l.schedule.at(next)
	return p, more
}

// endWithTick lets no further scrape begin, but that of a tick which is due: it is as good as taken.
func (l *loop) endWithTick(now time.Time) <-chan struct{} {
	if r := l.begin(now); r != nil {
		go func() {
			defer l.recoverPanic()
			l.carryOut(r)
		}()
	}
	return l.end()
}

// untilNextTick limits ctx to the time that running scrapes have when a successor waits, which it
// does not if no target has a next tick.
func (s *Scraper) untilNextTick(ctx context.Context, ended []endingLoop, at time.Time) (context.Context, context.CancelFunc) {
	var next time.Time
	for _, e := range ended {
		if e.why == stopping {
			next = earliest(next, e.nextTick())
		}
	}
	if next.IsZero() {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, cutOff(at, next))
}
