package scrape

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
)

// loopMetrics are what Prometheus' scrape manager exposes about itself, once for all scrapers of a
// process.
type loopMetrics struct {
	full bool
	// unseen takes what only the full set exposes.
	unseen jobMetrics

	pools, reloads, reloadsFailed, exceededTargetLimit    prometheus.Counter
	bodySize, flushForced, sampleLimit, bucketLimit       prometheus.Counter
	duplicates, outOfOrder, outOfBounds, exemplars        prometheus.Counter
	labelLimits, skipped, vetoed, ticksVetoed, notCarried prometheus.Counter
	cpuWait                                               prometheus.Counter
	duration                                              prometheus.Histogram
	reloadLength, intervalLength, syncLength              *prometheus.SummaryVec
	intervalHistogram, syncHistogram                      *prometheus.HistogramVec
	limits, targets, symbols, metadataCount, metadataSize *prometheus.GaugeVec
	syncs, syncsFailed, overBudget                        *prometheus.CounterVec

	collectors []prometheus.Collector

	mu        sync.Mutex
	jobs      map[jobKey]*jobMetrics
	intervals map[time.Duration]*intervalMetrics
}

// jobLabels are the labels of metrics of a job.
var jobLabels = []string{"scrape_job", "instance_name"}

// jobKey names a job: job names are unique within an instance.
type jobKey struct{ instance, job string }

// jobMetrics are those of one job, which several scrapers share while an instance is handed over
// within a process.
type jobMetrics struct {
	users                                           int
	limit, targets, symbols, metaEntries, metaBytes prometheus.Gauge
	syncs, syncsFailed                              prometheus.Counter
	syncLength, syncHistogram                       prometheus.Observer
}

// intervalMetrics are those of all targets with one interval.
type intervalMetrics struct{ length, histogram prometheus.Observer }

func newLoopMetrics(full bool) *loopMetrics {
	m := &loopMetrics{full: full, jobs: map[jobKey]*jobMetrics{}, intervals: map[time.Duration]*intervalMetrics{}}
	m.pools = m.counter("prometheus_target_scrape_pools_total", "Total number of scrape pool creation attempts.")
	m.counter("prometheus_target_scrape_pools_failed_total", "Total number of scrape pool creations that failed.")
	m.reloads = m.counter("prometheus_target_scrape_pool_reloads_total", "Total number of scrape pool reloads.")
	m.reloadsFailed = m.counter("prometheus_target_scrape_pool_reloads_failed_total", "Total number of failed scrape pool reloads.")
	m.exceededTargetLimit = m.counter("prometheus_target_scrape_pool_exceeded_target_limit_total",
		"Total number of times scrape pools hit the target limit, during sync or config reload.")
	m.bodySize = m.counter("prometheus_target_scrapes_exceeded_body_size_limit_total", "Total number of scrapes that hit the body size limit")
	m.flushForced = m.counter("prometheus_target_scrapes_cache_flush_forced_total",
		"How many times a scrape cache was flushed due to getting big while scrapes are failing.")
	m.sampleLimit = m.counter("prometheus_target_scrapes_exceeded_sample_limit_total",
		"Total number of scrapes that hit the sample limit and were rejected.")
	m.bucketLimit = m.counter("prometheus_target_scrapes_exceeded_native_histogram_bucket_limit_total",
		"Total number of scrapes that hit the native histogram bucket limit and were rejected.")
	m.duplicates = m.counter("prometheus_target_scrapes_sample_duplicate_timestamp_total",
		"Total number of samples rejected due to duplicate timestamps but different values.")
	m.outOfOrder = m.counter("prometheus_target_scrapes_sample_out_of_order_total",
		"Total number of samples rejected due to not being out of the expected order.")
	m.outOfBounds = m.counter("prometheus_target_scrapes_sample_out_of_bounds_total",
		"Total number of samples rejected due to timestamp falling outside of the time bounds.")
	m.exemplars = m.counter("prometheus_target_scrapes_exemplar_out_of_order_total",
		"Total number of exemplar rejected due to not being out of the expected order.")
	m.labelLimits = m.counter("prometheus_target_scrape_pool_exceeded_label_limits_total",
		"Total number of times scrape pools hit the label limits, during sync or config reload.")
	m.skipped = m.counter("scrape_ticks_skipped_total", "Ticks of targets that passed without a scrape because the one before took too long.")
	m.vetoed = m.counter("scrape_vetoed_total", "Scrapes that were not begun or not committed because the instance had no permit.")
	m.ticksVetoed = m.counter("scrape_ticks_vetoed_total", "Ticks of targets that passed without a scrape because the instance had no permit.")
	m.notCarried = m.counter("scrape_handover_left_out_total", "Targets and open series that a handover to another node had no room for.")
	m.cpuWait = m.counter("scrape_processor_wait_seconds_total",
		"How long scrapes that take much processor time have waited for each other, so that others need not.")
	m.overBudget = collected(m, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "scrape_limits_exceeded_total",
		Help: "Scrapes and requests that failed because their config, or the process, was at a limit. The API says which config.",
	}, []string{"limit"}))
	for _, reason := range budgetReasons {
		m.overBudget.WithLabelValues(reason)
	}
	m.perInterval()
	m.perJob()
	return m
}

