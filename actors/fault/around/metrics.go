package around

import (
	"cmp"
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ringmaster-agent/ringmaster/actors/fault"
)

// Metrics shows how many rules are in force, and how often they have hit.
func Metrics(rules *fault.Registry) prometheus.Collector {
	return &metrics{
		rules:  rules,
		active: prometheus.NewDesc("agent_chaos_active", "Faults on purpose that are in force.", nil, nil),
		hits:   prometheus.NewDesc("agent_chaos_hits_total", "Events that faults on purpose have hit.", []string{"point", "action"}, nil),
	}
}

type metrics struct {
	rules        *fault.Registry
	active, hits *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	out <- m.active
	out <- m.hits
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	out <- prometheus.MustNewConstMetric(m.active, prometheus.GaugeValue, float64(len(m.rules.Rules())))
	hits := m.rules.Hits()
	for _, h := range slices.SortedFunc(maps.Keys(hits), func(a, b fault.Hit) int {
		return cmp.Or(cmp.Compare(a.Point, b.Point), cmp.Compare(a.Action, b.Action))
	}) {
		out <- prometheus.MustNewConstMetric(m.hits, prometheus.CounterValue, float64(hits[h]), string(h.Point), string(h.Action))
	}
}
