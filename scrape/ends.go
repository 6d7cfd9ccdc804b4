package scrape

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/prometheus/storage"
	"go.uber.org/zap"
)

// Staleness markers that are owed have an owner until they are committed: a loop that scrapes owes
// those of its target's series, also when a scrape is vetoed (cache.undo); a loop that has ended is
// kept until its markers are written, by its timer (Scraper.ending), the next Apply (removed), a
// retry (owed), or Stop.

const (
	firstOwedPause   = 50 * time.Millisecond
	longestOwedPause = 5 * time.Second
)

// endingLoop is a loop that starts no scrape any more.
type endingLoop struct {
	*loop
	running <-chan struct{} // closed when its last scrape has ended; nil: it has
	why     endReason
	at      time.Time // of the markers; zero: when they are written
}

type endReason int

const (
	stopping endReason = iota
	ofRemovedTarget
	ofMovedTarget // to another slice, where its series go on
	ofRemovedJob
	ofUnknownTarget // that the scraper before had, and that may be found yet
)

// ends reports whether the loop's series end with a stop.
func (e endingLoop) ends(how StopMode) bool {
	switch e.why {
	case ofRemovedTarget, ofRemovedJob:
		return true
	case ofMovedTarget:
		return false
	default:
		return how == EndSeries
	}
}

// awaitingEnd is a loop of a target that has gone.
type awaitingEnd struct {
	timer *time.Timer
	why   endReason
	at    time.Time // of the markers
}

// endLater ends the loop of a target that has gone. Its series end at its next tick; the markers
// are written when the target, if it only changed or comes back, has been scraped again, so that
// series that go on have newer samples then and don't end. This is what Prometheus does. The series
// of a target that has moved to another slice don't end. It needs s.mu.
func (s *Scraper) endLater(l *loop, now time.Time, moved bool) {
	end, why := l.end, ofRemovedTarget
	if moved {
		end, why = func() <-chan struct{} { return l.endWithTick(now) }, ofMovedTarget
	}
	running := end()
	next := l.schedule.latest(now) + 1
	s.endAt(l, running, why, l.schedule.at(next), l.schedule.at(next+1).Add(l.target.interval/10).Sub(now))
}

// endAt writes the markers of a loop that has ended after a pause, for an instant. It needs s.mu.
func (s *Scraper) endAt(l *loop, running <-chan struct{}, why endReason, at time.Time, pause time.Duration) {
	timer := time.AfterFunc(pause, func() {
		defer func() {
			if v := recover(); v != nil {
				s.reportPanic(panicError("end series of a removed target", v))
			}
		}()
		if running != nil {
			<-running
		}
		s.gate.committing.RLock() // before the loop is taken, so that Stop finds it or waits
		defer s.gate.committing.RUnlock()
		s.mu.Lock()
		_, waiting := s.ending[l]
		delete(s.ending, l)
		s.mu.Unlock()
		if waiting && why == ofRemovedTarget {
			s.end(endingLoop{loop: l, why: why, at: at})
		} else if waiting {
			l.retire()
		}
	})
	s.ending[l] = awaitingEnd{timer, why, at}
}

// end commits the staleness markers of loops that have ended, and retires these. Without a permit,
// or if the appendable can't commit, it is tried again until Stop, which takes over. It needs the
// gate, for reading.
func (s *Scraper) end(ends ...endingLoop) {
	if len(ends) == 0 {
		return
	}
	if s.gate.closed() || !s.mayEnd() || !s.commitEnds(ends) {
		s.owe(ends)
		return
	}
	for _, e := range ends {
		e.retire()
	}
}

func (s *Scraper) mayEnd() bool { return s.options.Permit == nil || s.options.Permit() }

// commitEnds reports false if it is worth another try.
func (s *Scraper) commitEnds(ends []endingLoop) bool {
	err := s.appendEnds(ends)
	if err != nil {
		s.log.Warn("staleness markers of removed targets were not written", zap.Error(err), zap.Bool("tried_again", errors.Is(err, errCommit)))
	}
	return !errors.Is(err, errCommit)
}

// owe keeps loops for another try.
func (s *Scraper) owe(ends []endingLoop) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owed = append(s.owed, ends...)
	if s.ended || s.retrying {
		return
	}
	s.retrying = true
	s.owedPause = min(max(2*s.owedPause, firstOwedPause), longestOwedPause)
	time.AfterFunc(s.owedPause, func() {
		defer func() {
			if v := recover(); v != nil {
				s.reportPanic(panicError("write staleness markers that are owed", v))
			}
		}()
		s.gate.committing.RLock()
		defer s.gate.committing.RUnlock()
		s.end(s.takeOwed()...)
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.owed) == 0 {
			s.owedPause = 0
		}
	})
}

// takeOwed returns what is owed, which is the caller's then.
func (s *Scraper) takeOwed() []endingLoop {
	s.mu.Lock()
	defer s.mu.Unlock()
	owed := s.owed
	s.owed, s.retrying = nil, false
	return owed
}

// errCommit says that markers were not committed, which may succeed another time.
var errCommit = errors.New("commit staleness markers")

// appendEnds commits the staleness markers of loops whatever the gate says.
func (s *Scraper) appendEnds(ends []endingLoop) (err error) {
	defer func() {
		if v := recover(); v != nil {
			s.gate.drop()
			s.reportPanic(panicError("append staleness markers", v))
			err = errAppenderPanicked
		}
	}()
	var app storage.AppenderV2
	now := s.options.Shared.now()
	for _, e := range ends {
		open, last := e.openSeries()
		if len(open) == 0 {
			continue
		}
		if app == nil {
			app = s.options.Appendable.AppenderV2(context.Background())
		}
		at := e.at
		if at.IsZero() {
			at = now
		}
		// A clock may have been set back, or the last timestamp have been aligned to a tick just ahead.
		if err := appendMarkers(app, open, max(at.UnixMilli(), last.UnixMilli()+1), new(bool)); err != nil {
			_ = app.Rollback()
			return fmt.Errorf("append staleness markers: %w", err)
		}
	}
	if app == nil {
		return nil
	}
	if err := app.Commit(); err != nil {
		return fmt.Errorf("%w: %w", errCommit, err)
	}
	for _, e := range ends {
		e.forgetSeries()
	}
	return nil
}

// writeEnds commits the staleness markers of series that end with a stop. The gate is shut, so
// nobody else commits. Those of removed targets and jobs wait for a permit until ctx is over; who
// deletes a config asks nobody.
func (s *Scraper) writeEnds(ctx context.Context, ending []endingLoop, how StopMode) error {
	if how == Fence {
		return nil
	}
	ends := slices.DeleteFunc(slices.Clone(ending), func(e endingLoop) bool { return !e.ends(how) })
	for how != EndSeries && len(ends) > 0 && !s.mayEnd() {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(firstOwedPause):
		}
	}
	if how != EndSeries {
		s.excludeLiving(ending, ends)
	}
	return s.appendEnds(ends)
}

// excludeLiving keeps series open that a loop which goes on elsewhere has taken over from one that
// has ended: those of a target that was gone for a moment.
func (s *Scraper) excludeLiving(all, ends []endingLoop) {
	if len(ends) == 0 {
		return
	}
	living := map[storage.SeriesRef]struct{}{}
	for _, e := range all {
		if e.why == stopping {
			open, _ := e.openSeries()
			for _, o := range open {
				living[e.cache.key(o.ref)] = struct{}{}
			}
		}
	}
	for _, e := range ends {
		e.forgetThose(living)
	}
}
