package scrape

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"
)

const openMetricsFormat = "application/openmetrics-text; version=1.0.0; charset=utf-8"

func TestOpenMetricsExemplarsAndStartTimestamps(t *testing.T) {
	target := serve(t, openMetricsFormat, `# TYPE requests counter
# HELP requests Asked.
requests_total 7.0 # {trace_id="abc"} 0.5
requests_created 1000.5
# EOF
`)
	m := newMemory()
	s := newScraper(t, m, func(o *Options) { o.ParseStartTimestamps = true })
	run(t, s, configure(t, `[{job_name: a, static_configs: [{targets: [ADDR0]}]}]`, target))
	eventually(t, func() bool { return len(m.find("requests_total")) > 0 }, "a scrape")
	sample := m.find("requests_total")[0]
	require.Equal(t, int64(1000500), sample.st)
	require.Equal(t, "Asked.", sample.metadata.Help)
	require.Len(t, sample.exemplars, 1)
	require.Equal(t, "abc", sample.exemplars[0].Labels.Get("trace_id"))
	require.Empty(t, m.find("requests_created"))
}

func TestNativeHistogramsComeThroughProtobuf(t *testing.T) {
	registry := prometheus.NewRegistry()
	latency := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "latency_seconds", NativeHistogramBucketFactor: 1.1})
	registry.MustRegister(latency)
	latency.Observe(0.3)
	latency.Observe(3)
	target := serveFunc(t, promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP)
	m := newMemory()
	s := newScraper(t, m)
	run(t, s, configure(t, `
- job_name: a
  scrape_native_histograms: true
  scrape_protocols: [PrometheusProto]
  metrics_path: /
  static_configs: [{targets: [ADDR0]}]
`, target))
	eventually(t, func() bool { return len(m.find("latency_seconds")) > 0 }, "a scrape")
	h := m.find("latency_seconds")[0].h
	require.NotNil(t, h)
	require.Equal(t, uint64(2), h.Count)
	require.InDelta(t, 3.3, h.Sum, 1e-9)
}

func TestSampleLimitFailsTheScrape(t *testing.T) {
	target := serve(t, textFormat, "one 1\ntwo 2\nthree 3\n")
	m := newMemory()
	s := newScraper(t, m)
	run(t, s, configure(t, `[{job_name: a, sample_limit: 2, static_configs: [{targets: [ADDR0]}]}]`, target))
	eventually(t, func() bool { return len(m.find("up")) > 0 }, "a report")
	require.Zero(t, m.find("up")[0].v)
	require.Empty(t, m.find("one"))
	eventually(t, func() bool { return strings.Contains(lastError(s, 0), "sample limit exceeded") }, "the target says why")
}

func TestLabelsAndMetricsAreRelabelled(t *testing.T) {
	target := serve(t, textFormat, `keep{job="own"} 1`+"\n"+`drop 1`+"\n")
	m := newMemory()
	s := newScraper(t, m)
	run(t, s, configure(t, `
- {job_name: honoured, honor_labels: true, static_configs: [{targets: [ADDR0]}]}
- job_name: a
  static_configs: [{targets: [ADDR0], labels: {zone: x}}]
  metric_relabel_configs: [{source_labels: [__name__], regex: drop, action: drop}]
`, target))
	eventually(t, func() bool {
		return len(m.find("keep", "job", "own")) > 0 && len(m.find("keep", "job", "a", "exported_job", "own", "zone", "x")) > 0
	}, "both jobs")
	require.Empty(t, m.find("drop", "job", "a"))
	require.NotEmpty(t, m.find("drop", "job", "honoured"))
}

func TestRequestsCarryParametersAuthenticationAndPath(t *testing.T) {
	target := serveFunc(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", textFormat)
		user, password, _ := r.BasicAuth()
		_, _ = fmt.Fprintf(w, "seen{path=%q,module=%q,user=%q,password=%q} 1\n", r.URL.Path, r.FormValue("module"), user, password)
	})
	m := newMemory()
	s := newScraper(t, m, func(o *Options) { o.HTTPDisableKeepAlives = true })
	run(t, s, configure(t, `
- job_name: a
  metrics_path: /probe
  params: {module: [dns]}
  basic_auth: {username: someone, password: secret}
  static_configs: [{targets: [ADDR0]}]
`, target))
	eventually(t, func() bool { return len(m.find("seen")) > 0 }, "a scrape")
	require.NotEmpty(t, m.find("seen", "path", "/probe", "module", "dns", "user", "someone", "password", "secret"))
}

