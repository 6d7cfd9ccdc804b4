package processtest

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/record"
	"github.com/prometheus/prometheus/tsdb/wlog"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/remotewrite/receivertest"
)

// push sends series to an instance in protocol 2.0.
func (a *agent) push(instance string, all []receivertest.Series) {
	a.t.Helper()
	table := writev2.NewSymbolTable()
	var req writev2.Request
	for _, s := range all {
		ts := writev2.TimeSeries{LabelsRefs: table.SymbolizeLabels(s.Labels, nil), Metadata: writev2.Metadata{
			Type: writev2.FromMetadataType(s.Metadata.Type), HelpRef: table.Symbolize(s.Metadata.Help), UnitRef: table.Symbolize(s.Metadata.Unit),
		}}
		for _, x := range s.Samples {
			switch {
			case x.H != nil:
				ts.Histograms = append(ts.Histograms, writev2.FromIntHistogram(x.Start, x.T, x.H))
			case x.FH != nil:
				ts.Histograms = append(ts.Histograms, writev2.FromFloatHistogram(x.Start, x.T, x.FH))
			default:
				// The type of the request leaves out a negative zero, which this would be.
				ts.Samples = append(ts.Samples, writev2.Sample{Value: x.V, Timestamp: x.T, StartTimestamp: x.Start})
			}
		}
		for _, x := range s.Exemplars {
			ts.Exemplars = append(ts.Exemplars, writev2.Exemplar{LabelsRefs: table.SymbolizeLabels(x.Labels, nil), Value: x.Value, Timestamp: x.Ts})
		}
		req.Timeseries = append(req.Timeseries, ts)
	}
	req.Symbols = table.Symbols()
	body, err := req.Marshal()
	require.NoError(a.t, err)
	r, err := http.NewRequest(http.MethodPost, a.base+"/agent/api/v1/metrics/instance/"+instance+"/write", bytes.NewReader(snappy.Encode(nil, body)))
	require.NoError(a.t, err)
	r.Header.Set("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request")
	response, err := http.DefaultClient.Do(r)
	require.NoError(a.t, err)
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	require.Equal(a.t, http.StatusNoContent, response.StatusCode, string(text))
}

// read asks for everything that Prometheus stores of the metrics whose names match, by its remote
// read API.
func (p *promServer) read(t *testing.T, names string) map[string][]receivertest.Sample {
	now := time.Now()
	req := prompb.ReadRequest{Queries: []*prompb.Query{{
		StartTimestampMs: now.Add(-time.Hour).UnixMilli(), EndTimestampMs: now.Add(time.Hour).UnixMilli(),
		Matchers: []*prompb.LabelMatcher{{Type: prompb.LabelMatcher_RE, Name: "__name__", Value: names}},
	}}}
	body, err := req.Marshal()
	require.NoError(t, err)
	response, err := http.Post(p.base+"/api/v1/read", "application/x-protobuf", bytes.NewReader(snappy.Encode(nil, body)))
	require.NoError(t, err)
	defer response.Body.Close()
	compressed, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, response.StatusCode, string(compressed))
	body, err = snappy.Decode(nil, compressed)
	require.NoError(t, err)
	var answer prompb.ReadResponse
	require.NoError(t, answer.Unmarshal(body))
	stored, b := map[string][]receivertest.Sample{}, labels.NewScratchBuilder(0)
	for _, ts := range answer.Results[0].Timeseries {
		var all []receivertest.Sample
		for _, x := range ts.Samples {
			all = append(all, receivertest.Sample{T: x.Timestamp, V: x.Value})
		}
		for _, h := range ts.Histograms {
			if h.IsFloatHistogram() {
				all = append(all, receivertest.Sample{T: h.Timestamp, FH: h.ToFloatHistogram()})
			} else {
				all = append(all, receivertest.Sample{T: h.Timestamp, H: h.ToIntHistogram()})
			}
		}
		stored[ts.ToLabels(&b, nil).Get(model.MetricNameLabel)] = all
	}
	return stored
}

// metadata is what the log of a Prometheus that has ended says of each metric.
func (p *promServer) metadata(t *testing.T) map[string]metadata.Metadata {
	segments, err := wlog.NewSegmentsReader(filepath.Join(p.data, "wal"))
	require.NoError(t, err)
	defer segments.Close()
	r, d := wlog.NewReader(segments), record.NewDecoder(nil, slog.New(slog.DiscardHandler))
	names, found := map[chunks.HeadSeriesRef]string{}, map[string]metadata.Metadata{}
	for r.Next() {
		switch d.Type(r.Record()) {
		case record.Series:
			series, err := d.Series(r.Record(), nil)
			require.NoError(t, err)
			for _, s := range series {
				names[s.Ref] = strings.Clone(s.Labels.Get(model.MetricNameLabel))
			}
		case record.Metadata:
			all, err := d.Metadata(r.Record(), nil)
			require.NoError(t, err)
			for _, m := range all {
				found[names[m.Ref]] = metadata.Metadata{Type: record.ToMetricType(m.Type), Unit: strings.Clone(m.Unit), Help: strings.Clone(m.Help)}
			}
		}
	}
	require.NoError(t, r.Err())
	return found
}

