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
	// Quiet is the time without a failure after which the count starts again. It must be longer than Longest, or a unit
	// that fails at once each time would never run out of its budget.
	Quiet time.Duration
	// Budget is the number of failures in a row that leads to quarantine.
	Budget int
}

// DefaultPolicy starts at first, waits at most five minutes (or first, if that is longer), forgets after twice that, and gives
// up after ten failures in a row: with the default first wait of 5 s, after about twenty minutes.
func DefaultPolicy(first time.Duration) Policy {
	longest := max(first, 5*time.Minute)
	return Policy{First: first, Longest: longest, Quiet: 2 * longest, Budget: 10}
}

// Failures is a unit's memory of failures in a row. The zero value is a unit that has not failed.
type Failures struct {
	Count int
	Last  time.Time
	// Digest is the config that failed. Failures say nothing about another one.
	Digest messages.Digest
	// NotBefore is when the next attempt may be made. Zero if Quarantined.
	NotBefore time.Time
	// Quarantined: no attempt until the config changes or a person asks for one.
	Quarantined bool
}

// Add is the memory after one more failure, of the config digest, at now. Jitter, from 0 up to 1, spreads the next attempt over
// the second half of the wait, so that units that failed together don't come back together.
func (f Failures) Add(p Policy, digest messages.Digest, now time.Time, jitter float64) Failures {
	if f.Digest != digest || now.Sub(f.Last) > p.Quiet {
		f = Failures{}
	}
	f.Count++
	f.Last, f.Digest = now, digest
	if f.Count >= p.Budget {
		f.Quarantined, f.NotBefore = true, time.Time{}
		return f
	}
	f.NotBefore = now.Add(wait(p, f.Count, jitter))
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
	d = min(d, p.Longest)
	return d/2 + time.Duration(jitter*float64(d-d/2))
}
