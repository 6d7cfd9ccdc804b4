package pipeline

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
)

// seriesOf counts the exposed lines of each instance, by the label instance_name, and those without
// it by family.
func seriesOf(t *testing.T, registry prometheus.Gatherer) (byInstance, byFamily map[string]int) {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	byInstance, byFamily = map[string]int{}, map[string]int{}
	for _, family := range families {
		for _, m := range family.Metric {
			n := linesOf(m)
			if name := labelOf(m, "instance_name"); name != "" {
				byInstance[name] += n
				continue
			}
			byFamily[family.GetName()] += n
			require.Empty(t, labelOf(m, "scrape_job"), "%s merges the jobs of several instances", family.GetName())
			require.Empty(t, labelOf(m, "remote_name"), "%s merges the endpoints of several instances", family.GetName())
		}
	}
	return byInstance, byFamily
}

func linesOf(m *dto.Metric) int {
	switch {
	case m.Summary != nil:
		return len(m.Summary.Quantile) + 2
	case m.Histogram != nil:
		return len(m.Histogram.Bucket) + 3
	default:
		return 1
	}
}

func labelOf(m *dto.Metric, name string) string {
	for _, l := range m.Label {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

func TestAConfigCostsAtMostTwentySeriesUnlessAllAreWanted(t *testing.T) {
	for name, tc := range map[string]struct {
		full        bool
		least, most int
	}{"basic": {false, 15, 20}, "full": {true, 40, 60}} {
		t.Run(name, func(t *testing.T) {
			w := newWorldOf(t, func(o *Options) { o.FullMetrics = tc.full })
			registry := w.registry
			_, before := seriesOf(t, registry)
			one, two := w.open(w.instance("")), w.open(w.named("two"))
			require.NoError(t, one.Start(t.Context(), ""))
			require.NoError(t, two.Start(t.Context(), ""))
			w.eventually(func() bool { return one.log.Stats().SamplesAppended > 0 && two.log.Stats().SamplesAppended > 0 }, "both scrape")

			byInstance, after := seriesOf(t, registry)
			require.Len(t, byInstance, 2, "both instances have the same job, and metrics of their own")
			for instance, n := range byInstance {
				require.GreaterOrEqual(t, n, tc.least, instance)
				require.LessOrEqual(t, n, tc.most, instance)
			}
			require.Equal(t, before["agent_metrics_targets"], after["agent_metrics_targets"])
		})
	}
}
