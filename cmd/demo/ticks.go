package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/ringmaster-agent/ringmaster/cmd/internal/toy"
)

// patience is how long after it is due a tick is judged: one that can't be taken is made up for
// within its interval.
const patience = interval + 500*time.Millisecond

// ticks accounts for every tick of every target, as the targets themselves see them.
type ticks struct {
	targets toy.Targets
	ledger  toy.Ledger

	configs []string
	judge   toy.Judge
	// last is what was done to the cluster and not accounted for yet; nil: nothing.
	last *deed
}

// agentState is an agent that runs, and what is with it.
type agentState struct{ name, note string }

// deed is something that was done to the cluster, with the ticks before it.
type deed struct {
	what            string
	at              time.Time
	missed, doubled int
}

const (
	// effectAfter is how long after a deed its effect is told at the earliest: a kill is made up
	// for by then.
	effectAfter = 12 * time.Second
	// effectBy is when it is told whatever is the case.
	effectBy = time.Minute
)

// did notes that something was done, so that its effect can be told.
func (t *ticks) did(now time.Time, what string) {
	missed, doubled := t.count(now)
	t.last = &deed{what, now, missed, doubled}
}

// effect says what the last deed did to the ticks, once that is over; empty before.
func (t *ticks) effect(now time.Time) string {
	if t.last == nil || now.Sub(t.last.at) < effectAfter || t.silent(now) > 0 && now.Sub(t.last.at) < effectBy {
		return ""
	}
	return t.account(now, "")
}

// interrupted says the same when something else is done; empty if there is nothing to say.
func (t *ticks) interrupted(now time.Time) string {
	if t.last == nil {
		return ""
	}
	return t.account(now, " so far")
}

func (t *ticks) account(now time.Time, soFar string) string {
	missed, doubled := t.count(now)
	d := t.last
	t.last = nil
	return fmt.Sprintf("          since agent%s%s: %d ticks missed, %d doubled; no target was without a scrape for longer than %.1f s\n",
		strings.TrimPrefix(d.what, "agent"), soFar, missed-d.missed, doubled-d.doubled, t.longest(d.at, now).Seconds())
}

// longest is the longest time between two scrapes of a target since an instant.
func (t *ticks) longest(since, now time.Time) (gap time.Duration) {
	for _, name := range t.configs {
		before := since
		for _, arrival := range append(t.targets.Arrivals(name), now) {
			if arrival.After(since) {
				gap = max(gap, arrival.Sub(before))
			}
			before = arrival
		}
	}
	return gap
}

func newTicks(configs []string) *ticks {
	return &ticks{configs: configs, judge: toy.Judge{Interval: interval, Patience: patience, Late: interval / 2}}
}

// report judges what there is to judge, and says it in one line.
func (t *ticks) report(now time.Time, running []agentState) string {
	t.count(now)
	return fmt.Sprintf("%s   configs: %s   %s", t.sums(), t.shares(running, now), t.unowned(now))
}

// sums are what was judged so far.
func (t *ticks) sums() string {
	return fmt.Sprintf("ticks %6d   missed %4d   doubled %3d", t.judge.Due, t.judge.Missed, t.judge.Doubled)
}

// count judges what there is to judge.
func (t *ticks) count(now time.Time) (missed, doubled int) {
	for _, name := range t.configs {
		t.judge.Until(name, t.targets.Arrivals(name), now)
	}
	return t.judge.Missed, t.judge.Doubled
}

// received is how many samples of each config the receiver has.
func (t *ticks) received() map[string]int {
	found := map[string]int{}
	for _, name := range t.configs {
		found[name] = t.ledger.Samples(name)
	}
	return found
}

// shares says how many configs each node has, by what it has sent last.
func (t *ticks) shares(running []agentState, now time.Time) string {
	count := t.perNode(now)
	var shares []string
	for _, a := range running {
		share := fmt.Sprintf("%s %d", a.name, count[a.name])
		if a.note != "" {
			share += " (" + a.note + ")"
		}
		shares = append(shares, share)
	}
	return strings.Join(shares, ", ")
}

// perNode is how many configs each node has, by what it has sent last.
func (t *ticks) perNode(now time.Time) map[string]int {
	count := map[string]int{}
	for _, name := range t.configs {
		if last, ok := t.ledger.Last(name); ok && now.Sub(last.At) < 2*interval+time.Second {
			count[last.Node]++
		}
	}
	return count
}

// unowned says of how many configs nothing has come for a while.
func (t *ticks) unowned(now time.Time) string {
	if silent := t.silent(now); silent > 0 {
		return fmt.Sprintf("not scraped right now: %d", silent)
	}
	return "all scraped"
}

func (t *ticks) silent(now time.Time) (count int) {
	for _, name := range t.configs {
		if arrivals := t.targets.Arrivals(name); len(arrivals) == 0 || now.Sub(arrivals[len(arrivals)-1]) > 2*interval {
			count++
		}
	}
	return count
}

// closing is the account when everything has ended.
func (t *ticks) closing() string {
	return fmt.Sprintf("The account: %d ticks were due; %d were taken, %d missed. %d were taken twice.\n", t.judge.Due, t.judge.Due-t.judge.Missed, t.judge.Missed, t.judge.Doubled)
}
