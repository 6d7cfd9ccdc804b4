package gossip

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are those that are counted; collector adds what is looked up at each collection.
type metrics struct {
	failedJoins prometheus.Counter
	isolated    prometheus.Gauge
}

func newMetrics() metrics {
	return metrics{
		failedJoins: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gossip_joins_failed_total", Help: "Attempts to reach a peer that failed.",
		}),
		isolated: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gossip_isolated", Help: "1 if the store lists peers and none of them was seen for more than 10 s.",
		}),
	}
}

// collector is a prometheus.Collector over a Gossip.
type collector struct {
	g                                                  *Gossip
	members, age, health, nameConflicts, skew, refused *prometheus.Desc
}

func newCollector(g *Gossip) *collector {
	return &collector{
		g:             g,
		members:       prometheus.NewDesc("gossip_members", "Peers, without this node, by state.", []string{"state"}, nil),
		age:           prometheus.NewDesc("gossip_last_contact_age_seconds", "Time since a question was sent that a peer answered. Absent if there was none.", nil, nil),
		health:        prometheus.NewDesc("gossip_distrust", "How much this node distrusts its own probes; 0 is healthy, each step makes them slower.", nil, nil),
		skew:          prometheus.NewDesc("gossip_clock_skew_seconds", "How far the clock of a living peer is from this node's at most; positive if it is ahead.", nil, nil),
		refused:       prometheus.NewDesc("gossip_names_refused_total", "Messages about names that the store does not know.", nil, nil),
		nameConflicts: prometheus.NewDesc("gossip_name_conflict", "1 if two nodes answer to one name.", nil, nil),
	}
}

func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.members, c.age, c.health, c.nameConflicts, c.skew, c.refused, c.g.failedJoins.Desc(), c.g.isolated.Desc()} {
		ch <- d
	}
}

func (c *collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	alive, dead, left := c.g.table.count()
	gauge(c.members, float64(alive), "alive")
	gauge(c.members, float64(dead), "dead")
	gauge(c.members, float64(left), "left")
	if at := c.g.LastContact(); !at.IsZero() {
		gauge(c.age, time.Since(at).Seconds())
	}
	gauge(c.health, float64(c.g.list.GetHealthScore()))
	_, ahead := c.g.table.skew()
	gauge(c.skew, ahead.Seconds())
	var conflict float64
	if c.g.Conflict() != "" {
		conflict = 1
	}
	gauge(c.nameConflicts, conflict)
	ch <- prometheus.MustNewConstMetric(c.refused, prometheus.CounterValue, float64(c.g.admission.count()))
	c.g.failedJoins.Collect(ch)
	c.g.isolated.Collect(ch)
}
