package scrape

import (
	"math"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	promscrape "github.com/prometheus/prometheus/scrape"
)

// managerRegisterer receives the metrics that one scrape.Manager creates for itself.
type managerRegisterer struct {
	*collectors
	busy *sync.RWMutex // held for writing while the manager may hold its own lock for long
}

// Register takes the quantiles out of summaries: two streams of them are 132 KiB of the 350 KiB that an instance with one target
// needs, and the sum over instances can't have any.
func (r managerRegisterer) Register(c prometheus.Collector) error {
	switch c := c.(type) {
	case *prometheus.SummaryVec:
		c.MetricVec = newPlainSummaryVec(c)
	case *promscrape.MetadataMetricsCollector:
		return r.collectors.Register(&unlessBusy{Collector: c, busy: r.busy})
	}
	return r.collectors.Register(c)
}

// unlessBusy leaves metrics out that need the manager's lock when that is taken: a reload that waits for a hanging target must
// not make the process' metrics hang.
type unlessBusy struct {
	prometheus.Collector
	busy *sync.RWMutex
}

func (u *unlessBusy) Collect(ch chan<- prometheus.Metric) {
	if u.busy.TryRLock() {
		defer u.busy.RUnlock()
		u.Collector.Collect(ch)
	}
}

// newPlainSummaryVec makes a vector with the description of v whose metrics are plainSummaries.
func newPlainSummaryVec(v *prometheus.SummaryVec) *prometheus.MetricVec {
	descs := make(chan *prometheus.Desc, 1)
	v.Describe(descs)
	desc := <-descs
	return prometheus.NewMetricVec(desc, func(values ...string) prometheus.Metric {
		return &plainSummary{desc: desc, labels: prometheus.MakeLabelPairs(desc, values)}
	})
}

// plainSummary is a summary without quantiles: a sum and a count. It implements prometheus.Observer.
type plainSummary struct {
	desc   *prometheus.Desc
	labels []*dto.LabelPair
	count  atomic.Uint64
	sum    atomic.Uint64 // bits of a float64
}

func (s *plainSummary) Observe(v float64) {
	s.count.Add(1)
	for {
		old := s.sum.Load()
		if s.sum.CompareAndSwap(old, math.Float64bits(math.Float64frombits(old)+v)) {
			return
		}
	}
}

func (s *plainSummary) Desc() *prometheus.Desc { return s.desc }

func (s *plainSummary) Write(out *dto.Metric) error {
	out.Label = s.labels
	out.Summary = &dto.Summary{
		SampleCount: new(s.count.Load()),
		SampleSum:   new(math.Float64frombits(s.sum.Load())),
	}
	return nil
}

// discoveryDescs describe what Prometheus' discovery manager would expose, under the name of its scrape manager.
type discoveryDescs struct {
	targets, updated, failed, received, sent *prometheus.Desc
}

func newDiscoveryDescs() discoveryDescs {
	desc := func(name, help string, variable ...string) *prometheus.Desc {
		return prometheus.NewDesc("prometheus_sd_"+name, help, variable, prometheus.Labels{"name": "scrape"})
	}
	return discoveryDescs{
		targets:  desc("discovered_targets", "Current number of discovered targets.", "config"),
		updated:  desc("last_update_timestamp_seconds", "Timestamp of the last update sent to the SD consumers.", "config"),
		failed:   desc("failed_configs", "Current number of service discovery configurations that failed to load."),
		received: desc("received_updates_total", "Total number of update events received from the SD providers."),
		sent:     desc("updates_total", "Total number of update events sent to the SD consumers."),
	}
}
