package scrape

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
)

// exposed gathers what a process with these metrics would expose.
func exposed(t *testing.T, metrics *Metrics) map[string]*dto.MetricFamily {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(metrics)
	families, err := registry.Gather()
	require.NoError(t, err)
	byName := map[string]*dto.MetricFamily{}
	for _, family := range families {
		byName[family.GetName()] = family
	}
	return byName
}

func TestMetricsAreTheSumOfAllScrapers(t *testing.T) {
	metrics, err := NewMetrics(FullMetrics)
	require.NoError(t, err)
	target := serve(t, textFormat, "# TYPE metric gauge\nmetric 1\n")
	config := configure(t, `[{job_name: a, static_configs: [{targets: [ADDR0]}]}]`, target)
	m := newMemory()
	var scrapers []*Scraper
	for range 3 {
		s := newScraper(t, m, func(o *Options) { o.Metrics = metrics })
		run(t, s, config)
		scrapers = append(scrapers, s)
	}
	for _, s := range scrapers {
		eventually(t, func() bool { return inState(s, 0, StateUp) }, "it scrapes")
	}
	eventually(t, func() bool {
		lengths := exposed(t, metrics)["prometheus_target_interval_length_seconds"]
		return lengths != nil && lengths.Metric[0].GetSummary().GetSampleCount() > 5
	}, "intervals are observed")

	families := exposed(t, metrics)
	pools := families["prometheus_target_scrape_pools_total"]
	require.Len(t, pools.Metric, 1, "one series, whatever the number of scrapers")
	require.Equal(t, 3.0, pools.Metric[0].GetCounter().GetValue())
	discovered := families["prometheus_sd_discovered_targets"]
	require.Equal(t, 3.0, discovered.Metric[0].GetGauge().GetValue())
	require.Equal(t, "a", discovered.Metric[0].Label[0].GetValue())
	require.Equal(t, 3.0, families["prometheus_target_scrape_pool_targets"].Metric[0].GetGauge().GetValue())
	require.Equal(t, 3.0, families["prometheus_target_metadata_cache_entries"].Metric[0].GetGauge().GetValue())
	lengths := families["prometheus_target_interval_length_seconds"].Metric[0]
	require.Empty(t, lengths.GetSummary().Quantile)
	require.InDelta(t, 0.1*float64(lengths.GetSummary().GetSampleCount()), lengths.GetSummary().GetSampleSum(),
		0.1*float64(lengths.GetSummary().GetSampleCount()))
	buckets := families["prometheus_target_interval_length_histogram_seconds"].Metric[0].GetHistogram()
	require.Len(t, buckets.Bucket, 4)
	require.Positive(t, buckets.GetSampleCount())
	latest := families["prometheus_sd_last_update_timestamp_seconds"].Metric[0].GetGauge().GetValue()
	require.Less(t, latest, 1e10, "points in time are not added")
}

func TestACounterKeepsWhatStoppedScrapersCounted(t *testing.T) {
	metrics, err := NewMetrics(FullMetrics)
	require.NoError(t, err)
	target := serve(t, textFormat, "metric 1\n")
	config := configure(t, `[{job_name: a, static_configs: [{targets: [ADDR0]}]}]`, target)
	m := newMemory()
	stopped := newScraper(t, m, func(o *Options) { o.Metrics = metrics })
	run(t, stopped, config)
	eventually(t, func() bool { return len(m.find("metric")) > 2 }, "three scrapes")
	before := exposed(t, metrics)
	require.NoError(t, stopped.Stop(t.Context(), KeepSeries))

	after := exposed(t, metrics)
	require.Equal(t, 1.0, after["prometheus_target_scrape_pools_total"].Metric[0].GetCounter().GetValue())
	require.GreaterOrEqual(t,
		after["prometheus_target_interval_length_seconds"].Metric[0].GetSummary().GetSampleCount(),
		before["prometheus_target_interval_length_seconds"].Metric[0].GetSummary().GetSampleCount())
	require.Contains(t, after, "prometheus_sd_updates_total")
	require.NotContains(t, after, "prometheus_target_scrape_pool_targets", "a gauge goes with its scraper")
	require.NotContains(t, after, "prometheus_sd_discovered_targets")
	require.Empty(t, metrics.live)

	again := newScraper(t, m, func(o *Options) { o.Metrics = metrics })
	run(t, again, config)
	eventually(t, func() bool {
		return exposed(t, metrics)["prometheus_target_scrape_pools_total"].Metric[0].GetCounter().GetValue() == 2
	}, "the next one counts on")
}
