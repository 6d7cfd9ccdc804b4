package daemon

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/ringmaster-agent/ringmaster/remotewrite/receivertest"
)

// lintExceptions are families whose names are given from outside, with whose they are. promlint has
// something against their names or their types.
var lintExceptions = map[string]string{
	"prometheus_target_interval_length_histogram_seconds": "Prometheus' name: it has the type in it",
	"prometheus_target_sync_length_histogram_seconds":     "Prometheus' name: it has the type in it",
}

// inForce is an agent that scrapes a target and sends what it got.
func inForce(t *testing.T, detail string) (r *running, receiver *receivertest.Receiver) {
	t.Helper()
	receiver = &receivertest.Receiver{}
	return agentWith(t, detail, "prometheus", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = w.Write([]byte("# HELP x X.\n# TYPE x counter\nx_total 1\n"))
	}, receiver), receiver
}

func TestTheNamesOfMetricsAreAsPrometheusWantsThem(t *testing.T) {
	r, receiver := inForce(t, "full")
	require.Eventually(t, func() bool { return receiver.Samples() > 0 }, patience, 20*time.Millisecond)
	families := exposed(t, r)
	require.NoError(t, r.end(t))
	unused := map[string]bool{}
	for name := range lintExceptions {
		unused[name] = true
	}
	for name, family := range families {
		if strings.HasPrefix(name, "go_") { // the Go client's own
			continue
		}
		problems, err := promlint.NewWithMetricFamilies([]*dto.MetricFamily{family}).Lint()
		require.NoError(t, err)
		delete(unused, name)
		if lintExceptions[name] != "" {
			assert.NotEmpty(t, problems, "%s needs no exception", name)
			continue
		}
		assert.Empty(t, problems, name)
	}
	require.Empty(t, unused, "exceptions for metrics that there are not")
}

// scraped is what a Prometheus has that scrapes an agent every quarter of a minute: ten times what
// it exposed first, ten times what it exposed later, with the labels that a Kubernetes has.
func scraped(t *testing.T, first, later map[string]*dto.MetricFamily) storage.Storage {
	t.Helper()
	before, after := valuesOf(t, first), valuesOf(t, later)
	var b strings.Builder
	b.WriteString("load 15s\n")
	for series, value := range after {
		old, known := before[series]
		if !known {
			old = value
		}
		fmt.Fprintf(&b, "\t%s %s+0x9 %s+0x9\n", series, old, value)
	}
	b.WriteString("\tup{" + scrapeLabels + "} 1+0x19\n")
	return promqltest.LoadedStorage(t, b.String())
}

const scrapeLabels = `job="agent",instance="a:12345",cluster="c",namespace="n",container="agent",pod="agent-0"`

// valuesOf are the values of all series, as PromQL writes the series.
func valuesOf(t *testing.T, families map[string]*dto.MetricFamily) map[string]string {
	t.Helper()
	var text bytes.Buffer
	for _, family := range families {
		_, err := expfmt.MetricFamilyToText(&text, family)
		require.NoError(t, err)
	}
	values := map[string]string{}
	for line := range strings.Lines(text.String()) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			continue
		}
		cut := strings.LastIndexByte(line, ' ')
		series, value := line[:cut], strings.Replace(line[cut+1:], "+Inf", "Inf", 1)
		if name, labels, has := strings.Cut(series, "{"); has {
			series = name + "{" + scrapeLabels + "," + labels
		} else {
			series += "{" + scrapeLabels + "}"
		}
		values[series] = value
	}
	return values
}

// query is one of a dashboard or an alert.
type query struct{ from, expr string }

// mixin are the queries of the dashboards of Grafana Agent's mixin about metrics, and of its alerts.
func mixin(t *testing.T) (all []query) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "mixin.yaml"))
	require.NoError(t, err)
	var panels map[string][]string
	require.NoError(t, yaml.Unmarshal(text, &panels))
	for panel, exprs := range panels {
		for _, expr := range exprs {
			all = append(all, query{panel, expr})
		}
	}
	return all
}

// ours are those of deploy: of the alerts, both sides of each comparison, since none of them must fire.
func ours(t *testing.T) (all []query) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "..", "deploy", "dashboards", "*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var dashboard struct {
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		require.NoError(t, json.Unmarshal(text, &dashboard))
		for _, p := range dashboard.Panels {
			for _, target := range p.Targets {
				all = append(all, query{filepath.Base(file) + ": " + p.Title, target.Expr})
			}
		}
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "deploy", "alerts", "ringmaster.yaml"))
	require.NoError(t, err)
	var rules struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	require.NoError(t, yaml.Unmarshal(text, &rules))
	for _, g := range rules.Groups {
		for _, rule := range g.Rules {
			all = append(all, query{rule.Alert, rule.Expr})
		}
	}
	return all
}

// emptyPanels are those that are empty on a healthy agent, by what is exposed of each config.
var emptyPanels = map[string][]string{
	"full":  {"Samples dropped"},                                // by reason, of which there is none
	"basic": {"Samples dropped", "Segments", "Enqueue retries"}, // docs/migration.md says so
}

func TestNoPanelIsEmptyAndNoAlertFiresOnAHealthyAgent(t *testing.T) {
	for detail, mayBeEmpty := range emptyPanels {
		t.Run(detail, func(t *testing.T) {
			r, receiver := inForce(t, detail)
			require.Eventually(t, func() bool { return receiver.Samples() > 0 }, patience, 20*time.Millisecond)
			first := exposed(t, r)
			seen := receiver.Samples()
			require.Eventually(t, func() bool { return receiver.Samples() > seen }, patience, 20*time.Millisecond)
			later := exposed(t, r)
			require.NoError(t, r.end(t))
			evaluate(t, scraped(t, first, later), mayBeEmpty)
		})
	}
}

// evaluate asks every query, at the end of what there is.
func evaluate(t *testing.T, store storage.Storage, mayBeEmpty []string) {
	t.Helper()
	engine := promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery)
	variables := strings.NewReplacer("$__rate_interval", "5m", "$job", "agent", "$instance", ".*", "$cluster", "c", "$namespace", "n",
		"$container", "agent", "$pod", "agent-0", "$url", ".*")
	asked := 0
	for _, q := range slices.Concat(mixin(t), ours(t)) {
		query, err := engine.NewInstantQuery(t.Context(), store, nil, variables.Replace(q.expr), time.Unix(19*15, 0))
		require.NoError(t, err, "%s: %s", q.from, q.expr)
		result := query.Exec(t.Context())
		require.NoError(t, result.Err, "%s: %s", q.from, q.expr)
		vector, err := result.Vector()
		require.NoError(t, err, q.from)
		empty := len(vector) == 0
		query.Close()
		asked++
		switch {
		case strings.HasPrefix(q.from, "Ringmaster") || strings.HasPrefix(q.from, "alert "):
			assert.True(t, empty, "%s fires: %s", q.from, q.expr)
		case slices.Contains(mayBeEmpty, q.from):
			assert.True(t, empty, "%s needs no exception: %s", q.from, q.expr)
		default:
			assert.False(t, empty, "%s is empty: %s", q.from, q.expr)
		}
	}
	require.Greater(t, asked, 40)
}
