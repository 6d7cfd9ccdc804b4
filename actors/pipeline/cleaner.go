package pipeline

import "github.com/prometheus/client_golang/prometheus"

// cleanerMetrics tell what becomes of the logs of configs that are gone, by the names that Grafana
// Agent's cleaner had.
type cleanerMetrics struct {
	managed, abandoned prometheus.Gauge
	removed, errors    prometheus.Counter
	seconds            prometheus.Histogram
}

func newCleanerMetrics() *cleanerMetrics {
	const prefix = "agent_metrics_cleaner_"
	return &cleanerMetrics{
		managed: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: prefix + "managed_storage", Help: "Logs of configs that run here.",
		}),
		abandoned: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: prefix + "abandoned_storage", Help: "Logs of configs that are gone, at the end of their time.",
		}),
		removed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: prefix + "success_total", Help: "Logs of configs that are gone, which were removed.",
		}),
		errors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: prefix + "errors_total", Help: "Logs of configs that are gone, which could not be looked at or removed.",
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: prefix + "cleanup_seconds", Help: "Time that one look at all logs takes.",
		}),
	}
}

func (m *cleanerMetrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.managed, m.abandoned, m.removed, m.errors, m.seconds}
}
