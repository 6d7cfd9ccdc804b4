package scrape

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWhenToStopForASuccessor(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	in := func(n int) time.Time { return now.Add(ms(n)) }
	target := func(next, interval, takes int) planned {
		return planned{next: in(next), interval: ms(interval), takes: ms(takes)}
	}
	for _, test := range []struct {
		name    string
		targets []planned
		want    int
	}{
		{"no targets", nil, 0},
		{"there is enough time", []planned{target(600, 1000, 10)}, 0},
		{"with a long interval, half a second is enough", []planned{target(600, 60_000, 10)}, 0},
		{"too little time: with the next tick", []planned{target(400, 1000, 10)}, 400},
		{"of a short interval, half is enough", []planned{target(60, 100, 1)}, 0},
		{"of a short interval, less is not", []planned{target(40, 100, 1)}, 40},
		{"a tick is due already", []planned{target(-5, 1000, 10)}, 0},
		{"the last of a crowd", []planned{target(10, 1000, 5), target(20, 1000, 5), target(30, 1000, 5)}, 30},
		{"the longest of short gaps", []planned{target(100, 1000, 1), target(300, 1000, 1), target(700, 1000, 1), target(900, 1000, 1)}, 300},
		{"the first of equal gaps", []planned{target(250, 1000, 1), target(500, 1000, 1), target(750, 1000, 1), target(1000, 1000, 1)}, 0},
		{"the time that a scrape takes counts", []planned{target(100, 1000, 300), target(450, 1000, 1), target(700, 1000, 10)}, 700},
		{"one that is running counts", []planned{{next: in(700), interval: ms(1000), takes: ms(400), busy: in(300)}}, 700},
		{"a target with a long interval has its ticks, too", []planned{target(400, 1000, 1), target(500, 60_000, 1)}, 500},
		{"a good moment that is too far away", []planned{target(4900, 60_000, 1), target(400, 60_000, 1), target(20_000, 60_000, 1)}, 400},
	} {
		got := quietMoment(now, test.targets)
		require.Equal(t, ms(test.want), got.Sub(now), test.name)
	}
}

func TestAMomentIsNeverAnIntervalAway(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for targets := range 200 {
		var all []planned
		for i := range targets + 1 {
			interval := time.Duration(1+i%3) * 5 * time.Second
			all = append(all, planned{next: now.Add(time.Duration(i*i) * 7919 * time.Microsecond % interval), interval: interval, takes: time.Second})
		}
		wait := quietMoment(now, all).Sub(now)
		require.GreaterOrEqual(t, wait, time.Duration(0))
		require.LessOrEqual(t, wait, 5*time.Second)
	}
}

func TestAStopForASuccessorComesWithATick(t *testing.T) {
	for _, before := range []time.Duration{400 * time.Millisecond, 800 * time.Millisecond} {
		inBubble(t, oneMetric, func(t *testing.T, dial func(*Options)) {
			m := newMemory()
			s := newScraper(t, m, dial)
			run(t, s, configure(t, `[{job_name: a, scrape_interval: 1s, static_configs: [{targets: ["one:80"]}]}]`))
			<-time.After(3 * time.Second)
			next := s.NextTick()
			<-time.After(time.Until(next.Add(time.Second)) - before)
			require.NoError(t, s.Stop(t.Context(), HandOver))
			found := m.find("metric")
			require.GreaterOrEqual(t, time.Until(s.NextTick()), 500*time.Millisecond)
			require.Equal(t, s.NextTick().Add(-time.Second).UnixMilli(), found[len(found)-1].t, "the tick before was taken")
		})
	}
}

func TestAStopForASuccessorWaitsNoLongerThanItMay(t *testing.T) {
	inBubble(t, oneMetric, func(t *testing.T, dial func(*Options)) {
		s := newScraper(t, newMemory(), dial)
		run(t, s, configure(t, `[{job_name: a, scrape_interval: 1s, static_configs: [{targets: ["one:80"]}]}]`))
		<-time.After(time.Until(s.NextTick()) - 300*time.Millisecond)
		begin := time.Now()
		ctx, done := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer done()
		require.NoError(t, s.Stop(ctx, HandOver))
		require.Equal(t, 100*time.Millisecond, time.Since(begin))
	})
}

func TestAHangingTargetHoldsUpNobodysMove(t *testing.T) {
	target := func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Host, "hanging") {
			<-r.Context().Done()
		}
		oneMetric(w, r)
	}
	inBubble(t, target, func(t *testing.T, dial func(*Options)) {
		s := newScraper(t, newMemory(), dial)
		run(t, s, configure(t, `[{job_name: a, scrape_interval: 10s, scrape_timeout: 10s, static_configs: [{targets: ["hanging:80"]}]},
			{job_name: b, scrape_interval: 1s, static_configs: [{targets: ["quick:80"]}]}]`))
		<-time.After(15 * time.Second)
		begin := time.Now()
		require.NoError(t, s.Stop(t.Context(), HandOver))
		require.Less(t, time.Since(begin), 2*time.Second)
		h, err := decodeHandover(s.Handover())
		require.NoError(t, err)
		require.Len(t, h.behind, 1, "the successor asks it again")
	})
}

func TestAScraperThatIsFencedOffCommitsNothingMore(t *testing.T) {
	var hang, asked atomic.Bool
	target := func(w http.ResponseWriter, r *http.Request) {
		if hang.Load() {
			asked.Store(true)
			<-r.Context().Done()
		}
		oneMetric(w, r)
	}
	inBubble(t, target, func(t *testing.T, dial func(*Options)) {
		m := newMemory()
		s := newScraper(t, m, dial, func(o *Options) { o.ScrapeOnShutdown = true })
		text := `[{job_name: a, scrape_interval: 10s, static_configs: [{targets: [%s]}]}]`
		run(t, s, configure(t, fmt.Sprintf(text, `"one:80", "two:80"`)))
		<-time.After(20 * time.Second)
		require.NoError(t, s.Apply(t.Context(), configure(t, fmt.Sprintf(text, `"one:80"`)))) // whose staleness markers are waiting
		hang.Store(true)
		<-time.After(10 * time.Second)
		require.True(t, asked.Load())
		committed, begin := m.size(), time.Now()
		require.NoError(t, s.Stop(t.Context(), Fence))
		require.Zero(t, time.Since(begin))
		<-time.After(time.Minute)
		synctest.Wait()
		require.Equal(t, committed, m.size())
	})
}