func (p *promServer) exemplarsOf(metric string) (values []string) {
	window := fmt.Sprintf("&start=%d&end=%d", time.Now().Add(-time.Hour).Unix(), time.Now().Add(time.Hour).Unix())
	var answer struct {
		Data []struct {
			Exemplars []struct {
				Labels    map[string]string
				Value     string
				Timestamp float64
			}
		}
	}
	p.ask("/api/v1/query_exemplars?query="+url.QueryEscape(metric)+window, &answer)
	for _, series := range answer.Data {
		for _, x := range series.Exemplars {
			values = append(values, fmt.Sprintf("%s %s %.3f", x.Labels["trace_id"], x.Value, x.Timestamp))
		}
	}
	return values
}

// TestARealPrometheusStoresEveryKindOfSampleValueByValue pushes into an agent in protocol 2.0,
// which writes on in 1.0 and in 2.0.
func TestARealPrometheusStoresEveryKindOfSampleValueByValue(t *testing.T) {
	t.Cleanup(closeIdle)
	receiver := startPrometheus(t, "created-timestamp-zero-ingestion", "metadata-wal-records")
	directory := t.TempDir()
	instance := func(name, message, jobs string) string {
		return localConfig(name, "scrape_configs:\n"+jobs+"remote_write:\n- url: "+receiver.base+"/api/v1/write\n  protobuf_message: "+message+
			"\n  send_native_histograms: true\n  queue_config: {batch_send_deadline: 200ms}\n")
	}
	shop := fmt.Sprintf("- job_name: shop\n  scrape_interval: 1s\n  scrape_timeout: 1s\n  scrape_native_histograms: true\n  static_configs: [{targets: [%q]}]\n",
		serve(t, observedTarget()))
	file := writeFile(t, directory, "agent.yaml", "metrics:\n  configs:\n"+
		instance("one", "prometheus.WriteRequest", "- job_name: none\n")+instance("two", "io.prometheus.write.v2.Request", shop))
	a := startAgent(t, directory, "-config.file="+file)
	eventually(t, func() bool {
		status, _ := a.do(http.MethodPost, "/agent/api/v1/metrics/instance/two/write", "")
		return status == http.StatusBadRequest
	}, "the instance never takes samples")

	now := time.Now().UnixMilli()
	sent := map[string][]receivertest.Series{}
	for name, prefix := range map[string]string{"one": "old", "two": "new"} {
		sent[prefix] = receivertest.Kinds(prefix, now)
		a.push(name, sent[prefix])
	}
	eventually(t, func() bool { return len(receiver.read(t, "old_.*")) == 7 && len(receiver.read(t, "new_.*")) == 9 }, "not everything arrives")
	for prefix, all := range sent {
		stored := receiver.read(t, prefix+"_.*")
		for i, s := range all {
			requireStored(t, s, stored[s.Labels.Get(model.MetricNameLabel)], prefix == "new", i)
			if prefix == "new" || !s.Samples[0].HasCustomBuckets() {
				requireExemplar(t, receiver, s)
			}
		}
	}
	eventually(t, func() bool { return len(receiver.read(t, "shop_request_duration_seconds")) == 1 }, "what is scraped never arrives")
	eventually(t, func() bool { return len(receiver.exemplarsOf("shop_request_duration_seconds")) == 1 }, "nor its exemplar")
	a.stop()
	require.Equal(t, 1, strings.Count(a.output.String(), "samples dropped"), "nothing but what 1.0 can't carry")
	require.Contains(t, a.output.String(), "reason=unsupported_histogram dropped=2")
	receiver.stop()
	described := receiver.metadata(t)
	for _, s := range sent["new"] {
		require.Equal(t, s.Metadata, described[s.Labels.Get(model.MetricNameLabel)])
	}
	require.Equal(t, metadata.Metadata{Type: model.MetricTypeHistogram, Help: "How long customers wait."}, described["shop_request_duration_seconds"])
}

// requireStored compares what Prometheus has of one of the kinds. It stores a start time as a
// sample of nothing.
func requireStored(t *testing.T, sent receivertest.Series, stored []receivertest.Sample, newProtocol bool, kind int) {
	t.Helper()
	want := sent.Samples[0]
	if want.HasCustomBuckets() && !newProtocol {
		require.Empty(t, stored)
		return
	}
	if want.V == 0 && want.H == nil && want.FH == nil {
		want.V = 0 // the request that the test made can't say that it is negative
	}
	if want.Start != 0 && newProtocol {
		require.Len(t, stored, 2, sent.Labels)
		zero := stored[0]
		require.Equal(t, want.Start, zero.T)
		require.Zero(t, zero.V)
		require.True(t, zero.H == nil || zero.H.Count == 0)
		require.True(t, zero.FH == nil || zero.FH.Count == 0)
		stored = stored[1:]
	}
	require.Len(t, stored, 1, "kind %d", kind)
	want.Start = 0
	// Prometheus decides by itself whether a counter was reset.
	for _, s := range []*receivertest.Sample{&want, &stored[0]} {
		if s.H != nil && s.H.CounterResetHint != 3 {
			s.H = s.H.Copy()
			s.H.CounterResetHint = 0
		}
		if s.FH != nil && s.FH.CounterResetHint != 3 {
			s.FH = s.FH.Copy()
			s.FH.CounterResetHint = 0
		}
	}
	require.Equal(t, want.Bits(), stored[0].Bits(), "kind %d", kind)
}

func requireExemplar(t *testing.T, p *promServer, s receivertest.Series) {
	t.Helper()
	var want []string
	for _, x := range s.Exemplars {
		want = append(want, fmt.Sprintf("%s %g %.3f", x.Labels.Get("trace_id"), x.Value, float64(x.Ts)/1000))
	}
	require.Equal(t, want, p.exemplarsOf(s.Labels.Get(model.MetricNameLabel)))
}
