package fencing

import "time"

// Belief is which renewals of the node's own session count as evidence. Another node that has seen
// the session idle may be about to end it, and a renewal that comes between the two does not keep
// it from doing so. After a gap in which others can have seen it idle, a renewal therefore counts
// once the node has written its member record again (see the package doc). The zero value believes
// the first renewal.
type Belief struct {
	// Renewed is the newest renewal that counts, Doubted the newest of those that don't yet; zero
	// if there is none.
	Renewed, Doubted time.Time
}

// Take takes note of the newest renewal, which was heard of now at the latest. It is to be called
// several times between two renewals.
func (b Belief) Take(newest, now time.Time) Belief {
	last := later(b.Renewed, b.Doubted)
	switch {
	case !newest.After(last):
	case b.InDoubt(now):
		b.Doubted = newest
	default:
		b.Renewed = newest
	}
	return b
}

// InDoubt reports whether another node may be about to end the session: renewals are doubted, or
// there has been none for so long that the next one will be.
func (b Belief) InDoubt(now time.Time) bool {
	last := later(b.Renewed, b.Doubted)
	return !b.Doubted.IsZero() || !last.IsZero() && now.Sub(last) >= Idle
}

// Confirm believes what was doubted at the time when the write of the member record began that has
// now succeeded.
func (b Belief) Confirm(doubted time.Time) Belief {
	if doubted.IsZero() || b.Doubted.IsZero() {
		return b
	}
	b.Renewed = later(b.Renewed, doubted)
	if b.Doubted.Sub(doubted) < Idle {
		b.Renewed = b.Doubted // no gap since
	}
	b.Doubted = time.Time{}
	return b
}

// Reading is one look at the clocks of the machine.
type Reading struct {
	// Now has the wall clock and, as a rule, a monotonic reading, which stands still while the
	// machine is suspended.
	Now time.Time
	// Boot is the time since the machine started, suspend included.
	Boot time.Duration
}

// jump is how far clocks must come apart for the machine to have been suspended. Setting a clock by
// less changes nothing.
const jump = 500 * time.Millisecond

// Skipped is how much time has passed between two readings that the monotonic clock has not seen:
// the machine was suspended, or its wall clock was set forward, which can't be told apart. Zero if
// it is too little to matter.
func Skipped(before, after Reading) time.Duration {
	seen := after.Now.Sub(before.Now)
	wall := after.Now.Round(0).Sub(before.Now.Round(0))
	if skipped := max(after.Boot-before.Boot, wall) - seen; skipped >= jump {
		return skipped
	}
	return 0
}
