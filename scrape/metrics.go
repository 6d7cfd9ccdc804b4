package scrape

import (
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/discovery"
)

// Metrics are the prometheus_target_* and prometheus_sd_* metrics of all scrapers of a process, as
// one prometheus.Collector.
//
// They have Prometheus' names. Those of a job have the label instance_name beside scrape_job or
// config; all others are the sum over all scrapers. Summaries have a sum and a count and no
// quantiles.
type Metrics struct {
	full        bool
	loops       *loopMetrics
	mechanisms  *discovery.SDMetrics
	discoveries collectors // of mechanisms
	descs       discoveryDescs

	// mu comes before the mutex of a discoveries, since a collection holds it while it asks them.
	mu      sync.Mutex
	live    map[*discoveries]struct{}
	retired discoveryTotals

	// refreshMu comes after the mutex of a discoveries, which holds its own while it joins providers.
	refreshMu sync.Mutex
	refresh   map[refreshed]int // users of the refresh metrics
}

// MetricsDetail says how much is exposed about each job.
type MetricsDetail bool

const (
	// BasicMetrics are what dashboards and alerts need: 4 series for each job.
	BasicMetrics MetricsDetail = false
	// FullMetrics are all that Prometheus has.
	FullMetrics MetricsDetail = true
)

// NewMetrics makes the metrics of one process, or of one of several agents in a process. The
// discoveries that are to be used must be linked already (packages sd/light and sd/all). Register
// it where the process' metrics are registered.
func NewMetrics(detail MetricsDetail) (*Metrics, error) {
	full := detail == FullMetrics
	m := &Metrics{full: full, loops: newLoopMetrics(full), live: map[*discoveries]struct{}{}, refresh: map[refreshed]int{}, descs: newDiscoveryDescs()}
	mechanisms, err := discovery.CreateAndRegisterSDMetrics(&m.discoveries)
	if err != nil {
		return nil, fmt.Errorf("create discovery metrics: %w", err)
	}
	m.mechanisms = mechanisms
	return m, nil
}

// Describe implements prometheus.Collector. Nothing is described: the set depends on the Prometheus
// version linked.
func (m *Metrics) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.loops.collect(ch)
	m.discoveries.collect(ch)

	m.mu.Lock()
	totals := discoveryTotals{received: m.retired.received, sent: m.retired.sent, jobs: map[jobKey]discoveredJob{}}
	for d := range m.live {
		d.addTo(&totals)
	}
	m.mu.Unlock()
	totals.collect(ch, m.descs, m.full)
}

// refreshed names the metrics that all discoveries of one mechanism for jobs of one name share.
type refreshed struct{ mechanism, job string }

// useRefresh counts a user of the refresh metrics. Each call is to be made good by one of
// forgetRefresh.
func (m *Metrics) useRefresh(mechanism, job string) {
	m.refreshMu.Lock()
	defer m.refreshMu.Unlock()
	m.refresh[refreshed{mechanism, job}]++
}

// forgetRefresh takes the metrics away with their last user.
func (m *Metrics) forgetRefresh(mechanism, job string) {
	m.refreshMu.Lock()
	defer m.refreshMu.Unlock()
	key := refreshed{mechanism, job}
	if m.refresh[key]--; m.refresh[key] > 0 {
		return
	}
	delete(m.refresh, key)
	m.mechanisms.RefreshManager.DeleteLabelValues(mechanism, job)
}

func (m *Metrics) add(d *discoveries) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.live[d] = struct{}{}
}

// retire takes a stopped scraper's discoveries out and keeps what they counted.
func (m *Metrics) retire(d *discoveries) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, live := m.live[d]; !live {
		return
	}
	delete(m.live, d)
	gone := discoveryTotals{jobs: map[jobKey]discoveredJob{}}
	d.addTo(&gone)
	m.retired.received += gone.received
	m.retired.sent += gone.sent
}

// collectors is a registry of one owner that checks nothing, for metrics that are read only by this
// package. It implements prometheus.Registerer.
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

func (c *collectors) collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	list := c.list
	c.mu.Unlock()
	for _, p := range list {
		p.Collect(ch)
	}
}

// discoveryTotals are sums over the discoveries of all scrapers.
type discoveryTotals struct {
	failed, received, sent int
	jobs                   map[jobKey]discoveredJob
}

type discoveredJob struct {
	targets int
	updated float64 // unix seconds of the latest delivery
}

func (t *discoveryTotals) collect(ch chan<- prometheus.Metric, descs discoveryDescs, full bool) {
	send := func(desc *prometheus.Desc, kind prometheus.ValueType, v float64, values ...string) {
		ch <- prometheus.MustNewConstMetric(desc, kind, v, values...)
	}
	for key, job := range t.jobs {
		send(descs.targets, prometheus.GaugeValue, float64(job.targets), key.job, key.instance)
		if full {
			send(descs.updated, prometheus.GaugeValue, job.updated, key.job, key.instance)
		}
	}
	send(descs.failed, prometheus.GaugeValue, float64(t.failed))
	send(descs.received, prometheus.CounterValue, float64(t.received))
	send(descs.sent, prometheus.CounterValue, float64(t.sent))
}

// discoveryDescs describe what Prometheus' discovery manager would expose, under the name of its
// scrape manager.
type discoveryDescs struct {
	targets, updated, failed, received, sent *prometheus.Desc
}

func newDiscoveryDescs() discoveryDescs {
	desc := func(name, help string, variable ...string) *prometheus.Desc {
		return prometheus.NewDesc("prometheus_sd_"+name, help, variable, prometheus.Labels{"name": "scrape"})
	}
	return discoveryDescs{
		targets:  desc("discovered_targets", "Current number of discovered targets.", "config", "instance_name"),
		updated:  desc("last_update_timestamp_seconds", "Timestamp of the last update sent to the SD consumers.", "config", "instance_name"),
		failed:   desc("failed_configs", "Current number of service discovery configurations that failed to load."),
		received: desc("received_updates_total", "Total number of update events received from the SD providers."),
		sent:     desc("updates_total", "Total number of update events sent to the SD consumers."),
	}
}
