package scrape

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	promscrape "github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"
)

// nothing is an appendable that only counts.
type nothing struct{ samples, commits atomic.Int64 }

func (n *nothing) AppenderV2(context.Context) storage.AppenderV2 { return n }

func (n *nothing) Append(ref storage.SeriesRef, ls labels.Labels, _, _ int64, _ float64, _ *histogram.Histogram,
	_ *histogram.FloatHistogram, _ storage.AOptions) (storage.SeriesRef, error) {
	n.samples.Add(1)
	if ref == 0 {
		ref = storage.SeriesRef(ls.Hash() | 1)
	}
	return ref, nil
}

func (n *nothing) Commit() error   { n.commits.Add(1); return nil }
func (n *nothing) Rollback() error { return nil }

// contender starts instances that scrape one target each, and returns what stops them.
type contender func(b *testing.B, configs []*Config, into *nothing) (stop func())

func ours(b *testing.B, configs []*Config, into *nothing) func() {
	metrics, err := NewMetrics(FullMetrics)
	require.NoError(b, err)
	shared := NewShared()
	scrapers := make([]*Scraper, len(configs))
	for i, config := range configs {
		s, err := New(Options{Appendable: into, Metrics: metrics, Shared: shared})
		require.NoError(b, err)
		require.NoError(b, s.Apply(b.Context(), config))
		require.NoError(b, s.Start())
		scrapers[i] = s
	}
	return func() {
		for _, s := range scrapers {
			require.NoError(b, s.Stop(over(), KeepSeries))
		}
	}
}

// stock is Prometheus' manager, one for each instance, as Grafana Agent had it.
func stock(b *testing.B, configs []*Config, into *nothing) func() {
	var wait sync.WaitGroup
	managers := make([]*promscrape.Manager, len(configs))
	for i, config := range configs {
		parsed, err := promconfig.Load("", promslog.NewNopLogger())
		require.NoError(b, err)
		parsed.ScrapeConfigs = config.Jobs
		m, err := promscrape.NewManager(&promscrape.Options{AppendMetadata: true, DiscoveryReloadInterval: model.Duration(time.Second),
			DiscoveryReloadOnStartup: true}, promslog.NewNopLogger(), nil, nil, into, prometheus.NewRegistry())
		require.NoError(b, err)
		require.NoError(b, m.ApplyConfig(parsed))
		sets := make(chan map[string][]*targetgroup.Group, 1)
		job := config.Jobs[0]
		sets <- map[string][]*targetgroup.Group{job.JobName: job.ServiceDiscoveryConfigs[0].(discovery.StaticConfig)}
		wait.Go(func() { _ = m.Run(sets) })
		managers[i] = m
	}
	return func() {
		for _, m := range managers {
			m.Stop()
		}
		wait.Wait()
	}
}

// BenchmarkLoop compares both loops at equal rates, without a log behind them, against targets in
// another process.
func BenchmarkLoop(b *testing.B) {
	for _, size := range []struct {
		series, instances int
		interval          string
	}{
		{50, 1000, "5s"}, {100, 1000, "5s"}, {5000, 20, "1s"},
	} {
		for _, c := range []struct {
			name  string
			start contender
		}{{"ours", ours}, {"stock", stock}} {
			b.Run(fmt.Sprintf("series=%d/instances=%d/%s", size.series, size.instances, c.name), func(b *testing.B) {
				var configs []*Config
				template := configure(b, fmt.Sprintf(`[{job_name: a, scrape_interval: %s, scrape_timeout: %[1]s}]`, size.interval))
				for _, address := range targetProcess(b, size.instances, size.series) {
					job := *template.Jobs[0]
					job.ServiceDiscoveryConfigs = discovery.Configs{discovery.StaticConfig{group("0", address)}}
					configs = append(configs, &Config{Jobs: []*promconfig.ScrapeConfig{&job}})
				}
				for range b.N {
					measure(b, c.start, configs)
				}
			})
		}
	}
}

// measure lets every instance scrape twice, and then measures the CPU of the next scrapes.
func measure(b *testing.B, start contender, configs []*Config) {
	instances := len(configs)
	into := &nothing{}
	idle := usage()
	began := time.Now()
	stop := start(b, configs, into)
	defer stop()
	b.ReportMetric(time.Since(began).Seconds(), "s-start")
	interval := time.Duration(configs[0].Jobs[0].ScrapeInterval)
	await := func(commits int64) {
		require.Eventually(b, func() bool { return into.commits.Load() >= commits }, 10*interval+time.Minute, 20*time.Millisecond)
	}
	await(int64(2 * instances))
	samples, commits, cpu, before := into.samples.Load(), into.commits.Load(), cpuTime(), time.Now()
	await(commits + max(2*int64(instances), int64(5*time.Second/interval)*int64(instances)))
	spent := (cpuTime() - cpu).Seconds()
	samples, commits = into.samples.Load()-samples, into.commits.Load()-commits
	busy := usage()
	b.ReportMetric(float64(commits)/time.Since(before).Seconds(), "scrapes/s")
	b.ReportMetric(spent/float64(commits)*1e6, "µs-cpu/scrape")
	b.ReportMetric(spent/float64(samples)*1e6, "s-cpu/Msample")
	b.ReportMetric(float64(busy.goroutines-idle.goroutines)/float64(instances), "goroutines/instance")
	b.ReportMetric(float64(busy.heap-idle.heap)/float64(instances)/1024, "KiB-heap/instance")
	b.ReportMetric(float64(busy.rss-idle.rss)/float64(instances)/1024, "KiB-rss/instance")
	b.ReportMetric(0, "ns/op")
}

type used struct{ goroutines, heap, rss int64 }

func usage() used {
	runtime.GC()
	debug.FreeOSMemory()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	var pages, resident int64
	if f, err := os.ReadFile("/proc/self/statm"); err == nil {
		_, _ = fmt.Sscan(string(f), &pages, &resident)
	}
	return used{int64(runtime.NumGoroutine()), int64(stats.HeapAlloc), resident * int64(os.Getpagesize())}
}

func cpuTime() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
