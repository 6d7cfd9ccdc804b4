package difftest

import (
	"testing"
	"time"
)

// targets is a job with these targets and settings.
func targets(list string, settings ...string) string {
	text := "- job_name: j\n  static_configs: [{targets: [" + list + "]}]\n"
	for _, s := range settings {
		text += "  " + s + "\n"
	}
	return text
}

// still lets three more intervals pass, in which what was removed ends.
func still(steps ...step) []step { return append(steps, step{}, step{}, step{}, step{}) }

func TestReloads(t *testing.T) {
	changing := []map[string]answer{
		{"one:80": plain("a 1\nb 1\n"), "two:80": plain("a 2\nc 2\n"), "three:80": plain("a 3\n")},
		{"one:80": plain("a 2\n"), "two:80": {status: 500}, "three:80": plain("a 3\nd 3\n")},
	}
	for what, s := range map[string]scenario{
		"nothing changes": {steps: still(
			step{config: targets("one:80, two:80"), answers: changing[0]}, step{config: targets("one:80, two:80")}, step{answers: changing[1]})},
		"a target is added": {steps: still(
			step{config: targets("one:80"), answers: changing[0]}, step{}, step{config: targets("one:80, two:80")}, step{answers: changing[1]})},
		"a target is removed": {steps: still(
			step{config: targets("one:80, two:80"), answers: changing[0]}, step{}, step{config: targets("one:80")}, step{})},
		"a failing target is removed": {steps: still(
			step{config: targets("one:80, two:80"), answers: changing[0]}, step{answers: changing[1]}, step{config: targets("one:80")}, step{})},
		"a target that never answered is removed": {steps: still(
			step{config: targets("one:80, two:80"), answers: map[string]answer{"one:80": plain("a 1\n"), "two:80": {refuse: true}}},
			step{config: targets("one:80")}, step{})},
		"a target is removed and comes back later": {steps: still(
			step{config: targets("one:80, two:80"), answers: changing[0]}, step{config: targets("one:80")},
			step{}, step{}, step{}, step{config: targets("one:80, two:80")}, step{})},
		"all targets are removed and come back": {steps: still(
			step{config: targets("one:80, two:80"), answers: changing[0]}, step{config: targets("")}, step{}, step{}, step{}, step{},
			step{config: targets("one:80, two:80")}, step{})},
		"targets change places": {steps: still(
			step{config: targets("one:80, two:80"), answers: changing[0]}, step{config: targets("two:80, one:80")}, step{answers: changing[1]})},
		"a target twice": {steps: still(
			step{config: targets("one:80, one:80"), answers: changing[0]}, step{config: targets("one:80")}, step{answers: changing[1]})},
		"labels of a target change": {steps: still(
			step{config: targets("one:80"), answers: changing[0]},
			step{config: targets("one:80", "relabel_configs: [{target_label: zone, replacement: new}]")}, step{answers: changing[1]})},
		"hidden labels of a target change": {steps: still(
			step{config: targets("one:80"), answers: changing[0]},
			step{config: targets("one:80", "relabel_configs: [{target_label: __hidden, replacement: new}]")}, step{answers: changing[1]})},
		"metric relabelling drops series": {keepsCache: true, steps: still(
			step{config: targets("one:80"), answers: changing[0]},
			step{config: targets("one:80", "metric_relabel_configs: [{source_labels: [__name__], regex: b, action: drop}]")}, step{})},
		"metric relabelling renames series": {keepsCache: true, steps: still(
			step{config: targets("one:80"), answers: changing[0]},
			step{config: targets("one:80", "metric_relabel_configs: [{target_label: x, replacement: y}]")}, step{})},
		"honor labels changes": {keepsCache: true, steps: still(
			step{config: targets("one:80"), answers: all(plain("a{job=\"x\"} 1\nb 2\n"))}, step{config: targets("one:80", "honor_labels: true")}, step{})},
		"a series that was also a report goes away with the reload": {keepsCache: true, steps: still(
			step{config: targets("one:80", "honor_timestamps: true"), answers: all(plain("a 1\nup 1\nscrape_timeout_seconds 5\nscrape_sample_limit 0\n"))},
			step{config: targets("one:80", "honor_labels: true", "extra_scrape_metrics: true"), answers: all(plain("a 1\n"))}, step{},
			step{config: targets("one:80"), answers: all(plain("a 1\n"))}, step{})},
		"with type labels, a body limit changes": {features: features{typeAndUnitLabels: true}, keepsCache: true, steps: still(
			step{config: targets("one:80"), answers: all(plain("a 1\n"))},
			step{config: targets("one:80", "body_size_limit: 1KB"), answers: all(plain("# TYPE a counter\na 1\n"))})},
		"with type labels, the sample limit changes": {features: features{typeAndUnitLabels: true}, steps: still(
			step{config: targets("one:80"), answers: all(plain("a 1\n"))},
			step{config: targets("one:80", "sample_limit: 9"), answers: all(plain("# TYPE a counter\na 1\n"))})},
		"with type labels, the timeout changes": {features: features{typeAndUnitLabels: true}, keepsCache: true, steps: still(
			step{config: targets("one:80"), answers: all(plain("a 1\n"))},
			step{config: targets("one:80", "scrape_timeout: 2s"), answers: all(plain("# TYPE a counter\na 1\n"))})},
		"sample limit changes": {steps: still(
			step{config: targets("one:80"), answers: changing[0]}, step{config: targets("one:80", "sample_limit: 1")}, step{},
			step{config: targets("one:80", "sample_limit: 2")}, step{})},
		"timeout changes": {keepsCache: true, steps: still(
			step{config: targets("one:80"), answers: changing[0]}, step{config: targets("one:80", "scrape_timeout: 2s")}, step{})},
		"body limit changes": {keepsCache: true, steps: still(
			step{config: targets("one:80"), answers: changing[0]}, step{config: targets("one:80", "body_size_limit: 3B")}, step{},
			step{config: targets("one:80")}, step{})},
		"what is said of a metric before a reload, and not since": {keepsCache: true, steps: still(
			step{config: targets("one:80"), answers: all(plain("# HELP a x\n# TYPE a gauge\na 1\n"))},
			step{config: targets("one:80", "body_size_limit: 1KB"), answers: all(plain("# TYPE a gauge\na 1\n"))}, step{})},
		"extra metrics come and go": {keepsCache: true, steps: still(
			step{config: targets("one:80"), answers: changing[0]}, step{config: targets("one:80", "extra_scrape_metrics: true")}, step{},
			step{config: targets("one:80")}, step{})},
		"protocols change": {keepsCache: true, steps: still(
			step{config: targets("one:80"), answers: all(openMetrics("# TYPE a counter\na_total 1\n# EOF\n"))},
			step{config: targets("one:80", "scrape_protocols: [PrometheusText0.0.4]"), answers: all(plain("# TYPE a_total counter\na_total 1\n"))}, step{})},
		"target limit is exceeded": {steps: still(
			step{config: targets("one:80, two:80", "target_limit: 2"), answers: changing[0]}, step{},
			step{config: targets("one:80, two:80, three:80", "target_limit: 2")}, step{},
			step{config: targets("two:80, three:80", "target_limit: 2")}, step{})},
		"target limit is lowered": {keepsCache: true, steps: still(
			step{config: targets("one:80, two:80"), answers: changing[0]}, step{},
			step{config: targets("one:80, two:80", "target_limit: 1")}, step{}, step{config: targets("one:80, two:80")}, step{})},
		"exceeded from the start": {steps: still(step{config: targets("one:80, two:80", "target_limit: 1"), answers: changing[0]})},
		"a job is added": {steps: still(
			step{config: targets("one:80"), answers: changing[0]},
			step{config: targets("one:80") + "- {job_name: k, static_configs: [{targets: [\"two:80\", \"one:80\"]}]}\n"}, step{answers: changing[1]})},
		"a job is removed": {jobRemoved: true, steps: still(
			step{config: targets("one:80") + "- {job_name: k, static_configs: [{targets: [\"two:80\"]}]}\n", answers: changing[0]},
			step{config: targets("one:80")}, step{answers: changing[1]})},
		"a job is renamed": {jobRemoved: true, steps: still(
			step{config: targets("one:80"), answers: changing[0]},
			step{config: "- {job_name: k, static_configs: [{targets: [\"one:80\"]}]}\n"}, step{answers: changing[1]})},
		"a job is removed and comes back": {jobRemoved: true, steps: still(
			step{config: targets("one:80") + "- {job_name: k, static_configs: [{targets: [\"two:80\"]}]}\n", answers: changing[0]},
			step{config: targets("one:80")}, step{},
			step{config: targets("one:80") + "- {job_name: k, static_configs: [{targets: [\"two:80\"]}]}\n"}, step{answers: changing[1]})},
		"the interval is halved": {keepsCache: true, steps: still(
			step{config: targets("one:80"), answers: changing[0]}, step{},
			step{config: targets("one:80", "scrape_interval: 30s"), unit: 30 * time.Second}, step{answers: changing[1]}, step{},
			step{config: targets("one:80", "scrape_interval: 1m"), unit: time.Minute}, step{})},
		"an interval of its own": {steps: still(
			step{config: targets("one:80", "relabel_configs: [{target_label: __scrape_interval__, replacement: 30s}]"), answers: changing[0],
				unit: 30 * time.Second}, step{answers: changing[1]})},
		"two targets with the same series": {steps: still(
			step{config: targets("one:80, two:80", "honor_labels: true"), answers: all(plain("a{instance=\"x\",job=\"y\"} 1\n"))}, step{},
			step{answers: changing[1]})},
		"global settings": {keepsCache: true, steps: still(
			step{config: "global: {scrape_interval: 1m, scrape_timeout: 4s, sample_limit: 1, external_labels: {x: y}}\nscrape_configs:\n" + targets("one:80"),
				answers: changing[0]}, step{},
			step{config: "global: {scrape_interval: 1m, scrape_timeout: 4s, label_limit: 2, body_size_limit: 1KB, extra_scrape_metrics: true}\nscrape_configs:\n" + targets("one:80")},
			step{})},
		"labels of targets": {steps: still(
			step{config: "- job_name: j\n  static_configs: [{targets: [\"one:80\"], labels: {__scrape_native_histograms__: \"true\", __meta_x: y, __tmp: z, job: other, empty: \"\"}}]\n",
				answers: all(protoBodies()[4].answer())}, step{})},
		"a slow target at a reload": {keepsCache: true, steps: still(
			step{config: targets("one:80, two:80", "scrape_timeout: 10s"), answers: map[string]answer{"one:80": {wait: 9 * time.Second, body: []byte("a 1\n"),
				header: []string{"Content-Type: " + typeText}}, "two:80": plain("a 2\n")}},
			step{config: targets("one:80, two:80", "scrape_timeout: 8s")}, step{}, step{answers: changing[0]})},
		"references change": {steps: still(
			step{config: targets("one:80"), answers: changing[0]}, step{forget: true}, step{answers: changing[1], forget: true}, step{forget: true},
			step{answers: changing[0]}, step{forget: true, answers: all(answer{status: 500})})},
	} {
		t.Run(what, func(t *testing.T) { s.check(t) })
	}
}

