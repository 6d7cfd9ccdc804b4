package clustertest

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// row is one of the table.
type row struct {
	name, reach, measured string
	missed                []string // what was not reached
	unknown               bool     // the measurement did not come to its end
	skipped               bool
}

// table is what was measured, in the order of the tests.
type table struct {
	mu   sync.Mutex
	rows []row
}

var results table

func (t *table) add(r row) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows = append(t.rows, r)
}

func (t *table) print() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.rows) == 0 {
		return
	}
	fmt.Printf("\n| Case | Reach | Measured | Reached |\n|---|---|---|---|\n")
	for _, r := range t.rows {
		fmt.Printf("| %s | %s | %s | %s |\n", r.name, r.reach, r.measured, r.verdict())
	}
	fmt.Println()
}

func (r row) verdict() string {
	switch {
	case r.skipped:
		return "not measured here"
	case r.unknown:
		return "**unknown**: the measurement failed"
	case len(r.missed) > 0:
		verdict := "**no**:"
		for i, m := range r.missed {
			if i > 0 {
				verdict += ";"
			}
			verdict += " " + m
		}
		return verdict
	default:
		return "yes"
	}
}

// wants notes what is not reached.
func (r *row) wants(reached bool, otherwise string, args ...any) {
	if !reached {
		r.missed = append(r.missed, fmt.Sprintf(otherwise, args...))
	}
}

// milliseconds, for people.
func ms(d time.Duration) string { return fmt.Sprintf("%.0f ms", float64(d)/float64(time.Millisecond)) }

// seconds, for people.
func sec(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// measured runs a measurement as a row of the table: also one that fails is in it.
func measured(t *testing.T, name, reach string, fill func(r *row)) {
	t.Helper()
	r := row{name: name, reach: reach, unknown: true}
	t.Cleanup(func() {
		r.skipped = t.Skipped()
		results.add(r)
	})
	fill(&r)
	r.unknown = false
	t.Logf("%s: %s: %s", r.name, r.measured, r.verdict())
	if len(r.missed) > 0 {
		t.Fail()
	}
}

// usual is a cluster with its configs, at rest.
func usual(t *testing.T, names ...string) *clusterUnderTest {
	t.Helper()
	c := newCluster(t, names...)
	c.populate(names...)
	return c
}

// populate uploads the configs, and waits until the cluster is at rest.
func (c *clusterUnderTest) populate(names ...string) {
	c.t.Helper()
	count := 100 // so many that each node gets some, wherever its tokens are
	if *full {
		count = 300
	}
	c.put(count, time.Second)
	c.settle(names...)
	c.learn()
}

// ticks says what both ends counted.
func (m measurement) ticks() string {
	return fmt.Sprintf("%d missed, %d doubled (receiver: %d, %d; the machine stood still for up to %s)", m.missed, m.doubled, m.unreceived, m.receivedTwo, ms(m.standstill))
}

func (c *clusterUnderTest) wantsWhole(r *row, m measurement) {
	whole := m.missed == 0 && m.unreceived == 0
	if !whole && !m.tells(c.interval) {
		c.logf("%d ticks were missed on a machine that had no time; that tells nothing", m.missed)
		whole = true
	}
	r.wants(whole, "%d ticks missed, %d not received", m.missed, m.unreceived)
	c.wantsNoneDoubled(r, m)
}

// wantsNoTwoNodes is for a long row on a machine that may be busy with others: what one node took
// twice within an interval, late, is told, but it is no fault.
func (m measurement) wantsNoTwoNodes(r *row) {
	r.measured += fmt.Sprintf("; ticks taken by two nodes: %d", m.byTwo)
	r.wants(m.byTwo == 0, "%d ticks taken by two nodes", m.byTwo)
}

// wantsNoneDoubled wants no tick to be taken twice. On a machine that had no time one node can take
// two close together, of which the first was meant for the tick before.
func (c *clusterUnderTest) wantsNoneDoubled(r *row, m measurement) {
	if !m.tells(c.interval) && m.byTwo == 0 {
		return
	}
	r.wants(m.doubled == 0 && m.receivedTwo == 0, "%d ticks doubled, %d received twice", m.doubled, m.receivedTwo)
}

func onlyFull(t *testing.T) {
	t.Helper()
	if !*full {
		t.Skip("this row is measured with -args -full (task cluster)")
	}
}
