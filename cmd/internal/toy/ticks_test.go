package toy

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// atMillis are instants in milliseconds after the Unix epoch.
func atMillis(millis ...int64) (instants []time.Time) {
	for _, m := range millis {
		instants = append(instants, time.UnixMilli(m))
	}
	return instants
}

func TestEachScrapeServesTheTickItWasMeantFor(t *testing.T) {
	// Ticks are due at 300 ms past each second; ticks 1 to 5 are asked about.
	s := Schedule{Phase: 300 * time.Millisecond, Interval: time.Second}
	for name, c := range map[string]struct {
		scrapes         []time.Time
		missed, doubled []int64
	}{
		"all on time":                          {scrapes: atMillis(1300, 2301, 3304, 4300, 5310)},
		"in any order":                         {scrapes: atMillis(4300, 1300, 5310, 3304, 2301)},
		"a little early":                       {scrapes: atMillis(1295, 2290, 3299, 4300, 5290)},
		"one missed":                           {scrapes: atMillis(1300, 2300, 4300, 5300), missed: []int64{3}},
		"first and last missed":                {scrapes: atMillis(300, 2300, 3300, 4300, 6300), missed: []int64{1, 5}},
		"nothing came":                         {missed: []int64{1, 2, 3, 4, 5}},
		"made up for in its interval":          {scrapes: atMillis(1300, 2300, 3900, 4300, 5300)},
		"made up for, arriving after it":       {scrapes: atMillis(1300, 2300, 4310, 4320, 5300)},
		"the first made up for after it":       {scrapes: atMillis(2305, 2306, 3300, 4300, 5300)},
		"the last made up for after it":        {scrapes: atMillis(1300, 2300, 3300, 4300, 6301, 6302)},
		"all of the time before made up for":   {scrapes: atMillis(1301, 1302, 2300, 3300, 4300, 5300)},
		"two made up for at once":              {scrapes: atMillis(1300, 4310, 4311, 4312, 5300), missed: []int64{2}, doubled: []int64{4}},
		"late is not the next one":             {scrapes: atMillis(1300, 2300, 4450, 4460, 5300), missed: []int64{3}, doubled: []int64{4}},
		"doubled at once":                      {scrapes: atMillis(300, 1300, 2300, 3300, 3301, 4300, 5300), doubled: []int64{3}},
		"doubled, far apart":                   {scrapes: atMillis(300, 1300, 2300, 3300, 4100, 4300, 5300), doubled: []int64{3}},
		"doubled though one was missed before": {scrapes: atMillis(1300, 3300, 3700, 4300, 5300), missed: []int64{2}, doubled: []int64{3}},
		"two scrapers all the time":            {scrapes: atMillis(300, 301, 1300, 1301, 2300, 2301, 3300, 3301, 4300, 4301, 5300, 5301), doubled: []int64{1, 2, 3, 4, 5}},
		"a whole interval late for ever":       {scrapes: atMillis(2300, 3300, 4300, 5300, 6300), missed: []int64{1}},
	} {
		t.Run(name, func(t *testing.T) {
			found := s.Account(c.scrapes, time.UnixMilli(1300), time.UnixMilli(6300), JitterOfArrivals(time.Second))
			require.Equal(t, Ticks{Due: 5, Missed: c.missed, Doubled: c.doubled}, found)
		})
	}
}

func TestTimestampsAreTakenAtTheirWord(t *testing.T) {
	s := Schedule{Phase: 300 * time.Millisecond, Interval: time.Second}
	found := s.Account(atMillis(1300, 2300, 3296, 3297, 4300, 4301), time.UnixMilli(1300), time.UnixMilli(5300), JitterOfTimestamps())
	require.Equal(t, Ticks{Due: 4, Missed: []int64{3}, Doubled: []int64{2, 4}}, found)
	found = s.Account(atMillis(1300, 2300, 3300, 4298, 4299), time.UnixMilli(1300), time.UnixMilli(5300), JitterOfTimestamps())
	require.Equal(t, Ticks{Due: 4, Doubled: []int64{3}}, found, "one made up for at the last moment, one a little early")
}

