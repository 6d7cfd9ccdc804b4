package config

import (
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	promcommon "github.com/prometheus/common/config"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"github.com/stretchr/testify/require"
)

func TestAnInstanceHasDefaults(t *testing.T) {
	text := "scrape_configs: [{job_name: a}]\nremote_write: [{url: 'http://a/'}]\n"
	i := mustParse(t, "app", text)
	require.Equal(t, "app", i.Name)
	require.Equal(t, text, i.Text)
	require.Equal(t, time.Hour, i.WALTruncateFrequency)
	require.Equal(t, 5*time.Minute, i.MinWALTime)
	require.Equal(t, 4*time.Hour, i.MaxWALTime)
	require.Equal(t, time.Minute, i.RemoteFlushDeadline)
	require.False(t, i.HostFilter)
	require.False(t, i.WriteStaleOnShutdown)
	require.True(t, i.RemoteWrite[0].SendExemplars)
	require.True(t, i.RemoteWrite[0].QueueConfig.RetryOnRateLimit)
	require.Equal(t, promconfig.DefaultQueueConfig.MaxShards, i.RemoteWrite[0].QueueConfig.MaxShards)
	require.NotNil(t, i.Global)
	require.Equal(t, 1, i.Slices)
}

func TestAnInstanceIsDividedIntoSlices(t *testing.T) {
	require.Equal(t, 64, mustParse(t, "app", "slices: 64").Slices)
	require.Equal(t, 1, mustParse(t, "app", "slices:").Slices)
	require.NotEqual(t, mustParse(t, "app", "slices: 2").Digest(), mustParse(t, "app", "slices: 3").Digest())
	a := load(t, "metrics: {configs: [{name: a, slices: 3}, {name: b}]}")
	require.Equal(t, 3, a.Metrics.Configs[0].Slices)
	require.Equal(t, 1, a.Metrics.Configs[1].Slices)
}

func TestTheURLsNameWins(t *testing.T) {
	require.Equal(t, "b", mustParse(t, "b", "name: a\n").Name)
	require.Equal(t, "a", mustParse(t, "", "name: a\n").Name)
	_, err := ParseInstance("", "host_filter: true\n", InstanceOptions{Origin: "x.yaml"})
	require.ErrorContains(t, err, "x.yaml:1: the instance has no name; add name:")
}

func TestAnExplicitFalseSurvives(t *testing.T) {
	i := mustParse(t, "app", `remote_write:
  - {url: "http://a/", send_exemplars: false, queue_config: {retry_on_http_429: false}}
  - {url: "http://b/", queue_config: {max_shards: 2}}
`)
	require.False(t, i.RemoteWrite[0].SendExemplars)
	require.False(t, i.RemoteWrite[0].QueueConfig.RetryOnRateLimit)
	require.True(t, i.RemoteWrite[1].SendExemplars)
	require.True(t, i.RemoteWrite[1].QueueConfig.RetryOnRateLimit)
}

func TestNamesOfEndpointsFollowTheMeaningOfTheirBlocks(t *testing.T) {
	name := func(block string) string {
		n := mustParse(t, "app", "remote_write: ["+block+"]\n").RemoteWrite[0].Name
		require.Regexp(t, `^app-[0-9a-f]{6}$`, n)
		return n
	}
	a := name(`{url: "http://a/", basic_auth: {username: u, password: p}}`)
	require.Equal(t, a, name("{ basic_auth: {password: 'p', username: u}, # order and quotes\n url: http://a/}"))
	require.NotEqual(t, a, name(`{url: "http://a/", basic_auth: {username: u, password: q}}`))
	require.NotEqual(t, a, name(`{url: "http://b/", basic_auth: {username: u, password: p}}`))

	errs := problems(t, "remote_write: [{url: 'http://a/'}, {url: 'http://a/'}]", InstanceOptions{})
	require.Len(t, errs, 1)
	require.Equal(t, "remote_write[1]", errs[0].Field)
}

func TestDigestsCoverSecretsAndTheGlobalBlock(t *testing.T) {
	global := func(text string) *Global {
		a, err := LoadAgent("a", []byte("metrics: {global: "+text+"}"), LoadOptions{})
		require.NoError(t, err)
		return a.Metrics.Global
	}
	digest := func(name, text string, g *Global) Digest {
		i, err := ParseInstance(name, text, InstanceOptions{Global: g})
		require.NoError(t, err)
		return i.Digest()
	}
	const text = "remote_write: [{url: 'http://a/', bearer_token: one}]"
	same := digest("app", text, nil)
	require.Equal(t, same, digest("app", text, DefaultGlobal()))
	others := []Digest{
		same,
		digest("other", text, nil),
		digest("app", text+" ", nil),
		digest("app", "remote_write: [{url: 'http://a/', bearer_token: two}]", nil),
		digest("app", text, global("{scrape_interval: 7s}")),
		digest("app", text, global("{remote_write: [{url: 'http://g/', bearer_token: one}]}")),
		digest("app", text, global("{remote_write: [{url: 'http://g/', bearer_token: two}]}")),
	}
	for i := range others {
		for j := range i {
			require.NotEqual(t, others[i], others[j], "%d and %d", i, j)
		}
	}
	require.Len(t, same.String(), 64)
}

