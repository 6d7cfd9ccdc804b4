package alerts_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/ringmaster-agent/ringmaster/remotewrite"
)

// step is how often rules are evaluated, and how far apart the values of a case are.
const step = time.Minute

type testCase struct {
	Name   string   `yaml:"name"`
	Series string   `yaml:"series"`
	At     string   `yaml:"at"`
	Firing []string `yaml:"firing"`
}

func rules(t *testing.T) []rulefmt.Rule {
	t.Helper()
	groups, errs := rulefmt.ParseFile("ringmaster.yaml", false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	require.Empty(t, errs)
	var all []rulefmt.Rule
	for _, g := range groups.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

func TestEachAlertFiresWhenItHasTo(t *testing.T) {
	text, err := os.ReadFile("cases.yaml")
	require.NoError(t, err)
	var cases []testCase
	require.NoError(t, yaml.Unmarshal(text, &cases))
	fired := map[string]bool{}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			at, err := model.ParseDuration(c.At)
			require.NoError(t, err)
			firing := firingOf(t, c.Series, time.Duration(at))
			for _, name := range firing {
				fired[name] = true
			}
			require.ElementsMatch(t, c.Firing, firing)
		})
	}
	for _, rule := range rules(t) {
		require.True(t, fired[rule.Alert], "no case makes %s fire", rule.Alert)
	}
}

// firingOf are the alerts that fire at a time, given series in Prometheus' test language.
func firingOf(t *testing.T, series string, at time.Duration) (firing []string) {
	t.Helper()
	engine := promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery)
	loaded := promqltest.LoadedStorage(t, "load 1m\n\t"+strings.ReplaceAll(strings.TrimSpace(series), "\n", "\n\t")+"\n")
	for _, rule := range rules(t) {
		if fires(t, engine, loaded, rule, time.Unix(0, 0).Add(at)) {
			firing = append(firing, rule.Alert)
		}
	}
	return firing
}

// fires reports whether an expression was true at every evaluation during the rule's for, up to an
// instant.
func fires(t *testing.T, engine *promql.Engine, series storage.Queryable, rule rulefmt.Rule, at time.Time) bool {
	t.Helper()
	for since := at.Add(-time.Duration(rule.For)); !since.After(at); since = since.Add(step) {
		query, err := engine.NewInstantQuery(context.Background(), series, nil, rule.Expr, since)
		require.NoError(t, err, rule.Alert)
		result := query.Exec(context.Background())
		require.NoError(t, result.Err, rule.Alert)
		vector, err := result.Vector()
		require.NoError(t, err)
		query.Close()
		if len(vector) == 0 {
			return false
		}
	}
	return true
}

// reasons are all for which remote write does not send a sample.
func reasons() (all []string) {
	for r := remotewrite.Reason(0); r.String() != "unknown"; r++ {
		all = append(all, r.String())
	}
	return all
}

// TestEveryReasonOfALossIsAnAlertUnlessTheConfigAsksForIt takes each reason with each kind of
// sample: a steady loss, and one that happens once.
func TestEveryReasonOfALossIsAnAlertUnlessTheConfigAsksForIt(t *testing.T) {
	const refused, dropped, intended, process = "refused", "dropped", "intended", "counted for the process"
	kinds := map[string]string{
		"relabel": intended, "native_histograms_off": intended,
		// sample_age_limit sets how late a sample may be; what is lost by it, an outage has cost.
		"too_old":  dropped,
		"rejected": refused, "too_large": refused, "rate_limited": refused,
		"damaged": dropped, "truncated": dropped, "unsupported_histogram": dropped, "unknown_series": dropped,
		// Somebody removed the block while samples waited: no endpoint is left to repair.
		"endpoint_removed": process,
	}
	const labels = `job="agent",instance_name="a",remote_name="r",url="u"`
	lost := []string{"RingmasterSamplesLost"}
	for _, reason := range reasons() {
		require.Contains(t, kinds, reason, "say whether it is an alert")
		for _, item := range []string{"samples", "histograms", "exemplars"} {
			name := "prometheus_remote_storage_" + item
			drops := "prometheus_remote_storage_samples_failed_total{" + labels + "} 0x60\n" +
				name + `_dropped_total{` + labels + `,reason="` + reason + `"} `
			const steady, once = "1+60x60", "_x19 1000x40"
			switch kinds[reason] {
			case refused:
				require.Equal(t, lost, firingOf(t, name+"_failed_total{"+labels+"} "+steady, 40*time.Minute), reason+" "+item)
			case dropped:
				require.Equal(t, lost, firingOf(t, drops+steady, 40*time.Minute), reason+" "+item)
				require.Equal(t, lost, firingOf(t, drops+once, 32*time.Minute), "once: "+reason+" "+item)
				require.Empty(t, firingOf(t, drops+once, 50*time.Minute), "long ago: "+reason+" "+item)
			case intended:
				require.Empty(t, firingOf(t, drops+steady, 40*time.Minute), reason+" "+item)
			case process:
				require.Empty(t, firingOf(t, `prometheus_remote_storage_samples_given_up_total{job="agent",reason="`+reason+`"} `+steady, 40*time.Minute))
			}
		}
	}
}

