package remotewrite

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/storage/remote"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"
)

// receiver decodes with Prometheus' codec and keeps what it acknowledged, in order per series.
type receiver struct {
	t *testing.T
	// answer decides what to say; nil or 0 is 200. It may block, and may panic with
	// http.ErrAbortHandler.
	answer func(w http.ResponseWriter, r *http.Request, req *prompb.WriteRequest) int
	url    string

	mu       sync.Mutex
	series   map[string][]prompb.Sample
	all      []prompb.TimeSeries
	metadata []prompb.MetricMetadata
	requests int
	headers  []http.Header
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{t: t, series: map[string][]prompb.Sample{}}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.url = server.URL + "/api/v1/write"
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	req, err := remote.DecodeWriteRequest(hr.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	r.mu.Lock()
	r.requests++
	r.headers = append(r.headers, hr.Header.Clone())
	answer := r.answer
	r.mu.Unlock()
	if answer != nil {
		if status := answer(w, hr, req); status != 0 && status/100 != 2 {
			http.Error(w, "no", status)
			return
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.metadata = append(r.metadata, req.Metadata...)
	r.all = append(r.all, req.Timeseries...)
	for _, ts := range req.Timeseries {
		name := nameOf(ts)
		r.series[name] = append(r.series[name], ts.Samples...)
	}
}

func (r *receiver) setAnswer(f func(w http.ResponseWriter, hr *http.Request, req *prompb.WriteRequest) int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = f
}

func (r *receiver) requestCount() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests
}

func (r *receiver) sampleCount() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, s := range r.series {
		n += len(s)
	}
	return n
}

// requireComplete checks that every series arrived with timestamps 1…n in order and without a gap.
// What was sent again begins anew at an earlier sample.
func (r *receiver) requireComplete(series, n int) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	require.Len(r.t, r.series, series)
	for name, samples := range r.series {
		highest := int64(0)
		for _, s := range samples {
			require.LessOrEqual(r.t, s.Timestamp-epoch, highest+1, "series %s has a gap", name)
			highest = max(highest, s.Timestamp-epoch)
		}
		require.EqualValues(r.t, n, highest, "series %s", name)
	}
}

// requireOnce checks that, in addition, nothing arrived twice.
func (r *receiver) requireOnce(series, n int) {
	r.t.Helper()
	r.requireComplete(series, n)
	require.Equal(r.t, series*n, r.sampleCount(), "some samples arrived more than once")
}

func nameOf(ts prompb.TimeSeries) string {
	for _, l := range ts.Labels {
		if l.Name == model.MetricNameLabel {
			return l.Value
		}
	}
	return ""
}

// epoch is the timestamp before the first sample; samples are one millisecond apart.
const epoch = 1_700_000_000_000

// scrape commits sample number n of series s0…s<count-1>.
func (m *memlog) scrape(count, n int) {
	entries := make([]memsample, 0, count)
	for i := range count {
		entries = append(entries, memsample{
			ref: uint64(i + 1), labels: labels.FromStrings(model.MetricNameLabel, fmt.Sprintf("s%d", i), "job", "test"),
			t: epoch + int64(n), v: float64(n),
		})
	}
	m.commit(entries...)
}

// writeConfig is a remote_write block with fast deadlines.
func writeConfig(t *testing.T, address string, change ...func(*promconfig.RemoteWriteConfig)) *promconfig.RemoteWriteConfig {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	cfg := promconfig.DefaultRemoteWriteConfig
	cfg.Name = "test"
	cfg.URL = &config.URL{URL: u}
	cfg.SendExemplars = true
	cfg.SendNativeHistograms = true
	cfg.RemoteTimeout = model.Duration(5 * time.Second)
	cfg.QueueConfig.BatchSendDeadline = model.Duration(10 * time.Millisecond)
	cfg.QueueConfig.MinBackoff = model.Duration(time.Millisecond)
	cfg.QueueConfig.MaxBackoff = model.Duration(5 * time.Millisecond)
	cfg.QueueConfig.RetryOnRateLimit = true
	for _, c := range change {
		c(&cfg)
	}
	return &cfg
}

func perSend(n int) func(*promconfig.RemoteWriteConfig) {
	return func(c *promconfig.RemoteWriteConfig) { c.QueueConfig.MaxSamplesPerSend = n }
}

func withLanes(least, most int) func(*promconfig.RemoteWriteConfig) {
	return func(c *promconfig.RemoteWriteConfig) { c.QueueConfig.MinShards, c.QueueConfig.MaxShards = least, most }
}

// start runs a queue with one endpoint on the log.
func start(t *testing.T, log *memlog, cfg *promconfig.RemoteWriteConfig) *Queue {
	t.Helper()
	q := newQueue(t)
	require.NoError(t, q.Apply([]EndpointConfig{{Config: cfg, CursorID: "a", Open: log.open("a")}}))
	return q
}

func newQueue(t *testing.T) *Queue {
	q := New(Options{Instance: "i", Logger: zaptest.NewLogger(t), OnPanic: func(err error) { t.Error(err) }})
	t.Cleanup(q.Close)
	return q
}

// requireDrained waits until everything is sent or dropped.
func requireDrained(t *testing.T, q *Queue) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	pending, err := q.Drain(ctx)
	require.NoError(t, err)
	require.Zero(t, pending)
}

// requireBalance checks that the account of every endpoint adds up to what was committed.
func requireBalance(t *testing.T, q *Queue, committed int) {
	t.Helper()
	for _, s := range q.Endpoints() {
		total := s.Sent + s.Pending
		for _, n := range s.Dropped {
			total += n
		}
		require.EqualValues(t, committed, total, "sent %d, pending %d, dropped %v", s.Sent, s.Pending, s.Dropped)
	}
}