func TestInstancesDoNotShareNamesOfGlobalEndpoints(t *testing.T) {
	a, err := LoadAgent("a", []byte("metrics: {global: {remote_write: [{url: 'http://g/'}]}}"), LoadOptions{})
	require.NoError(t, err)
	opts := InstanceOptions{Global: a.Metrics.Global}
	one, err := ParseInstance("one", "host_filter: false", opts)
	require.NoError(t, err)
	two, err := ParseInstance("two", "host_filter: false", opts)
	require.NoError(t, err)
	require.NotEqual(t, one.RemoteWrite[0].Name, two.RemoteWrite[0].Name)
	require.True(t, one.RemoteWrite[0].SendExemplars)
	require.Empty(t, a.Metrics.Global.RemoteWrite[0].Name)
}

func TestRulesOfAnInstance(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", `config "app":1: the config is empty; it needs scrape_configs`},
		{"[]", "this must be a block of keys, not a list"},
		{"nonsense", "this must be a block of keys, not a single value"},
		{"scrape_configs:\n- job_name: a\n  scrape_interval: 5s\n  scrape_timeout: 6s", `config "app":4: instance "app": scrape_configs[0].scrape_timeout: the timeout 6s is longer than the scrape interval 5s`},
		{"scrape_configs:\n- job_name: a\n  scrape_timeout: 2m", "the timeout 2m is longer than the scrape interval 1m"},
		{"scrape_configs:\n- static_configs: []", `config "app":2: instance "app": scrape_configs[0]: job_name is empty`},
		{"scrape_configs:\n- job_name: a\n- job_name: a", `config "app":3: instance "app": scrape_configs[1].job_name: the name "a" is already used in line 2`},
		{"scrape_configs:\n-", "scrape_configs[0]: empty entry"},
		{"scrape_configs:\n- job_name: a\n  relabel_configs:\n  - regex: '('\n    target_label: x", `config "app":4: instance "app": scrape_configs[0].relabel_configs[0].regex: error parsing regexp`},
		{"scrape_configs:\n- job_name: a\n  consul_sd_configs:\n  - servr: x", "scrape_configs[0].consul_sd_configs[0].servr: unknown key; did you mean server?"},
		{"scrape_configs:\n- job_name: a\n  gce_sd_configs: []", `this build does not contain the discovery "gce"`},
		{"scrape_configs:\n- job_name: a\n  conul_sd_configs: []", `did you mean consul_sd_configs?`},
		{"scrape_configs:\n- job_name: a\n  dns_sd_configs:\n  - type: A", `config "app":4: instance "app": scrape_configs[0].dns_sd_configs[0]: DNS-SD config must contain at least one SRV record name`},
		{"scrape_configs:\n- job_name: a\n  metric_name_escaping_scheme: upside-down", "scrape_configs[0].metric_name_escaping_scheme: unknown scrape config name escaping method"},
		{"scrape_configs:\n- job_name: a\n  bearer_token: x\n  basic_auth: {username: u}", "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured"},
		{"scrape_configs:\n- job_name: a\n  relabel_configs:\n  - regex: '('", "missing closing )"},
		{"scrape_configs:\n- job_name: a\n  http_sd_configs:\n  - url: '://'", "scrape_configs[0].http_sd_configs[0].url: this is not a valid URL"},
		{"scrape_configs:\n- job_name: a\n  dns_sd_configs:\n  - names: [x]\n    type: Z", `dns_sd_configs[0].type: invalid DNS-SD records type Z`},
		{"remote_write:\n- name: a", `config "app":2: instance "app": remote_write[0]: url for remote_write is empty`},
		{"remote_write:\n- url: receiver:9090", "remote_write[0].url: this is not a URL of a receiver"},
		{"remote_write:\n- url: http://a/\n  sigv4: {access_key: x}", "must provide a AWS SigV4 Access key and Secret Key"},
		{"remote_write:\n- url: http://a/\n  queue_config:", "remote_write[0]: remote write queue max_shards must be positive"},
		{"max_wal_time: 1m", "max_wal_time: min_wal_time 5m0s is longer than max_wal_time 1m0s"},
		{"remote_flush_deadline: -1s", "remote_flush_deadline: a duration must not be negative"},
		{"remote_flush_deadline: 60", `remote_flush_deadline: "60" is not a duration`},
		{"slices: 0", `config "app":1: instance "app": slices: a config has 1 to 64 slices; leave the key out`},
		{"slices: 65", "slices: a config has 1 to 64 slices"},
		{"slices: -1", "slices: a config has 1 to 64 slices"},
		{"slices: many", "slices: this must be a whole number"},
		{"wal_truncate_frequency: 0", "wal_truncate_frequency: this must be more than 0"},
		{"host_filter: [a]", "host_filter: this must be a single value, not a list"},
		{"host_filter: true\nhost_filter: false", `config "app":2: instance "app": host_filter: the key is already set in line 1`},
		{"scrape_config_files: [more.yml]", "scrape_config_files: unknown key; a config has all of its jobs in itself"},
		{"rule_files: []", "rule_files: unknown key; this agent evaluates no rules"},
	} {
		errs := problems(t, c.text, InstanceOptions{})
		require.Len(t, errs, 1, "%s\n%v", c.text, errs)
		require.Contains(t, errs.Error(), c.want)
	}
}

