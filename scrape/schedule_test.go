package scrape

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
)

func TestTicksAreOneIntervalApart(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 10000 {
		interval := time.Duration(1e6 + random.Int64N(1e14))
		s := newSchedule(random.Uint64(), random.Uint64(), interval)
		now := time.Unix(0, random.Int64N(1<<62))
		tick := s.latest(now)
		require.False(t, s.at(tick).After(now))
		require.True(t, s.at(tick+1).After(now))
		require.Equal(t, interval, s.at(tick+1).Sub(s.at(tick)))
		require.Equal(t, tick, s.latest(s.at(tick)))
		require.GreaterOrEqual(t, s.phase, time.Duration(0))
		require.Less(t, s.phase, interval)
	}
}

func TestAScheduleDependsOnNothingButSeedTargetAndInterval(t *testing.T) {
	ls := labels.FromStrings("__address__", "one:80", "instance", "one:80", "job", "j")
	id := identify(ls, "http://one:80/metrics")
	// A change of this number moves every target of every cluster to another place in its interval.
	require.Equal(t, uint64(0x8b5529c7bfd401b8), id)
	require.Equal(t, id, identify(labels.FromStrings("job", "j", "instance", "one:80", "__address__", "one:80"), "http://one:80/metrics"))
	require.NotEqual(t, id, identify(ls, "http://one:80/other"))
	require.NotEqual(t, identify(labels.FromStrings("a", "bc"), ""), identify(labels.FromStrings("ab", "c"), ""))
	require.Equal(t, newSchedule(1, id, time.Minute), newSchedule(1, id, time.Minute))
	require.NotEqual(t, newSchedule(1, id, time.Minute), newSchedule(2, id, time.Minute))
}

func TestTimestampsAreThoseOfTheTickWithinTolerance(t *testing.T) {
	for _, test := range []struct {
		interval, late time.Duration
		aligned        bool
	}{
		{15 * time.Second, 0, true},
		{15 * time.Second, 2 * time.Millisecond, true},
		{15 * time.Second, 3 * time.Millisecond, false},
		{100 * time.Millisecond, time.Millisecond, true},
		{100 * time.Millisecond, 1500 * time.Microsecond, false},
		{15 * time.Second, -time.Millisecond, true},
	} {
		s := newSchedule(7, 1234567890123456789, test.interval)
		at := s.at(100)
		now := at.Add(test.late)
		if test.aligned {
			require.Equal(t, at, s.timestamp(100, now), test)
		} else {
			require.Equal(t, now, s.timestamp(100, now), test)
		}
	}
}

func TestWhatToDoAboutATick(t *testing.T) {
	s := schedule{interval: 10 * time.Second}
	after := func(seconds float64) time.Time { return time.Unix(0, int64(seconds*1e9)) }
	for _, test := range []struct {
		name    string
		on, end bool
		tick    int64
		now     float64
		want    decision
	}{
		{name: "the timer is on time", on: true, tick: 5, now: 50.0001, want: decision{tick: 5}},
		{name: "the timer is early by less than the tolerance", on: true, tick: 5, now: 49.999, want: decision{tick: 5}},
		{name: "the timer is early", on: true, tick: 5, now: 49.9, want: decision{tick: 5, wait: true}},
		{name: "the timer is late", on: true, tick: 5, now: 59, want: decision{tick: 5}},
		{name: "the process was suspended", on: true, tick: 5, now: 95, want: decision{tick: 9, skipped: 4}},
		{name: "the clock was set back while it waited", on: true, tick: 5, now: 12, want: decision{tick: 2, wait: true}},
		{name: "the scrape was quick", end: true, tick: 5, now: 50.1, want: decision{tick: 6, wait: true}},
		{name: "the scrape began and ended early", end: true, tick: 5, now: 49.9999, want: decision{tick: 6, wait: true}},
		{name: "the next tick is due", end: true, tick: 5, now: 60.5, want: decision{tick: 6}},
		{name: "three ticks are due", end: true, tick: 5, now: 80.5, want: decision{tick: 8, skipped: 2}},
		{name: "the clock was set back while it scraped", end: true, tick: 5, now: 12, want: decision{tick: 2, wait: true}},
	} {
		decide := s.onEnd
		if test.on {
			decide = s.onTimer
		}
		require.Equal(t, test.want, decide(test.tick, after(test.now)), test.name)
	}
}

func TestTheFirstTickFollowsTheLastOfTheScraperBefore(t *testing.T) {
	s := schedule{interval: 10 * time.Second}
	now := time.Unix(57, 0)
	require.Equal(t, int64(6), s.first(now), "nobody scraped before")
	require.Equal(t, int64(6), s.resume(now, 6))
	require.Equal(t, int64(7), s.resume(now, 7), "the clock there was ahead")
	require.Equal(t, int64(6), s.resume(now, 8), "the clocks are more than an interval apart")
	require.Equal(t, int64(5), s.resume(now, 5), "one was missed on the way")
	require.Equal(t, int64(5), s.resume(now, 3), "three were missed")
	require.Equal(t, int64(6), s.resume(now, 2), "more were missed")
}
