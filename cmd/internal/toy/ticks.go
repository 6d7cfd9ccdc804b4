package toy

import (
	"slices"
	"time"
)

// Jitter is by how much the time of a scrape may be off.
type Jitter struct {
	// Early is how long before its tick a scrape may seem to come.
	Early time.Duration
	// Late is how long after the end of its interval a scrape may seem to come that was made up for
	// within it.
	Late time.Duration
}

// JitterOfArrivals is that of times at which a target saw its scrapes, at an interval. Requests take
// their time, and each of those that the phase was learned from may have been late by a tenth of the
// interval.
func JitterOfArrivals(interval time.Duration) Jitter {
	return Jitter{Early: interval / 10, Late: 100 * time.Millisecond}
}

// JitterOfTimestamps is that of times that samples carry, in milliseconds: when their scrape began,
// or its tick where that was hardly different.
func JitterOfTimestamps() Jitter { return Jitter{Early: time.Millisecond} }

// Schedule says when a target is scraped: its tick n is due at Phase + n·Interval after the Unix
// epoch.
type Schedule struct {
	Phase, Interval time.Duration
}

// LearnSchedule finds the phase at which a target is scraped without disturbance. Scrapes can be
// late but hardly early, so it is the earliest of those times in the interval around which most
// scrapes are. One that is late by almost an interval looks early, though: so a time that several
// scrapes share, to a five-hundredth of the interval, is preferred. Not ok: there is none, or not
// half of them are within a tenth of the interval.
func LearnSchedule(interval time.Duration, scrapes []time.Time) (s Schedule, ok bool) {
	s.Interval = interval
	phases := make([]time.Duration, len(scrapes))
	for i, at := range scrapes {
		phases[i] = time.Duration(at.UnixNano() % int64(interval))
	}
	within := func(phase, span time.Duration) (n int) {
		for _, p := range phases {
			if (p-phase+interval)%interval < span {
				n++
			}
		}
		return n
	}
	most := 0
	for _, phase := range phases {
		most = max(most, within(phase, interval/10))
	}
	best, shared := 0, false
	for _, phase := range phases {
		near, together := within(phase, interval/10), within(phase, interval/500) > 1
		if near < most-max(1, most/10) || shared && !together {
			continue
		}
		if near > best || together && !shared {
			s.Phase, best, shared = phase, near, together
		}
	}
	return s, most > 0 && 2*most >= len(scrapes)
}

// Due returns when a tick is due.
func (s Schedule) Due(tick int64) time.Time {
	return time.Unix(0, int64(s.Phase)+tick*int64(s.Interval))
}

// At returns the number of the last tick that is due at an instant.
func (s Schedule) At(now time.Time) int64 {
	since := now.UnixNano() - int64(s.Phase)
	tick := since / int64(s.Interval)
	if since%int64(s.Interval) < 0 {
		tick--
	}
	return tick
}

// Ticks is what became of the ticks of a target in some span of time.
type Ticks struct {
	// Due is how many there were.
	Due int
	// Missed ticks have no scrape, Doubled ones more than one. Both are sorted.
	Missed, Doubled []int64
}

// Account finds out which ticks, of those due from one instant until another, were served by
// scrapes. It should be asked one interval and a bit after the second one: a tick that can't be
// taken when it is due is made up for within its interval. The order of scrapes does not matter.
//
// Each scrape serves the tick that is due last when it comes. That is the one it was meant for,
// however late it is within the interval, except at its very end: a scrape that was made up for can
// arrive when the next tick is due, and the next one's right after it. So where the first two
// scrapes of a tick both come within Jitter.Late after it is due, and the tick before has none, the
// first of them serves the one before.
func (s Schedule) Account(scrapes []time.Time, from, until time.Time, jitter Jitter) Ticks {
	serving := map[int64][]time.Time{}
	for _, at := range scrapes {
		tick := s.At(at.Add(jitter.Early))
		serving[tick] = append(serving[tick], at)
	}
	first := s.At(from.Add(-1)) + 1
	var found Ticks
	for tick := first - 1; s.Due(tick).Before(until); tick++ {
		if len(serving[tick]) == 0 {
			serving[tick], serving[tick+1] = madeUpFor(serving[tick+1], s.Due(tick+1).Add(jitter.Late))
		}
		if tick < first {
			continue
		}
		found.Due++
		switch n := len(serving[tick]); {
		case n == 0:
			found.Missed = append(found.Missed, tick)
		case n > 1:
			found.Doubled = append(found.Doubled, tick)
		}
	}
	return found
}

// madeUpFor divides the scrapes of a tick into one for the tick before, if there are two before
// limit, and the rest.
func madeUpFor(scrapes []time.Time, limit time.Time) (before, rest []time.Time) {
	slices.SortFunc(scrapes, time.Time.Compare)
	if len(scrapes) > 1 && scrapes[1].Before(limit) {
		return scrapes[:1], scrapes[1:]
	}
	return nil, scrapes
}
