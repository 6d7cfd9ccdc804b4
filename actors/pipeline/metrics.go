package pipeline

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ringmaster-agent/ringmaster/wal"
)

// liveLogs are the logs of all live pipelines, and a collector that shows them. The names are those that dashboards of the retired service use, where it
// had one.
type liveLogs struct {
	mu        sync.Mutex
	pipelines map[*Pipeline]struct{}
	shown     []shownStat
}

// shownStat is one metric that is read off a log's statistics.
type shownStat struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(wal.Stats) float64
}

func newLiveLogs() *liveLogs {
	shown := func(kind prometheus.ValueType, name, help string, value func(wal.Stats) float64) shownStat {
		return shownStat{prometheus.NewDesc(name, help, []string{"instance_name"}, nil), kind, value}
	}
	return &liveLogs{
		pipelines: map[*Pipeline]struct{}{},
		shown: []shownStat{
			shown(prometheus.GaugeValue, "agent_wal_storage_active_series", "Series that the log knows.",
				func(s wal.Stats) float64 { return float64(s.ActiveSeries) }),
			shown(prometheus.CounterValue, "agent_wal_samples_appended_total", "Samples that were committed to the log.",
				func(s wal.Stats) float64 { return float64(s.SamplesAppended) }),
			shown(prometheus.CounterValue, "agent_wal_exemplars_appended_total", "Exemplars that were committed to the log.",
				func(s wal.Stats) float64 { return float64(s.ExemplarsAppended) }),
			shown(prometheus.GaugeValue, "wal_storage_bytes", "Size of the log on disk.",
				func(s wal.Stats) float64 { return float64(s.Bytes) }),
			shown(prometheus.GaugeValue, "wal_segments", "Segments of the log on disk.",
				func(s wal.Stats) float64 { return float64(s.Segments) }),
			shown(prometheus.CounterValue, "wal_write_errors_total", "Writes, syncs and removals of the log that failed, those that a second attempt made good included.",
				func(s wal.Stats) float64 { return float64(s.WriteErrors) }),
			shown(prometheus.CounterValue, "wal_samples_damaged_total", "Samples that could not be read back, as met by each endpoint for itself.",
				func(s wal.Stats) float64 { return float64(s.SamplesDamaged) }),
			shown(prometheus.CounterValue, "wal_samples_truncated_total", "Samples that went at the log's cap on age or size before every endpoint had sent them.",
				func(s wal.Stats) float64 { return float64(s.SamplesTruncated) }),
		},
	}
}

func (m *liveLogs) add(p *Pipeline) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pipelines[p] = struct{}{}
}

func (m *liveLogs) remove(p *Pipeline) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.pipelines, p)
}

// names are the keys of the units whose logs are open.
func (m *liveLogs) names() map[string]bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := make(map[string]bool, len(m.pipelines))
	for p := range m.pipelines {
		names[p.name] = true
	}
	return names
}

// prune applies retention to every live log.
func (m *liveLogs) prune() {
	m.mu.Lock()
	logs := make([]*wal.Log, 0, len(m.pipelines))
	for p := range m.pipelines {
		logs = append(logs, p.log)
	}
	m.mu.Unlock()
	for _, log := range logs {
		log.Prune()
	}
}

// Describe implements prometheus.Collector.
func (m *liveLogs) Describe(out chan<- *prometheus.Desc) {
	for _, s := range m.shown {
		out <- s.desc
	}
}

// Collect implements prometheus.Collector.
func (m *liveLogs) Collect(out chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for p := range m.pipelines {
		stats := p.log.Stats()
		for _, s := range m.shown {
			out <- prometheus.MustNewConstMetric(s.desc, s.kind, s.value(stats), p.name)
		}
	}
}
