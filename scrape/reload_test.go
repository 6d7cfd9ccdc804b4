package scrape

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestReloadMissesNoScrapeOfWhatDidNotChange(t *testing.T) {
	inBubble(t, oneMetric, func(t *testing.T, dial func(*Options)) {
		m := newMemory()
		s := newScraper(t, m, dial)
		const text = `
- {job_name: same, scrape_interval: 1s, scrape_timeout: 1s, static_configs: [{targets: [%s]}]}
- {job_name: changing, scrape_interval: 1s, scrape_timeout: 1s, sample_limit: %d, static_configs: [{targets: ["one:80"]}]}
`
		run(t, s, configure(t, fmt.Sprintf(text, `"one:80"`, 100)))
		<-time.After(2 * time.Second)
		for i := range 6 {
			// The limit of one job changes each time, and a target of the other comes and goes.
			targets := []string{`"one:80"`, `"one:80", "two:80"`}[i%2]
			require.NoError(t, s.Apply(t.Context(), configure(t, fmt.Sprintf(text, targets, 101+i))))
			<-time.After(1300 * time.Millisecond)
		}
		require.NoError(t, s.Stop(t.Context(), KeepSeries))
		same := m.find("metric", "job", "same", "instance", "one:80")
		require.GreaterOrEqual(t, len(same), 9)
		for i := 1; i < len(same); i++ {
			require.EqualValues(t, 1000, same[i].t-same[i-1].t, "scrape %d", i)
		}
		for _, sample := range m.find("up", "instance", "one:80") {
			require.Equal(t, 1.0, sample.v)
		}
		require.NotEmpty(t, m.find("metric", "job", "changing"))
		require.NotEmpty(t, m.find("metric", "instance", "two:80"), "the target that came is scraped")
	})
}

func TestReloadWithTheSameConfigTouchesNothing(t *testing.T) {
	target := serve(t, textFormat, "metric 1\n")
	m := newMemory()
	s := newScraper(t, m)
	text := `
- job_name: a
  static_configs: [{targets: [ADDR0], labels: {a: b}}]
  authorization: {credentials: secret}
  relabel_configs: [{source_labels: [__address__], regex: '(.*):.+', target_label: host}]
  metric_relabel_configs: [{regex: 'unwanted_.*', action: labeldrop}]
`
	run(t, s, configure(t, text, target))
	eventually(t, func() bool { return len(m.find("metric")) > 0 }, "a scrape")
	before, _ := deliveries(s)
	require.NoError(t, s.Apply(t.Context(), configure(t, text, target)))
	after, _ := deliveries(s)
	require.Equal(t, before, after)
}

func TestReloadSeesAChangedSecret(t *testing.T) {
	var accepted atomic.Int64
	target := serveFunc(t, func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != "new" {
			http.Error(w, "who?", http.StatusUnauthorized)
			return
		}
		accepted.Add(1)
		w.Header().Set("Content-Type", textFormat)
		_, _ = w.Write([]byte("metric 1\n"))
	})
	m := newMemory()
	s := newScraper(t, m)
	text := `[{job_name: a, basic_auth: {username: u, password: %s}, static_configs: [{targets: [ADDR0]}]}]`
	run(t, s, configure(t, fmt.Sprintf(text, "old"), target))
	eventually(t, func() bool { return len(m.find("up")) > 0 }, "a scrape")
	require.NoError(t, s.Apply(t.Context(), configure(t, fmt.Sprintf(text, "new"), target)))
	eventually(t, func() bool { return accepted.Load() > 0 && len(m.find("metric")) > 0 }, "the new password is used")
}

func TestReloadAddsAndRemovesJobs(t *testing.T) {
	target := serve(t, textFormat, "metric 1\n")
	m := newMemory()
	s := newScraper(t, m)
	run(t, s, configure(t, `[{job_name: a, static_configs: [{targets: [ADDR0]}]}]`, target))
	eventually(t, func() bool { return len(m.find("metric", "job", "a")) > 0 }, "a is scraped")

	require.NoError(t, s.Apply(t.Context(), configure(t, `[{job_name: b, static_configs: [{targets: [ADDR0]}]}]`, target)))
	removed := m.find("up", "job", "a")
	require.True(t, removed[len(removed)-1].stale(), "the series of a removed job end")
	eventually(t, func() bool { return len(m.find("metric", "job", "b")) > 0 }, "b is scraped")
	require.Len(t, s.Targets(), 1)
	for series := range m.open() {
		require.Contains(t, series, `job="b"`)
	}
}

