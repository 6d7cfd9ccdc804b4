package web_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/web"
)

const writePath = "/agent/api/v1/metrics/instance/team%2Fa/write"

// fakeLog keeps what was committed as lines.
type fakeLog struct {
	committed  []string
	alone      int // lines of exemplars without a sample
	rollbacks  int
	refuse     map[string]error // by metric name
	failCommit error
}

type fakeAppender struct {
	log   *fakeLog
	lines []string
}

func (l *fakeLog) AppenderV2(context.Context) storage.AppenderV2 { return &fakeAppender{log: l} }

func (a *fakeAppender) Append(_ storage.SeriesRef, ls labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, o storage.AOptions) (storage.SeriesRef, error) {
	err := a.log.refuse[ls.Get("__name__")]
	if err != nil && !errors.Is(err, &storage.AppendPartialError{}) {
		return 0, err
	}
	line := fmt.Sprintf("%s st=%d t=%d v=%g", ls, st, t, v)
	if h != nil {
		line = fmt.Sprintf("%s st=%d t=%d int", ls, st, t)
	}
	if fh != nil {
		line = fmt.Sprintf("%s st=%d t=%d float", ls, st, t)
	}
	for _, e := range o.Exemplars {
		line += fmt.Sprintf(" # %s %g %d", e.Labels, e.Value, e.Ts)
	}
	if o.Metadata != (metadata.Metadata{}) && o.Metadata.Type != model.MetricTypeUnknown {
		line += fmt.Sprintf(" (%s: %s)", o.Metadata.Type, o.Metadata.Help)
	}
	if !o.RejectOutOfOrder {
		line += " out of order is fine"
	}
	a.lines = append(a.lines, line)
	return 1, err
}

func (a *fakeAppender) AppendExemplars(_ storage.SeriesRef, ls labels.Labels, exemplars []exemplar.Exemplar) (storage.SeriesRef, error) {
	if err := a.log.refuse[ls.Get("__name__")]; err != nil {
		return 0, err
	}
	line := fmt.Sprintf("%s alone", ls)
	for _, e := range exemplars {
		line += fmt.Sprintf(" # %s %g %d", e.Labels, e.Value, e.Ts)
	}
	a.lines = append(a.lines, line)
	a.log.alone++
	return 1, nil
}

func (a *fakeAppender) Commit() error {
	if a.log.failCommit != nil {
		return a.log.failCommit
	}
	a.log.committed = append(a.log.committed, a.lines...)
	return nil
}

func (a *fakeAppender) Rollback() error { a.log.rollbacks++; return nil }

func writeTo(l *fakeLog, o web.Options) *web.Server {
	o.Instances = fakeInstances{appendable: map[string]storage.AppendableV2{"team/a": l}}
	o.Now = clock
	return web.New(o)
}

func post(t *testing.T, s http.Handler, body []byte, headers ...string) *http.Response {
	t.Helper()
	return call(t, s, "POST", writePath, string(snappy.Encode(nil, body)), append([]string{"Content-Encoding", "snappy"}, headers...)...)
}

func v1Series(name string, samples ...prompb.Sample) prompb.TimeSeries {
	return prompb.TimeSeries{Labels: []prompb.Label{{Name: "__name__", Value: name}}, Samples: samples}
}

func marshalV1(t *testing.T, series ...prompb.TimeSeries) []byte {
	t.Helper()
	b, err := (&prompb.WriteRequest{Timeseries: series}).Marshal()
	require.NoError(t, err)
	return b
}

func TestRemoteWrite1ReachesTheLog(t *testing.T) {
	l := &fakeLog{}
	one := v1Series("a", prompb.Sample{Timestamp: 1, Value: 2}, prompb.Sample{Timestamp: 3, Value: 4})
	one.Exemplars = []prompb.Exemplar{
		{Labels: []prompb.Label{{Name: "trace", Value: "y"}}, Value: 6, Timestamp: 9},
		{Labels: []prompb.Label{{Name: "trace", Value: "x"}}, Value: 5, Timestamp: 3},
	}
	two := v1Series("h")
	two.Histograms = []prompb.Histogram{
		prompb.FromIntHistogram(7, tsdbutil.GenerateTestHistogram(1)),
		prompb.FromFloatHistogram(8, tsdbutil.GenerateTestFloatHistogram(1)),
	}
	r := post(t, writeTo(l, web.Options{}), marshalV1(t, one, two))
	require.Equal(t, http.StatusNoContent, r.StatusCode, bodyOf(t, r))
	require.Equal(t, []string{
		`{__name__="a"} st=0 t=1 v=2`,
		`{__name__="a"} st=0 t=3 v=4 # {trace="x"} 5 3 # {trace="y"} 6 9`,
		`{__name__="h"} st=0 t=7 int`,
		`{__name__="h"} st=0 t=8 float`,
	}, l.committed)
}