func TestSequences(t *testing.T) {
	for what, bodies := range map[string][]string{
		"series come and go":                {"a 1\n", "b 1\n", "a 1\nb 1\n", "", "a 1\n", "a 1\nb 1\nc 1\n", "c 1\n", "c 1\n"},
		"series in another order":           {"a 1\nb 2\n", "b 2\na 1\n", "a{x=\"1\",y=\"2\"} 1\n", "a{y=\"2\",x=\"1\"} 1\n", "a{x=\"1\", y=\"2\"} 1\n"},
		"a stale value in the body":         {"a 1\nb 2\n", "a 1\nb NaN\n", "a 1\nb 2\n"},
		"with timestamps, then without":     {"a 1 946684000000\nb 1\n", "a 1\nb 1\n", "b 1\n", "a 1 946684000000\nb 1\n", "b 1\n"},
		"timestamps that stand still":       {"a 1 946684000000\n", "a 1 946684000000\n", "a 2 946684000000\n", "a 2 946684000001\n", "b 1\n"},
		"an error in the middle":            {"a 1\nb 1\n", "a 1\n}\nb 1\n", "a 1\nb 1\n", "}\n", "}\n", "b 1\n"},
		"metadata changes":                  {"# TYPE a counter\n# HELP a x\na 1\n", "# HELP a y\na 1\n", "# TYPE a gauge\na 1\n", "a 1\n", "# UNIT a x\na 1\n"},
		"metadata goes away":                {"# TYPE a counter\na 1\n", "b 1\n", "b 1\n", "b 1\n", "b 1\n", "b 1\n", "b 1\n", "b 1\n", "b 1\n", "b 1\n", "b 1\n", "b 1\n", "a 1\n"},
		"faults come and go":                {"a 1\n", "a 1\na{storage_fault=\"other\"} 1\n", "a 1\na{storage_fault=\"ooo\"} 1\n", "a 1\n", "a{storage_fault=\"notfound\"} 1\n"},
		"a series is dropped, then is not":  {"drop_a 1\na 1\n", "a 1\n", "drop_a 1\n", "rename_x 1\nrename_x 2\n", "renamed_x 1\nrename_x 2\n"},
		"too many samples, then fewer":      {"a 1\nb 1\nc 1\nd 1\n", "a 1\nb 1\n", "a 1\nb 1\nc 1\nd 1\ne 1\n", "a 1\n", "b 1\nc 1\nd 1\n", "a 1\n"},
		"duplicates come and go":            {"a 1\na 2\n", "a 1\n", "a 2\na 2\na 2\n", "b 1\n"},
		"no sample accepted, then accepted": {"a 5 946700000000\n", "a 5\n", "a 5\n", "b 1\n"},
	} {
		t.Run(what, func(t *testing.T) {
			for name, config := range configs {
				for _, kind := range []string{typeText, typeOM} {
					var steps []step
					for _, content := range bodies {
						if kind == typeOM && content != "" {
							content += "# EOF\n"
						}
						steps = append(steps, step{answers: all(body{kind: kind, content: content}.answer())})
					}
					steps[0].config = config
					if d := (scenario{steps: steps}).compare(t); d != "" {
						t.Errorf("%s: %s", name, d)
					}
				}
			}
		})
	}
}

func TestManySeries(t *testing.T) {
	many := plain(manySeries(20000))
	for _, config := range []string{job(), job("sample_limit: 100"), job("body_size_limit: 1KB")} {
		scenario{steps: []step{
			{config: config, answers: all(plain(manySeries(10)))}, {answers: all(many)}, {answers: all(plain(manySeries(10)))},
			{answers: all(plain(manySeries(10)))}, {answers: all(answer{status: 500})},
		}}.check(t)
	}
}

func TestScrapeOnShutdown(t *testing.T) {
	scenario{features: features{scrapeOnShutdown: true}, steps: []step{
		{config: targets("one:80, two:80"), answers: all(plain("a 1\nb 2\n"))}, {answers: all(plain("a 1\n"))},
	}}.check(t)
}
