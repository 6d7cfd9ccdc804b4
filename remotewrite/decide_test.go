package remotewrite

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/remotewrite/receivertest"
)

func TestJudgeAnswers(t *testing.T) {
	for status, want := range map[int]verdict{
		200: delivered, 204: delivered,
		302: retrySlowly,
		400: splitPoison, 409: splitPoison, 418: splitPoison, 422: splitPoison,
		401: retrySlowly, 402: retrySlowly, 403: retrySlowly, 404: retrySlowly, 405: retrySlowly, 407: retrySlowly, 415: retrySlowly,
		408: retrySoon, 425: retrySoon, 429: retrySoon,
		413: splitSize,
		500: retrySoon, 503: retrySoon, 599: retrySoon,
	} {
		require.Equal(t, want, rules{retry429: true}.judge(status), "status %d", status)
	}
	require.Equal(t, dropLimited, rules{}.judge(429), "429 is final if the user says so")
}

func TestDelayGrowsToItsMaximumAndHonoursRetryAfter(t *testing.T) {
	p := pace{min: 100 * time.Millisecond, max: time.Second}
	for _, c := range []struct {
		name       string
		pace       pace
		attempt    int
		retryAfter time.Duration
		jitter     float64
		want       time.Duration
	}{
		{"first, least", p, 1, 0, 0, 100 * time.Millisecond},
		{"first, most", p, 1, 0, 1, 150 * time.Millisecond},
		{"third, least", p, 3, 0, 0, 200 * time.Millisecond},
		{"third", p, 3, 0, 1, 400 * time.Millisecond},
		{"capped", p, 1000, 0, 1, time.Second},
		{"asked for", p, 1, 7 * time.Second, 0, 7 * time.Second},
		{"asked for, with jitter", p, 1, 10 * time.Second, 1, 11 * time.Second},
		{"asked for a day", p, 1, 24 * time.Hour, 0, 5 * time.Minute},
		{"no minimum", pace{max: time.Second}, 1, 0, 0, time.Millisecond},
		{"slowed, first", p.slowed(), 1, 0, 0, time.Second},
		{"slowed, capped", p.slowed(), 100, 0, 1, time.Minute},
	} {
		require.Equal(t, c.want, c.pace.delay(c.attempt, c.retryAfter, c.jitter), c.name)
	}
}

func TestParseRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"": 0, "soon": 0, "-5": 0, "0": 0, "3": 3 * time.Second, "999999999999": maxRetryAfter,
		"Fri, 02 Jan 2026 03:04:15 GMT": 10 * time.Second,
		"Fri, 02 Jan 2026 03:04:00 GMT": 0,
		"Sat, 03 Jan 2026 03:04:00 GMT": maxRetryAfter,
	} {
		require.Equal(t, want, parseRetryAfter(header, now), "header %q", header)
	}
}

func TestLanesFollowTheBacklog(t *testing.T) {
	for _, c := range []struct {
		name string
		in   lanesInput
		want int
	}{
		{"full rounds and a backlog double them", lanesInput{lanes: 2, min: 1, max: 50, perLane: 100, samples: 200, backlog: 800, clean: 3}, 4},
		{"not before three rounds", lanesInput{lanes: 2, min: 1, max: 50, perLane: 100, samples: 200, backlog: 800, clean: 2}, 2},
		{"not for a small backlog", lanesInput{lanes: 2, min: 1, max: 50, perLane: 100, samples: 200, backlog: 799, clean: 9}, 2},
		{"not beyond the maximum", lanesInput{lanes: 4, min: 1, max: 5, perLane: 100, samples: 400, backlog: 1e6, clean: 3}, 5},
		{"trouble halves them", lanesInput{lanes: 8, min: 1, max: 50, perLane: 100, samples: 800, backlog: 1e6, troubled: true}, 4},
		{"not below the minimum", lanesInput{lanes: 3, min: 2, max: 50, perLane: 100, troubled: true}, 2},
		{"a quarter used halves them", lanesInput{lanes: 8, min: 1, max: 50, perLane: 100, samples: 199}, 4},
		{"half used keeps them", lanesInput{lanes: 8, min: 1, max: 50, perLane: 100, samples: 400}, 8},
		{"at least one", lanesInput{lanes: 1, perLane: 100}, 1},
		{"more that are faster are doubled again", lanesInput{lanes: 4, min: 1, max: 50, perLane: 100, samples: 400, backlog: 1e6, clean: 3, rate: 130, rateBefore: 100}, 8},
		{"more that are no faster are given up", lanesInput{lanes: 4, min: 1, max: 50, perLane: 100, samples: 400, backlog: 1e6, clean: 3, rate: 120, rateBefore: 100}, 2},
		{"they are judged once", lanesInput{lanes: 4, min: 1, max: 50, perLane: 100, samples: 400, backlog: 1, clean: 4, rate: 50, rateBefore: 100}, 4},
		{"what no time was measured of is faster", lanesInput{lanes: 4, min: 1, max: 50, perLane: 100, samples: 400, backlog: 1e6, clean: 3, rate: math.Inf(1), rateBefore: math.Inf(1)}, 8},
		{"not above the ceiling", lanesInput{lanes: 2, min: 1, max: 50, perLane: 100, samples: 200, backlog: 1e6, clean: growAgain - 1, ceiling: 2}, 2},
		{"but now and then", lanesInput{lanes: 2, min: 1, max: 50, perLane: 100, samples: 200, backlog: 1e6, clean: growAgain, ceiling: 2}, 4},
		{"below the ceiling as ever", lanesInput{lanes: 1, min: 1, max: 50, perLane: 100, samples: 100, backlog: 1e6, clean: 3, ceiling: 2}, 2},
	} {
		lanes, vain := decideLanes(c.in)
		require.Equal(t, c.want, lanes, c.name)
		require.Equal(t, strings.HasSuffix(c.name, "given up"), vain, c.name)
	}
}

// A lane takes memory. Those that don't make a backlog drain faster are not kept.
func TestLanesGrowOnlyWhileThatIsFaster(t *testing.T) {
	for name, c := range map[string]struct {
		oneByOne    bool
		least, most int
	}{
		"a receiver far away":                      {false, 16, 16},
		"a receiver that does one after the other": {true, 1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T) {
				f := newFleet(t, 1, withLanes(1, 16), perSend(10))
				busy := make(chan struct{}, 1)
				f.r.Set(func(r *receivertest.Receiver) {
					r.Before = func(*receivertest.Request) int {
						if c.oneByOne {
							busy <- struct{}{}
							defer func() { <-busy }()
						}
						<-time.After(50 * time.Millisecond)
						return 0
					}
				})
				const series, scrapes = 200, 200
				for n := range scrapes {
					f.logs[0].scrape(series, n+1)
				}
				f.queues[0].Notify()
				most := 0
				for f.queues[0].Endpoints()[0].Pending > series*scrapes/10 {
					f.after(time.Second)
					if f.queues[0].Endpoints()[0].Pending < series*scrapes*9/10 {
						most = max(most, f.queues[0].Endpoints()[0].Lanes)
					}
				}
				require.GreaterOrEqual(t, most, c.least)
				require.LessOrEqual(t, most, c.most)
				f.after(time.Hour)
				require.Equal(t, series*scrapes, f.r.Samples())
				f.close()
			})
		})
	}
}