// atItsLimit is what the data path says when an instance may take nothing for a while.
type atItsLimit struct{}

func (atItsLimit) Error() string             { return "samples_per_second exceeded" }
func (atItsLimit) RetryAfter() time.Duration { return 3 * time.Second }

func TestAnInstanceAtItsLimitHasTheSenderTryAgainLater(t *testing.T) {
	l := &fakeLog{failCommit: fmt.Errorf("append: %w", atItsLimit{})}
	r := post(t, writeTo(l, web.Options{}), marshalV1(t, v1Series("a", prompb.Sample{Timestamp: 1, Value: 2})))
	require.Equal(t, http.StatusTooManyRequests, r.StatusCode)
	require.Equal(t, "3", r.Header.Get("Retry-After"))
	require.Contains(t, bodyOf(t, r), "samples_per_second exceeded")
}

func TestRemoteWrite2ReachesTheLogWithStartTimesAndMetadata(t *testing.T) {
	l := &fakeLog{}
	req := writev2.Request{
		Symbols: []string{"", "__name__", "a", "What a is.", "trace", "x"},
		Timeseries: []writev2.TimeSeries{
			{
				LabelsRefs: []uint32{1, 2},
				Metadata:   writev2.Metadata{Type: writev2.Metadata_METRIC_TYPE_COUNTER, HelpRef: 3},
				Samples:    []writev2.Sample{{Timestamp: 5, Value: 6, StartTimestamp: 1}},
				Exemplars:  []writev2.Exemplar{{LabelsRefs: []uint32{4, 5}, Value: 7, Timestamp: 5}},
			},
			{LabelsRefs: []uint32{1, 99}, Samples: []writev2.Sample{{Timestamp: 1}}},
			{LabelsRefs: []uint32{1, 2}},
		},
	}
	body, err := req.Marshal()
	require.NoError(t, err)
	r := post(t, writeTo(l, web.Options{}), body, "Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request")
	require.Equal(t, []string{`{__name__="a"} st=1 t=5 v=6 # {trace="x"} 7 5 (counter: What a is.)`}, l.committed)
	require.Equal(t, http.StatusBadRequest, r.StatusCode, "two of the series are not well formed")
	require.Equal(t, "1", r.Header.Get("X-Prometheus-Remote-Write-Samples-Written"))
	require.Equal(t, "1", r.Header.Get("X-Prometheus-Remote-Write-Exemplars-Written"))
	require.Contains(t, bodyOf(t, r), "1 refused, the rest was written")
}

func TestWhatIsRefusedIsNamedAndTheRestIsWritten(t *testing.T) {
	future := now.UnixMilli() + 3_600_000
	bad := prompb.Histogram{Count: &prompb.Histogram_CountInt{CountInt: 5}, Timestamp: 1}
	broken := v1Series("broken_histogram")
	broken.Histograms = []prompb.Histogram{bad}
	nameless := prompb.TimeSeries{Labels: []prompb.Label{{Name: "x", Value: "y"}}, Samples: []prompb.Sample{{Timestamp: 1}}}
	twice := v1Series("twice", prompb.Sample{Timestamp: 1})
	twice.Labels = append(twice.Labels, twice.Labels[0])
	lonely := v1Series("lonely", prompb.Sample{Timestamp: 2})
	lonely.Exemplars = []prompb.Exemplar{{Timestamp: 1}}

	l := &fakeLog{refuse: map[string]error{
		"late":   storage.ErrOutOfOrderSample,
		"lonely": &storage.AppendPartialError{ExemplarErrors: []error{storage.ErrOutOfOrderExemplar}},
	}}
	r := post(t, writeTo(l, web.Options{}), marshalV1(t,
		v1Series("late", prompb.Sample{Timestamp: 1}), v1Series("future", prompb.Sample{Timestamp: future}),
		broken, nameless, twice, lonely, v1Series("good", prompb.Sample{Timestamp: 1, Value: 1}),
	))
	require.Equal(t, 400, r.StatusCode)
	body := bodyOf(t, r)
	for _, want := range []string{"5 refused", "late", "out of order", "in the future", "broken_histogram", `x="y"`, "occurs twice"} {
		require.Contains(t, body, want)
	}
	require.Len(t, l.committed, 2)
	require.Contains(t, l.committed[1], "good")
	require.Zero(t, l.rollbacks)
}

