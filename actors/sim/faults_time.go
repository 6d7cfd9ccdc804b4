package sim

import (
	"slices"
	"time"
)

// suspend has a machine sleep: its process stands still, and so does its monotonic clock. The clock
// that counts from boot goes on.
func (s *storm) suspend() {
	n, d := s.any(), s.span()
	if n == nil || n.stalled {
		return
	}
	n.Stall()
	from := s.now
	s.later(d, func() {
		if n.dead || !n.stalled {
			return
		}
		slept := s.now - from
		n.sleptThrough(slept)
	})
}

// sleptThrough lets the process go on. Timers have as long to go as they had.
func (n *node) sleptThrough(d time.Duration) {
	n.world.say(n.name, "wakes up after %v", d)
	w := n.world
	n.slept += d
	for _, q := range w.queue {
		if q.event.node == n {
			q.event.at += d
		}
	}
	w.queue.rearrange()
	missed := n.missed
	n.missed, n.stalled, n.woke = nil, false, w.now
	w.goesOn(n)
	for _, e := range missed {
		if e.f != nil {
			e.at += d
			w.queue.push(e)
		}
	}
}

// setClock has a host come back from a reboot with another time.
func (s *storm) setClock() {
	n := s.any()
	if n == nil || slices.ContainsFunc(s.living(), func(other *node) bool { return other != n && other.host == n.host }) {
		return // the clock of a process that lives is not set
	}
	n.unplanned = true
	n.Crash()
	n.host.skew += time.Duration(s.rnd.Int64N(int64(20*time.Second))) - 10*time.Second
	s.later(s.span(), func() { s.comeBack(n.host) })
}
