package daemon

import (
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cluster/memstore"
	"github.com/ringmaster-agent/ringmaster/remotewrite/receivertest"
)

var update = flag.Bool("update", false, "write docs/metrics.md anew")

// exposed are the families of an agent, by name.
func exposed(t *testing.T, r *running) map[string]*dto.MetricFamily {
	t.Helper()
	_, text := r.request(t, http.MethodGet, "/metrics")
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	require.NoError(t, err)
	return families
}

// everything is an agent with all metrics, which shares a store with others, scrapes and sends.
func everything(t *testing.T, compatibility string, target http.HandlerFunc, receiver http.Handler) *running {
	t.Helper()
	return agentWith(t, "full", compatibility, target, receiver)
}

// agentWith is one with a set of metrics.
func agentWith(t *testing.T, detail, compatibility string, target http.HandlerFunc, receiver http.Handler) *running {
	t.Helper()
	targets, receivers := httptest.NewServer(target), httptest.NewServer(receiver)
	t.Cleanup(targets.Close)
	t.Cleanup(receivers.Close)
	agent := load(t, "metrics:\n  detail: "+detail+"\n  wal_directory: "+filepath.Join(t.TempDir(), "wal")+
		"\n  compatibility: "+compatibility+"\n  scraping_service: {enabled: true, gossip: {enabled: false}}\n")
	store := memstore.NewServer(nil)
	r := startDaemon(t, Options{Agent: agent, sharedStore: store.Connect()})
	address := strings.TrimPrefix(targets.URL, "http://")
	text := "scrape_configs:\n- job_name: a\n  scrape_interval: 1s\n  static_configs: [{targets: ['" + address + "'], labels: {instance: t}}]\n" +
		"remote_write: [{url: '" + receivers.URL + "', queue_config: {batch_send_deadline: 100ms}}]\n"
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, r.base+"/agent/api/v1/config/app", strings.NewReader(text))
	require.NoError(t, err)
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusCreated, response.StatusCode)
	return r
}

func TestTheReferenceOfMetricsHasAllOfThem(t *testing.T) {
	receiver := &receivertest.Receiver{}
	r := everything(t, "prometheus", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = w.Write([]byte("x 1\n"))
	}, receiver)
	require.Eventually(t, func() bool { return receiver.Samples() > 0 }, patience, 20*time.Millisecond)
	families := ofACluster(t)
	maps.Copy(families, exposed(t, r))
	require.NoError(t, r.end(t))

	file := filepath.Join("..", "..", "..", "docs", "metrics.md")
	text, err := os.ReadFile(file)
	if !*update {
		require.NoError(t, err)
	}
	rows := map[string]string{}
	for _, match := range regexp.MustCompile("(?m)^\\| `([a-z_0-9]+)` .*\n").FindAllStringSubmatch(string(text), -1) {
		rows[match[1]] = match[0]
	}
	for name, family := range families {
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") {
			continue
		}
		row := describe(family)
		if *update {
			rows[name] = row
		}
		require.Equal(t, rows[name], row, "go test ./cmd/internal/daemon -run Reference -args -update writes docs/metrics.md anew")
	}
	if !*update {
		return
	}
	names := make([]string, 0, len(rows))
	for name := range rows {
		names = append(names, name)
	}
	sort.Strings(names)
	var b strings.Builder
	b.WriteString("# Metrics\n\nAn agent exposes these metrics on `/metrics`, besides those of Go (`go_*`) and of the process\n" +
		"(`process_*`). Some appear only when they have a value to report, or with `metrics.detail: full`. A\n" +
		"test compares this page with a running agent.\n\n| Name | Type | Labels | |\n|---|---|---|---|\n")
	for _, name := range names {
		b.WriteString(rows[name])
	}
	require.NoError(t, os.WriteFile(file, []byte(b.String()), 0o600))
}

