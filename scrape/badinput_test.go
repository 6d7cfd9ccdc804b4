package scrape

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
)

// scrapeOnce ingests a body as the loop does, and returns what the scrape says about itself.
func scrapeOnce(t testing.TB, m *memory, job, contentType string, content []byte) outcome {
	t.Helper()
	s := newScraper(t, m)
	require.NoError(t, s.Apply(t.Context(), configure(t, `[{job_name: a, `+job+`static_configs: [{targets: ["one:80"]}]}]`)))
	p := s.pools["a"]
	targets, _, errs := targetsOf(group("0", "one:80"), p.job, labels.NewBuilder(labels.EmptyLabels()))
	require.Empty(t, errs)
	l, err := newLoop(s, targets[0], p.job)
	require.NoError(t, err)
	defer l.retire()
	in := s.options.Shared.ingester()
	defer s.options.Shared.release(in)
	in.job, in.target, in.cache, in.now, in.aborted = p.job, l.target, l.cache, 1000, func() bool { return false }
	in.cache.begin(&in.workspace)
	var o outcome
	text := &body{bytes: content}
	require.True(t, s.append(in, &attempt{}, response{text, contentType}, &o))
	require.NoError(t, in.app.Commit())
	return o
}

// serveBytes is a server that answers each connection with bytes, and closes it.
func serveBytes(t testing.TB, answer func(net.Conn)) *httptest.Server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = conn.Read(make([]byte, 4096))
				answer(conn)
			}()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	return &httptest.Server{URL: "http://" + listener.Addr().String()}
}

func TestABodyCutAtAnyByte(t *testing.T) {
	text := "# HELP a_total Help of \\\\ a.\n# TYPE a_total counter\na_total{x=\"\\\"1\\n\",y=\"é\"} 1.5e3 1234\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 3\nh_sum 4\nh_count 3\n"
	openMetrics := "# TYPE a_seconds counter\n# UNIT a_seconds seconds\na_seconds_total 1 # {trace_id=\"x\"} 0.5 1.25\na_seconds_created 12.5\n# EOF\n"
	for name, test := range map[string]struct{ contentType, body string }{
		"text": {textFormat, text}, "OpenMetrics": {openMetricsFormat, openMetrics}, "protobuf": {protobufFormat, string(protobufBody(t))},
	} {
		t.Run(name, func(t *testing.T) {
			whole := scrapeOnce(t, newMemory(), "scrape_native_histograms: true, ", test.contentType, []byte(test.body))
			require.NoError(t, whole.err)
			for cut := range len(test.body) {
				o := scrapeOnce(t, newMemory(), "scrape_native_histograms: true, ", test.contentType, []byte(test.body[:cut]))
				require.LessOrEqual(t, o.kept, whole.kept)
				if o.err == nil {
					require.LessOrEqual(t, o.newSeries, whole.newSeries)
				}
			}
		})
	}
}

func TestACompressedGigabyteIsCutOff(t *testing.T) {
	var zipped bytes.Buffer
	w, err := gzip.NewWriterLevel(&zipped, gzip.BestSpeed)
	require.NoError(t, err)
	_, err = io.CopyN(w, endless('#'), 1<<30)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	for name, limit := range map[string]int64{"with a limit": 10 << 20, "with the limit of last resort": maxBody} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := NewShared().gunzip(bytes.NewReader(zipped.Bytes()), 0, limit, nil)
			runtime.ReadMemStats(&after)
			require.ErrorIs(t, err, errBodySizeLimit)
			require.Less(t, int64(after.TotalAlloc-before.TotalAlloc), 6*limit, "not a gigabyte")
		})
	}
}

const protobufFormat = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"

// protobufBody is what a registry with a native histogram writes.
func protobufBody(t *testing.T) []byte {
	registry := prometheus.NewRegistry()
	latency := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "latency_seconds", NativeHistogramBucketFactor: 1.1, Buckets: []float64{1}})
	registry.MustRegister(latency)
	latency.Observe(0.3)
	request := httptest.NewRequest(http.MethodGet, "/", nil)
	request.Header.Set("Accept", protobufFormat)
	recorded := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(recorded, request)
	return recorded.Body.Bytes()
}

// endless is a reader of one byte.
type endless byte

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e)
	}
	return len(p), nil
}

func TestAMillionSeriesWhereTenWereExpected(t *testing.T) {
	var body bytes.Buffer
	for i := range 1_000_000 {
		fmt.Fprintf(&body, "m{i=\"%d\"} 1\n", i)
	}
	m := newMemory()
	o := scrapeOnce(t, m, "sample_limit: 10, ", textFormat, body.Bytes())
	require.ErrorIs(t, o.err, errSampleLimit)
	require.Equal(t, counts{scraped: 1_000_000, kept: 1_000_000, newSeries: 10}, o.counts, "all are counted")
	require.Zero(t, m.size(), "none is kept")
}

