package lifecycle

import (
	"time"

	"github.com/ringmaster-agent/ringmaster/messages"
)

// Policy says how a unit whose generations fail is tried again.
type Policy struct {
	// First is the wait after the first failure; it doubles with each one after that.
	First time.Duration
	// Longest caps the wait.
	Longest time.Duration
	// Reset is the time without a failure after which the count starts again. It must be longer
	// than Longest, or a unit that fails at once each time would never run out of its budget.
	Reset time.Duration
	// Budget is the number of failures in a row that leads to quarantine.
	Budget int
	// Lift is the wait between two attempts in quarantine.
	Lift time.Duration
}

// DefaultPolicy starts at first, waits at most five minutes (or first, if that is longer), forgets
// after twice that, and quarantines after ten failures in a row: with the default first wait of 5
// s, after about twenty minutes. Then there is an attempt an hour.
func DefaultPolicy(first time.Duration) Policy {
	longest := max(first, 5*time.Minute)
	return Policy{First: first, Longest: longest, Reset: 2 * longest, Budget: 10, Lift: max(time.Hour, 4*longest)}
}

// Failures is a unit's memory of failures in a row. The zero value is a unit that has not failed.
type Failures struct {
	Count int
	Last  time.Time
	// Digest is the config that failed. Failures say nothing about another one.
	Digest messages.Digest
	// NotBefore is when the next attempt may be made, unless the config changes or a person asks
	// for one before.
	NotBefore time.Time
	// Quarantined: it failed too often. Attempts are rare from now on.
	Quarantined bool
}

// Add is the memory after one more failure, of the config digest, at now. Jitter, from 0 up to 1,
// spreads the next attempt over the second half of the wait, so that units that failed together
// don't come back together.
func (f Failures) Add(p Policy, digest messages.Digest, now time.Time, jitter float64) Failures {
	last := f.Last
	if f.Quarantined {
		last = f.NotBefore // the attempt it was let out for
	}
	if f.Digest != digest || now.Sub(last) > p.Reset {
		f = Failures{}
	}
	f.Count++
	f.Last, f.Digest = now, digest
	if f.Count >= p.Budget {
		f.Quarantined, f.NotBefore = true, now.Add(half(p.Lift, jitter))
		return f
	}
	f.NotBefore = now.Add(wait(p, f.Count, jitter))
	return f
}

// Excuse is the memory after a failure that the config is not to blame for: it is tried again soon,
// and nothing is counted.
func (f Failures) Excuse(p Policy, digest messages.Digest, now time.Time, jitter float64) Failures {
	if f.Digest != digest {
		f = Failures{}
	}
	f.Digest, f.NotBefore = digest, now.Add(half(p.First, jitter))
	return f
}

func wait(p Policy, failures int, jitter float64) time.Duration {
	d := p.First
	for range failures - 1 {
		// Comparing before doubling keeps a large First from overflowing.
		if d >= p.Longest/2 {
			d = p.Longest
			break
		}
		d *= 2
	}
	return half(min(d, p.Longest), jitter)
}

// half is at least half of the wait, and with jitter up to all of it.
func half(d time.Duration, jitter float64) time.Duration {
	return d/2 + time.Duration(jitter*float64(d-d/2))
}
