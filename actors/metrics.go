package actors

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ringmaster-agent/ringmaster/actors/knowledge"
	"github.com/ringmaster-agent/ringmaster/actors/ringactor"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// metrics have the names of the retired scraping service, which dashboards use.
type metrics struct {
	registerer      prometheus.Registerer
	activeConfigs   prometheus.Gauge
	activeInstances prometheus.Gauge
	instances       *prometheus.GaugeVec
	configsChanged  *prometheus.CounterVec
	reshardDuration *prometheus.HistogramVec
	abnormalExits   *prometheus.CounterVec
	cluster         *clusterMetrics // nil for a node alone
}

func newMetrics(o Options, permits *ringactor.Permits) *metrics {
	m := &metrics{
		activeConfigs: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "agent_metrics_active_configs", Help: "Valid instance configs that this agent knows.",
		}),
		activeInstances: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "agent_metrics_active_instances", Help: "Instances that are scraping.",
		}),
		instances: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "agent_metrics_instances", Help: "Instances of this node by phase.",
		}, []string{"phase"}),
		configsChanged: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "agent_metrics_configs_changed_total", Help: "Changes of instance configs that were seen.",
		}, []string{"event"}),
		reshardDuration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "agent_metrics_scraping_service_reshard_duration", Help: "Seconds it took to decide and order what runs.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 8),
		}, []string{"success"}),
		abnormalExits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "agent_metrics_instance_abnormal_exits_total", Help: "Times that an instance failed.",
		}, []string{"instance_name"}),
	}
	if o.Cluster != nil {
		m.cluster = newClusterMetrics(permits)
	}
	for _, kind := range []knowledge.ChangeKind{knowledge.Created, knowledge.Updated, knowledge.Deleted} {
		m.configsChanged.WithLabelValues(kind.String())
	}
	for _, success := range []bool{true, false} {
		m.reshardDuration.WithLabelValues(strconv.FormatBool(success))
	}
	return m
}

func (m *metrics) collectors() []prometheus.Collector {
	all := []prometheus.Collector{m.activeConfigs, m.activeInstances, m.instances, m.configsChanged, m.reshardDuration, m.abnormalExits}
	if m.cluster != nil {
		all = append(all, m.cluster.collectors()...)
	}
	return all
}

// register registers all or nothing.
// show brings the gauges up to date that are about everything.
func (m *metrics) show(p picture) {
	phases := map[messages.Phase]int{}
	for id := range p.units.all {
		phases[p.unit(id).Phase]++
	}
	for _, phase := range messages.Phases() {
		m.instances.WithLabelValues(phase.String()).Set(float64(phases[phase]))
	}
	if m.cluster != nil {
		m.cluster.show(p)
	}
}

func (m *metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	for i, c := range m.collectors() {
		if err := r.Register(c); err != nil {
			for _, registered := range m.collectors()[:i] {
				r.Unregister(registered)
			}
			return err
		}
	}
	m.registerer = r
	return nil
}

func (m *metrics) unregister() {
	if m.registerer == nil {
		return
	}
	for _, c := range m.collectors() {
		m.registerer.Unregister(c)
	}
}
