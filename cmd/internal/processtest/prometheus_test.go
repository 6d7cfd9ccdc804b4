package processtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"
)

// promServer is a real Prometheus that receives remote write.
type promServer struct {
	*process
	base string
	// data is its directory.
	data string
}

func startPrometheus(t *testing.T, features ...string) *promServer {
	t.Helper()
	if *prometheusPath == "" {
		t.Skip("this test needs a prometheus program: go build -o /tmp/prometheus github.com/prometheus/prometheus/cmd/prometheus && " +
			"go test ./cmd/internal/processtest -args -prometheus=/tmp/prometheus")
	}
	directory, address := t.TempDir(), freeAddress(t)
	configFile := filepath.Join(directory, "prometheus.yml")
	require.NoError(t, os.WriteFile(configFile, []byte("storage: {exemplars: {max_exemplars: 1000}}\n"), 0o600))
	p := &promServer{base: "http://" + address, data: filepath.Join(directory, "data")}
	p.process = start(t, *prometheusPath,
		"--config.file="+configFile, "--storage.tsdb.path="+p.data, "--web.listen-address="+address, "--web.enable-remote-write-receiver",
		"--enable-feature="+strings.Join(append(features, "exemplar-storage"), ","), "--log.level=warn")
	eventually(t, func() bool {
		require.True(t, p.running(), p.output.String())
		response, err := http.Get(p.base + "/-/ready")
		if err != nil {
			return false
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusOK
	}, "Prometheus never gets ready")
	return p
}

// queryResult is one element of an instant query's answer.
type queryResult struct {
	Metric    map[string]string
	Value     [2]any
	Histogram []any
}

func (p *promServer) query(expression string) (result []queryResult) {
	var answer struct {
		Data struct{ Result []queryResult }
	}
	p.ask("/api/v1/query?query="+url.QueryEscape(expression), &answer)
	return answer.Data.Result
}

func (p *promServer) ask(path string, into any) {
	response, err := http.Get(p.base + path)
	if err != nil {
		return
	}
	defer response.Body.Close()
	_ = json.NewDecoder(response.Body).Decode(into)
}

// observedTarget is a target with a native histogram that carries an exemplar.
func observedTarget() http.Handler {
	registry := prometheus.NewRegistry()
	latency := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "shop_request_duration_seconds", Help: "How long customers wait.",
		Buckets: []float64{0.1, 1}, NativeHistogramBucketFactor: 1.1,
	})
	registry.MustRegister(latency)
	observer, _ := latency.(prometheus.ExemplarObserver)
	observer.ObserveWithExemplar(0.25, prometheus.Labels{"trace_id": "abc123"})
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

