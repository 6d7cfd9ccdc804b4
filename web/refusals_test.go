package web_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/golang/snappy"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/prompb"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/web"
)

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type tooSlow struct{}

func (tooSlow) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }

// stuck is an answer that somebody doesn't read.
type stuck struct {
	http.ResponseWriter
	begun, release chan struct{}
	once           bool
}

func (s *stuck) Write(p []byte) (int, error) {
	if !s.once {
		s.once = true
		close(s.begun)
		<-s.release
	}
	return s.ResponseWriter.Write(p)
}

// refusing is one way to be refused at the door. It returns the status.
type refusing func(t *testing.T, reg prometheus.Registerer) int

func requested(t *testing.T, s http.Handler, method, path string, body io.Reader, change func(*http.Request)) int {
	r := httptest.NewRequestWithContext(t.Context(), method, path, body)
	r.Host = "localhost"
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Code
}

// written is a remote write that is refused.
func written(o web.Options, l *fakeLog, body func() io.Reader) refusing {
	return func(t *testing.T, reg prometheus.Registerer) int {
		o.Registerer = reg
		return requested(t, writeTo(l, o), http.MethodPost, writePath, body(), func(r *http.Request) {
			r.ContentLength = -1
			r.Header.Set("Content-Type", "application/x-protobuf")
			r.Header.Set("Content-Encoding", "snappy")
		})
	}
}

func asked(o web.Options, method, path string, change func(*http.Request)) refusing {
	return func(t *testing.T, reg prometheus.Registerer) int {
		o.Registerer = reg
		return requested(t, web.New(o), method, path, strings.NewReader(aConfig), change)
	}
}

func TestEveryRefusalAtTheDoorIsCountedByItsReason(t *testing.T) {
	elsewhere := func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }
	valid, err := (&prompb.WriteRequest{Timeseries: []prompb.TimeSeries{v1Series("a", prompb.Sample{Timestamp: 1, Value: 2})}}).Marshal()
	require.NoError(t, err)
	full := newFakeConfigs(nil)
	full.fault = fmt.Errorf("put: %w", &cluster.FullError{})
	cases := []struct {
		reason string
		status int
		refuse refusing
	}{
		{"host", 421, asked(web.Options{Hosts: []string{}}, http.MethodGet, "/", func(r *http.Request) { r.Host = "evil.example" })},
		{"cross_site", 403, asked(web.Options{}, http.MethodGet, "/-/reload", elsewhere)},
		{"cross_site", 403, asked(web.Options{}, http.MethodGet, "/debug/pprof/", elsewhere)},
		{"cross_site", 403, asked(web.Options{Configs: newFakeConfigs(nil)}, http.MethodPut, oneOf+"a", elsewhere)},
		{"chaos_off", 403, asked(web.Options{}, http.MethodGet, "/agent/api/v1/chaos/points", nil)},
		{"size", 413, asked(web.Options{Configs: newFakeConfigs(nil), MaxConfigBytes: 10}, http.MethodPut, oneOf+"a", nil)},
		{"size", 413, asked(web.Options{Configs: newFakeConfigs(nil), MaxConfigBytes: 10}, http.MethodPut, oneOf+"a",
			func(r *http.Request) { r.ContentLength = -1 })},
		{"size", 413, written(web.Options{MaxWriteBytes: 10}, &fakeLog{}, func() io.Reader { return io.LimitReader(zeros{}, 100) })},
		{"size", 413, written(web.Options{MaxWriteBytes: 100}, &fakeLog{},
			func() io.Reader { return strings.NewReader(string(snappy.Encode(nil, make([]byte, 1000)))) })},
		{"body_memory", 503, written(web.Options{MaxWriteBytes: 128 << 20}, &fakeLog{}, func() io.Reader { return io.LimitReader(zeros{}, 100<<20) })},
		{"slow_body", 400, written(web.Options{}, &fakeLog{}, func() io.Reader { return tooSlow{} })},
		{"config_limit", 429, written(web.Options{}, &fakeLog{failCommit: atItsLimit{}},
			func() io.Reader { return strings.NewReader(string(snappy.Encode(nil, valid))) })},
		{"store_full", 507, asked(web.Options{Configs: full}, http.MethodPut, oneOf+"a", nil)},
		{"upload_rate", 429, uploadTwice},
		{"busy", 503, bundleTwice},
		{"auth", 401, func(t *testing.T, reg prometheus.Registerer) int {
			locked := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
			return requested(t, web.NewRefusals(reg).Unauthorized(locked), http.MethodGet, "/", nil, nil)
		}},
	}
	seen := map[string]bool{"other": true}
	for i, c := range cases {
		t.Run(fmt.Sprint(c.reason, i), func(t *testing.T) {
			reg := prometheus.NewRegistry()
			require.Equal(t, c.status, c.refuse(t, reg))
			for reason, n := range refusals(t, reg) {
				want := 0.0
				if reason == c.reason {
					want = 1
				}
				require.Equal(t, want, n, reason)
			}
			seen[c.reason] = true
		})
	}
	for reason := range refusals(t, registered()) {
		require.True(t, seen[reason], "no case of this test is refused because of %s", reason)
	}
}

func registered() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	web.NewRefusals(reg)
	return reg
}

// refusals are the counters by reason.
func refusals(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	families, err := reg.Gather()
	require.NoError(t, err)
	counts := map[string]float64{}
	for _, f := range families {
		if f.GetName() == "web_requests_refused_total" {
			for _, m := range f.GetMetric() {
				counts[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	require.NotEmpty(t, counts)
	return counts
}

func uploadTwice(t *testing.T, reg prometheus.Registerer) int {
	s := web.New(web.Options{Registerer: reg, Configs: newFakeConfigs(nil), Now: clock,
		Uploads: func() web.UploadLimits { return web.UploadLimits{BytesPerSecond: 1} }})
	put := func() int { return requested(t, s, http.MethodPut, oneOf+"a", strings.NewReader(aConfig), nil) }
	require.Less(t, put(), 300)
	return put()
}

func bundleTwice(t *testing.T, reg prometheus.Registerer) int {
	s := web.New(web.Options{Registerer: reg})
	first := &stuck{ResponseWriter: httptest.NewRecorder(), begun: make(chan struct{}), release: make(chan struct{})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/-/support", nil)
		r.Host = "localhost"
		s.ServeHTTP(first, r)
	}()
	<-first.begun
	status := requested(t, s, http.MethodGet, "/-/support", nil, nil)
	close(first.release)
	<-ended
	return status
}

func TestAnAnswerThatRefusesNothingIsNotCounted(t *testing.T) {
	reg := prometheus.NewRegistry()
	s := web.New(web.Options{Registerer: reg, Configs: newFakeConfigs(nil)})
	for _, path := range []string{"/-/healthy", "/nothing", oneOf + "a"} {
		requested(t, s, http.MethodGet, path, nil, nil)
	}
	for reason, n := range refusals(t, reg) {
		require.Zero(t, n, reason)
	}
}