// everything is a text that Prometheus' own loader takes, too.
const everything = `scrape_configs:
  - job_name: plain
    static_configs:
      - targets: ["a:1", "b:2"]
        labels: {env: prod}
  - job_name: full
    honor_labels: true
    honor_timestamps: false
    track_timestamps_staleness: true
    params: {module: [a, b]}
    scrape_interval: 5s
    scrape_native_histograms: true
    always_scrape_classic_histograms: true
    fallback_scrape_protocol: PrometheusText0.0.4
    metrics_path: /probe
    scheme: https
    enable_compression: off
    body_size_limit: 10MB
    sample_limit: 1000
    label_limit: 10
    native_histogram_bucket_limit: 0160
    native_histogram_min_bucket_factor: 1.5
    metric_name_validation_scheme: legacy
    authorization: {credentials: abc}
    tls_config: {insecure_skip_verify: yes, min_version: TLS12}
    proxy_url: http://user:pw@proxy:1/
    proxy_connect_header: {X: [y]}
    http_headers: {X-A: {values: [v], secrets: [s]}}
    follow_redirects: false
    relabel_configs:
      - source_labels: [__address__, env]
        separator: ""
        regex: (.*):\d+
        target_label: host
        replacement: $1
      - {action: hashmod, source_labels: [__address__], modulus: 4, target_label: shard}
    metric_relabel_configs:
      - {action: LabelDrop, regex: tmp_.*}
    consul_sd_configs:
      - {server: "c:8500", token: t, services: [web], refresh_interval: 1d}
    dns_sd_configs:
      - {names: [a.example], type: A, port: 80}
    http_sd_configs:
      - {url: "http://sd/"}
    file_sd_configs:
      - {files: [a.json]}
  - job_name: oauth
    oauth2: {client_id: i, client_secret: s, token_url: "http://t/", endpoint_params: {a: b}}
remote_write:
  - name: one
    url: http://user:pw@receiver/
    remote_timeout: 3s
    headers: {X-Scope-OrgID: "12"}
    send_exemplars: true
    send_native_histograms: true
    protobuf_message: prometheus.WriteRequest
    write_relabel_configs: [{action: keep, source_labels: [__name__], regex: up}]
    queue_config: {capacity: 10, max_shards: 3, min_backoff: 1s, max_backoff: 2s, retry_on_http_429: true, sample_age_limit: 1h}
    metadata_config: {send: false, send_interval: 5m}
    sigv4: {region: r, access_key: a, secret_key: s}
`

func TestTheResultIsWhatPrometheusItselfWouldLoad(t *testing.T) {
	const globalText = "{scrape_interval: 40s, scrape_timeout: 8s, external_labels: {a: b}, sample_limit: 9, body_size_limit: 1KB, convert_classic_histograms_to_nhcb: true}"
	prom, err := promconfig.Load("global: "+globalText+"\n"+everything, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	theirs, err := prom.GetScrapeConfigs()
	require.NoError(t, err)
	a, err := LoadAgent("a", []byte("metrics: {global: "+globalText+"}"), LoadOptions{})
	require.NoError(t, err)
	ours, err := ParseInstance("app", everything, InstanceOptions{Global: a.Metrics.Global, AllowFiles: true})
	require.NoError(t, err)

	same := []cmp.Option{
		cmpopts.IgnoreUnexported(promcommon.ProxyConfig{}),
		cmp.Comparer(func(a, b labels.Labels) bool { return labels.Equal(a, b) }),
		cmp.Comparer(func(a, b relabel.Regexp) bool { return a.String() == b.String() }),
		cmp.Comparer(func(a, b promcommon.URL) bool {
			return (a.URL == nil) == (b.URL == nil) && (a.URL == nil || a.String() == b.String())
		}),
	}
	require.Empty(t, cmp.Diff(prom.GlobalConfig, ours.Global.Prometheus, same...))
	require.Empty(t, cmp.Diff(theirs, ours.ScrapeConfigs, same...))
	require.Empty(t, cmp.Diff(prom.RemoteWriteConfigs, ours.RemoteWrite, same...))
}

func TestAJobNameMayHoldWhatPrometheusLetsItHold(t *testing.T) {
	text := "scrape_configs:\n- job_name: \"a\\x07b\\0\"\n  static_configs: [{targets: [\"x:1\"]}]\n"
	i, err := ParseInstance("one", text, InstanceOptions{})
	require.NoError(t, err)
	theirs, err := promconfig.Load(text, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.Equal(t, "a\ab\x00", i.ScrapeConfigs[0].JobName)
	require.Equal(t, theirs.ScrapeConfigs[0].JobName, i.ScrapeConfigs[0].JobName)
}
