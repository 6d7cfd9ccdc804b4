package difftest

import (
	"strings"
	"testing"

	promconfig "github.com/prometheus/prometheus/config"
)

// job is a scrape config with one target and more settings, each on a line.
func job(settings ...string) string {
	return "- job_name: j\n  static_configs: [{targets: [\"one:80\"], labels: {zone: z}}]\n  " + strings.Join(settings, "\n  ") + "\n"
}

const metricRelabelling = `metric_relabel_configs:
  - {source_labels: [__name__], regex: "drop_.*", action: drop}
  - {source_labels: [drop], regex: "1", action: drop}
  - {source_labels: [__name__], regex: "rename_(.*)", target_label: __name__, replacement: "renamed_$1"}
  - {regex: "method|quantile", action: labeldrop}
  - {source_labels: [instance], target_label: copied}
  - {source_labels: [__name__], regex: "lat.*_sum", target_label: __name__, replacement: ""}`

// configs are what every body is scraped with.
var configs = map[string]string{
	"nul in the job's name":  strings.Replace(job("extra_scrape_metrics: true"), "job_name: j", "job_name: \"j\\0k\"", 1),
	"defaults":               job(),
	"honor labels":           job("honor_labels: true"),
	"no timestamps":          job("honor_timestamps: false"),
	"staleness of timestamp": job("track_timestamps_staleness: true"),
	"extra metrics":          job("extra_scrape_metrics: true", "sample_limit: 1000", "body_size_limit: 1MB"),
	"relabelling":            job(strings.ReplaceAll(metricRelabelling, "\n", "\n  ")),
	"sample limit":           job("sample_limit: 3", "extra_scrape_metrics: true"),
	"label limit":            job("label_limit: 4"),
	"label name limit":       job("label_name_length_limit: 8"),
	"label value limit":      job("label_value_length_limit: 6"),
	"body limit":             job("body_size_limit: 50B", "extra_scrape_metrics: true"),
	"native":                 job("scrape_native_histograms: true"),
	"native and classic":     job("scrape_native_histograms: true", "always_scrape_classic_histograms: true"),
	"nhcb":                   job("convert_classic_histograms_to_nhcb: true"),
	"nhcb and all":           job("scrape_native_histograms: true", "convert_classic_histograms_to_nhcb: true", "always_scrape_classic_histograms: true"),
	"bucket limit":           job("scrape_native_histograms: true", "native_histogram_bucket_limit: 4", "convert_classic_histograms_to_nhcb: true"),
	"bucket factor":          job("scrape_native_histograms: true", "native_histogram_min_bucket_factor: 2"),
	"legacy names":           job("metric_name_validation_scheme: legacy"),
	"escaped dots":           job("metric_name_validation_scheme: utf8", "metric_name_escaping_scheme: dots"),
	"escaped values":         job("metric_name_escaping_scheme: values"),
	"fallback to text":       job("fallback_scrape_protocol: PrometheusText0.0.4"),
	"fallback to om":         job("fallback_scrape_protocol: OpenMetricsText1.0.0"),
	"fallback to protobuf":   job("fallback_scrape_protocol: PrometheusProto", "scrape_native_histograms: true"),
	"protocols":              job("scrape_protocols: [PrometheusText1.0.0, OpenMetricsText0.0.1]", "enable_compression: false"),
}

var featureSets = map[string]features{
	"plain":            {},
	"start timestamps": {parseStartTimestamps: true},
	"type and unit":    {typeAndUnitLabels: true},
	"synthesis":        {synthesis: true},
	"all features":     {synthesis: true, parseStartTimestamps: true, typeAndUnitLabels: true, openMetrics2: true, zstd: true},
}

// lives are what a target goes through with one body: scraped twice, less of it, nothing, a
// failure, all of it again.
func lives(config string, b body) []step {
	whole, less := b.answer(), b.without().answer()
	packed := whole
	packed.header = append([]string{"Content-Encoding: gzip"}, whole.header...)
	packed.body = gzipped(whole.body)
	return []step{
		{config: config, answers: all(whole)},
		{answers: all(packed)},
		{answers: all(less)},
		{answers: all(whole), forget: true},
		{answers: all(answer{header: whole.header})},
		{answers: all(whole)},
		{answers: all(answer{status: 503})},
		{answers: all(less)},
	}
}

// variant is a config and what a scraper is made with.
type variant struct {
	config   *promconfig.Config
	features features
}

// variants are all configs with no feature and with all, and some with each.
func variants(t *testing.T) map[string]variant {
	all := map[string]variant{}
	for configName, text := range configs {
		parsed := parse(t, text)
		for featureName, set := range featureSets {
			switch {
			case featureName == "plain", featureName == "all features", configName == "defaults", configName == "nhcb and all", configName == "native":
				all[configName+", "+featureName] = variant{parsed, set}
			}
		}
	}
	return all
}

func TestBodies(t *testing.T) {
	bodies := append(textBodies(), protoBodies()...)
	all := variants(t)
	for name, v := range all {
		t.Run(name, func(t *testing.T) {
			for _, b := range bodies {
				s := scenario{features: v.features, steps: lives("", b)}
				s.steps[0].parsed = v.config
				if d := s.compare(t); d != "" {
					t.Errorf("%s:\n%s", b.name, d)
				}
			}
		})
	}
	t.Logf("%d bodies, %d variants of config and features", len(bodies), len(all))
}