func TestStrangeText(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for name, test := range map[string]struct{ job, body, err string }{
		"NUL in a name":                {"", "m\x00 1\n", "expected"},
		"NUL in a value":               {"", "m 1\x00\n", "expected"},
		"only NULs":                    {"", "\x00\x00\x00", ""},
		"NUL in a label":               {"", "m{a=\"\x00\"} 1\n", ""},
		"label of a mebibyte":          {"", "m{a=\"" + long + "\"} 1\n", ""},
		"label of a mebibyte, limited": {"label_value_length_limit: 100, ", "m{a=\"" + long + "\"} 1\n", "label_value_length_limit exceeded"},
		"name of a mebibyte":           {"", long + " 1\n", ""},
		"invalid UTF-8 in a value":     {"", "m{a=\"\xff\"} 1\n", "invalid UTF-8 label value"},
		"invalid UTF-8 in a name":      {"", "{\"m\xff\"} 1\n", "invalid"},
		"UTF-8 in a name":              {"", "{\"mé\"} 1\n", ""},
		"UTF-8 in a name, legacy": {"metric_name_validation_scheme: legacy, metric_name_escaping_scheme: underscores, ", "{\"mé\"} 1\n",
			"invalid metric name"},
		"the same series twice": {"", "m 1\nm 2\n", ""},
		"no name":               {"", "{a=\"b\"} 1\n", ""},
		"no value":              {"", "m\n", "expected value"},
		"no end of the line":    {"", "m 1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := scrapeOnce(t, newMemory(), test.job, textFormat, []byte(test.body))
			if test.err != "" {
				require.ErrorContains(t, o.err, test.err)
			}
		})
	}
}

func TestBadTargetsFailTheirScrapesOnly(t *testing.T) {
	good := serve(t, textFormat, "good 1\n")
	self := serveFunc(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) })
	secure := httptest.NewUnstartedServer(http.HandlerFunc(oneMetric))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	write := func(text string) *httptest.Server {
		return serveBytes(t, func(c net.Conn) { _, _ = io.WriteString(c, text) })
	}
	head := "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
	for name, test := range map[string]struct {
		server *httptest.Server
		scheme string
		err    string
	}{
		"chunks that are none":  {write(head + "Transfer-Encoding: chunked\r\n\r\nzz\r\nmetric 1\n"), "http", "invalid byte in chunk length"},
		"a chunk that is short": {write(head + "Transfer-Encoding: chunked\r\n\r\nff\r\nmetric 1\n"), "http", "unexpected EOF"},
		"no response":           {write(""), "http", "EOF"},
		"no HTTP":               {write("hello\r\n\r\n"), "http", "malformed HTTP"},
		"endless headers": {serveBytes(t, func(c net.Conn) {
			_, err := io.WriteString(c, head)
			for line := []byte("A: " + strings.Repeat("x", 4000) + "\r\n"); err == nil; _, err = c.Write(line) {
			}
		}), "http", "headers exceeded"},
		"a byte each second": {serveBytes(t, func(c net.Conn) {
			for _, b := range []byte(head) {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				<-time.After(time.Second)
			}
		}), "http", "context deadline exceeded"},
		"a redirect to itself": {self, "http", "stopped after 10 redirects"},
		"an unknown authority": {secure, "https", "certificate"},
		"no TLS":               {good, "https", "server gave HTTP response to HTTPS client"},
		"TLS instead of HTTP":  {secure, "http", "400"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMemory()
			s := newScraper(t, m)
			host := strings.TrimPrefix(strings.TrimPrefix(test.server.URL, "https://"), "http://")
			run(t, s, configure(t, fmt.Sprintf(`
- {job_name: bad, scheme: %s, scrape_interval: 1s, scrape_timeout: 900ms, static_configs: [{targets: [%q]}]}
- {job_name: good, static_configs: [{targets: [ADDR0]}]}
`, test.scheme, host), good))
			// On a busy machine a scrape may run out of time before it meets what is bad.
			eventually(t, func() bool {
				return inState(s, 0, StateDown) && strings.Contains(s.Targets()[0].LastError, test.err)
			}, "the bad target is down, and says why")
			eventually(t, func() bool { return len(m.find("good", "job", "good")) > 2 }, "the good target does not suffer")
			require.Empty(t, m.find("metric"))
			eventually(t, func() bool { return len(m.find("up", "job", "bad")) > 0 }, "a state is shown before it is committed")
			require.Zero(t, m.find("up", "job", "bad")[0].v)
		})
	}
}
