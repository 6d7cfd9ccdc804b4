package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/ringmaster-agent/ringmaster/cmd/internal/toy"
)

const (
	// learnFrom is how many scrapes of a target its schedule is learned from.
	learnFrom = 5
	// patience is how long after it is due a tick is judged: one that can't be taken is made up for within its interval.
	patience = interval + 500*time.Millisecond
)

// ticks accounts for every tick of every target, as the targets themselves see them.
type ticks struct {
	targets toy.Targets
	ledger  toy.Ledger

	configs []string
	learned map[string]toy.Schedule
	judged  map[string]time.Time // until when

	due, missed, doubled int
}

func newTicks(configs []string) *ticks {
	return &ticks{configs: configs, learned: map[string]toy.Schedule{}, judged: map[string]time.Time{}}
}

// report judges what there is to judge, and says it in one line.
func (t *ticks) report(now time.Time, running []string) string {
	for _, name := range t.configs {
		t.judge(name, now.Add(-patience))
	}
	return fmt.Sprintf("ticks %6d   missed %4d   doubled %3d   configs: %s   %s", t.due, t.missed, t.doubled, t.shares(running, now), t.unowned(now))
}

// judge accounts for the ticks of a target until an instant.
func (t *ticks) judge(name string, until time.Time) {
	arrivals := t.targets.Arrivals(name)
	schedule, known := t.learned[name]
	if !known {
		if len(arrivals) < learnFrom {
			return
		}
		schedule, known = toy.LearnSchedule(interval, arrivals)
		if !known {
			return
		}
		t.learned[name], t.judged[name] = schedule, arrivals[0].Add(-interval/10)
	}
	found := schedule.Account(arrivals, t.judged[name], until, toy.JitterOfArrivals())
	t.due += found.Due
	t.missed += len(found.Missed)
	t.doubled += len(found.Doubled)
	t.judged[name] = until
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