func TestTicksAreCountedFromOneInstantUntilAnother(t *testing.T) {
	s := Schedule{Phase: 300 * time.Millisecond, Interval: time.Second}
	require.Equal(t, 0, s.Account(nil, time.UnixMilli(1301), time.UnixMilli(2300), JitterOfArrivals(time.Second)).Due)
	require.Equal(t, []int64{1}, s.Account(nil, time.UnixMilli(1300), time.UnixMilli(2300), JitterOfArrivals(time.Second)).Missed)
	require.Equal(t, []int64{1, 2}, s.Account(nil, time.UnixMilli(1299), time.UnixMilli(2301), JitterOfArrivals(time.Second)).Missed)
	require.Equal(t, Ticks{}, s.Account(atMillis(1300), time.UnixMilli(2000), time.UnixMilli(1000), JitterOfArrivals(time.Second)))
}

func TestAScheduleIsLearnedFromTheEarliestScrapes(t *testing.T) {
	for name, c := range map[string]struct {
		scrapes []time.Time
		phase   time.Duration
		ok      bool
	}{
		"none":                        {},
		"one":                         {scrapes: atMillis(1300), phase: 300 * time.Millisecond, ok: true},
		"with jitter":                 {scrapes: atMillis(1310, 2302, 3305, 7390), phase: 302 * time.Millisecond, ok: true},
		"around a full second":        {scrapes: atMillis(2010, 2995, 4001), phase: 995 * time.Millisecond, ok: true},
		"some very late":              {scrapes: atMillis(1500, 2300, 3300, 4999, 5304), phase: 300 * time.Millisecond, ok: true},
		"late by almost an interval":  {scrapes: atMillis(1300, 2301, 3300, 4305, 6296, 6310), phase: 300 * time.Millisecond, ok: true},
		"the same everywhere":         {scrapes: atMillis(1300, 2300, 3300), phase: 300 * time.Millisecond, ok: true},
		"two schedules at once":       {scrapes: atMillis(1300, 1800, 2300, 2800), phase: 300 * time.Millisecond, ok: true},
		"three schedules, none right": {scrapes: atMillis(1300, 1600, 1900, 2300, 2600, 2900), phase: 300 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			s, ok := LearnSchedule(time.Second, c.scrapes)
			require.Equal(t, c.ok, ok)
			require.Equal(t, c.phase, s.Phase)
		})
	}
}

func TestAScheduleNumbersItsTicks(t *testing.T) {
	s := Schedule{Phase: 300 * time.Millisecond, Interval: 15 * time.Second}
	for _, tick := range []int64{-2, -1, 0, 1, 100_000_000} {
		due := s.Due(tick)
		require.Equal(t, tick, s.At(due))
		require.Equal(t, tick-1, s.At(due.Add(-1)))
		require.Equal(t, tick, s.At(due.Add(s.Interval-1)))
	}
}

// On a machine that had no time a scrape arrives after the end of its interval, and the next one late.
func TestAJudgeThatWaitsCountsNoLateScrapeAsDoubled(t *testing.T) {
	arrivals := atMillis(300, 1300, 2300, 3300, 5310, 5620, 6300, 7300)
	for late, doubled := range map[time.Duration]int{0: 1, 500 * time.Millisecond: 0} {
		judge := Judge{Interval: time.Second, Patience: 1500 * time.Millisecond, Late: late}
		judge.Until("one", arrivals, time.UnixMilli(8500))
		require.Equal(t, []int{doubled, doubled}, []int{judge.Missed, judge.Doubled}, "late: %v", late)
	}
}

// On a machine that had no time when the first scrapes came, later ones are earlier in their interval.
func TestAJudgeThatLearnedFromLateScrapesCountsNoneThatIsOnTimeAsDoubled(t *testing.T) {
	late, doubled := atMillis(360, 1360, 2361, 3360, 4361), Judge{Interval: time.Second, Patience: 1500 * time.Millisecond}
	judge := doubled
	judge.Until("one", late, time.UnixMilli(5500))
	onTime := append(late, atMillis(5300, 6300, 7361, 8300)...)
	judge.Until("one", onTime, time.UnixMilli(10_400))
	require.Equal(t, []int{9, 0, 0}, []int{judge.Due, judge.Missed, judge.Doubled})
	doubled.Until("one", append(onTime, atMillis(6330)...), time.UnixMilli(10_400))
	require.Equal(t, []int{9, 0, 1}, []int{doubled.Due, doubled.Missed, doubled.Doubled})
}
