package difftest

import (
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"
)

// Vetoes that last shorter than half of an interval cost a second request, longer ones the tick.
const (
	shortVeto = 60 * time.Millisecond
	longVeto  = 45 * time.Second
)

// trouble prepares the storage for a step. A veto that costs a tick is a commit that fails to a
// loop that can't be vetoed.
func (m *mem) trouble(s step, vetoable bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failing = s.fails || s.veto == longVeto && !vetoable
	if s.veto != 0 {
		m.veto, m.vetoed = s.veto, time.Time{}
	}
}

// permitted is a scrape.Options.Permit.
func (m *mem) permitted() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.vetoed.IsZero() || time.Since(m.vetoed) >= m.veto
}

// newRef gives a series a reference.
func (m *mem) newRef(ls labels.Labels) storage.SeriesRef {
	if m.book == nil {
		m.nextRef++
		return m.nextRef - 1
	}
	ref, err := m.book.Acquire(ls)
	if err != nil {
		m.broken = append(m.broken, err.Error())
	}
	return storage.SeriesRef(ref)
}

// unlucky are steps in which commits fail, or are vetoed.
func unlucky(bodies [3]string, bad step) []step {
	bad.answers = all(plain(bodies[1]))
	return still(step{config: targets("one:80"), answers: all(plain(bodies[0]))}, step{}, bad, step{answers: all(plain(bodies[2]))}, step{})
}

// requireEnds demands that what is open at the end was scraped in the last interval. Times of a
// target's own may be before it.
func (s scenario) requireEnds(t *testing.T) {
	t.Helper()
	own := s.run(t, makeOwn, nil)
	for series, last := range own.open {
		if last < own.end && last > time.Unix(1_000_000, 0).UnixMilli() {
			t.Errorf("series %s has not ended", series)
		}
	}
}

func TestCommitsThatFail(t *testing.T) {
	steady := [3]string{"a 1\nb 1\n", "a 2\nb 2\n", "a 3\nb 3\n"}
	for what, bad := range map[string]step{"fails": {fails: true}, "is vetoed": {veto: longVeto}} {
		for name, s := range map[string]scenario{
			"of the same series":          {steps: unlucky(steady, bad)},
			"in which a series begins":    {keepsCache: true, steps: unlucky([3]string{"a 1\n", "a 1\nb 1\n", "a 1\nb 1\n"}, bad)},
			"in which a series ends":      {keepsCache: true, steps: unlucky([3]string{"a 1\nb 1\n", "a 1\n", "a 1\n"}, bad)},
			"after which a series ends":   {keepsCache: true, steps: unlucky([3]string{"a 1\nb 1\n", "a 1\nb 1\n", "a 1\n"}, bad)},
			"that alone lacks a series":   {keepsCache: true, steps: unlucky([3]string{"a 1\nb 1\n", "a 1\n", "a 1\nb 1\n"}, bad)},
			"that alone has a series":     {keepsCache: true, steps: unlucky([3]string{"a 1\n", "a 1\nb 1\n", "a 1\n"}, bad)},
			"of other metadata":           {keepsCache: true, steps: unlucky([3]string{"a 1\n", "# TYPE a counter\na 1\n", "# TYPE a counter\na 2\n"}, bad)},
			"of timestamps of its own":    {keepsCache: true, steps: unlucky([3]string{"a 1 1000\n", "a 2 2000\n", "a 3 2000\n"}, bad)},
			"of a body that is no format": {keepsCache: true, steps: unlucky([3]string{"a 1\nb 1\n", "a 1\n}\n", "a 1\n"}, bad)},
		} {
			t.Run("a commit "+what+" "+name, func(t *testing.T) {
				s.check(t)
				s.requireEnds(t)
			})
		}
	}
	failing := step{fails: true}
	for name, s := range map[string]scenario{
		"the first commit fails": {keepsCache: true, steps: still(
			step{config: targets("one:80"), answers: all(plain("a 1\n")), fails: true}, step{}, step{answers: all(plain("b 1\n"))})},
		"commits fail for long": {steps: still(
			step{config: targets("one:80, two:80"), answers: all(plain("a 1\nb 1\n"))}, failing, failing, failing, step{}, failing, step{})},
		"a commit fails of a target that is down": {keepsCache: true, steps: still(
			step{config: targets("one:80"), answers: all(plain("a 1\n"))}, step{answers: all(answer{status: 500}), fails: true}, step{},
			step{answers: all(plain("a 1\n"))})},
		"a commit fails after references have changed": {keepsCache: true, steps: still(
			step{config: targets("one:80"), answers: all(plain("a 1\nb 1\n"))}, step{forget: true, fails: true}, step{forget: true}, step{answers: all(plain("a 1\n"))})},
		"a commit fails with a reload": {keepsCache: true, steps: still(
			step{config: targets("one:80"), answers: all(plain("a 1\nb 1\n"))},
			step{config: targets("one:80", "metric_relabel_configs: [{source_labels: [__name__], regex: b, action: drop}]"), fails: true}, step{})},
	} {
		t.Run(name, func(t *testing.T) {
			s.check(t)
			s.requireEnds(t)
		})
	}
}

// A permit that is lost for a moment between a scrape and its commit costs a request. What is
// committed is what Prometheus commits.
func TestAShortVetoChangesNothing(t *testing.T) {
	for name, bodies := range map[string][3]string{
		"the same series":  {"a 1\nb 1\n", "a 2\nb 2\n", "a 3\nb 3\n"},
		"a series ends":    {"a 1\nb 1\n", "a 1\n", "a 1\n"},
		"a series begins":  {"a 1\n", "a 1\nb 1\n", "a 1\nb 1\n"},
		"one lacks it":     {"a 1\nb 1\n", "a 1\n", "a 1\nb 1\n"},
		"one has it":       {"a 1\n", "a 1\nb 1\n", "a 1\n"},
		"metadata changes": {"# TYPE a gauge\na 1\n", "# TYPE a counter\na 1\n", "a 1\n"},
		"no format":        {"a 1\nb 1\n", "a 1\n}\n", "a 1\n"},
	} {
		t.Run(name, func(t *testing.T) {
			s := scenario{asksAgain: true, steps: unlucky(bodies, step{veto: shortVeto})}
			s.check(t)
			require.Len(t, s.run(t, makeOwn, nil).requests["one:80"], len(s.steps)+1, "the scrape was vetoed and repeated")
		})
	}
}
