package remotewrite

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

const metricPrefix = "prometheus_remote_storage_"

// Metrics is the Prometheus collector of all endpoints of a process. An endpoint costs it one map
// entry; its series vanish with it. Endpoints with equal labels, as while an instance is handed
// over between two queues of one process, are summed.
//
// The names are Prometheus' own, so that its dashboards work. Where ours mean something more exact:
// samples_total counts what was acknowledged, samples_failed_total what the receiver refused,
// samples_dropped_total what was not sent for any other reason, and samples_pending what waits in
// the log, not just in memory. Nothing is counted twice, so that at every instant
//
//	samples_committed_total = samples_total + histograms_total + samples_failed_total + histograms_failed_total
//	                        + sum(samples_dropped_total) + sum(histograms_dropped_total) + samples_pending
//
// A name that counts histograms, exemplars, metadata or repetitions appears for an endpoint once
// its count is not 0, and settings of the queue only in the full set, so that an endpoint has 13
// series in the basic one.
//
// A nil *Metrics collects nothing.
type Metrics struct {
	full bool

	mu      sync.Mutex
	ledgers map[*ledger]struct{}
	// givenUp counts the samples of endpoints that are no more.
	givenUp uint64
}

// MetricsDetail says how much is exposed about each endpoint.
type MetricsDetail bool

const (
	// BasicMetrics are what dashboards and alerts need.
	BasicMetrics MetricsDetail = false
	// FullMetrics are all, zeros included.
	FullMetrics MetricsDetail = true
)

// NewMetrics returns a collector that the caller registers.
func NewMetrics(detail MetricsDetail) *Metrics {
	return &Metrics{full: detail == FullMetrics, ledgers: map[*ledger]struct{}{}}
}

func (m *Metrics) add(l *ledger) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ledgers[l] = struct{}{}
}

func (m *Metrics) remove(l *ledger) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.ledgers, l)
}

// GivenUp notes that the block of an endpoint was removed before it had sent n samples.
func (m *Metrics) GivenUp(n uint64) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.givenUp += n
}

// metric is one exported name and how its value is read from an account.
type metric struct {
	name, help string
	kind       prometheus.ValueType
	value      func(*ledger) float64
	// newest: of equal labels the largest value counts, not the sum.
	newest bool
	// rare: in the basic set it is left out while it is 0.
	rare bool
	// setting: only the full set has it.
	setting bool
}

// shown reports whether an endpoint exposes a value.
func (m *metric) shown(full bool, value float64) bool {
	return full || !m.setting && (!m.rare || value != 0)
}

// dropMetric is a name that is exported once per reason.
type dropMetric struct {
	name, help string
	kind       kind
}

func metrics() []metric {
	counter, gauge := prometheus.CounterValue, prometheus.GaugeValue
	return []metric{
		{name: "samples_total", help: "Float samples acknowledged by the receiver.", kind: counter, value: func(l *ledger) float64 { return float64(l.sent[floatKind]) }},
		{name: "histograms_total", help: "Native histograms acknowledged by the receiver.", kind: counter, value: func(l *ledger) float64 { return float64(l.sent[histogramKind]) }, rare: true},
		{name: "exemplars_total", help: "Exemplars acknowledged by the receiver.", kind: counter, value: func(l *ledger) float64 { return float64(l.sent[exemplarKind]) }, rare: true},
		{name: "metadata_total", help: "Metadata entries acknowledged by the receiver.", kind: counter, value: func(l *ledger) float64 { return float64(l.metadata.sent) }, rare: true},
		{name: "samples_failed_total", help: "Float samples that the receiver refused for good.", kind: counter, value: failedOf(floatKind)},
		{name: "histograms_failed_total", help: "Native histograms that the receiver refused for good.", kind: counter, value: failedOf(histogramKind), rare: true},
		{name: "exemplars_failed_total", help: "Exemplars that the receiver refused for good.", kind: counter, value: failedOf(exemplarKind), rare: true},
		{name: "metadata_failed_total", help: "Metadata entries that were given up.", kind: counter, value: func(l *ledger) float64 { return float64(l.metadata.failed) }, rare: true},
		{name: "samples_retried_total", help: "Float samples in requests that were repeated.", kind: counter, value: func(l *ledger) float64 { return float64(l.retried[floatKind]) }},
		{name: "histograms_retried_total", help: "Native histograms in requests that were repeated.", kind: counter, value: func(l *ledger) float64 { return float64(l.retried[histogramKind]) }, rare: true},
		{name: "exemplars_retried_total", help: "Exemplars in requests that were repeated.", kind: counter, value: func(l *ledger) float64 { return float64(l.retried[exemplarKind]) }, rare: true},
		{name: "metadata_retried_total", help: "Metadata entries in requests that were repeated.", kind: counter, value: func(l *ledger) float64 { return float64(l.metadata.retried) }, rare: true},
		{name: "bytes_total", help: "Compressed bytes of acknowledged requests, metadata apart.", kind: counter, value: func(l *ledger) float64 { return float64(l.bytes) }},
		{name: "metadata_bytes_total", help: "Compressed bytes of acknowledged metadata requests.", kind: counter, value: func(l *ledger) float64 { return float64(l.metadata.bytes) }, rare: true},
		{name: "samples_committed_total", help: "Samples and histograms committed to the log since the endpoint's start position.", kind: counter, value: func(l *ledger) float64 { return float64(l.committedLocked()) }},
		{name: "samples_repeated_total", help: "The part of what was acknowledged that the receiver refused because it had it already.", kind: counter, value: func(l *ledger) float64 { return float64(l.had) }, rare: true},
		{name: "samples_pending", help: "Samples and histograms that wait in the log.", kind: gauge, value: func(l *ledger) float64 { return float64(l.pendingLocked()) }},
		{name: "shards", help: "Lanes: parallel senders.", kind: gauge, value: func(l *ledger) float64 { return float64(l.lanes) }},
		{name: "shards_desired", help: "Lanes that the backlog asks for.", kind: gauge, value: func(l *ledger) float64 { return float64(l.lanes) }},
		{name: "shards_min", help: "Smallest number of lanes.", kind: gauge, value: func(l *ledger) float64 { return float64(l.minLanes) }},
		{name: "shards_max", help: "Largest number of lanes.", kind: gauge, value: func(l *ledger) float64 { return float64(l.maxLanes) }},
		{name: "shard_capacity", help: "Configured capacity of a lane.", kind: gauge, value: func(l *ledger) float64 { return float64(l.capacity) }},
		{name: "enqueue_retries_total", help: "Attempts to hand samples to a full lane: always 0, since lanes read the log by themselves.", kind: counter, value: func(*ledger) float64 { return 0 }, setting: true},
		{name: "max_samples_per_send", help: "Largest number of samples in a request.", kind: gauge, value: func(l *ledger) float64 { return float64(l.perSend) }, setting: true},
		{name: "highest_timestamp_in_seconds", help: "Newest timestamp in the log, as far as known: the newest one read, or the time of the latest commit that waits.", kind: gauge, value: highestTimestamp, newest: true},
		{name: "queue_highest_sent_timestamp_seconds", help: "Newest acknowledged timestamp.", kind: gauge, value: func(l *ledger) float64 { return float64(l.highestSent / 1000) }, newest: true},
	}
}

