package scrape

import (
	"fmt"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/prometheus/discovery"
)

// Metrics are the prometheus_target_* and prometheus_sd_* metrics of all scrapers of a process, as one prometheus.Collector.
//
// Each scraper has the full set of Prometheus' metrics; what is exposed is their sum, without a label for the instance: a
// process with thousands of instances exposes as many series as one Prometheus with the same jobs. A counter keeps what stopped
// scrapers added to it. Summaries have a sum and a count and no quantiles, which can't be summed; histograms have their classic
// buckets. The metrics of the discovery mechanisms themselves (prometheus_sd_refresh_*, prometheus_sd_kubernetes_* …) are shared
// by all scrapers, as Prometheus shares them between its managers.
type Metrics struct {
	mechanisms  *discovery.SDMetrics
	discoveries collectors // of mechanisms
	descs       discoveryDescs

	mu      sync.Mutex
	live    map[*collectors]struct{}
	retired totals
}

// NewMetrics makes the metrics of one process, or of one of several agents in a process. The discoveries that are to be used
// must be linked already (packages sd/light and sd/all). Register it where the process' metrics are registered.
func NewMetrics() (*Metrics, error) {
	m := &Metrics{live: map[*collectors]struct{}{}, retired: totals{}, descs: newDiscoveryDescs()}
	mechanisms, err := discovery.CreateAndRegisterSDMetrics(&m.discoveries)
	if err != nil {
		return nil, fmt.Errorf("create discovery metrics: %w", err)
	}
	m.mechanisms = mechanisms
	return m, nil
}

// Describe implements prometheus.Collector. Nothing is described: the set depends on the Prometheus version linked.
func (m *Metrics) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector. It costs about 60 µs per live scraper.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.discoveries.collect(func(metric prometheus.Metric) { ch <- metric })

	m.mu.Lock()
	sum := m.retired.clone()
	for c := range m.live {
		c.collect(sum.add)
	}
	m.mu.Unlock()
	for _, t := range sum {
		ch <- t
	}
}

func (m *Metrics) add(c *collectors) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.live[c] = struct{}{}
}

// retire takes the metrics of a stopped scraper out and keeps what its counters had. Series with a scrape_job label are gone by
// then: Prometheus deletes them with the scrape pool. What is kept is bounded by the number of distinct scrape intervals.
func (m *Metrics) retire(c *collectors) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.live, c)
	c.collect(m.retired.addCumulative)
}

// collectors is a registry of one owner that checks nothing, for metrics that are read only by this package. It implements
// prometheus.Registerer.
type collectors struct {
	mu   sync.Mutex
	list []prometheus.Collector
}

func (c *collectors) Register(p prometheus.Collector) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, p)
	return nil
}

func (c *collectors) MustRegister(ps ...prometheus.Collector) {
	for _, p := range ps {
		_ = c.Register(p)
	}
}

func (c *collectors) Unregister(p prometheus.Collector) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, known := range c.list {
		if known == p {
			c.list = append(c.list[:i:i], c.list[i+1:]...)
			return true
		}
	}
	return false
}

// collect calls visit, on this goroutine, with every metric.
func (c *collectors) collect(visit func(prometheus.Metric)) {
	c.mu.Lock()
	list := c.list
	c.mu.Unlock()
	ch := make(chan prometheus.Metric, 64)
	go func() {
		defer close(ch)
		for _, p := range list {
			p.Collect(ch)
		}
	}()
	for metric := range ch {
		visit(metric)
	}
}

// total is the sum of one series over scrapers. It implements prometheus.Metric.
type total struct {
	desc *prometheus.Desc
	sum  *dto.Metric
}

func (t *total) Desc() *prometheus.Desc { return t.desc }

func (t *total) Write(out *dto.Metric) error {
	out.Label, out.Counter, out.Gauge = t.sum.Label, t.sum.Counter, t.sum.Gauge
	out.Summary, out.Histogram = t.sum.Summary, t.sum.Histogram
	return nil
}

// totals are keyed by description (name, help and label names) and label values.
type totals map[string]*total

func (ts totals) add(metric prometheus.Metric) {
	part := new(dto.Metric)
	if metric.Write(part) == nil {
		ts.merge(metric.Desc(), part)
	}
}

// addCumulative adds what outlives its scraper: everything but gauges.
func (ts totals) addCumulative(metric prometheus.Metric) {
	part := new(dto.Metric)
	if metric.Write(part) == nil && part.Gauge == nil {
		ts.merge(metric.Desc(), part)
	}
}

func (ts totals) clone() totals {
	copied := make(totals, len(ts))
	for _, t := range ts {
		copied.merge(t.desc, t.sum)
	}
	return copied
}

// merge adds part, which it does not keep.
func (ts totals) merge(desc *prometheus.Desc, part *dto.Metric) {
	description := desc.String()
	key := seriesKey(description, part.Label)
	t := ts[key]
	if t == nil {
		t = &total{desc: desc, sum: &dto.Metric{Label: part.Label}}
		ts[key] = t
	}
	switch {
	case part.Counter != nil:
		t.sum.Counter = &dto.Counter{Value: new(t.sum.GetCounter().GetValue() + part.Counter.GetValue())}
	case part.Gauge != nil:
		t.sum.Gauge = &dto.Gauge{Value: new(addGauge(description, t.sum.GetGauge().GetValue(), part.Gauge.GetValue()))}
	case part.Summary != nil:
		t.sum.Summary = addSummary(t.sum.GetSummary(), part.Summary)
	case part.Histogram != nil:
		t.sum.Histogram = addHistogram(t.sum.GetHistogram(), part.Histogram)
	}
}

// addGauge adds two gauges; of two points in time it takes the later.
func addGauge(description string, a, b float64) float64 {
	if strings.Contains(description, `_timestamp_seconds"`) {
		return max(a, b)
	}
	return a + b
}

func addSummary(a, b *dto.Summary) *dto.Summary {
	return &dto.Summary{
		SampleCount: new(a.GetSampleCount() + b.GetSampleCount()),
		SampleSum:   new(a.GetSampleSum() + b.GetSampleSum()),
	}
}

// addHistogram adds classic buckets. Both have the same bounds, since the same code made them.
func addHistogram(a, b *dto.Histogram) *dto.Histogram {
	sum := &dto.Histogram{
		SampleCount: new(a.GetSampleCount() + b.GetSampleCount()),
		SampleSum:   new(a.GetSampleSum() + b.GetSampleSum()),
	}
	for i, bucket := range b.GetBucket() {
		var before uint64
		if i < len(a.GetBucket()) {
			before = a.Bucket[i].GetCumulativeCount()
		}
		sum.Bucket = append(sum.Bucket, &dto.Bucket{
			UpperBound:      bucket.UpperBound,
			CumulativeCount: new(before + bucket.GetCumulativeCount()),
		})
	}
	return sum
}

func seriesKey(description string, pairs []*dto.LabelPair) string {
	var b strings.Builder
	b.WriteString(description)
	for _, pair := range pairs {
		b.WriteByte(0xff)
		b.WriteString(pair.GetName())
		b.WriteByte(0xff)
		b.WriteString(pair.GetValue())
	}
	return b.String()
}
