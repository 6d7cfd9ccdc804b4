package pipeline

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// BenchmarkDataPath commits records into a real log on disk and has the real queue send them to a
// receiver that only reads the bodies, in the same process: append, commit, write, read back,
// encode, compress, POST. It reports the CPU time of the whole process, receiver included, and the
// log's bytes per sample.
func BenchmarkDataPath(b *testing.B) {
	for _, series := range []int{100, 1000, 5000} {
		b.Run(fmt.Sprintf("series=%d", series), func(b *testing.B) { benchmarkDataPath(b, series) })
	}
}

func benchmarkDataPath(b *testing.B, series int) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer server.Close()
	factory, err := NewFactory(Options{WALDirectory: filepath.Join(b.TempDir(), "wal")})
	if err != nil {
		b.Fatal(err)
	}
	defer factory.Close()
	c, err := config.ParseInstance("bench", fmt.Sprintf("scrape_configs: [{job_name: j}]\nremote_write: [{url: %q, metadata_config: {send: false}}]\nmin_wal_time: 0s", server.URL), config.InstanceOptions{})
	if err != nil {
		b.Fatal(err)
	}
	opened, err := factory.New(context.Background(), actors.PipelineSpec{Unit: messages.WholeConfig("bench"), Config: c, Failed: func(error) {}})
	if err != nil {
		b.Fatal(err)
	}
	defer opened.Close(false)
	p := opened.(*Pipeline)
	path := &benchPath{b: b, pipeline: p, series: benchSeries(series), refs: make([]storage.SeriesRef, series)}
	path.commit(20)
	path.drain()

	before, written := cpuTime(), p.log.Stats()
	b.ReportAllocs()
	b.ResetTimer()
	path.commit(b.N)
	path.drain()
	b.StopTimer()
	samples := float64(b.N) * float64(series)
	b.ReportMetric((cpuTime()-before).Seconds()/samples*1e6, "cpu-s/Msample")
	b.ReportMetric(float64(p.log.Stats().BytesWritten-written.BytesWritten)/samples, "disk-B/sample")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/samples, "ns/sample")
}

type benchPath struct {
	b        *testing.B
	pipeline *Pipeline
	series   []labels.Labels
	refs     []storage.SeriesRef
	now      int64
}

// commit commits records in which most values move, as counters and gauges do.
func (p *benchPath) commit(records int) {
	for range records {
		p.now += 15_000
		appender := p.pipeline.log.AppenderV2(context.Background())
		for i := range p.series {
			v := float64(p.now/15_000) * float64(i%7)
			if i%3 == 0 {
				v /= 7 // a value with all its digits
			}
			ref, err := appender.Append(p.refs[i], p.series[i], 0, p.now, v, nil, nil, storage.AOptions{})
			if err != nil {
				p.b.Fatal(err)
			}
			p.refs[i] = ref
		}
		if err := appender.Commit(); err != nil {
			p.b.Fatal(err)
		}
	}
}

func (p *benchPath) drain() {
	pending, err := p.pipeline.Drain(context.Background())
	if err != nil || pending != 0 {
		p.b.Fatal(pending, err)
	}
}

func benchSeries(n int) []labels.Labels {
	series := make([]labels.Labels, n)
	for i := range series {
		series[i] = labels.FromStrings("__name__", fmt.Sprintf("http_requests_%d_total", i/20), "code", fmt.Sprint(200+i%20),
			"handler", "/api/v1/query_range", "instance", "web-17.example.org:8080", "job", "web")
	}
	return series
}

// cpuTime is what the process has used so far.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
