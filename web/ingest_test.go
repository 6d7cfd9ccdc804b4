package web_test

import (
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/web"
)

const version2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request"

// written2 is what an answer to protocol 2.0 says was written.
func written2(h http.Header) string {
	return strings.Join([]string{
		h.Get("X-Prometheus-Remote-Write-Samples-Written"), h.Get("X-Prometheus-Remote-Write-Histograms-Written"),
		h.Get("X-Prometheus-Remote-Write-Exemplars-Written"),
	}, " ")
}

func TestExemplarsThatComeAloneAreStored(t *testing.T) {
	alone := v1Series("a")
	alone.Exemplars = []prompb.Exemplar{{Labels: []prompb.Label{{Name: "trace", Value: "x"}}, Value: 5, Timestamp: 3}}
	together := v1Series("b")
	together.Exemplars = alone.Exemplars
	l := &fakeLog{}
	r := post(t, writeTo(l, web.Options{}), marshalV1(t, alone, v1Series("b", prompb.Sample{Timestamp: 1, Value: 2}), together))
	require.Equal(t, http.StatusNoContent, r.StatusCode, bodyOf(t, r))
	require.Equal(t, []string{`{__name__="a"} alone # {trace="x"} 5 3`, `{__name__="b"} st=0 t=1 v=2 # {trace="x"} 5 3`}, l.committed)

	req := writev2.Request{
		Symbols: []string{"", "__name__", "a", "trace", "x"},
		Timeseries: []writev2.TimeSeries{
			{LabelsRefs: []uint32{1, 2}, Exemplars: []writev2.Exemplar{{LabelsRefs: []uint32{3, 4}, Value: 5, Timestamp: 3}}},
		},
	}
	body, err := req.Marshal()
	require.NoError(t, err)
	l = &fakeLog{}
	// Others write the parameter with a blank, in quotes, or its name in capitals.
	for _, contentType := range []string{version2, "application/x-protobuf; proto=io.prometheus.write.v2.Request", `application/x-protobuf; Proto="io.prometheus.write.v2.Request"`} {
		r = post(t, writeTo(l, web.Options{}), body, "Content-Type", contentType)
		require.Equal(t, http.StatusNoContent, r.StatusCode, bodyOf(t, r))
		require.Equal(t, "0 0 1", written2(r.Header))
	}
	require.Len(t, l.committed, 3)
}

func TestWhatWasWrittenOfARequestOf2IsSaidWhateverTheAnswer(t *testing.T) {
	one := func(name uint32) writev2.TimeSeries {
		return writev2.TimeSeries{LabelsRefs: []uint32{1, name}, Samples: []writev2.Sample{{Timestamp: 5, Value: 6}}}
	}
	histograms := writev2.TimeSeries{LabelsRefs: []uint32{1, 2}, Histograms: []writev2.Histogram{
		writev2.FromIntHistogram(1, 7, tsdbutil.GenerateTestCustomBucketsHistogram(1)),
		writev2.FromFloatHistogram(1, 8, tsdbutil.GenerateTestFloatHistogram(1)),
	}}
	withExemplar := one(4)
	withExemplar.Exemplars = []writev2.Exemplar{{Timestamp: 5}}
	req := writev2.Request{
		Symbols:    []string{"", "__name__", "good", "late", "lonely"},
		Timeseries: []writev2.TimeSeries{one(2), one(3), histograms, withExemplar},
	}
	body, err := req.Marshal()
	require.NoError(t, err)
	l := &fakeLog{refuse: map[string]error{
		"late":   storage.ErrOutOfOrderSample,
		"lonely": &storage.AppendPartialError{ExemplarErrors: []error{storage.ErrOutOfOrderExemplar}},
	}}
	r := post(t, writeTo(l, web.Options{}), body, "Content-Type", version2)
	require.Equal(t, http.StatusBadRequest, r.StatusCode)
	require.Equal(t, "2 2 0", written2(r.Header))
	require.Contains(t, bodyOf(t, r), "2 refused, the rest was written")

	r = post(t, writeTo(&fakeLog{failCommit: fmt.Errorf("disk is full")}, web.Options{}), body, "Content-Type", version2)
	require.Equal(t, http.StatusInternalServerError, r.StatusCode)
	require.Equal(t, "0 0 0", written2(r.Header), "nothing is written, and senders come again")
}

func TestAnInstanceThatStopsMeanwhileIsATemporaryCondition(t *testing.T) {
	l := &fakeLog{failCommit: fmt.Errorf("commit to wal: %w", fs.ErrClosed)}
	r := post(t, writeTo(l, web.Options{}), marshalV1(t, v1Series("a", prompb.Sample{Timestamp: 1})))
	require.Equal(t, http.StatusServiceUnavailable, r.StatusCode)
	require.NotEmpty(t, r.Header.Get("Retry-After"))
}

// Whatever is sent: no panic, and what an answer says is what the log has.
func FuzzIngest(f *testing.F) {
	v1 := v1Series("h", prompb.Sample{Timestamp: 1, Value: 2})
	v1.Exemplars = []prompb.Exemplar{{Labels: v1.Labels, Timestamp: 1}}
	v1.Histograms = []prompb.Histogram{prompb.FromIntHistogram(2, tsdbutil.GenerateTestHistogram(1))}
	body, err := (&prompb.WriteRequest{Timeseries: []prompb.TimeSeries{v1}}).Marshal()
	require.NoError(f, err)
	f.Add(body, false)
	v2 := writev2.Request{
		Symbols: []string{"", "__name__", "a", "x"},
		Timeseries: []writev2.TimeSeries{{
			LabelsRefs: []uint32{1, 2}, Samples: []writev2.Sample{{Timestamp: 5, Value: 6, StartTimestamp: 1}},
			Histograms: []writev2.Histogram{
				writev2.FromIntHistogram(1, 7, tsdbutil.GenerateTestCustomBucketsHistogram(1)),
				writev2.FromFloatHistogram(1, 8, tsdbutil.GenerateTestFloatHistogram(1)),
			},
			Exemplars: []writev2.Exemplar{{LabelsRefs: []uint32{1, 3}, Timestamp: 5}},
			Metadata:  writev2.Metadata{Type: writev2.Metadata_METRIC_TYPE_COUNTER, HelpRef: 3, UnitRef: 3},
		}},
	}
	body, err = v2.Marshal()
	require.NoError(f, err)
	f.Add(body, true)
	f.Fuzz(func(t *testing.T, body []byte, isV2 bool) {
		l := &fakeLog{}
		r := httptest.NewRequest(http.MethodPost, writePath, strings.NewReader(string(snappy.Encode(nil, body))))
		r.Header.Set("Content-Type", "application/x-protobuf")
		if isV2 {
			r.Header.Set("Content-Type", version2)
		}
		w := httptest.NewRecorder()
		writeTo(l, web.Options{}).ServeHTTP(w, r)
		require.Contains(t, []int{204, 400, 413}, w.Code, w.Body)
		if !isV2 || w.Code == 413 {
			return
		}
		said := func(name string) int {
			n, _ := strconv.Atoi(w.Header().Get("X-Prometheus-Remote-Write-" + name + "-Written"))
			return n
		}
		require.Equal(t, len(l.committed), l.alone+said("Samples")+said("Histograms"))
	})
}
