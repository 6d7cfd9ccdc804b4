package config

import (
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// retiredKeys are the keys of Grafana Agent's files, each with a value that is not the default, and
// the default as YAML.
const retiredKeys = `
server.log_level: debug = info
server.log_format: json = logfmt
server.http_tls_config.cert_file: a =
server.http_tls_config.key_file: a =
server.http_tls_config.client_auth_type: RequireAnyClientCert =
server.http_tls_config.client_ca_file: a =
server.http_tls_config.cipher_suites: [TLS_AES_128_GCM_SHA256] =
server.http_tls_config.curve_preferences: [X25519] =
server.http_tls_config.min_version: TLS13 =
server.http_tls_config.max_version: TLS12 =
metrics.wal_directory: /a = data-agent/
metrics.http_disable_keepalives: true = false
metrics.http_idle_conn_timeout: 1m = 0s
metrics.instance_restart_backoff: 1m = 5s
metrics.wal_cleanup_age: 1m = 12h0m0s
metrics.wal_cleanup_period: 1m = 30m0s
metrics.instance_mode: distinct = shared
metrics.scraping_service.enabled: true = false
metrics.scraping_service.reshard_interval: 2m = 1m0s
metrics.scraping_service.reshard_timeout: 2m = 30s
metrics.scraping_service.cluster_reshard_event_timeout: 2m = 30s
metrics.scraping_service.dangerous_allow_reading_files: true = false
metrics.scraping_service.kvstore.store: inmemory = embedded
metrics.scraping_service.kvstore.prefix: a/ = configurations/
metrics.scraping_service.kvstore.consul.host: a:1 = localhost:8500
metrics.scraping_service.kvstore.consul.acl_token: a =
metrics.scraping_service.kvstore.consul.http_client_timeout: 1m = 20s
metrics.scraping_service.kvstore.consul.consistent_reads: true = false
metrics.scraping_service.kvstore.consul.watch_rate_limit: 2.5 = 1
metrics.scraping_service.kvstore.consul.watch_burst_size: 2 = 1
metrics.scraping_service.kvstore.consul.cas_retry_delay: 2s = 1s
metrics.scraping_service.kvstore.etcd.endpoints: ["a:1"] = []
metrics.scraping_service.kvstore.etcd.dial_timeout: 1m = 10s
metrics.scraping_service.kvstore.etcd.max_retries: 1 = 10
metrics.scraping_service.kvstore.etcd.tls_enabled: true = false
metrics.scraping_service.kvstore.etcd.tls_cert_path: a =
metrics.scraping_service.kvstore.etcd.tls_key_path: a =
metrics.scraping_service.kvstore.etcd.tls_ca_path: a =
metrics.scraping_service.kvstore.etcd.tls_server_name: a =
metrics.scraping_service.kvstore.etcd.tls_insecure_skip_verify: true = false
metrics.scraping_service.kvstore.etcd.username: a =
metrics.scraping_service.kvstore.etcd.password: a =
metrics.scraping_service.lifecycler.ring.kvstore.prefix: a/ = collectors/
metrics.scraping_service.lifecycler.ring.heartbeat_timeout: 1m = 0s
metrics.scraping_service.lifecycler.ring.replication_factor: 2 = 1
metrics.scraping_service.lifecycler.ring.zone_awareness_enabled: true = false
metrics.scraping_service.lifecycler.num_tokens: 64 = 128
metrics.scraping_service.lifecycler.heartbeat_period: 1m = 5s
metrics.scraping_service.lifecycler.join_after: 1m = 0s
metrics.scraping_service.lifecycler.observe_period: 1m = 0s
metrics.scraping_service.lifecycler.min_ready_duration: 1m = 0s
metrics.scraping_service.lifecycler.interface_names: [eth0] = []
metrics.scraping_service.lifecycler.enable_inet6: true = false
metrics.scraping_service.lifecycler.final_sleep: 1m = 0s
metrics.scraping_service.lifecycler.tokens_file_path: a =
metrics.scraping_service.lifecycler.availability_zone: a =
metrics.scraping_service.lifecycler.unregister_on_shutdown: false = true
metrics.scraping_service.lifecycler.address: a =
metrics.scraping_service.lifecycler.port: 1 = 0
metrics.scraping_service.lifecycler.id: a =
metrics.global.scrape_interval: 2m = 1m
metrics.global.scrape_timeout: 2s = 10s
metrics.global.external_labels: {a: b} =
metrics.global.sample_limit: 1 =
metrics.global.remote_write: [{url: "http://a/"}] = []
configs.host_filter: true = false
configs.host_filter_relabel_configs: [{action: labeldrop, regex: a}] = []
configs.scrape_configs: [{job_name: a}] = []
configs.remote_write: [{url: "http://a/"}] = []
configs.wal_truncate_frequency: 1m = 1h0m0s
configs.min_wal_time: 1m = 5m0s
configs.max_wal_time: 5h = 4h0m0s
configs.remote_flush_deadline: 2m = 1m0s
configs.write_stale_on_shutdown: true = false
`

// asYAML renders the values that a file decodes to, after it was checked, as the tree a file would be.
func asYAML(t *testing.T, text string) *yaml.Node {
	t.Helper()
	d := parseDocument("a", text, nil, 0)
	require.Empty(t, d.errs)
	a := load(t, text)
	var shown struct {
		Server  Server
		Metrics struct {
			Metrics `yaml:",inline"`
			Global  any
		}
		Configs instanceFile
	}
	shown.Server, shown.Metrics.Metrics = a.Server, a.Metrics
	global := map[string]any{"remote_write": a.Metrics.Global.RemoteWrite}
	rendered, err := yaml.Marshal(a.Metrics.Global.Prometheus)
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(rendered, &global))
	shown.Metrics.Global = global
	own := child(child(d.root, "metrics"), "configs")
	if own == nil {
		require.NoError(t, yaml.Unmarshal([]byte("{}"), &shown.Configs))
	} else {
		d.structure(own.Content[0], reflect.TypeFor[instanceFile]())
		require.NoError(t, own.Content[0].Decode(&shown.Configs))
	}
	rendered, err = yaml.Marshal(shown)
	require.NoError(t, err)
	var root yaml.Node
	require.NoError(t, yaml.Unmarshal(rendered, &root))
	return root.Content[0]
}

// shownAt is what a file's tree has at a path, empty if there is nothing or null.
func shownAt(t *testing.T, root *yaml.Node, path string) string {
	t.Helper()
	n, ok := at(root, strings.Split(path, ".")...)
	if !ok {
		return ""
	}
	rendered, err := yaml.Marshal(n)
	require.NoError(t, err)
	return strings.Trim(strings.TrimSpace(string(rendered)), `"`)
}

func TestEveryKeyOfGrafanaAgentIsTakenAndHasItsDefault(t *testing.T) {
	defaults := asYAML(t, "")
	for line := range strings.Lines(strings.TrimSpace(retiredKeys)) {
		path, rest, _ := strings.Cut(strings.TrimSpace(line), ": ")
		value, byDefault, _ := strings.Cut(rest, " =")
		require.Equal(t, strings.TrimSpace(byDefault), shownAt(t, defaults, path), "default of %s", path)

		keys := strings.Split(path, ".")
		file := strings.Join(keys, ": {") + ": " + value + strings.Repeat("}", len(keys)-1)
		if own, isInstance := strings.CutPrefix(path, "configs."); isInstance {
			file = "metrics: {configs: [{name: a, " + own + ": " + value + "}]}"
		}
		require.NotEqual(t, shownAt(t, defaults, path), shownAt(t, asYAML(t, file), path), "%s has no effect", file)
	}
}