func TestAPrometheusReceivesWhatTheReadmePromises(t *testing.T) {
	t.Cleanup(closeIdle)
	receiver := startPrometheus(t)
	directory, address := t.TempDir(), freeAddress(t)
	here := strings.NewReplacer("127.0.0.1:9090", strings.TrimPrefix(receiver.base, "http://"), "127.0.0.1:12345", address)

	configFile := filepath.Join(directory, "agent.yaml")
	copyAdapted(t, here, filepath.Join(repositoryRoot(), "examples", "agent.yaml"), configFile)
	a := &agent{base: "http://" + address, process: start(t, program(t, "agent"),
		"-config.file="+configFile, "-server.http.address="+address, "-metrics.wal-directory="+filepath.Join(directory, "wal"))}
	a.awaitReady()

	configs := filepath.Join(directory, "configs")
	require.NoError(t, os.Mkdir(configs, 0o700))
	copyAdapted(t, strings.NewReplacer(append(quick, "127.0.0.1:9090", strings.TrimPrefix(receiver.base, "http://"), "127.0.0.1:12345", address)...),
		filepath.Join(repositoryRoot(), "examples", "configs", "agent.yaml"), filepath.Join(configs, "agent.yaml"))
	shop := fmt.Sprintf("scrape_configs:\n- job_name: shop\n  scrape_interval: 1s\n  scrape_timeout: 1s\n  scrape_native_histograms: true\n  always_scrape_classic_histograms: true\n"+
		"  static_configs: [{targets: [%q]}]\nremote_write:\n- url: %s/api/v1/write\n  send_native_histograms: true\n  queue_config: {batch_send_deadline: 200ms}\n", serve(t, observedTarget()), receiver.base)
	require.NoError(t, os.WriteFile(filepath.Join(configs, "shop.yaml"), []byte(shop), 0o600))
	a.sync(configs)

	eventually(t, func() bool { return valueOf(receiver.query(`up{job="agent"}`)) == "1" }, "the agent's own up never arrives")
	proof, answer := proofOfQuickStart(t)
	eventually(t, func() bool { return valueOf(receiver.query(proof)) == answer }, "the README's quick start does not end with its proof")
	require.Equal(t, "example", receiver.query(`up{job="agent"}`)[0].Metric["collector"], "external labels of agent.yaml are there")
	eventually(t, func() bool { return valueOf(receiver.query(`shop_request_duration_seconds_count`)) == "1" }, "the classic histogram never arrives")
	eventually(t, func() bool { return valueOf(receiver.query(`histogram_sum(shop_request_duration_seconds)`)) == "0.25" }, "the native histogram never arrives")
	eventually(t, func() bool { return receiver.hasExemplar("shop_request_duration_seconds_bucket", "abc123") }, "the exemplar never arrives")

	require.NoError(t, os.Remove(filepath.Join(configs, "shop.yaml")))
	deleted := time.Now()
	a.sync(configs)
	eventually(t, func() bool { return len(receiver.query(`up{job="shop"}`)) == 0 }, "the series of a deleted config stay")
	require.Less(t, time.Since(deleted), 4*time.Minute, "they end by staleness markers, not by Prometheus' look-back of five minutes")
	require.NotEmpty(t, receiver.query(`up{job="agent"}`), "the neighbour goes on")
	a.stop()
}

// proofOfQuickStart is the query at the end of the README's quick start, and the answer that is
// printed there.
func proofOfQuickStart(t *testing.T) (query, answer string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repositoryRoot(), "README.md"))
	require.NoError(t, err)
	match := regexp.MustCompile(`\{\} => ([0-9]+) @\[…\]\npromtool query instant http://127\.0\.0\.1:9090 '(.*)'\n`).FindStringSubmatch(string(text))
	require.Len(t, match, 3, "the quick start has no query with its answer")
	return match[2], match[1]
}

// quick makes the example as impatient as a test.
var quick = []string{
	"  - job_name: agent\n", "  - job_name: agent\n    scrape_interval: 1s\n    scrape_timeout: 1s\n",
	"    send_native_histograms: true\n", "    send_native_histograms: true\n    queue_config: {batch_send_deadline: 200ms}\n",
}

func copyAdapted(t *testing.T, adapt *strings.Replacer, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, []byte(adapt.Replace(string(text))), 0o600))
}

func (a *agent) sync(directory string) {
	a.t.Helper()
	p := start(a.t, program(a.t, "agentctl"), "config-sync", directory, "--addr="+a.base)
	p.awaitExit()
	require.NoError(a.t, p.err, p.output.String())
}

func (p *promServer) hasExemplar(series, traceID string) bool {
	var answer struct {
		Data []struct {
			Exemplars []struct{ Labels map[string]string }
		}
	}
	window := fmt.Sprintf("&start=%d&end=%d", time.Now().Add(-time.Hour).Unix(), time.Now().Add(time.Hour).Unix())
	p.ask("/api/v1/query_exemplars?query="+url.QueryEscape(series)+window, &answer)
	for _, found := range answer.Data {
		for _, exemplar := range found.Exemplars {
			if exemplar.Labels["trace_id"] == traceID {
				return true
			}
		}
	}
	return false
}

// valueOf is the value of the only result.
func valueOf(results []queryResult) string {
	if len(results) != 1 {
		return ""
	}
	text, _ := results[0].Value[1].(string)
	return text
}
