package scrape

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const textFormat = "text/plain; version=0.0.4"

func TestNothingIsScrapedBeforeStart(t *testing.T) {
	target := serve(t, textFormat, "metric 1\n")
	m := newMemory()
	s := newScraper(t, m)

	require.ErrorContains(t, s.Start(), "no config was applied")
	require.NoError(t, s.Apply(t.Context(), configure(t, `[{job_name: a, static_configs: [{targets: [ADDR0]}]}]`, target)))
	require.NoError(t, s.Warm(t.Context()))

	targets := s.Targets()
	require.Len(t, targets, 1)
	require.Equal(t, StateUnknown, targets[0].State)
	require.Equal(t, "http://"+address(target)+"/metrics", targets[0].URL)
	require.Equal(t, "a", targets[0].Labels.Get("job"))
	require.True(t, m.untouched())

	require.NoError(t, s.Start())
	require.ErrorContains(t, s.Start(), "already started")
	eventually(t, func() bool { return len(m.find("metric")) > 2 }, "three scrapes")
	eventually(t, func() bool { return inState(s, 0, StateUp) }, "target is up")
}

func TestFirstScrapeNeedsNoMoreThanAnInterval(t *testing.T) {
	target := serve(t, textFormat, "metric 1\n")
	m := newMemory()
	s := newScraper(t, m)
	started := time.Now()
	run(t, s, configure(t, `[{job_name: a, scrape_interval: 1s, static_configs: [{targets: [ADDR0]}]}]`, target))
	eventually(t, func() bool { return len(m.find("metric")) > 0 }, "a scrape")
	// Prometheus' manager waits 5 s for targets unless told otherwise; one interval and a slow
	// machine take less.
	require.Less(t, m.find("metric")[0].t-started.UnixMilli(), int64(4500))
}

func TestTargetsAreDescribed(t *testing.T) {
	up := serve(t, textFormat, "metric 1\n")
	down := serveFunc(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "broken", http.StatusTeapot) })
	m := newMemory()
	s := newScraper(t, m)
	run(t, s, configure(t, `
- job_name: b
  static_configs: [{targets: [ADDR1], labels: {zone: x}}]
- job_name: a
  params: {module: [m]}
  static_configs: [{targets: [ADDR0, "dropped:1"]}]
  relabel_configs: [{source_labels: [__address__], regex: 'dropped.*', action: drop}]
`, up, down))
	eventually(t, func() bool {
		targets := s.Targets()
		return len(targets) == 2 && targets[0].State == StateUp && targets[1].State == StateDown
	}, "one up, one down")

	targets := s.Targets()
	require.Equal(t, "a", targets[0].Job)
	require.Equal(t, up.URL+"/metrics?module=m", targets[0].URL)
	require.Empty(t, targets[0].LastError)
	require.False(t, targets[0].LastScrape.IsZero())
	require.Equal(t, "b", targets[1].Job)
	require.Equal(t, "x", targets[1].Labels.Get("zone"))
	require.Equal(t, "100ms", targets[1].DiscoveredLabels.Get("__scrape_interval__"))
	require.Contains(t, targets[1].LastError, "418")
	require.Equal(t, 1, s.DroppedTargets())
}

func TestMetadataIsThatOfActiveTargets(t *testing.T) {
	body := "# HELP z_total last\n# TYPE z_total counter\nz_total 1\n# TYPE a gauge\na 1\n"
	first, second := serve(t, textFormat, body), serve(t, textFormat, body)
	m := newMemory()
	s := newScraper(t, m)
	run(t, s, configure(t, `[{job_name: a, static_configs: [{targets: [ADDR0, ADDR1]}]}]`, first, second))
	eventually(t, func() bool { return len(s.Metadata()) > 0 && len(m.find("a")) > 2 }, "metadata")
	require.Equal(t, []Metadata{{Family: "a", Type: "gauge"}, {Family: "z_total", Type: "counter", Help: "last"}}, s.Metadata())
	require.Equal(t, "last", m.find("z_total")[0].metadata.Help)
}

func TestTwoScrapersDoNotMeet(t *testing.T) {
	target := serve(t, textFormat, "metric 1\n")
	first, second := newMemory(), newMemory()
	a, b := newScraper(t, first), newScraper(t, second)
	config := configure(t, `[{job_name: a, static_configs: [{targets: [ADDR0]}]}]`, target)
	run(t, a, config)
	run(t, b, config)
	eventually(t, func() bool { return len(first.find("metric")) > 1 && len(second.find("metric")) > 1 }, "both scrape")

	require.NoError(t, a.Stop(t.Context(), KeepSeries))
	scraped, others := first.size(), len(second.find("metric"))
	eventually(t, func() bool { return len(second.find("metric")) > others+2 }, "the other goes on")
	require.Equal(t, scraped, first.size())
	require.Empty(t, a.Targets())
	require.ErrorIs(t, a.Apply(t.Context(), config), errStopped)
	require.ErrorIs(t, a.Start(), errStopped)
	require.NoError(t, a.Stop(t.Context(), EndSeries), "a second stop does nothing")
}

func TestAJobThatCannotBeScrapedIsRefusedByName(t *testing.T) {
	target := serve(t, textFormat, "metric 1\n")
	m := newMemory()
	s := newScraper(t, m)
	run(t, s, configure(t, `[{job_name: a, static_configs: [{targets: [ADDR0]}]}]`, target))

	broken := configure(t, `
- {job_name: a, static_configs: [{targets: [ADDR0]}]}
- {job_name: broken, scheme: https, static_configs: [{targets: [ADDR0]}], tls_config: {ca_file: /does/not/exist}}
`, target)
	err := s.Apply(t.Context(), broken)
	require.ErrorContains(t, err, `job "broken"`)
	before := len(m.find("metric"))
	eventually(t, func() bool { return len(m.find("metric")) > before+2 }, "what ran goes on")
	require.Len(t, s.Targets(), 1)
}

func TestFailedScrapesAreLoggedToTheFileOfTheJob(t *testing.T) {
	file := filepath.Join(t.TempDir(), "failures.log")
	target := serveFunc(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "broken", http.StatusTeapot) })
	m := newMemory()
	s := newScraper(t, m)
	config := configure(t, `[{job_name: a, scrape_failure_log_file: `+file+`, static_configs: [{targets: [ADDR0]}]}]`, target)
	logged := func() string {
		text, _ := os.ReadFile(file)
		return string(text)
	}
	run(t, s, config)
	eventually(t, func() bool { return strings.Contains(logged(), `"job_name":"a"`) }, "a logged failure")

	require.NoError(t, os.Remove(file))
	require.NoError(t, s.Apply(t.Context(), config))
	eventually(t, func() bool { return strings.Contains(logged(), "418") }, "a reload opens the file again")
	require.NoError(t, s.Stop(t.Context(), KeepSeries))
	require.Empty(t, s.failures.files)
}
