package config

import (
	"log/slog"
	"testing"
	"time"

	promconfig "github.com/prometheus/prometheus/config"
	"github.com/stretchr/testify/require"
)

func TestKeysOfGrafanaAgentAreAcceptedWithOneLineEach(t *testing.T) {
	a := load(t, `server:
  grpc_tls_config: {cert_file: a, key_file: b}
metrics:
  instance_restart_backoff: 0s
  scraping_service_client: {grpc_client_config: {rate_limit: 1}}
  scraping_service:
    enabled: true
    reshard_timeout: 0
    cluster_reshard_event_timeout: 0s
    kvstore:
      store: etcd
      etcd: {endpoints: ["e:2379"], tls_cipher_suites: x, tls_min_version: VersionTLS12}
    lifecycler:
      readiness_check_ring_health: true
      ring: {excluded_zones: a}
`)
	for _, want := range []string{
		"conf/agent.yaml: line 2: server.grpc_tls_config has no effect: there is no gRPC listener",
		"conf/agent.yaml: line 4: metrics.instance_restart_backoff: the first pause is 100ms at least",
		"conf/agent.yaml: line 5: metrics.scraping_service_client has no effect: nodes ask each other over the HTTP listener",
		"conf/agent.yaml: line 12: metrics.scraping_service.kvstore.etcd.tls_cipher_suites has no effect: the cipher suites are those that Go chooses",
		"conf/agent.yaml: line 12: metrics.scraping_service.kvstore.etcd.tls_min_version has no effect: the least version is TLS 1.2",
		"conf/agent.yaml: line 14: metrics.scraping_service.lifecycler.readiness_check_ring_health has no effect: a node is ready when it is in the ring itself",
		"conf/agent.yaml: line 15: metrics.scraping_service.lifecycler.ring.excluded_zones has no effect: no zone is left out",
	} {
		require.Contains(t, a.Warnings, want)
	}
	require.Equal(t, 100*time.Millisecond, a.Metrics.InstanceRestartBackoff)
	require.Zero(t, a.Metrics.ScrapingService.ReshardTimeout)
}

func TestScrapeClassicHistogramsIsTheOldNameOfAKey(t *testing.T) {
	job := mustParse(t, "app", "scrape_configs: [{job_name: a, scrape_classic_histograms: true}]").ScrapeConfigs[0]
	prom, err := promconfig.Load("scrape_configs: [{job_name: a, always_scrape_classic_histograms: true}]", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.Equal(t, prom.ScrapeConfigs[0], job)

	errs := problems(t, "scrape_configs:\n- job_name: a\n  scrape_classic_histograms: true\n  always_scrape_classic_histograms: false", InstanceOptions{})
	require.ErrorContains(t, errs, "the key is already set in line 3")
}