// ofACluster are the families of an agent that has a peer, and a fault on purpose.
func ofACluster(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	store := memstore.NewServer(nil)
	a := startDaemon(t, Options{Agent: sharing(t, "a", ""), sharedStore: store.Connect(), Chaos: true})
	b := startDaemon(t, Options{Agent: sharing(t, "b", ""), sharedStore: store.Connect(), Chaos: true})
	status, text := a.send(t, http.MethodPut, "/agent/api/v1/chaos/rules/slow", `{"point": "gossip.send", "action": "delay", "delay": "1ms", "duration": "10m"}`)
	require.Equal(t, http.StatusOK, status, text)
	var families map[string]*dto.MetricFamily
	require.Eventually(t, func() bool {
		families = exposed(t, a)
		return families["agent_chaos_hits_total"] != nil && families["gossip_last_contact_age_seconds"] != nil
	}, patience, 20*time.Millisecond)
	require.NoError(t, a.end(t))
	require.NoError(t, b.end(t))
	return families
}

func describe(family *dto.MetricFamily) string {
	var names []string
	for _, m := range family.Metric {
		for _, l := range m.Label {
			if !slices.Contains(names, "`"+l.GetName()+"`") {
				names = append(names, "`"+l.GetName()+"`")
			}
		}
	}
	sort.Strings(names)
	return fmt.Sprintf("| `%s` | %s | %s | %s |\n", family.GetName(), strings.ToLower(family.GetType().String()), strings.Join(names, ", "),
		strings.ReplaceAll(family.GetHelp(), "|", "\\|"))
}

// TestTheDocsCountTheSeriesOfAConfig counts those of a config with one job and one endpoint.
func TestTheDocsCountTheSeriesOfAConfig(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "configuration.md"))
	require.NoError(t, err)
	documented := regexp.MustCompile("`basic` \\(([0-9]+) series for a config with one job and one endpoint\\) or `full` \\(([0-9]+):").FindStringSubmatch(string(text))
	require.NotNil(t, documented)
	for i, detail := range []string{"basic", "full"} {
		r, receiver := inForce(t, detail)
		require.Eventually(t, func() bool { return receiver.Samples() > 0 }, patience, 20*time.Millisecond)
		_, exposition := r.request(t, http.MethodGet, "/metrics")
		require.NoError(t, r.end(t))
		require.Equal(t, documented[i+1], strconv.Itoa(strings.Count(exposition, `instance_name="app"`)), detail)
	}
}

// TestARecordingOfGrafanaAgentIsWhatAReceiverGets plays what targets wrote, and compares what a
// receiver gets, series by series, with what Grafana Agent sent it: testdata/series/*.prom and
// *.agent, and *.prometheus for the other setting.
func TestARecordingOfGrafanaAgentIsWhatAReceiverGets(t *testing.T) {
	bodies, err := filepath.Glob(filepath.Join("testdata", "series", "*.prom"))
	require.NoError(t, err)
	require.NotEmpty(t, bodies)
	for _, path := range bodies {
		for _, compatibility := range []string{"agent", "prometheus"} {
			body, err := os.ReadFile(path)
			require.NoError(t, err)
			want, err := os.ReadFile(strings.TrimSuffix(path, ".prom") + "." + compatibility)
			require.NoError(t, err)
			receiver := &receivertest.Receiver{}
			r := everything(t, compatibility, func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Content-Type"] = nil
				_, _ = w.Write(body)
			}, receiver)
			require.Eventually(t, func() bool { return strings.Contains(strings.Join(seriesIn(receiver), "\n"), `__name__="up"`) }, patience, 20*time.Millisecond)
			require.Equal(t, strings.Fields(string(want)), seriesIn(receiver), "%s as %s", path, compatibility)
			require.NoError(t, r.end(t))
		}
	}
}

// seriesIn are the series that a receiver has, without the scrape's own but up, as text without spaces.
func seriesIn(receiver *receivertest.Receiver) (found []string) {
	for key := range receiver.Stored() {
		if !strings.Contains(key, `__name__="scrape_`) {
			found = append(found, strings.ReplaceAll(key, " ", ""))
		}
	}
	sort.Strings(found)
	return found
}