func TestManyRefusalsAreCountedAndAFewNamed(t *testing.T) {
	l := &fakeLog{refuse: map[string]error{"late": storage.ErrOutOfOrderSample}}
	var series []prompb.TimeSeries
	for range 1000 {
		series = append(series, v1Series("late", prompb.Sample{Timestamp: 1}))
	}
	body := bodyOf(t, post(t, writeTo(l, web.Options{}), marshalV1(t, series...)))
	require.Contains(t, body, "1000 refused")
	require.Equal(t, 10, strings.Count(body, "late"))
}

func TestALogThatFailsIsA500AndNothingIsWritten(t *testing.T) {
	full := errors.New("no space left on device")
	body := marshalV1(t, v1Series("good", prompb.Sample{Timestamp: 1}), v1Series("x", prompb.Sample{Timestamp: 1}))
	for _, l := range []*fakeLog{{refuse: map[string]error{"x": full}}, {failCommit: full}} {
		r := post(t, writeTo(l, web.Options{}), body)
		require.Equal(t, 500, r.StatusCode)
		require.Contains(t, bodyOf(t, r), "no space left on device")
		require.Empty(t, l.committed)
	}
}

func TestBadWritesAreRefused(t *testing.T) {
	good := string(snappy.Encode(nil, marshalV1(t, v1Series("a", prompb.Sample{Timestamp: 1}))))
	bomb := string(snappy.Encode(nil, make([]byte, 1<<20)))
	for _, tc := range []struct {
		name, path, body string
		headers          []string
		want             int
	}{
		{"unknown instance", strings.Replace(writePath, "team", "nope", 1), good, nil, 400},
		{"not snappy", writePath, "hello", nil, 400},
		{"empty", writePath, "", nil, 400},
		{"not protobuf", writePath, string(snappy.Encode(nil, []byte("hello"))), nil, 400},
		{"other encoding", writePath, good, []string{"Content-Encoding", "zstd"}, 415},
		{"other type", writePath, good, []string{"Content-Type", "application/json"}, 415},
		{"2.0 that does not say so", writePath, string(snappy.Encode(nil, []byte{0x22, 0, 0x2a, 0})), nil, 400},
		{"other message", writePath, good, []string{"Content-Type", "application/x-protobuf;proto=io.prometheus.write.v9.Request"}, 415},
		{"too large", writePath, strings.Repeat("x", 1<<20), nil, 413},
		{"too large once decompressed", writePath, bomb, nil, 413},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := &fakeLog{}
			r := call(t, writeTo(l, web.Options{MaxWriteBytes: 100_000}), "POST", tc.path, tc.body, tc.headers...)
			require.Equal(t, tc.want, r.StatusCode)
			require.Empty(t, l.committed)
			if tc.name == "unknown instance" {
				require.Contains(t, errorOf(t, r), `no instance "nope/a"`)
			}
		})
	}
}

// 786 KB of snappy made 8 million series of nothing, and each of them some hundred bytes.
func TestARequestOfEmptyPartsIsRefusedBeforeItIsDecoded(t *testing.T) {
	for version, part := range map[string][]byte{"": {0x0a, 0x00}, "application/x-protobuf;proto=io.prometheus.write.v2.Request": {0x2a, 0x00}} {
		l := &fakeLog{}
		bomb := bytes.Repeat(part, 8_000_000)
		require.Less(t, len(snappy.Encode(nil, bomb)), 1<<20)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		res := post(t, writeTo(l, web.Options{}), bomb, "Content-Type", cmp.Or(version, "application/x-protobuf"))
		runtime.ReadMemStats(&after)
		require.Equal(t, http.StatusRequestEntityTooLarge, res.StatusCode)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(150<<20))
		require.Empty(t, l.rollbacks)
	}
}

// Senders that stop half-way hold what they sent and no more, and when that is too much others are
// told to come back.
func TestUnfinishedWritesShareOnePoolOfBytes(t *testing.T) {
	server := httptest.NewServer(writeTo(&fakeLog{}, web.Options{}))
	defer server.Close()
	var open []net.Conn
	defer func() {
		for _, conn := range open {
			_ = conn.Close()
		}
	}()
	half := make([]byte, 14<<20)
	refused := false
	for range 8 {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		require.NoError(t, err)
		open = append(open, conn)
		_, _ = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n", writePath, 15<<20)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = conn.Write(half)
		}()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
		}
		_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		answer := make([]byte, 256)
		if n, _ := conn.Read(answer); strings.Contains(string(answer[:n]), "503") {
			refused = true
			require.Contains(t, string(answer[:n]), "Retry-After")
			break
		}
	}
	require.True(t, refused)
}