func (m *loopMetrics) perInterval() {
	m.duration = collected(m, prometheus.NewHistogram(nativeHistogram("prometheus_target_scrape_duration_seconds",
		"Total duration of the scrape from start to commit completion in seconds.", nil)))
	m.reloadLength = m.summary("prometheus_target_reload_length_seconds",
		"Actual interval to reload the scrape pool with a given configuration.", "interval")
	m.intervalLength = m.summary("prometheus_target_interval_length_seconds", "Actual intervals between scrapes.", "interval")
	m.intervalHistogram = m.histogram("prometheus_target_interval_length_histogram_seconds", "Actual intervals between scrapes.", "interval")
}

func (m *loopMetrics) perJob() {
	m.targets = m.gauge("prometheus_target_scrape_pool_targets", "Current number of targets in this scrape pool.")
	m.syncLength = m.summary("prometheus_target_sync_length_seconds", "Actual interval to sync the scrape pool.", jobLabels...)
	if !m.full {
		m.hideDetail()
		return
	}
	m.limits = m.gauge("prometheus_target_scrape_pool_target_limit", "Maximum number of targets allowed in this scrape pool.")
	m.symbols = m.gauge("prometheus_target_scrape_pool_symboltable_items", "Current number of symbols in table for this scrape pool.")
	m.metadataCount = m.gauge("prometheus_target_metadata_cache_entries", "Total number of metric metadata entries in the cache")
	m.metadataSize = m.gauge("prometheus_target_metadata_cache_bytes",
		"The number of bytes that are currently used for storing metric metadata in the cache")
	m.syncs = m.counterVec("prometheus_target_scrape_pool_sync_total", "Total number of syncs that were executed on a scrape pool.")
	m.syncsFailed = m.counterVec("prometheus_target_sync_failed_total", "Total number of target sync failures.")
	m.syncHistogram = m.histogram("prometheus_target_sync_length_histogram_seconds", "Actual interval to sync the scrape pool.", jobLabels...)
}

// hideDetail lets all jobs share metrics that nobody collects.
func (m *loopMetrics) hideDetail() {
	gauge, counter := prometheus.NewGauge(prometheus.GaugeOpts{Name: "unseen"}), prometheus.NewCounter(prometheus.CounterOpts{Name: "unseen"})
	m.unseen = jobMetrics{limit: gauge, symbols: gauge, metaEntries: gauge, metaBytes: gauge, syncs: counter, syncsFailed: counter,
		syncHistogram: prometheus.ObserverFunc(func(float64) {})}
}

func collected[C prometheus.Collector](m *loopMetrics, c C) C {
	m.collectors = append(m.collectors, c)
	return c
}

func (m *loopMetrics) counter(name, help string) prometheus.Counter {
	return collected(m, prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help}))
}

