package scrape

import (
	"slices"
	"time"
)

// Division is into how many slices targets are divided until an instant.
type Division struct {
	Slices int // up to 1: one
	Until  time.Time
}

// slicing says which ticks a scraper takes: those of the targets that are in its slice when the
// tick is due. As ticks are due at the same instants on all nodes, each is in one slice, whatever
// their clocks. The zero value: all. Immutable.
type slicing struct {
	slice, slices int
	earlier       []Division // by Until
}

// undivided reports whether every target is in this slice, and was.
func (s *slicing) undivided() bool { return s.slices <= 1 && s.slice == 0 && len(s.earlier) == 0 }

func (s *slicing) equal(other *slicing) bool {
	return s.slice == other.slice && s.slices == other.slices && slices.EqualFunc(s.earlier, other.earlier, func(a, b Division) bool {
		return a.Slices == b.Slices && a.Until.Equal(b.Until)
	})
}

// after are the divisions that are in force after an instant.
func (s *slicing) after(at time.Time) (divisions []Division) {
	for _, d := range s.earlier {
		if d.Until.After(at) {
			divisions = append(divisions, d)
		}
	}
	return divisions
}

// divide returns the targets that are in this slice now or later, and of the others the kin.
func (s *slicing) divide(targets []*target, now time.Time) (ours []*target, others map[uint64]struct{}) {
	if s.undivided() {
		return targets, nil
	}
	others = map[uint64]struct{}{}
	for _, t := range targets {
		// A target that only changes its interval stays in its slice.
		if kin := t.kin(); s.hasOrGets(kin, now) {
			ours = append(ours, t)
		} else {
			others[kin] = struct{}{}
		}
	}
	return ours, others
}

// has reports whether a target is in this slice at an instant.
func (s *slicing) has(kin uint64, at time.Time) bool {
	n := s.slices
	if i := slices.IndexFunc(s.earlier, func(d Division) bool { return at.Before(d.Until) }); i >= 0 {
		n = s.earlier[i].Slices
	}
	return jump(kin, max(n, 1)) == s.slice
}

func (s *slicing) hasOrGets(kin uint64, now time.Time) bool {
	return s.has(kin, now) || slices.ContainsFunc(s.earlier, func(d Division) bool { return d.Until.After(now) && s.has(kin, d.Until) })
}

// division is which ticks of one loop's target are of this slice.
type division struct {
	*slicing
	kin    uint64
	wanted int64 // tick that the loop's timer would be set for if all were of this slice
	left   bool  // no tick is any more
}

func (d *division) adopt(s *slicing, t *target) {
	d.slicing = s
	if len(s.earlier) > 0 {
		d.kin = t.kin()
	}
}

// first returns the first tick, from one on, that is of this slice. If none is, more is false.
func (d *division) first(s schedule, from int64) (tick int64, more bool) {
	if len(d.earlier) == 0 || d.has(d.kin, s.at(from)) {
		return from, true
	}
	for _, before := range d.earlier {
		if tick := s.latest(before.Until.Add(-1)) + 1; tick > from && d.has(d.kin, s.at(tick)) {
			return tick, true
		}
	}
	return from, false
}

// newest returns the last tick, of a range, that is of this slice.
func (d *division) newest(s schedule, from, to int64) (tick int64, ours bool) {
	if len(d.earlier) == 0 || d.has(d.kin, s.at(to)) {
		return to, true
	}
	for _, before := range slices.Backward(d.earlier) {
		if tick := s.latest(before.Until.Add(-1)); tick >= from && tick < to && d.has(d.kin, s.at(tick)) {
			return tick, true
		}
	}
	return to, false
}

// redivide makes s say which ticks are of this slice. What is scraped goes on, and what is due is
// looked at when the timer fires.
func (l *loop) redivide(s *slicing, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.division.slicing == s {
		return
	}
	l.division.adopt(s, l.target)
	if latest := l.schedule.latest(now); l.running == nil && (l.tick > latest || l.division.left) {
		l.wait(max(l.division.wanted, latest+1), now)
	}
}

// place is where the loop is found: its job's name, and its target's id.
func (l *loop) place() (job string, target uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.job.config.JobName, l.target.id
}

// hasLeft reports whether no tick is of this slice any more, and the last one that was is over.
func (l *loop) hasLeft() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.division.left && !l.ended
}

// jump assigns a key to one of n slices, evenly, so that of n keys only each n-th goes elsewhere
// when there is one slice more: to the new one. It is the jump consistent hash of Lamping and
// Veach, arXiv:1406.2294. All nodes, and all versions, must agree about it.
func jump(key uint64, n int) int {
	slice, next := int64(-1), int64(0)
	for next < int64(n) {
		slice = next
		key = key*2862933555777941757 + 1
		next = int64(float64(slice+1) * (float64(int64(1)<<31) / float64(key>>33+1)))
	}
	return int(slice)
}
