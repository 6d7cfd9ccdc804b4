package pipeline

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/scrape"
	"github.com/ringmaster-agent/ringmaster/wal"
)

// liveLogs are the logs of all live pipelines, and a collector that shows them. Where Grafana Agent
// static mode had a name for a metric, it is used.
type liveLogs struct {
	full      bool
	mu        sync.Mutex
	pipelines map[*Pipeline]struct{}
	shown     []shownStat
	unsynced  *prometheus.Desc
	targets   *prometheus.Desc
	syncer    *wal.Syncer
}

// shownStat is one metric that is read off a log's statistics.
type shownStat struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(wal.Stats) float64
	// rare: the basic set leaves it out while it is 0. fullOnly: it always does.
	rare, fullOnly bool
}

func newLiveLogs(syncer *wal.Syncer, everything bool) *liveLogs {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, []string{"instance_name"}, nil)
	}
	shown := func(kind prometheus.ValueType, name, help string, value func(wal.Stats) float64) shownStat {
		return shownStat{desc: desc(name, help), kind: kind, value: value}
	}
	rare := func(name, help string, value func(wal.Stats) float64) shownStat {
		s := shown(prometheus.CounterValue, name, help, value)
		s.rare = true
		return s
	}
	full := func(kind prometheus.ValueType, name, help string, value func(wal.Stats) float64) shownStat {
		s := shown(kind, name, help, value)
		s.fullOnly = true
		return s
	}
	return &liveLogs{
		full:      everything,
		pipelines: map[*Pipeline]struct{}{},
		syncer:    syncer,
		unsynced: prometheus.NewDesc("wal_oldest_unsynced_seconds",
			"Age of the oldest write to any log that is not durable yet: what a loss of power would cost now.", nil, nil),
		targets: prometheus.NewDesc("agent_metrics_targets", "Targets that this node scrapes, by what their last scrape said.", []string{"state"}, nil),
		shown: []shownStat{
			shown(prometheus.GaugeValue, "agent_wal_storage_active_series", "Series that the log knows.",
				func(s wal.Stats) float64 { return float64(s.ActiveSeries) }),
			shown(prometheus.CounterValue, "agent_wal_samples_appended_total", "Samples that were committed to the log.",
				func(s wal.Stats) float64 { return float64(s.SamplesAppended) }),
			rare("agent_wal_exemplars_appended_total", "Exemplars that were committed to the log.",
				func(s wal.Stats) float64 { return float64(s.ExemplarsAppended) }),
			rare("wal_samples_overtaken_total", "Samples that were not written, because a newer one of the series was committed while they were collected.",
				func(s wal.Stats) float64 { return float64(s.SamplesOvertaken) }),
			shown(prometheus.GaugeValue, "wal_storage_bytes", "Size of the log on disk.",
				func(s wal.Stats) float64 { return float64(s.Bytes) }),
			full(prometheus.GaugeValue, "wal_segments", "Segments of the log on disk.",
				func(s wal.Stats) float64 { return float64(s.Segments) }),
			rare("wal_write_errors_total", "Writes, syncs and removals of the log that failed, those that a second attempt made good included.",
				func(s wal.Stats) float64 { return float64(s.WriteErrors) }),
			rare("wal_samples_damaged_total", "Samples that could not be read back, as met by each endpoint for itself.",
				func(s wal.Stats) float64 { return float64(s.SamplesDamaged) }),
			rare("agent_wal_out_of_order_samples_total", "Samples that were refused because a newer one of their series was in the log.",
				func(s wal.Stats) float64 { return float64(s.SamplesOutOfOrder) }),
			full(prometheus.CounterValue, "agent_wal_storage_created_series_total", "Series that the log got to know.",
				func(s wal.Stats) float64 { return float64(s.SeriesCreated) }),
			full(prometheus.CounterValue, "agent_wal_storage_removed_series_total", "Series that the log has forgotten, since nothing was written to them.",
				func(s wal.Stats) float64 { return float64(s.SeriesRemoved) }),
			full(prometheus.GaugeValue, "agent_wal_storage_deleted_series", "Forgotten series that the log still keeps: always 0, since it keeps none.",
				func(wal.Stats) float64 { return 0 }),
			full(prometheus.GaugeValue, "prometheus_wal_watcher_current_segment", "Number of the segment that is written to.",
				func(s wal.Stats) float64 { return float64(s.Segment) }),
			rare("wal_samples_truncated_total", "Samples that went at the log's cap on age or size before every endpoint had sent them.",
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
	pipelines := make([]*Pipeline, 0, len(m.pipelines))
	for p := range m.pipelines {
		pipelines = append(pipelines, p)
	}
	m.mu.Unlock()
	for _, p := range pipelines {
		if err := p.tidy(time.Now()); err != nil {
			p.logger.Warn("cannot remove the cursor of a removed endpoint; its samples stay in the WAL until the cap", zap.Error(err))
		}
		p.log.Prune()
	}
}

// Describe implements prometheus.Collector.
func (m *liveLogs) Describe(out chan<- *prometheus.Desc) {
	for _, s := range m.shown {
		out <- s.desc
	}
	out <- m.unsynced
	out <- m.targets
}

// Collect implements prometheus.Collector.
func (m *liveLogs) Collect(out chan<- prometheus.Metric) {
	out <- prometheus.MustNewConstMetric(m.unsynced, prometheus.GaugeValue, m.syncer.OldestUnsynced().Seconds())
	m.mu.Lock()
	defer m.mu.Unlock()
	states := map[scrape.State]int{scrape.StateUp: 0, scrape.StateDown: 0, scrape.StateUnknown: 0}
	for p := range m.pipelines {
		stats := p.log.Stats()
		for state, n := range p.scraper.States() {
			states[state] += n
		}
		for _, s := range m.shown {
			if v := s.value(stats); m.full || !s.fullOnly && (!s.rare || v != 0) {
				out <- prometheus.MustNewConstMetric(s.desc, s.kind, v, p.name)
			}
		}
	}
	for state, n := range states {
		out <- prometheus.MustNewConstMetric(m.targets, prometheus.GaugeValue, float64(n), string(state))
	}
}
