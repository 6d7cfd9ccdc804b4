package clustertest

import (
	"fmt"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cmd/internal/toy"
)

// quietTicks is how many quiet ticks the schedules are learned from, at least.
func quietTicks() int {
	if *full {
		return 8
	}
	return 4
}

const (
	// hardlyNoise and littleLate are how long a machine may stand still, and by how much targets
	// that don't move may be scraped late, for a measurement with few configs to tell anything
	// about ticks that were missed. Where a quick test runs, others run, too.
	hardlyNoise = 200 * time.Millisecond
	littleLate  = 500 * time.Millisecond
)

// learn waits for some quiet ticks, and finds the schedules of all targets in the timestamps of
// their samples.
func (c *clusterUnderTest) learn() {
	c.t.Helper()
	pause(time.Duration(quietTicks()) * c.interval)
	c.learned = map[string]toy.Schedule{}
	for _, name := range c.configs {
		timestamps := timesOf(c.ledger.Scrapes(name))
		learned, ok := toy.LearnSchedule(c.interval, timestamps)
		require.True(c.t, ok, "no schedule can be seen in the timestamps of %s: %v", name, timestamps)
		c.learned[name] = learned
	}
}

// schedule is that of a target, which the whole cluster keeps to. All scrapes since are looked at,
// because only one that was not late shows it to the millisecond.
func (c *clusterUnderTest) schedule(name string) toy.Schedule {
	c.t.Helper()
	before := c.learned[name]
	now, ok := toy.LearnSchedule(c.interval, timesOf(c.ledger.Scrapes(name)))
	off := (now.Phase-before.Phase+c.interval/2+c.interval)%c.interval - c.interval/2
	require.True(c.t, ok && off.Abs() < c.interval/10, "the schedule of %s was %v, and is %v", name, before, now)
	return now
}

// made is when the scrapes of a target began that it has seen: as their samples say, or, if these
// have never come, when they arrived there, which is later.
func (c *clusterUnderTest) made(name string) []time.Time {
	made := c.targets.Arrivals(name)
	for _, s := range c.ledger.Scrapes(name) {
		made[s.Number-1] = s.At
	}
	return made
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
	byTwo                   int // of receivedTwo, those of two nodes; the others are of one that was late, and took two close together
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

// measure waits until all ticks before now have had their chance, and accounts for those since an
// instant.
func (c *clusterUnderTest) measure(from time.Time, configs []string) measurement {
	c.t.Helper()
	until := time.Now()
	pause(c.interval + time.Second)
	c.awaitReceived(configs, until)
	m := measurement{standstill: c.metronome.longest(from)}
	for _, name := range configs {
		c.measureOne(&m, name, from, until)
	}
	for _, example := range m.examples {
		c.logf("%s", example)
	}
	return m
}

// awaitReceived waits until the receiver has a sample of each config that is newer than an instant,
// but not for ever: what never comes is counted.
func (c *clusterUnderTest) awaitReceived(configs []string, than time.Time) {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); pause(pollEvery) {
		if !slices.ContainsFunc(configs, func(name string) bool {
			last, ok := c.ledger.Last(name)
			return !ok || last.At.Before(than)
		}) {
			return
		}
	}
}

func (c *clusterUnderTest) measureOne(m *measurement, name string, from, until time.Time) {
	arrivals, scrapes := c.targets.Arrivals(name), c.ledger.Scrapes(name)
	learned := c.schedule(name)
	atTarget := learned.Account(c.made(name), from, until, toy.JitterOfTimestamps())
	atReceiver := learned.Account(timesOf(scrapes), from, until, toy.JitterOfTimestamps())
	m.due += atTarget.Due
	m.missed += len(atTarget.Missed)
	m.doubled += len(atTarget.Doubled)
	m.unreceived += len(atReceiver.Missed)
	m.receivedTwo += len(atReceiver.Doubled)
	m.byTwo += byTwoNodes(learned, atReceiver.Doubled, scrapes)
	for i := 1; i < len(scrapes); i++ {
		before, after := scrapes[i-1], scrapes[i]
		if before.At.Before(from) || after.At.After(until) {
			continue
		}
		gap := arrivals[after.Number-1].Sub(arrivals[before.Number-1])
		if before.Node != after.Node {
			m.moves = append(m.moves, move{name, before.Node, after.Node, gap})
		} else {
			m.still = append(m.still, gap)
		}
	}
	wrong, twice := len(atTarget.Missed)+len(atReceiver.Missed) > 0, len(atTarget.Doubled)+len(atReceiver.Doubled) > 0
	if wrong && len(m.examples) < 3 || twice && len(m.examples) < 10 {
		m.examples = append(m.examples, describe(name, learned, atTarget, atReceiver, scrapes))
	}
}

// byTwoNodes is how many ticks were taken by two nodes.
func byTwoNodes(learned toy.Schedule, ticks []int64, scrapes []toy.Scrape) (count int) {
	for _, tick := range ticks {
		nodes := map[string]bool{}
		for _, s := range scrapes {
			if learned.At(s.At.Add(toy.JitterOfTimestamps().Early)) == tick {
				nodes[s.Node] = true
			}
		}
		if len(nodes) > 1 {
			count++
		}
	}
	return count
}

// describe is for the log: what is wrong with the ticks of a config, and all that is known around
// it.
func describe(name string, learned toy.Schedule, atTarget, atReceiver toy.Ticks, scrapes []toy.Scrape) string {
	clock := func(ticks []int64) (due []string) {
		for _, tick := range ticks[:min(5, len(ticks))] {
			due = append(due, learned.Due(tick).Format("05.000"))
		}
		return due
	}
	text := fmt.Sprintf("%s: missed %v, doubled %v at the target; missed %v, doubled %v at the receiver; its scrapes there:", name,
		clock(atTarget.Missed), clock(atTarget.Doubled), clock(atReceiver.Missed), clock(atReceiver.Doubled))
	for _, s := range scrapes[max(0, len(scrapes)-40):] {
		text += fmt.Sprintf(" %s#%d@%s", s.Node, s.Number, s.At.Format("05.000"))
	}
	return text
}

// deviations is how much the time between two scrapes differs from the interval where a config has
// moved, and where none has: what the machine does.
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

// tells says whether missed ticks are the agents' doing. The whole table is measured for people,
// who see what the machine did.
func (m measurement) tells(interval time.Duration) bool {
	_, still := m.deviations(interval)
	return *full || m.standstill < hardlyNoise && still.most < littleLate
}

func (s spread) String() string { return ms(s.median) + " median, " + ms(s.most) + " maximum" }

// takenOver returns, of configs that a node had at an instant, how long it took until others had
// scraped them all, and how many they haven't.
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
