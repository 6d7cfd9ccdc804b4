package etcdstore

import "github.com/prometheus/client_golang/prometheus"

// metrics are those of an embedded server's database.
type metrics struct {
	upkeep                        *upkeep
	size, inUse, quota, full      *prometheus.Desc
	compactions, defragmentations *prometheus.Desc
}

// Metrics are those of the database of an embedded server; nil if the store is elsewhere.
func (s *Store) Metrics() prometheus.Collector {
	if s.upkeep == nil {
		return nil
	}
	desc := func(name, help string) *prometheus.Desc { return prometheus.NewDesc("etcdstore_"+name, help, nil, nil) }
	return &metrics{
		upkeep: s.upkeep,
		size:   desc("database_bytes", "Size of the embedded store's file."),
		inUse:  desc("database_in_use_bytes", "What of the embedded store's file is in use."),
		quota:  desc("database_quota_bytes", "How large the embedded store's file may get."),
		full:   desc("full", "Whether the embedded store takes no configs for lack of space."),

		compactions:      desc("compactions_total", "Compactions of old revisions."),
		defragmentations: desc("defragmentations_total", "Defragmentations of the embedded store's file."),
	}
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	d := m.upkeep.now()
	full := 0.0
	if d.Full() != "" {
		full = 1
	}
	gauge := func(desc *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v)
	}
	gauge(m.size, float64(d.Size))
	gauge(m.inUse, float64(d.InUse))
	gauge(m.quota, float64(d.Quota))
	gauge(m.full, full)
	counter := func(desc *prometheus.Desc, n int) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n))
	}
	counter(m.compactions, d.Compactions)
	counter(m.defragmentations, d.Defragmentations)
}