func (m *loopMetrics) counterVec(name, help string) *prometheus.CounterVec {
	return collected(m, prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, jobLabels))
}

func (m *loopMetrics) gauge(name, help string) *prometheus.GaugeVec {
	return collected(m, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, jobLabels))
}

// summary has no quantiles: they would cost each scrape more than the rest of its bookkeeping.
func (m *loopMetrics) summary(name, help string, labels ...string) *prometheus.SummaryVec {
	return collected(m, prometheus.NewSummaryVec(prometheus.SummaryOpts{Name: name, Help: help}, labels))
}

func (m *loopMetrics) histogram(name, help string, labels ...string) *prometheus.HistogramVec {
	return collected(m, prometheus.NewHistogramVec(nativeHistogram(name, help, []float64{.01, .1, 1, 10}), labels))
}

func nativeHistogram(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  100,
		NativeHistogramMinResetDuration: time.Hour,
	}
}

// job returns the metrics of a job. Each call is to be made good by one of forgetJob.
func (m *loopMetrics) job(key jobKey) *jobMetrics {
	m.mu.Lock()
	defer m.mu.Unlock()
	j := m.jobs[key]
	if j == nil {
		j = m.newJob(key)
		m.jobs[key] = j
	}
	j.users++
	return j
}

func (m *loopMetrics) newJob(key jobKey) *jobMetrics {
	values := []string{key.job, key.instance}
	j := m.unseen
	j.targets, j.syncLength = m.targets.WithLabelValues(values...), m.syncLength.WithLabelValues(values...)
	if !m.full {
		return &j
	}
	j.limit, j.symbols = m.limits.WithLabelValues(values...), m.symbols.WithLabelValues(values...)
	j.metaEntries, j.metaBytes = m.metadataCount.WithLabelValues(values...), m.metadataSize.WithLabelValues(values...)
	j.syncs, j.syncsFailed = m.syncs.WithLabelValues(values...), m.syncsFailed.WithLabelValues(values...)
	j.syncHistogram = m.syncHistogram.WithLabelValues(values...)
	return &j
}

// forgetJob takes the series of a job away when nobody has that job any more.
func (m *loopMetrics) forgetJob(key jobKey) {
	m.mu.Lock()
	defer m.mu.Unlock()
	j := m.jobs[key]
	if j.users--; j.users > 0 {
		return
	}
	delete(m.jobs, key)
	type vector interface{ DeleteLabelValues(...string) bool }
	vectors := []vector{m.targets, m.syncLength}
	if m.full {
		vectors = append(vectors, m.limits, m.symbols, m.metadataCount, m.metadataSize, m.syncs, m.syncsFailed, m.syncHistogram)
	}
	for _, v := range vectors {
		v.DeleteLabelValues(key.job, key.instance)
	}
}

// metadata adds to what is cached.
func (j *jobMetrics) metadata(entries, bytes int) {
	j.metaEntries.Add(float64(entries))
	j.metaBytes.Add(float64(bytes))
}

// interval returns the metrics of targets with an interval. They stay; there are few intervals.
func (m *loopMetrics) interval(d time.Duration) *intervalMetrics {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.intervals[d]
	if i == nil {
		name := d.String()
		i = &intervalMetrics{m.intervalLength.WithLabelValues(name), m.intervalHistogram.WithLabelValues(name)}
		m.intervals[d] = i
	}
	return i
}

func (i *intervalMetrics) observe(seconds float64) {
	i.length.Observe(seconds)
	i.histogram.Observe(seconds)
}

// reloaded counts a changed job and how long its change took.
func (m *loopMetrics) reloaded(interval model.Duration, took time.Duration) {
	m.reloads.Inc()
	m.reloadLength.WithLabelValues(time.Duration(interval).String()).Observe(took.Seconds())
}

func (m *loopMetrics) collect(ch chan<- prometheus.Metric) {
	for _, c := range m.collectors {
		c.Collect(ch)
	}
}
