package clustertest

import (
	"fmt"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cmd/internal/toy"
)

// learnFor is how many quiet ticks the schedules are learned from, at least.
const learnFor = 8

// schedules of a target, as both ends see them.
type schedules struct{ arrivals, timestamps toy.Schedule }

// learn waits for some quiet ticks, and finds the schedules of all targets.
func (c *clusterUnderTest) learn() {
	c.t.Helper()
	pause(learnFor * c.interval)
	c.learned = map[string]schedules{}
	for _, name := range c.configs {
		arrivals, timestamps := c.targets.Arrivals(name), timesOf(c.ledger.Scrapes(name))
		a, ok := toy.LearnSchedule(c.interval, arrivals)
		require.True(c.t, ok, "no schedule can be seen in the arrivals at %s: %v", name, arrivals)
		s, ok := toy.LearnSchedule(c.interval, timestamps)
		require.True(c.t, ok, "no schedule can be seen in the timestamps of %s: %v", name, timestamps)
		c.learned[name] = schedules{a, s}
	}
}

func timesOf(scrapes []toy.Scrape) []time.Time {
	times := make([]time.Time, len(scrapes))
	for i, s := range scrapes {
		times[i] = s.At
	}
	return times
}

// measurement is what became of the ticks of some configs in some span of time.
type measurement struct {
	due                     int
	missed, doubled         int // at the targets
	unreceived, receivedTwo int // at the receiver
	moves                   []move
	still                   []time.Duration // gaps between scrapes of one node that follow each other, of all configs
	examples                []string
	standstill              time.Duration // the longest in which this machine had no time
}

// move is that of a config from one node to another.
type move struct {
	config, from, to string
	gap              time.Duration // between the last scrape of the one and the first of the other
}

// measure waits until all ticks before now have had their chance, and accounts for those since an instant.
func (c *clusterUnderTest) measure(from time.Time, configs []string) measurement {
	c.t.Helper()
	until := time.Now()
	pause(c.interval + 2*time.Second)
	m := measurement{standstill: c.metronome.longest(from)}
	for _, name := range configs {
		c.measureOne(&m, name, from, until)
	}
	for _, example := range m.examples {
		c.logf("%s", example)
	}
	return m
}

func (c *clusterUnderTest) measureOne(m *measurement, name string, from, until time.Time) {
	arrivals, scrapes := c.targets.Arrivals(name), c.ledger.Scrapes(name)
	learned := c.learned[name]
	atTarget := learned.arrivals.Account(arrivals, from, until, toy.JitterOfArrivals())
	atReceiver := learned.timestamps.Account(timesOf(scrapes), from, until, toy.JitterOfTimestamps())
	m.due += atTarget.Due
	m.missed += len(atTarget.Missed)
	m.doubled += len(atTarget.Doubled)
	m.unreceived += len(atReceiver.Missed)
	m.receivedTwo += len(atReceiver.Doubled)
	for i := 1; i < len(scrapes); i++ {
		before, after := scrapes[i-1], scrapes[i]
		if after.At.Before(from) || before.At.After(until) {
			continue
		}
		gap := arrivals[after.Number-1].Sub(arrivals[before.Number-1])
		if before.Node != after.Node {
			m.moves = append(m.moves, move{name, before.Node, after.Node, gap})
		} else {
			m.still = append(m.still, gap)
		}
	}
	if len(atTarget.Missed)+len(atTarget.Doubled)+len(atReceiver.Missed)+len(atReceiver.Doubled) > 0 && len(m.examples) < 5 {
		m.examples = append(m.examples, describe(name, learned, atTarget, atReceiver, scrapes))
	}
}

// describe is for the log: what is wrong with the ticks of a config, and all that is known around it.
func describe(name string, learned schedules, atTarget, atReceiver toy.Ticks, scrapes []toy.Scrape) string {
	clock := func(s toy.Schedule, ticks []int64) (due []string) {
		for _, tick := range ticks[:min(5, len(ticks))] {
			due = append(due, s.Due(tick).Format("05.000"))
		}
		return due
	}
	text := fmt.Sprintf("%s: missed %v, doubled %v at the target; missed %v, doubled %v at the receiver; its scrapes there:", name,
		clock(learned.arrivals, atTarget.Missed), clock(learned.arrivals, atTarget.Doubled),
		clock(learned.timestamps, atReceiver.Missed), clock(learned.timestamps, atReceiver.Doubled))
	for _, s := range scrapes[max(0, len(scrapes)-40):] {
		text += fmt.Sprintf(" %s#%d@%s", s.Node, s.Number, s.At.Format("05.000"))
	}
	return text
}

// deviations is how much the time between two scrapes differs from the interval where a config has moved, and where none has: what the machine does.
func (m measurement) deviations(interval time.Duration) (moved, still spread) {
	var gaps []time.Duration
	for _, move := range m.moves {
		gaps = append(gaps, move.gap)
	}
	return spreadOf(gaps, interval), spreadOf(m.still, interval)
}

// spread is of how much gaps differ from what they should be.
type spread struct{ median, most time.Duration }

func spreadOf(gaps []time.Duration, interval time.Duration) spread {
	if len(gaps) == 0 {
		return spread{}
	}
	off := make([]time.Duration, len(gaps))
	for i, gap := range gaps {
		off[i] = (gap - interval).Abs()
	}
	slices.Sort(off)
	return spread{off[len(off)/2], off[len(off)-1]}
}

func (s spread) String() string { return ms(s.median) + " median, " + ms(s.most) + " maximum" }

// takenOver returns, of configs that a node had at an instant, how long it took until others had scraped them all, and how many they haven't.
func (c *clusterUnderTest) takenOver(configs []string, from string, since time.Time) (longest time.Duration, never int) {
	for _, name := range configs {
		took := time.Duration(-1)
		arrivals := c.targets.Arrivals(name)
		for _, s := range c.ledger.Scrapes(name) {
			if s.Node != from && s.At.After(since) {
				took = arrivals[s.Number-1].Sub(since)
				break
			}
		}
		if took < 0 {
			never++
		}
		longest = max(longest, took)
	}
	return longest, never
}
