package scrape

import (
	"time"

	promscrape "github.com/prometheus/prometheus/scrape"
)

// longGap is how many ticks a target may have missed in a move to be scraped at once afterwards.
const longGap = 3

// Tick is one scheduled scrape of one target.
type Tick struct {
	Target   uint64 // identifies labels and URL, equally on all nodes
	Number   int64  // counts the intervals since a time that depends on the target only
	Interval time.Duration
	Due      time.Time
}

// schedule says when a target is scraped: at phase + n·interval after the Unix epoch, where n is
// the number of the tick. It is a pure function of the seed, the target and the interval, so that
// all nodes of a cluster agree about every tick.
type schedule struct {
	phase, interval time.Duration
}

func newSchedule(seed, target uint64, interval time.Duration) schedule {
	return schedule{phase: time.Duration((target ^ seed) % uint64(interval)), interval: interval}
}

// at returns when a tick is due.
func (s schedule) at(tick int64) time.Time {
	return time.Unix(0, int64(s.phase)+tick*int64(s.interval))
}

// latest returns the number of the last tick that is due at now.
func (s schedule) latest(now time.Time) int64 {
	since := now.UnixNano() - int64(s.phase)
	tick := since / int64(s.interval)
	if since%int64(s.interval) < 0 {
		tick--
	}
	return tick
}

// tolerance is how far a scrape may be off its tick and still get its timestamp: 2 ms, at most 1 %
// of the interval.
func (s schedule) tolerance() time.Duration {
	return min(s.interval/100, promscrape.ScrapeTimestampTolerance)
}

// timestamp is what the samples of a scrape carry that starts at now. Timestamps at equal distances
// compress well.
func (s schedule) timestamp(tick int64, now time.Time) time.Time {
	if at := s.at(tick); promscrape.AlignScrapeTimestamps && now.Sub(at) <= s.tolerance() {
		return at
	}
	return now
}

// first returns the tick that a scraper begins with that knows nothing of others: the next one.
func (s schedule) first(now time.Time) int64 { return s.latest(now) + 1 }

// resume returns the tick that a scraper begins with if next was the first one that the scraper
// before has left: never an earlier one. If some have become due, it is the last of them, late; of
// a long gap none is made up for. A number that is far away comes from another clock and tells
// nothing.
func (s schedule) resume(now time.Time, next int64) int64 {
	latest := s.latest(now)
	switch {
	case next > latest+2:
		return latest + 1
	case next > latest:
		return next
	case next > latest-longGap:
		return latest
	default:
		return latest + 1
	}
}

// decision is what to do about a tick for which a timer has fired.
type decision struct {
	tick    int64 // to scrape, or to wait for
	wait    bool
	skipped int64 // ticks that passed unused
}

// onTimer decides when the timer for tick has fired. A timer runs on another clock than the
// schedule, which may be slewed or set meanwhile: what fires early waits again, and what fires
// intervals late goes on with the last tick that is due.
func (s schedule) onTimer(tick int64, now time.Time) decision {
	latest := s.latest(now)
	switch early := s.at(tick).Sub(now); {
	case early > s.interval && now.Sub(s.at(latest)) <= s.tolerance(): // the clock was set back, to the same place of an interval
		return decision{tick: latest}
	case early > s.interval: // the clock was set back
		return decision{tick: latest + 1, wait: true}
	case early > s.tolerance():
		return decision{tick: tick, wait: true}
	case latest > tick:
		return decision{tick: latest, skipped: latest - tick}
	default:
		return decision{tick: tick}
	}
}

// onEnd decides when the scrape of tick has ended. A tick that became due meanwhile is made up for
// at once, late; of several, the last.
func (s schedule) onEnd(tick int64, now time.Time) decision {
	latest := s.latest(now)
	switch {
	case latest > tick:
		return decision{tick: latest, skipped: latest - tick - 1}
	case latest < tick-1: // the clock was set back
		return decision{tick: latest + 1, wait: true}
	default:
		return decision{tick: tick + 1, wait: true}
	}
}

// clockStep is from what on a difference between the wall clock and the monotonic one is a step:
// what is slewed is less in one scrape.
const clockStep = time.Second

// afterStep decides when a scrape has ended in which the clock was set: what became due by that was
// never missed.
func (s schedule) afterStep(now time.Time) decision { return decision{tick: s.first(now), wait: true} }

// retryPause is the first pause before a scrape is tried again that was vetoed. The next ones are
// as long as the tick is late by then.
const retryPause = 50 * time.Millisecond

// onVeto decides when a scrape of tick was vetoed: after how long to try it again, which is within
// the first half of its interval, or not at all.
func (s schedule) onVeto(tick int64, now time.Time) (pause time.Duration, again bool) {
	late := now.Sub(s.at(tick))
	pause = max(late, min(retryPause, s.interval/4))
	return pause, s.latest(now) <= tick && late >= -s.tolerance() && late+pause <= s.interval/2
}
