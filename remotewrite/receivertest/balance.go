package receivertest

import (
	"fmt"
	"sort"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
)

// RequireBalance checks the equation of the exported account, for each endpoint:
//
//	samples_committed_total = samples_total + histograms_total + both failed + both dropped (all reasons) + samples_pending
//
// A gathering is no instant for all endpoints together, but it is one for each.
func RequireBalance(t testing.TB, g prometheus.Gatherer) {
	t.Helper()
	families, err := g.Gather()
	require.NoError(t, err)
	require.Empty(t, Imbalance(families))
}

// Imbalance describes each endpoint whose exported account does not add up.
func Imbalance(families []*dto.MetricFamily) (problems []string) {
	const prefix = "prometheus_remote_storage_"
	committed, booked, terms := map[string]float64{}, map[string]float64{}, map[string][]string{}
	for _, f := range families {
		name := strings.TrimPrefix(f.GetName(), prefix)
		for _, m := range f.GetMetric() {
			key, reason := endpointOf(m)
			v := m.GetCounter().GetValue() + m.GetGauge().GetValue()
			switch name {
			case "samples_committed_total":
				committed[key] += v
			case "samples_total", "histograms_total", "samples_failed_total", "histograms_failed_total", "samples_dropped_total",
				"histograms_dropped_total", "samples_pending":
				booked[key] += v
				terms[key] = append(terms[key], fmt.Sprintf("%s%s=%v", name, reason, v))
			}
		}
	}
	for key, want := range committed {
		if booked[key] != want {
			problems = append(problems, fmt.Sprintf("endpoint %s: committed %v, accounted for %v (%s)", key, want, booked[key], strings.Join(terms[key], " ")))
		}
	}
	sort.Strings(problems)
	return problems
}

func endpointOf(m *dto.Metric) (key, reason string) {
	for _, l := range m.GetLabel() {
		if l.GetName() == "reason" {
			reason = "{" + l.GetValue() + "}"
			continue
		}
		key += l.GetName() + "=" + l.GetValue() + " "
	}
	return key, reason
}
