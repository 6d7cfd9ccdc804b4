package scrape

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestATargetThatMovesIsScrapedAtEachTickOnce(t *testing.T) {
	inBubble(t, oneMetric, func(t *testing.T, dial func(*Options)) {
		config := configure(t, `[{job_name: a, scrape_interval: 15s, scrape_timeout: 10s, static_configs: [{targets: ["one:80", "two:80"]}]}]`)
		scraped := map[string][]int64{}
		var last []Tick
		handover := ""
		// The scrapers are those of different hosts, with logs of their own.
		for _, stay := range []time.Duration{61 * time.Second, 40 * time.Second, time.Second, 15 * time.Second, 100 * time.Second} {
			m := newMemory()
			s := newScraper(t, m, dial, func(o *Options) { o.Seed = 42 })
			require.NoError(t, s.Apply(t.Context(), config))
			require.NoError(t, s.Resume(handover))
			require.NoError(t, s.Start())
			<-time.After(stay)
			require.NoError(t, s.Stop(context.Background(), KeepSeries))
			last, handover = latest(last, s.LastTicks()), s.Handover()
			for _, address := range []string{"one:80", "two:80"} {
				for _, found := range m.find("metric", "instance", address) {
					require.False(t, found.stale())
					scraped[address] = append(scraped[address], found.t)
				}
			}
		}
		require.Len(t, last, 2)
		for address, times := range scraped {
			require.Greater(t, len(times), 12)
			for i := 1; i < len(times); i++ {
				require.InDelta(t, 15_000, times[i]-times[i-1], 50, "%s, scrape %d", address, i)
			}
		}
		for _, tick := range last {
			times := scraped[map[bool]string{true: "one:80", false: "two:80"}[tick.Due.UnixMilli() == scraped["one:80"][len(scraped["one:80"])-1]]]
			require.Equal(t, tick.Due.UnixMilli(), times[len(times)-1], "the last tick is that of the last sample")
		}
	})
}

// latest are the last ticks after a scraper that may not have scraped every target.
func latest(before, after []Tick) []Tick {
	all := map[uint64]Tick{}
	for _, tick := range append(before, after...) {
		all[tick.Target] = tick
	}
	var ticks []Tick
	for _, tick := range all {
		ticks = append(ticks, tick)
	}
	return ticks
}

func TestASlowScrapeSkipsTicksAndTheyAreCounted(t *testing.T) {
	inBubble(t, oneMetric, func(t *testing.T, dial func(*Options)) {
		metrics, err := NewMetrics(FullMetrics)
		require.NoError(t, err)
		m := newMemory()
		commit := 35 * time.Second
		m.committer = func() {
			if commit > 0 && m.size() > 0 {
				<-time.After(commit)
				commit = 0
			}
		}
		s := newScraper(t, m, dial, func(o *Options) { o.Metrics = metrics })
		run(t, s, configure(t, `[{job_name: a, scrape_interval: 10s, static_configs: [{targets: ["one:80"]}]}]`))
		<-time.After(2 * time.Minute)
		times := m.find("metric")
		begin := times[0].t
		var ticks []float64
		for _, found := range times[:5] {
			ticks = append(ticks, float64(found.t-begin)/10_000)
		}
		// The second scrape took until 3.5 intervals later: of the ticks 2, 3 and 4 only the last
		// is made up for, at once.
		require.Equal(t, []float64{0, 1, 4.5, 5, 6}, ticks)
		require.Equal(t, 2.0, exposed(t, metrics)["scrape_ticks_skipped_total"].Metric[0].GetCounter().GetValue())
		require.NoError(t, s.Stop(over(), KeepSeries))
	})
}

func TestAScrapeWithoutPermitLeavesNothing(t *testing.T) {
	var asked, allowed atomic.Int64
	target := func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		oneMetric(w, r)
	}
	inBubble(t, target, func(t *testing.T, dial func(*Options)) {
		m := newMemory()
		s := newScraper(t, m, dial, func(o *Options) { o.Permit = func() bool { return allowed.Add(-1) >= 0 } })
		run(t, s, configure(t, `[{job_name: a, scrape_interval: 10s, static_configs: [{targets: ["one:80"]}]}]`))
		<-time.After(25 * time.Second)
		require.Zero(t, asked.Load(), "not even a request")
		require.Empty(t, s.LastTicks())

		allowed.Store(1)
		<-time.After(10 * time.Second)
		require.Equal(t, int64(1), asked.Load())
		require.Zero(t, m.size(), "the permit was gone before the commit")
		require.Empty(t, s.LastTicks())

		allowed.Store(2)
		<-time.After(10 * time.Second)
		require.Len(t, m.find("metric"), 1)
		require.Len(t, s.LastTicks(), 1)
		require.Equal(t, m.find("metric")[0].t, s.LastTicks()[0].Due.UnixMilli())
		require.NoError(t, s.Stop(over(), EndSeries))
	})
}

