package config

import (
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/units"
	"github.com/stretchr/testify/require"
)

func limited(change func(*Limits)) InstanceOptions {
	l := defaultLimits()
	if change != nil {
		change(&l)
	}
	return InstanceOptions{Limits: l}
}

// allocated is how many bytes f has allocated.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestWhatATextMakesOfItselfIsRefusedBeforeItIsMade(t *testing.T) {
	repeated := strings.Repeat(".{1000}", 1000)
	rules := strings.Repeat("\n  - {regex: '"+repeated+"', target_label: x}", 12)
	group := "&g {targets: [" + strings.TrimSuffix(strings.Repeat("a,", 4900), ",") + "]}"
	for name, c := range map[string]struct {
		text, problem string
		most          uint64
	}{
		"regular expressions": {"scrape_configs:\n- job_name: a\n  relabel_configs:" + rules, "instructions, 100000 are allowed", 100 << 20},
		"aliases":             {"scrape_configs: [{job_name: a, static_configs: [" + group + strings.Repeat(", *g", 98) + "]}]", "has more than 100000 values", 200 << 20},
		"static targets":      {"scrape_configs: [{job_name: a, static_configs: [" + group + strings.Repeat(", *g", 10) + "]}]", "static configs list 24500 targets, 20000 are allowed", 200 << 20},
	} {
		var errs Errors
		used := allocated(func() { errs = problems(t, c.text, limited(nil)) })
		require.Len(t, errs, 1, name)
		require.Contains(t, errs[0].Problem, c.problem, name)
		require.Less(t, used, c.most, name)
	}
}

func TestIntervalsAreNeitherTooShortNorTooLong(t *testing.T) {
	for text, problem := range map[string]string{
		"scrape_configs: [{job_name: a, scrape_interval: 1ms}]":                                        "shorter than 100ms",
		"scrape_configs: [{job_name: a, scrape_interval: 292y, scrape_timeout: 1s}]":                   "longer than a year",
		"scrape_configs: [{job_name: a, http_sd_configs: [{url: 'http://s', refresh_interval: 1ms}]}]": "shorter than 100ms",
		"scrape_configs: [{job_name: a, dns_sd_configs: [{names: [a], refresh_interval: 290y}]}]":      "longer than a year",
	} {
		errs := problems(t, text, limited(nil))
		require.Len(t, errs, 1)
		require.Contains(t, errs[0].Problem, problem)
	}
	_, err := ParseInstance("app", "scrape_configs: [{job_name: a, scrape_interval: 50ms, scrape_timeout: 50ms}]", limited(func(l *Limits) { l.MinInterval = 10 * time.Millisecond }))
	require.NoError(t, err)
}

func TestAJobsOwnLimitsAreAtMostTheConfigs(t *testing.T) {
	i, err := ParseInstance("app", `scrape_configs:
- {job_name: a}
- {job_name: b, sample_limit: 5, body_size_limit: 1MB, label_limit: 6, label_value_length_limit: 7, label_name_length_limit: 8, target_limit: 9}
- {job_name: c, sample_limit: 5000000, body_size_limit: 1GB}
`, limited(func(l *Limits) { l.WALSize = units.GiB }))
	require.NoError(t, err)
	a, b, c := i.ScrapeConfigs[0], i.ScrapeConfigs[1], i.ScrapeConfigs[2]
	require.Equal(t, []any{uint(1_000_000), 256 * units.MiB, uint(128), uint(1024), uint(16384), uint(50_000)},
		[]any{a.SampleLimit, a.BodySizeLimit, a.LabelLimit, a.LabelNameLengthLimit, a.LabelValueLengthLimit, a.TargetLimit})
	require.Equal(t, []any{uint(5), units.MiB, uint(6), uint(8), uint(7), uint(9)},
		[]any{b.SampleLimit, b.BodySizeLimit, b.LabelLimit, b.LabelNameLengthLimit, b.LabelValueLengthLimit, b.TargetLimit})
	require.Equal(t, []any{uint(1_000_000), 256 * units.MiB}, []any{c.SampleLimit, c.BodySizeLimit})
	require.Equal(t, int64(1<<30), i.WALMaxSize)

	own := mustParse(t, "app", "scrape_configs: [{job_name: a}]")
	require.Zero(t, own.ScrapeConfigs[0].SampleLimit, "a config of the main file has none")
	require.NotEqual(t, own.Digest(), i.Digest())
}

func TestLimitsCanBeOverriddenByName(t *testing.T) {
	a := load(t, `metrics: {scraping_service: {enabled: true, limits: {samples_per_scrape: 10, overrides: [{configs: big-*, samples_per_scrape: 100, body_size: 1GB}, {configs: "*", values: 5}]}}}`)
	f := a.Metrics.ScrapingService.Limits
	require.Equal(t, uint(100), f.Of("big-a").SamplesPerScrape)
	require.Equal(t, units.GiB, f.Of("big-a").BodySize)
	require.Equal(t, 100_000, f.Of("big-a").Values)
	require.Equal(t, uint(10), f.Of("small").SamplesPerScrape)
	require.Equal(t, 5, f.Of("small").Values)
	_, err := LoadAgent("a", []byte("metrics: {scraping_service: {limits: {overrides: [{values: 1}]}}}"), LoadOptions{})
	require.ErrorContains(t, err, "pattern of names")
}

// The estimate is of the right size: neither a tenth nor ten times of what the program of a rule
// that people write is.
func TestProgramSizes(t *testing.T) {
	for _, text := range []string{"(.*)", "prod-.*", "a|b|c", "[a-z]{1,30}", "(?i)http://([^:]+):(\\d+)/.*", strings.Repeat("x", 500), ".{1000}", "([a-z]{10}){20}"} {
		before := programSize(text)
		memory := allocated(func() { regexp.MustCompile(text) })
		require.Positive(t, before)
		require.Less(t, uint64(before), memory/10+100, text)
		require.Greater(t, uint64(before)*600+8192, memory, text)
	}
}
