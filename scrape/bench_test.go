package scrape

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

// nothing is an appendable that costs nothing.
type nothing struct{ commits chan struct{} }

func (n nothing) AppenderV2(context.Context) storage.AppenderV2 { return n }

func (nothing) Append(ref storage.SeriesRef, ls labels.Labels, _, _ int64, _ float64, _ *histogram.Histogram,
	_ *histogram.FloatHistogram, _ storage.AOptions) (storage.SeriesRef, error) {
	if ref == 0 {
		ref = storage.SeriesRef(ls.Hash() | 1)
	}
	return ref, nil
}

func (n nothing) Commit() error   { n.commits <- struct{}{}; return nil }
func (n nothing) Rollback() error { return nil }

// BenchmarkInstance reports what a scraper of one static target with 100 series holds once it has been scraped, without an
// appendable. The target's goroutine is subtracted, its buffers (some 12 KiB) are not.
func BenchmarkInstance(b *testing.B) {
	var body strings.Builder
	for i := range 100 {
		fmt.Fprintf(&body, "some_metric_with_a_usual_name_total{path=\"/api/v1/thing/%d\",method=\"GET\"} %d\n", i, i)
	}
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, _ = io.WriteString(w, body.String())
	require.NoError(b, w.Close())
	server := serveFunc(b, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", textFormat)
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(zipped.Bytes())
	})
	const serverGoroutines = 1 // for each connection
	metrics, err := NewMetrics()
	require.NoError(b, err)
	config := configure(b, `[{job_name: a, scrape_interval: 3s, scrape_timeout: 3s, static_configs: [{targets: [ADDR0]}]}]`, server)
	const instances = 200
	for b.Loop() {
		commits := make(chan struct{}, instances*100)
		before := usage()
		scrapers := make([]*Scraper, instances)
		for i := range scrapers {
			s, err := New(Options{Appendable: nothing{commits}, Logger: zap.NewNop(), Metrics: metrics})
			require.NoError(b, err)
			require.NoError(b, s.Apply(b.Context(), config))
			require.NoError(b, s.Start())
			scrapers[i] = s
		}
		for range 3 * instances {
			<-commits
		}
		after := usage()
		collecting := time.Now()
		totals := prometheus.NewRegistry()
		totals.MustRegister(metrics)
		_, err := totals.Gather()
		require.NoError(b, err)
		b.ReportMetric(float64(time.Since(collecting).Microseconds())/instances, "µs-collect/instance")
		for _, s := range scrapers {
			require.NoError(b, s.Stop(b.Context(), KeepSeries))
		}
		b.ReportMetric(float64(after.goroutines-before.goroutines)/instances-serverGoroutines, "goroutines/instance")
		b.ReportMetric(float64(after.heap-before.heap)/instances/1024, "KiB-heap/instance")
		b.ReportMetric(float64(after.stack-before.stack)/instances/1024, "KiB-stack/instance")
	}
}

type used struct{ goroutines, heap, stack int64 }

func usage() used {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return used{int64(runtime.NumGoroutine()), int64(stats.HeapAlloc), int64(stats.StackInuse)}
}