func TestAReloadKeepsTicksAndCaches(t *testing.T) {
	inBubble(t, oneMetric, func(t *testing.T, dial func(*Options)) {
		m := newMemory()
		s := newScraper(t, m, dial)
		text := `[{job_name: a, scrape_interval: 10s, %s, static_configs: [{targets: ["one:80"]}]}]`
		for i, change := range []string{"sample_limit: 9", "sample_limit: 8", "body_size_limit: 1MB", "honor_labels: true"} {
			require.NoError(t, s.Apply(t.Context(), configure(t, fmt.Sprintf(text, change))))
			if i == 0 {
				require.NoError(t, s.Start())
			}
			<-time.After(20 * time.Second)
		}
		require.NoError(t, s.Stop(over(), KeepSeries))
		found, added := m.find("metric"), m.find("scrape_series_added")
		require.Len(t, found, 8)
		for i := range found {
			require.Equal(t, found[0].t+int64(i)*10_000, found[i].t)
			// Other labels make another cache, which knows no series at first, and ends none.
			require.Equal(t, map[bool]float64{true: 1}[i == 0 || i == 6], added[i].v, "scrape %d", i)
		}
		require.Len(t, m.open(), 6)
	})
}

func TestAnotherIntervalInterruptsNoSeries(t *testing.T) {
	slow := func(w http.ResponseWriter, r *http.Request) {
		<-time.After(8 * time.Second)
		oneMetric(w, r)
	}
	for what, target := range map[string]http.HandlerFunc{"between scrapes": oneMetric, "during a scrape": slow} {
		t.Run(what, func(t *testing.T) {
			inBubble(t, target, func(t *testing.T, dial func(*Options)) {
				text := `[{job_name: a, scrape_interval: %s, scrape_timeout: 9s, static_configs: [{targets: ["one:80"]}]}]`
				short, long := configure(t, fmt.Sprintf(text, "10s")), configure(t, fmt.Sprintf(text, "10m"))
				m, other := newMemory(), newMemory()
				s, steady := newScraper(t, m, dial), newScraper(t, other, dial)
				run(t, s, short)
				run(t, steady, long)
				<-time.After(25 * time.Second)
				scrapes := len(m.find("scrape_series_added"))
				for range 3 {
					require.NoError(t, s.Apply(t.Context(), long))
					<-time.After(30 * time.Minute)
					require.NoError(t, s.Apply(t.Context(), short))
					<-time.After(65 * time.Second)
				}
				found := m.find("metric")
				for _, sample := range found {
					require.False(t, sample.stale())
				}
				for i, added := range m.find("scrape_series_added") {
					require.Equal(t, map[bool]float64{true: 1}[i == 0], added.v, "scrape %d", i)
				}
				// A scrape that ran at the reload has been committed; then come those of the other
				// scraper, which had the interval from the start.
				for found[scrapes].t < other.find("metric")[0].t {
					scrapes++
				}
				for i, sample := range other.find("metric")[:3] {
					require.Equal(t, sample.t, found[scrapes+i].t)
				}
				require.Len(t, s.LastTicks(), 1)
				require.Equal(t, 10*time.Second, s.LastTicks()[0].Interval)
				require.NoError(t, s.Stop(context.Background(), KeepSeries))
				require.NoError(t, steady.Stop(context.Background(), KeepSeries))
			})
		})
	}
}

func TestTheSeriesOfARemovedTargetEndAtItsNextTick(t *testing.T) {
	inBubble(t, oneMetric, func(t *testing.T, dial func(*Options)) {
		m := newMemory()
		s := newScraper(t, m, dial)
		text := `[{job_name: a, scrape_interval: 10s, static_configs: [{targets: [%s]}]}]`
		run(t, s, configure(t, fmt.Sprintf(text, `"one:80", "two:80"`)))
		<-time.After(20 * time.Second)
		require.NoError(t, s.Apply(t.Context(), configure(t, fmt.Sprintf(text, `"one:80"`))))
		<-time.After(10 * time.Second)
		gone := m.find("metric", "instance", "two:80")
		require.Len(t, gone, 2, "it may come back")
		<-time.After(20 * time.Second)
		gone = m.find("metric", "instance", "two:80")
		require.Len(t, gone, 3)
		require.True(t, gone[2].stale())
		require.Equal(t, gone[1].t+10_000, gone[2].t)
		require.Len(t, m.open(), 6, "those of the other")

		require.NoError(t, s.Apply(t.Context(), configure(t, fmt.Sprintf(text, `"two:80"`))))
		synctest.Wait()
		require.NoError(t, s.Stop(over(), EndSeries))
		require.Empty(t, m.open(), "a stop for good does not wait for that")
	})
}

func TestTheLastScrapeOnShutdownIsOffTheSchedule(t *testing.T) {
	inBubble(t, oneMetric, func(t *testing.T, dial func(*Options)) {
		m := newMemory()
		s := newScraper(t, m, dial, func(o *Options) { o.ScrapeOnShutdown = true })
		run(t, s, configure(t, `[{job_name: a, scrape_interval: 1h, static_configs: [{targets: ["one:80"]}]}]`))
		<-time.After(time.Second)
		require.NoError(t, s.Stop(context.Background(), KeepSeries))
		require.Len(t, m.find("metric"), 1)
		require.Equal(t, time.Now().UnixMilli(), m.find("metric")[0].t)
		require.Empty(t, s.LastTicks())
	})
}