func dropMetrics() []dropMetric {
	return []dropMetric{
		{"samples_dropped_total", "Float samples that were given up for another reason than a refusal.", floatKind},
		{"histograms_dropped_total", "Native histograms that were given up for another reason than a refusal.", histogramKind},
		{"exemplars_dropped_total", "Exemplars that were given up for another reason than a refusal.", exemplarKind},
	}
}

func failedOf(k kind) func(*ledger) float64 {
	return func(l *ledger) float64 {
		var n uint64
		for r := range numReasons {
			if r.failed() {
				n += l.dropped[r][k]
			}
		}
		return float64(n)
	}
}

// highestTimestamp grows while samples wait, though they aren't read yet: alerts compare it with
// the newest one sent.
func highestTimestamp(l *ledger) float64 {
	highest := l.highestRead
	if l.pendingLocked() > 0 {
		highest = max(highest, l.lastCommit.Load())
	}
	return float64(highest / 1000)
}

func desc(name, help string, more ...string) *prometheus.Desc {
	return prometheus.NewDesc(metricPrefix+name, help, append([]string{"remote_name", "url", "instance_name"}, more...), nil)
}

// givenUpDesc belongs to the process: the endpoints are no more.
func givenUpDesc() *prometheus.Desc {
	return prometheus.NewDesc(metricPrefix+"samples_given_up_total",
		"Samples that waited for an endpoint when its remote_write block was removed.", []string{"reason"}, nil)
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(out chan<- *prometheus.Desc) {
	out <- givenUpDesc()
	for _, mt := range metrics() {
		out <- desc(mt.name, mt.help)
	}
	for _, mt := range dropMetrics() {
		out <- desc(mt.name, mt.help, "reason")
	}
}

// sample is one endpoint's values, or the sum over endpoints with equal labels.
type sample struct {
	values  []float64
	dropped [numReasons][numKinds]float64
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(out chan<- prometheus.Metric) {
	definitions, drops := metrics(), dropMetrics()
	m.mu.Lock()
	givenUp := m.givenUp
	m.mu.Unlock()
	if m.full || givenUp > 0 {
		out <- prometheus.MustNewConstMetric(givenUpDesc(), prometheus.CounterValue, float64(givenUp), EndpointRemoved.String())
	}
	for labels, s := range m.gather(definitions) {
		for i, mt := range definitions {
			if mt.shown(m.full, s.values[i]) {
				out <- prometheus.MustNewConstMetric(desc(mt.name, mt.help), mt.kind, s.values[i], labels[:]...)
			}
		}
		for _, mt := range drops {
			d := desc(mt.name, mt.help, "reason")
			for r := range numReasons {
				// A reason that never occurred would be thirty empty series per endpoint.
				if n := s.dropped[r][mt.kind]; n > 0 && !r.failed() {
					out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, n, append(labels[:3:3], r.String())...)
				}
			}
		}
	}
}

func (m *Metrics) gather(definitions []metric) map[[3]string]*sample {
	m.mu.Lock()
	ledgers := make([]*ledger, 0, len(m.ledgers))
	for l := range m.ledgers {
		ledgers = append(ledgers, l)
	}
	m.mu.Unlock()
	samples := map[[3]string]*sample{}
	for _, l := range ledgers {
		l.mu.Lock()
		key := [3]string{l.name, l.url, l.instance}
		s := samples[key]
		if s == nil {
			s = &sample{values: make([]float64, len(definitions))}
			samples[key] = s
		}
		for i, mt := range definitions {
			if v := mt.value(l); mt.newest {
				s.values[i] = max(s.values[i], v)
			} else {
				s.values[i] += v
			}
		}
		for r := range numReasons {
			for k, n := range l.dropped[r] {
				s.dropped[r][k] += float64(n)
			}
		}
		l.mu.Unlock()
	}
	return samples
}
