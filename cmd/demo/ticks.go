package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/ringmaster-agent/ringmaster/cmd/internal/toy"
)

// patience is how long after it is due a tick is judged: one that can't be taken is made up for within its interval.
const patience = interval + 500*time.Millisecond

// ticks accounts for every tick of every target, as the targets themselves see them.
type ticks struct {
	targets toy.Targets
	ledger  toy.Ledger

	configs []string
	judge   toy.Judge
}

func newTicks(configs []string) *ticks {
	return &ticks{configs: configs, judge: toy.Judge{Interval: interval, Patience: patience}}
}

// report judges what there is to judge, and says it in one line.
func (t *ticks) report(now time.Time, running []string) string {
	t.count(now)
	return fmt.Sprintf("ticks %6d   missed %4d   doubled %3d   configs: %s   %s", t.judge.Due, t.judge.Missed, t.judge.Doubled, t.shares(running, now), t.unowned(now))
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
func (t *ticks) shares(running []string, now time.Time) string {
	count := map[string]int{}
	for _, name := range t.configs {
		if last, ok := t.ledger.Last(name); ok && now.Sub(last.At) < 2*interval+time.Second {
			count[last.Node]++
		}
	}
	var shares []string
	for _, name := range running {
		shares = append(shares, fmt.Sprintf("%s %d", name, count[name]))
	}
	return strings.Join(shares, ", ")
}

// unowned says of how many configs nothing has come for a while.
func (t *ticks) unowned(now time.Time) string {
	silent := 0
	for _, name := range t.configs {
		if arrivals := t.targets.Arrivals(name); len(arrivals) == 0 || now.Sub(arrivals[len(arrivals)-1]) > 2*interval {
			silent++
		}
	}
	if silent == 0 {
		return "all scraped"
	}
	return fmt.Sprintf("not scraped right now: %d", silent)
}

// closing is the account when everything has ended.
func (t *ticks) closing() string {
	return fmt.Sprintf("The account: %d ticks were due; %d were taken, %d missed. %d were taken twice.\n", t.judge.Due, t.judge.Due-t.judge.Missed, t.judge.Missed, t.judge.Doubled)
}
