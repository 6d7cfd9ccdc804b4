package remotewrite

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

const metricPrefix = "prometheus_remote_storage_"

// Metrics is the Prometheus collector of all endpoints of a process. An endpoint costs it one map entry; its series vanish with it.
// Endpoints with equal labels, as while an instance is handed over between two queues of one process, are summed.
//
// The names are Prometheus' own, so that its dashboards work. Where ours mean something more exact: samples_total counts what was
// acknowledged, samples_dropped_total has every reason (samples_failed_total is the part of it that the receiver refused), and
// samples_pending is what waits in the log, not just in memory; so samples_total + histograms_total + dropped + pending is everything
// committed since the endpoint started. A nil *Metrics collects nothing.
type Metrics struct {
	mu      sync.Mutex
	ledgers map[*ledger]struct{}
}

// NewMetrics returns a collector that the caller registers.
func NewMetrics() *Metrics { return &Metrics{ledgers: map[*ledger]struct{}{}} }

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

// metric is one exported name and how its value is read from an account.
type metric struct {
	name, help string
	kind       prometheus.ValueType
	value      func(*ledger) float64
	// newest: of equal labels the largest value counts, not the sum.
	newest bool
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
		{name: "histograms_total", help: "Native histograms acknowledged by the receiver.", kind: counter, value: func(l *ledger) float64 { return float64(l.sent[histogramKind]) }},
		{name: "exemplars_total", help: "Exemplars acknowledged by the receiver.", kind: counter, value: func(l *ledger) float64 { return float64(l.sent[exemplarKind]) }},
		{name: "metadata_total", help: "Metadata entries acknowledged by the receiver.", kind: counter, value: func(l *ledger) float64 { return float64(l.metadata.sent) }},
		{name: "samples_failed_total", help: "Float samples that the receiver refused for good.", kind: counter, value: failedOf(floatKind)},
		{name: "histograms_failed_total", help: "Native histograms that the receiver refused for good.", kind: counter, value: failedOf(histogramKind)},
		{name: "exemplars_failed_total", help: "Exemplars that the receiver refused for good.", kind: counter, value: failedOf(exemplarKind)},
		{name: "metadata_failed_total", help: "Metadata entries that were given up.", kind: counter, value: func(l *ledger) float64 { return float64(l.metadata.failed) }},
		{name: "samples_retried_total", help: "Float samples in requests that were repeated.", kind: counter, value: func(l *ledger) float64 { return float64(l.retried[floatKind]) }},
		{name: "histograms_retried_total", help: "Native histograms in requests that were repeated.", kind: counter, value: func(l *ledger) float64 { return float64(l.retried[histogramKind]) }},
		{name: "exemplars_retried_total", help: "Exemplars in requests that were repeated.", kind: counter, value: func(l *ledger) float64 { return float64(l.retried[exemplarKind]) }},
		{name: "metadata_retried_total", help: "Metadata entries in requests that were repeated.", kind: counter, value: func(l *ledger) float64 { return float64(l.metadata.retried) }},
		{name: "bytes_total", help: "Compressed bytes of acknowledged requests, metadata apart.", kind: counter, value: func(l *ledger) float64 { return float64(l.bytes) }},
		{name: "metadata_bytes_total", help: "Compressed bytes of acknowledged metadata requests.", kind: counter, value: func(l *ledger) float64 { return float64(l.metadata.bytes) }},
		{name: "samples_pending", help: "Samples and histograms that wait in the log.", kind: gauge, value: func(l *ledger) float64 { return float64(l.pendingLocked()) }},
		{name: "shards", help: "Lanes: parallel senders.", kind: gauge, value: func(l *ledger) float64 { return float64(l.lanes) }},
		{name: "shards_desired", help: "Lanes that the backlog asks for.", kind: gauge, value: func(l *ledger) float64 { return float64(l.lanes) }},
		{name: "shards_min", help: "Smallest number of lanes.", kind: gauge, value: func(l *ledger) float64 { return float64(l.minLanes) }},
		{name: "shards_max", help: "Largest number of lanes.", kind: gauge, value: func(l *ledger) float64 { return float64(l.maxLanes) }},
		{name: "shard_capacity", help: "Configured capacity of a lane.", kind: gauge, value: func(l *ledger) float64 { return float64(l.capacity) }},
		{name: "max_samples_per_send", help: "Largest number of samples in a request.", kind: gauge, value: func(l *ledger) float64 { return float64(l.perSend) }},
		{name: "highest_timestamp_in_seconds", help: "Newest timestamp in the log, as far as known: the newest one read, or the time of the latest commit that waits.", kind: gauge, value: highestTimestamp, newest: true},
		{name: "queue_highest_sent_timestamp_seconds", help: "Newest acknowledged timestamp.", kind: gauge, value: func(l *ledger) float64 { return float64(l.highestSent / 1000) }, newest: true},
	}
}

func dropMetrics() []dropMetric {
	return []dropMetric{
		{"samples_dropped_total", "Float samples that were not sent, by reason.", floatKind},
		{"histograms_dropped_total", "Native histograms that were not sent, by reason.", histogramKind},
		{"exemplars_dropped_total", "Exemplars that were not sent, by reason.", exemplarKind},
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

// highestTimestamp grows while samples wait, though they aren't read yet: alerts compare it with the newest one sent.
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

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(out chan<- *prometheus.Desc) {
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
	for labels, s := range m.gather(definitions) {
		for i, mt := range definitions {
			out <- prometheus.MustNewConstMetric(desc(mt.name, mt.help), mt.kind, s.values[i], labels[:]...)
		}
		for _, mt := range drops {
			d := desc(mt.name, mt.help, "reason")
			for r := range numReasons {
				// A reason that never occurred would be thirty empty series per endpoint.
				if n := s.dropped[r][mt.kind]; n > 0 {
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
