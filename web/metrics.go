package web

import "github.com/prometheus/client_golang/prometheus"

// metrics count what was changed through this node. Their names are those of Grafana Agent.
type metrics struct {
	created, updated, deleted prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(what string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{
			Name: "agent_metrics_ha_configs_" + what + "_total",
			Help: "Configs " + what + " through this node's API.",
		})
	}
	m := &metrics{created: counter("created"), updated: counter("updated"), deleted: counter("deleted")}
	if reg != nil {
		reg.MustRegister(m.created, m.updated, m.deleted)
	}
	return m
}
