package actors

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ringmaster-agent/ringmaster/actors/ringactor"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// clusterMetrics are about the node's place among others. A node alone has none.
type clusterMetrics struct {
	claims   prometheus.Gauge
	unowned  prometheus.Gauge
	members  *prometheus.GaugeVec
	moves    *prometheus.CounterVec
	sessions prometheus.Counter
	revoked  prometheus.Counter
	permit   prometheus.GaugeFunc
}

func newClusterMetrics(permits *ringactor.Permits) *clusterMetrics {
	m := &clusterMetrics{
		claims:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "agent_cluster_claims", Help: "Units that this node has claimed."}),
		unowned: prometheus.NewGauge(prometheus.GaugeOpts{Name: "agent_cluster_units_unowned", Help: "Units that no node has claimed, as this node knows it."}),
		members: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "agent_cluster_members", Help: "Members of the cluster by state, as the store tells it.",
		}, []string{"state"}),
		moves: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "agent_cluster_moves_total", Help: "Units that this node has seen come to another node.",
		}, []string{"reason"}),
		sessions: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "agent_cluster_sessions_opened_total", Help: "Sessions that this node has opened; more than one is a session lost.",
		}),
		revoked: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "agent_cluster_sessions_revoked_total", Help: "Sessions of other nodes that this node has ended, because they were dead or had fenced themselves.",
		}),
	}
	m.permit = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "agent_cluster_permitted", Help: "1 if this node may scrape by its claims, 0 if not.",
	}, func() float64 {
		if permits.Permitted() {
			return 1
		}
		return 0
	})
	return m
}

func (m *clusterMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.claims, m.unowned, m.members, m.moves, m.sessions, m.revoked, m.permit}
}

// showEvery is how often they are brought up to date, as long as there is something to decide: each
// time everything is looked at.
const showEvery = time.Second

// showMetricsSoon has the gauges brought up to date that are about everything.
func (k *desk) showMetricsSoon(c actor.Context) {
	if !k.reconciling.showing {
		k.reconciling.showing = true
		k.startTimer(c, "metrics", showEvery, showMetrics{})
	}
}

// show brings the gauges up to date.
func (m *clusterMetrics) show(p picture) {
	registry := p.membership.registry
	claims := 0
	for _, claim := range registry.Claims() {
		if claim.Held() && claim.Node == p.options.Node {
			claims++
		}
	}
	m.claims.Set(float64(claims))
	m.unowned.Set(float64(p.unowned()))
	states := map[messages.MemberState]int{messages.Joining: 0, messages.Active: 0, messages.Leaving: 0}
	for _, member := range registry.Members() {
		states[member.State]++
	}
	for state, n := range states {
		m.members.WithLabelValues(state.String()).Set(float64(n))
	}
}
