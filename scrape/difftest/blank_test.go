package difftest

import (
	"fmt"
	"log/slog"
	"testing"

	promconfig "github.com/prometheus/prometheus/config"

	"github.com/ringmaster-agent/ringmaster/config"
)

// blankKeys are settings of which each has a key without a value.
func blankKeys() (all []string) {
	for _, key := range []string{"metrics_path", "scheme", "params", "honor_labels", "honor_timestamps", "track_timestamps_staleness",
		"scrape_interval", "scrape_timeout", "scrape_protocols", "fallback_scrape_protocol", "scrape_native_histograms",
		"always_scrape_classic_histograms", "convert_classic_histograms_to_nhcb", "extra_scrape_metrics", "enable_compression",
		"enable_http2", "follow_redirects", "body_size_limit", "sample_limit", "label_limit", "label_name_length_limit",
		"label_value_length_limit", "target_limit", "keep_dropped_targets", "native_histogram_bucket_limit",
		"native_histogram_min_bucket_factor", "metric_name_validation_scheme", "metric_name_escaping_scheme", "basic_auth",
		"authorization", "http_headers", "proxy_url", "no_proxy", "tls_config", "relabel_configs", "metric_relabel_configs",
		"static_configs", "scrape_failure_log_file"} {
		all = append(all, key+":")
	}
	for _, list := range []string{"relabel_configs", "metric_relabel_configs"} {
		for _, action := range []string{"replace", "keep", "drop", "hashmod", "labelmap", "labeldrop", "labelkeep", "lowercase", "keepequal"} {
			for _, key := range []string{"source_labels", "separator", "regex", "replacement", "target_label", "modulus", "action"} {
				rule := map[string]string{"source_labels": "[job, instance]", "separator": "'-'", "regex": "(.*)", "replacement": "x$1",
					"target_label": "made", "modulus": "7", "action": action}
				rule[key] = ""
				if key == "replacement" {
					rule["target_label"] = "zone" // which it removes
				}
				text := list + ":\n    - "
				for _, k := range []string{"source_labels", "separator", "regex", "replacement", "target_label", "modulus", "action"} {
					if relevant(action, k) {
						text += fmt.Sprintf("%s: %s\n      ", k, rule[k])
					}
				}
				all = append(all, text)
			}
		}
	}
	return all
}

// relevant reports whether a rule with the action may have the key.
func relevant(action, key string) bool {
	switch action {
	case "labeldrop", "labelkeep":
		return key == "regex" || key == "action"
	case "labelmap":
		return key == "regex" || key == "replacement" || key == "action"
	case "keepequal":
		return key == "source_labels" || key == "target_label" || key == "action"
	case "hashmod":
		return key != "replacement" && key != "regex"
	case "lowercase":
		return key == "source_labels" || key == "separator" || key == "target_label" || key == "action"
	default:
		return key != "modulus"
	}
}

// A key without a value means the same: Prometheus' loop gets what its own decoder makes of the
// config, ours what ours does.
func TestBlankKeys(t *testing.T) {
	answers := all(plain("# TYPE a counter\na{made=\"x\",zone=\"z\"} 1\nb 1 1000\nc{job=\"other\",instance=\"i\"} 1\n"))
	scraped, refused := 0, 0
	for _, keys := range blankKeys() {
		text := "scrape_configs:\n" + job(keys)
		theirs, theirErr := promconfig.Load(text, slog.New(slog.DiscardHandler))
		ours, ourErr := config.ParseInstance("one", text, config.InstanceOptions{AllowFiles: true, AllowAmbient: true})
		if (theirErr == nil) != (ourErr == nil) {
			t.Errorf("%s\nstock refuses it: %v\nown refuses it: %v", text, theirErr, ourErr)
		}
		if theirErr != nil || ourErr != nil {
			refused++
			continue
		}
		scraped++
		s := scenario{steps: []step{{parsed: theirs, ours: &promconfig.Config{ScrapeConfigs: ours.ScrapeConfigs}, answers: answers}, {}}}
		if d := s.diff(s.run(t, makeStock, nil), s.run(t, makeOwn, nil)); d != "" {
			t.Errorf("%s\n%s", text, d)
		}
	}
	t.Logf("%d configs were scraped, %d are refused by both", scraped, refused)
	if scraped < 50 || refused < 5 {
		t.Errorf("%d configs were scraped, %d refused: too few of either", scraped, refused)
	}
}