func TestNonsenseFromATargetFailsItsScrapeOnly(t *testing.T) {
	endless := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", textFormat)
		line := []byte(strings.Repeat("m", 1<<16))
		for sent := 0; sent < 1<<30 && r.Context().Err() == nil; sent += len(line) {
			if _, err := w.Write(line); err != nil {
				return
			}
		}
	}
	half := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", textFormat)
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, "metric 1\n")
	}
	notGzip := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = io.WriteString(w, strings.Repeat("not gzip", 10))
	}
	redirect := func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/metrics", http.StatusFound) }
	plain := func(contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			_, _ = io.WriteString(w, body)
		}
	}
	good := serve(t, textFormat, "good 1\n")
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		err     string
	}{
		"binary":         {plain(textFormat, "\xff\xfe\x00{{{"), "expected"},
		"html":           {plain("text/html", "<html>hello</html>"), "text/html"},
		"bad gzip":       {notGzip, "gzip"},
		"half a body":    {half, "unexpected EOF"},
		"half protobuf":  {plain("application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited", "\xff\x01abc"), ""},
		"a gigabyte":     {endless, "body size limit exceeded"},
		"redirect cycle": {redirect, "redirects"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad := serveFunc(t, test.handler)
			m := newMemory()
			s := newScraper(t, m)
			run(t, s, configure(t, `
- {job_name: bad, scrape_interval: 1s, scrape_timeout: 1s, body_size_limit: 100KB, static_configs: [{targets: [ADDR0]}]}
- {job_name: good, static_configs: [{targets: [ADDR1]}]}
`, bad, good))
			eventually(t, func() bool { return inState(s, 0, StateDown) }, "the bad target is down")
			require.Contains(t, s.Targets()[0].LastError, test.err)
			eventually(t, func() bool { return len(m.find("good")) > 2 }, "the good target does not suffer")
			require.Empty(t, m.find("metric"))
			require.Zero(t, m.find("up", "job", "bad")[0].v)
		})
	}
}

func TestABrokenExemplarEndsAScrapeThatTakesStartTimestamps(t *testing.T) {
	target := serve(t, "application/openmetrics-text; version=1.0.0",
		"# TYPE a counter\na_total 1 # {i=\"1\"} 1 946684500\na_total 1 # {i=\"2\"}6684400\n# EOF\n")
	m := newMemory()
	s := newScraper(t, m, func(o *Options) { o.ParseStartTimestamps = true })
	run(t, s, configure(t, `[{job_name: a, static_configs: [{targets: [ADDR0]}]}]`, target))
	eventually(t, func() bool { return len(m.find("up")) > 0 }, "the parser is left in time")
	require.Zero(t, m.find("up")[0].v)
}

func TestLabelsOfHistogramsAndSummariesAreAsTheJobWantsThem(t *testing.T) {
	const body = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 1\nh_count 2\n" +
		"# TYPE s summary\ns{quantile=\"1\"} 3\ns_sum 1\ns_count 2\n# TYPE g gauge\ng{le=\"1\"} 1\n"
	for _, format := range []string{textFormat, openMetricsFormat} {
		text := body
		if format == openMetricsFormat {
			text += "# EOF\n"
		}
		target := serve(t, format, text)
		m := newMemory()
		s := newScraper(t, m)
		c := configure(t, `[{job_name: a, static_configs: [{targets: [ADDR0]}]}]`, target)
		run(t, s, c)
		seen := func(le string) bool {
			return len(m.find("h_bucket", "le", le)) > 0 && len(m.find("s", "quantile", le)) > 0 && len(m.find("g", "le", "1")) > 0
		}
		eventually(t, func() bool { return seen("1.0") }, "series as Prometheus 3 has them")
		require.False(t, seen("1"))

		written := *c
		written.LabelsAsWritten = true
		require.NoError(t, s.Apply(t.Context(), &written))
		eventually(t, func() bool { return seen("1") }, "series as the target wrote them")
		require.NotEmpty(t, m.find("h_bucket", "le", "+Inf"))
	}
}