// selectors are those of a query.
func selectors(t *testing.T, expr string) (found []*parser.VectorSelector) {
	t.Helper()
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	require.NoError(t, err, expr)
	parser.Inspect(parsed, func(n parser.Node, _ []parser.Node) error {
		if selector, ok := n.(*parser.VectorSelector); ok {
			found = append(found, selector)
		}
		return nil
	})
	return found
}

// metricNames are those that a query selects.
func metricNames(t *testing.T, expr string) (names []string) {
	t.Helper()
	for _, selector := range selectors(t, expr) {
		names = append(names, selector.Name)
	}
	return names
}

// checkMatchers holds what a query asks of labels against the labels of the metric, and against
// the values that there are.
func checkMatchers(t *testing.T, where string, selector *parser.VectorSelector, labels string) {
	t.Helper()
	for _, m := range selector.LabelMatchers {
		if m.Name == model.MetricNameLabel || m.Name == "job" || m.Name == "instance" {
			continue
		}
		require.Contains(t, labels, "`"+m.Name+"`", "%s: %s has no such label", where, selector.Name)
		require.Equal(t, "reason", m.Name, "%s: list the values of this label here", where)
		for value := range strings.SplitSeq(m.Value, "|") {
			require.Contains(t, reasons(), value, "%s: %s", where, selector)
		}
	}
}

// TestAlertsAndDashboardsNameOnlyMetricsThatThereAre holds them, with their labels, against docs/metrics.md, which a
// test of the daemon holds against what an agent exposes.
func TestAlertsAndDashboardsNameOnlyMetricsThatThereAre(t *testing.T) {
	reference, err := os.ReadFile(filepath.Join("..", "..", "docs", "metrics.md"))
	require.NoError(t, err)
	labels := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_0-9]+)` \\|[^|]*\\|([^|]*)\\|").FindAllStringSubmatch(string(reference), -1) {
		labels[row[1]] = row[2]
	}
	isKnown := func(name string) bool {
		for _, suffix := range []string{"", "_bucket", "_sum", "_count"} {
			base, ok := strings.CutSuffix(name, suffix)
			if _, there := labels[base]; ok && there {
				return true
			}
		}
		return strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_")
	}
	queries := 0
	check := func(where, expr string) {
		queries++
		for _, selector := range selectors(t, expr) {
			require.True(t, isKnown(selector.Name), "%s: docs/metrics.md has no %s", where, selector.Name)
			checkMatchers(t, where, selector, labels[selector.Name])
		}
	}
	for _, rule := range rules(t) {
		check(rule.Alert, rule.Expr)
	}
	dashboards, err := filepath.Glob(filepath.Join("..", "dashboards", "*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, dashboards)
	for _, file := range dashboards {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var dashboard struct {
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		require.NoError(t, json.Unmarshal(text, &dashboard), file)
		for _, panel := range dashboard.Panels {
			for _, target := range panel.Targets {
				expr := strings.NewReplacer("$__rate_interval", "5m", "$job", "agent", "$instance", "a").Replace(target.Expr)
				check(file+": "+panel.Title, expr)
			}
		}
	}
	require.Greater(t, queries, 20)
}

func TestEachAlertIsExplained(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "alerts.md"))
	require.NoError(t, err)
	for _, rule := range rules(t) {
		require.Contains(t, string(text), "## "+rule.Alert+"\n")
		require.True(t, strings.HasSuffix(rule.Annotations["runbook_url"], "docs/alerts.md#"+strings.ToLower(rule.Alert)), rule.Alert)
	}
}

// TestTheReadmeNamesMetricsOfTheAlertsBesideThem reads the table of README.
func TestTheReadmeNamesMetricsOfTheAlertsBesideThem(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	require.NoError(t, err)
	_, section, found := strings.Cut(string(readme), "\n## What to watch\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n## ")
	quoted := regexp.MustCompile("`([A-Za-z_]+)`")
	named := func(cell string) (names []string) {
		for _, match := range quoted.FindAllStringSubmatch(cell, -1) {
			names = append(names, match[1])
		}
		return names
	}
	rows := 0
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) != 4 || len(named(line)) == 0 {
			continue
		}
		rows++
		queried := map[string]bool{}
		for _, alert := range named(cells[2]) {
			at := slices.IndexFunc(rules(t), func(r rulefmt.Rule) bool { return r.Alert == alert })
			require.GreaterOrEqual(t, at, 0, "there is no alert %s", alert)
			for _, name := range metricNames(t, rules(t)[at].Expr) {
				queried[name] = true
			}
		}
		for _, name := range named(cells[1]) {
			require.True(t, queried[name], "no alert of the row asks for %s", name)
		}
	}
	require.GreaterOrEqual(t, rows, 4)
}