func TestFileDiscoveryChangesAreFollowed(t *testing.T) {
	t.Parallel()
	first, second := serve(t, textFormat, "metric 1\n"), serve(t, textFormat, "metric 2\n")
	file := filepath.Join(t.TempDir(), "targets.json")
	write := func(servers ...string) {
		text := `[{"targets": ["` + strings.Join(servers, `", "`) + `"]}]`
		require.NoError(t, os.WriteFile(file+".new", []byte(text), 0o600))
		require.NoError(t, os.Rename(file+".new", file))
	}
	write(address(first))
	m := newMemory()
	s := newScraper(t, m)
	// Two jobs with equal discoveries share one.
	text := `
- {job_name: a, file_sd_configs: [{files: [FILE], refresh_interval: 1s}]}
- {job_name: b, file_sd_configs: [{files: [FILE], refresh_interval: 1s}], static_configs: [{targets: ["localhost:1"]}]}
`
	require.NoError(t, s.Apply(t.Context(), configure(t, strings.ReplaceAll(text, "FILE", file))))
	require.NoError(t, s.Warm(t.Context()))
	_, running := deliveries(s)
	require.Equal(t, 1, running)
	require.Len(t, s.Targets(), 3, "discovery runs before scraping does")
	require.True(t, m.untouched())

	require.NoError(t, s.Start())
	eventually(t, func() bool { return len(m.find("metric", "job", "a", "instance", address(first))) > 0 }, "first of a")
	write(address(second))
	eventually(t, func() bool { return len(m.find("metric", "job", "b", "instance", address(second))) > 0 }, "second of b")
	eventually(t, func() bool { return len(s.Targets()) == 3 }, "the first has gone")

	write()
	eventually(t, func() bool { return len(s.Targets()) == 1 }, "only the static target is left")

	require.NoError(t, s.Apply(t.Context(), configure(t, `[{job_name: b, static_configs: [{targets: [ADDR0]}]}]`, first)))
	_, running = deliveries(s)
	require.Zero(t, running)
	eventually(t, func() bool { return len(m.find("metric", "job", "b", "instance", address(first))) > 0 }, "b is static now")
}

func TestWarmSaysWhatItWaitsFor(t *testing.T) {
	hung := &hangingTarget{}
	hung.hang.Store(true)
	server := serveFunc(t, hung.ServeHTTP)
	s := newScraper(t, newMemory())
	require.NoError(t, s.Apply(t.Context(), configure(t, `[{job_name: a, http_sd_configs: [{url: "http://ADDR0/"}]}]`, server)))
	err := s.Warm(over())
	require.ErrorContains(t, err, `http discovery of job "a"`)
}

func TestUpdatesAreDeliveredAtGrowingDistances(t *testing.T) {
	d := newDiscoveries(nil, "", nil, nil, nil)
	d.deliver = nil
	d.schedule()
	require.Nil(t, d.pending, "nothing is delivered before the start")
	d.lastSent = time.Now()
	var gaps []time.Duration
	for range 9 {
		gaps = append(gaps, d.gap)
		d.nextDelay(d.lastSent)
	}
	require.Equal(t, []time.Duration{minUpdateGap, 2 * minUpdateGap, 4 * minUpdateGap}, gaps[:3])
	require.Equal(t, maxUpdateGap, gaps[8])
	require.Equal(t, minUpdateGap, d.nextDelay(d.lastSent.Add(2*maxUpdateGap)), "a quiet time begins anew")
}

func TestAReloadDoesNotWaitForAHangingTarget(t *testing.T) {
	t.Parallel()
	target := &hangingTarget{}
	server := serveFunc(t, target.ServeHTTP)
	m := newMemory()
	s := newScraper(t, m)
	text := `[{job_name: %s, sample_limit: %d, scrape_interval: 5s, scrape_timeout: 5s, static_configs: [{targets: [ADDR0]}]}]`
	target.hang.Store(true)
	run(t, s, configure(t, fmt.Sprintf(text, "a", 100), server))
	eventually(t, func() bool { return target.hanging.Load() > 0 }, "a hanging scrape")

	require.NoError(t, s.Apply(t.Context(), configure(t, fmt.Sprintf(text, "a", 101), server)))
	require.Equal(t, int32(1), target.hanging.Load(), "the scrape goes on")
	require.NoError(t, s.Apply(t.Context(), configure(t, fmt.Sprintf(text, "b", 101), server)))
	eventually(t, func() bool { return target.hanging.Load() == 0 }, "that of a removed job is cut off")
	require.NoError(t, s.Stop(over(), EndSeries))
	require.Zero(t, m.size())
}
