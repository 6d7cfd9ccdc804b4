package lifecycle

import "time"

const (
	// probeEvery is how often a node looks whether it can run anything, probeAgain how often while
	// it can't, or seems not to.
	probeEvery = 15 * time.Second
	probeAgain = 5 * time.Second
	// unfitAfter is how long it must have been unable to, for others to be asked to run its units.
	unfitAfter = 4 * time.Second
	// coolFirst is how long it must have been able to again, for its units to come back. Each time
	// it doubles, up to coolLongest, and falls back after steady without a fault.
	coolFirst   = 30 * time.Second
	coolLongest = 30 * time.Minute
	steady      = time.Hour
)

// Health is whether a node can run anything at all, as probes of it show: a full disk, or too few
// file descriptors, is no fault of a config. The zero value is a node that can.
type Health struct {
	// Problem is what the newest probe has found; empty: nothing.
	Problem string
	// Unfit says why other nodes should run what this one runs; empty: they need not.
	Unfit string
	// changed is when Problem came or went last, recovered when the node was last unfit; cool is
	// how long it must be well after that.
	changed, recovered time.Time
	cool               time.Duration
}

// Probed is the health after a probe, which has found a problem, or none.
func (h Health) Probed(now time.Time, problem string) Health {
	if (problem == "") != (h.Problem == "") {
		h.changed = now
	}
	h.Problem = problem
	since := now.Sub(h.changed)
	switch {
	case problem != "" && h.Unfit == "" && since >= unfitAfter:
		h.cool = min(2*h.cool, coolLongest)
		if h.cool == 0 || now.Sub(h.recovered) >= steady {
			h.cool = coolFirst
		}
		h.Unfit = problem
	case problem == "" && h.Unfit != "" && since >= h.cool:
		h.Unfit, h.recovered = "", now
	}
	return h
}

// Next is how long after a probe the next one is due.
func (h Health) Next() time.Duration {
	if h.Problem != "" || h.Unfit != "" {
		return probeAgain
	}
	return probeEvery
}
