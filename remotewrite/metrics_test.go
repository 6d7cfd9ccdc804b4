package remotewrite

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/remotewrite/receivertest"
)

func TestMetricsShowTheAccountAndVanishWithTheirOwner(t *testing.T) {
	log, r := newMemlog(), newReceiver(t)
	r.setAnswer(poisoned("s3"))
	m := NewMetrics(BasicMetrics)
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(m))
	q := New(Options{Instance: "i", Metrics: m})
	t.Cleanup(q.Close)
	address := strings.Replace(r.url, "http://", "http://user:secret@", 1)
	cfg := writeConfig(t, address, func(c *promconfig.RemoteWriteConfig) { c.WriteRelabelConfigs = dropping("s1") })
	require.NoError(t, q.Apply([]EndpointConfig{{CursorID: "a", Open: log.open("a"), Config: cfg}}))
	log.scrape(10, 1)
	requireDrained(t, q)
	log.scrape(10, 2)

	labels := `remote_name="test",url="` + strings.Replace(r.url, "http://", "http://user:xxxxx@", 1) + `"`
	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
		# HELP prometheus_remote_storage_samples_total Float samples acknowledged by the receiver.
		# TYPE prometheus_remote_storage_samples_total counter
		prometheus_remote_storage_samples_total{instance_name="i",`+labels+`} 8
		# HELP prometheus_remote_storage_samples_dropped_total Float samples that were given up for another reason than a refusal.
		# TYPE prometheus_remote_storage_samples_dropped_total counter
		prometheus_remote_storage_samples_dropped_total{instance_name="i",reason="relabel",`+labels+`} 1
		# HELP prometheus_remote_storage_samples_failed_total Float samples that the receiver refused for good.
		# TYPE prometheus_remote_storage_samples_failed_total counter
		prometheus_remote_storage_samples_failed_total{instance_name="i",`+labels+`} 1
		# HELP prometheus_remote_storage_samples_pending Samples and histograms that wait in the log.
		# TYPE prometheus_remote_storage_samples_pending gauge
		prometheus_remote_storage_samples_pending{instance_name="i",`+labels+`} 10
		# HELP prometheus_remote_storage_queue_highest_sent_timestamp_seconds Newest acknowledged timestamp.
		# TYPE prometheus_remote_storage_queue_highest_sent_timestamp_seconds gauge
		prometheus_remote_storage_queue_highest_sent_timestamp_seconds{instance_name="i",`+labels+`} 1.7e+09
	`), "prometheus_remote_storage_samples_total", "prometheus_remote_storage_samples_dropped_total", "prometheus_remote_storage_samples_failed_total",
		"prometheus_remote_storage_samples_pending", "prometheus_remote_storage_queue_highest_sent_timestamp_seconds"))

	receivertest.RequireBalance(t, registry)

	problems, err := testutil.GatherAndLint(registry)
	require.NoError(t, err)
	for _, p := range problems {
		// The one name that Prometheus itself has against its own rule.
		require.Contains(t, p.Metric, "highest_timestamp_in_seconds")
	}

	// A second queue with the same labels, as while an instance is replaced, is not an error but a sum.
	other := New(Options{Instance: "i", Metrics: m})
	t.Cleanup(other.Close)
	require.NoError(t, other.Apply([]EndpointConfig{{CursorID: "a", Open: log.open("a"), Config: cfg}}))
	_, err = registry.Gather()
	require.NoError(t, err)

	q.Close()
	other.Close()
	families, err := registry.Gather()
	require.NoError(t, err)
	require.Empty(t, families)
}

func TestTheDocumentedRuleSumsJustTheTermsOfTheAccount(t *testing.T) {
	text, err := os.ReadFile("../docs/failure-model.md")
	require.NoError(t, err)
	found := regexp.MustCompile("__name__=~\"(.*)\"").FindSubmatch(text)
	require.Len(t, found, 2)
	expression := regexp.MustCompile("^(?:" + string(found[1]) + ")$")
	var names, terms []string
	for _, m := range metrics() {
		names = append(names, m.name)
	}
	for _, m := range dropMetrics() {
		names = append(names, m.name)
	}
	for _, name := range names {
		if expression.MatchString(metricPrefix + name) {
			terms = append(terms, name)
		}
	}
	require.ElementsMatch(t, []string{
		"samples_total", "histograms_total", "samples_failed_total", "histograms_failed_total", "samples_dropped_total",
		"histograms_dropped_total", "samples_pending",
	}, terms, "as receivertest.Imbalance")
	require.Contains(t, string(text), "("+metricPrefix+"samples_committed_total)")
	require.Contains(t, names, "samples_committed_total")
}
