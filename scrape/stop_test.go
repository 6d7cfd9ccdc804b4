package scrape

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
)

// hangingTarget answers until hang is set; then it holds every request until the client goes or the
// test ends.
type hangingTarget struct {
	hang    atomic.Bool
	hanging atomic.Int32
}

func (h *hangingTarget) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", textFormat)
	if h.hang.Load() {
		h.hanging.Add(1)
		defer h.hanging.Add(-1)
		<-r.Context().Done()
		return
	}
	_, _ = w.Write([]byte("metric 1\nother 2\n"))
}

func TestStopCutsOffAHangingScrapeWhichCommitsNothing(t *testing.T) {
	t.Parallel()
	target := &hangingTarget{}
	server := serveFunc(t, target.ServeHTTP)
	m := newMemory()
	s := newScraper(t, m)
	run(t, s, configure(t, `[{job_name: a, scrape_interval: 1s, scrape_timeout: 1s, static_configs: [{targets: [ADDR0]}]}]`, server))
	eventually(t, func() bool { return len(m.find("metric")) > 0 }, "a scrape")
	target.hang.Store(true)
	eventually(t, func() bool { return target.hanging.Load() > 0 }, "a hanging scrape")

	committed := m.size()
	require.NoError(t, s.Stop(over(), KeepSeries))
	require.Equal(t, committed, m.size(), "neither up = 0 nor staleness markers of the scrape that was cut off")
	eventually(t, func() bool { return target.hanging.Load() == 0 }, "the connection is closed")
}

func TestStopOfADeletedConfigEndsAllSeriesThoughATargetHangs(t *testing.T) {
	t.Parallel()
	target := &hangingTarget{}
	server := serveFunc(t, target.ServeHTTP)
	m := newMemory()
	s := newScraper(t, m)
	run(t, s, configure(t, `[{job_name: a, scrape_interval: 1s, scrape_timeout: 1s, static_configs: [{targets: [ADDR0]}]}]`, server))
	eventually(t, func() bool { return len(m.find("metric")) > 0 }, "a scrape")
	target.hang.Store(true)
	eventually(t, func() bool { return target.hanging.Load() > 0 }, "a hanging scrape")

	require.NoError(t, s.Stop(over(), EndSeries))
	require.Empty(t, m.open())
	for _, name := range []string{"metric", "other", "up", "scrape_duration_seconds", "scrape_samples_scraped"} {
		found := m.find(name)
		require.True(t, found[len(found)-1].stale(), name)
		require.False(t, found[0].stale(), name)
	}
	require.Equal(t, 1.0, m.find("up")[0].v, "the scrape that was cut off did not say that the target is down")
}

func TestStopLetsARunningScrapeEnd(t *testing.T) {
	t.Parallel()
	asked, answer := make(chan struct{}), make(chan struct{})
	server := serveFunc(t, func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-answer
		w.Header().Set("Content-Type", textFormat)
		_, _ = w.Write([]byte("metric 1\n"))
	})
	m := newMemory()
	s := newScraper(t, m)
	run(t, s, configure(t, `[{job_name: a, scrape_interval: 4s, scrape_timeout: 4s, static_configs: [{targets: [ADDR0]}]}]`, server))
	<-asked
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop(context.Background(), KeepSeries) }()
	eventually(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.ended
	}, "the stop has begun")
	close(answer)
	require.NoError(t, <-stopped)
	require.Len(t, m.find("metric"), 1)
}

func TestStopOfAMovedConfigLeavesItsSeriesOpen(t *testing.T) {
	target := serve(t, textFormat, "metric 1\n")
	m := newMemory()
	s := newScraper(t, m)
	run(t, s, configure(t, `[{job_name: a, static_configs: [{targets: [ADDR0]}]}]`, target))
	eventually(t, func() bool { return len(m.find("metric")) > 1 }, "two scrapes")
	require.NoError(t, s.Stop(t.Context(), KeepSeries))
	require.Len(t, m.open(), 6)
	for _, s := range m.committed {
		require.False(t, s.stale(), s.name())
	}
}

func TestStopWithoutStart(t *testing.T) {
	s, err := New(Options{Appendable: newMemory()})
	require.NoError(t, err)
	require.NoError(t, s.Stop(over(), EndSeries))

	s, err = New(Options{Appendable: newMemory()})
	require.NoError(t, err)
	require.NoError(t, s.Apply(t.Context(), configure(t, `[{job_name: a, file_sd_configs: [{files: [nothing.yml]}]}]`)))
	require.NoError(t, s.Stop(t.Context(), KeepSeries))
}

func TestAPanicInTheAppenderFailsTheScrapeAndIsReportedOnce(t *testing.T) {
	target := serve(t, textFormat, "metric 1\npoison 2\n")
	for _, where := range []string{"append", "commit"} {
		t.Run(where, func(t *testing.T) {
			m := newMemory()
			switch where {
			case "append":
				m.before = func(ls labels.Labels) {
					if ls.Get("__name__") == "poison" {
						panic("rotten sample")
					}
				}
			case "commit":
				m.committer = func() { panic("rotten sample") }
			}
			reports := make(chan error, 10)
			s := newScraper(t, m, func(o *Options) { o.OnPanic = func(err error) { reports <- err } })
			run(t, s, configure(t, `[{job_name: a, static_configs: [{targets: [ADDR0]}]}]`, target))

			report := <-reports
			require.ErrorContains(t, report, "rotten sample")
			require.ErrorContains(t, report, "main_test.go", "the stack says where")
			if where == "append" {
				eventually(t, func() bool {
					return inState(s, 0, StateDown) && lastError(s, 0) == errAppenderPanicked.Error()
				}, "the target's error says why nothing comes")
				eventually(t, func() bool { return m.rollbacks() > 0 }, "it is undone, which comes after it was said")
			}
			require.NoError(t, s.Stop(t.Context(), EndSeries), "no series to end")
			require.Zero(t, m.size())
			require.Empty(t, reports)
		})
	}
}
