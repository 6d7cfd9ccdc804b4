package remotewrite

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
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
	} {
		require.Equal(t, c.want, decideLanes(c.in), c.name)
	}
}
