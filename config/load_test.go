package config

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/alecthomas/units"
	"github.com/stretchr/testify/require"
)

func load(t *testing.T, text string) *Agent {
	t.Helper()
	a, err := LoadAgent("conf/agent.yaml", []byte(text), LoadOptions{})
	require.NoError(t, err)
	return a
}

func TestTheCompatibilityExampleLoads(t *testing.T) {
	a := load(t, `server:
  log_level: debug
metrics:
  global:
    scrape_interval: 1m
  scraping_service:
    enabled: true
    kvstore:
      store: etcd
      etcd:
        endpoints:
          - etcd:2379
    lifecycler:
      ring:
        replication_factor: 1
        kvstore:
          store: etcd
          etcd:
            endpoints:
              - etcd:2379
`)
	require.Equal(t, "debug", a.Server.LogLevel)
	s := a.Metrics.ScrapingService
	require.True(t, s.Enabled)
	require.Equal(t, []string{"etcd:2379"}, s.KVStore.Etcd.Endpoints)
	require.Equal(t, "configurations/", s.KVStore.Prefix)
	require.Equal(t, "collectors/", s.Lifecycler.Ring.KVStore.Prefix)
	require.Equal(t, 10*time.Second, s.KVStore.Etcd.DialTimeout)
	require.Equal(t, 10, s.Lifecycler.Ring.KVStore.Etcd.MaxRetries)
	require.Empty(t, a.Warnings)
}

func TestAnEmptyFileIsAllDefaults(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "metrics:\n", "metrics: {global: , scraping_service: }\n", "null"} {
		a := load(t, text)
		require.Equal(t, "info", a.Server.LogLevel)
		require.Equal(t, "logfmt", a.Server.LogFormat)
		require.Nil(t, a.Server.HTTPTLS)
		require.Equal(t, "data-agent/", a.Metrics.WALDirectory)
		require.EqualValues(t, 4*units.GiB, a.Metrics.WALMaxSize)
		require.Equal(t, 5*time.Second, a.Metrics.InstanceRestartBackoff)
		require.Equal(t, DefaultGlobal().Prometheus, a.Metrics.Global.Prometheus)
		require.False(t, a.Metrics.ScrapingService.Enabled)
		require.Equal(t, 128, a.Metrics.ScrapingService.Lifecycler.NumTokens)
		require.True(t, a.Metrics.ScrapingService.Lifecycler.UnregisterOnShutdown)
	}
}

func TestWithoutAFileTheAgentIsAScrapingServiceOfOne(t *testing.T) {
	a := Default("")
	require.True(t, a.Metrics.ScrapingService.Enabled)
	require.Equal(t, StoreEmbedded, a.Metrics.ScrapingService.KVStore.Store)
	require.Equal(t, "data-agent-store", a.Metrics.ScrapingService.KVStore.Embedded.DataDirectory)
	require.Equal(t, DefaultGlobal(), a.Metrics.Global)
}

func TestTheEmbeddedStoreIsBesideTheWAL(t *testing.T) {
	for wal, store := range map[string]string{
		"/var/lib/ringmaster/wal": "/var/lib/ringmaster/wal-store",
		"data-agent/":             "data-agent-store",
		".":                       "../ringmaster-store",
		"/":                       "/ringmaster-store",
		"a/..":                    "../ringmaster-store",
	} {
		require.Equal(t, store, storeDirectory(wal))
	}
	a := load(t, "metrics: {scraping_service: {kvstore: {embedded: {data_directory: /srv/x}}}}")
	require.Equal(t, "/srv/x", a.Metrics.ScrapingService.KVStore.Embedded.DataDirectory)
	require.Equal(t, "/srv/x", a.Metrics.ScrapingService.Lifecycler.Ring.KVStore.Embedded.DataDirectory)
}

func TestTheRingUsesTheStoreOfTheConfigs(t *testing.T) {
	a := load(t, `metrics: {scraping_service: {
  kvstore: {store: consul, consul: {host: "c:8500", acl_token: t}},
  lifecycler: {ring: {kvstore: {prefix: ring/}}}}}`)
	ring := a.Metrics.ScrapingService.Lifecycler.Ring.KVStore
	require.Equal(t, StoreConsul, ring.Store)
	require.Equal(t, "c:8500", ring.Consul.Host)
	require.Equal(t, "ring/", ring.Prefix)
}

func TestLocalInstancesTakeDefaultsAndPathsFromTheirFile(t *testing.T) {
	a := load(t, `metrics:
  wal_max_size: 512MB
  http_idle_conn_timeout: 1d
  global:
    scrape_interval: 15s
    external_labels: {cluster: c}
    remote_write: [{url: "http://global/", tls_config: {ca_file: ca.pem}}]
  configs:
    - name: one
      scrape_configs:
        - job_name: a
          bearer_token_file: token
          file_sd_configs: [{files: [targets/*.json]}]
    - name: two
      wal_truncate_frequency: 2h
      scrape_configs: [{job_name: a, scrape_interval: 30s, metrics_path: /x}]
      remote_write: [{url: "http://own/", name: own, basic_auth: {username: u, password_file: p}}]
`)
	require.EqualValues(t, 512*units.MiB, a.Metrics.WALMaxSize)
	require.Equal(t, 24*time.Hour, a.Metrics.HTTPIdleConnTimeout)
	one, two := a.Metrics.Configs[0], a.Metrics.Configs[1]
	require.Equal(t, "one", one.Name)
	require.Equal(t, filepath.Join("conf", "token"), one.ScrapeConfigs[0].HTTPClientConfig.Authorization.CredentialsFile)
	require.Equal(t, "15s", one.ScrapeConfigs[0].ScrapeInterval.String())
	require.Equal(t, "10s", one.ScrapeConfigs[0].ScrapeTimeout.String())
	require.Regexp(t, `^one-[0-9a-f]{6}$`, one.RemoteWrite[0].Name)
	require.Equal(t, filepath.Join("conf", "ca.pem"), one.RemoteWrite[0].HTTPClientConfig.TLSConfig.CAFile)
	require.Equal(t, `{cluster="c"}`, one.ExternalLabels.String())
	require.Equal(t, 2*time.Hour, two.WALTruncateFrequency)
	require.Equal(t, filepath.Join("conf", "p"), two.RemoteWrite[0].HTTPClientConfig.BasicAuth.PasswordFile)
	require.Equal(t, "own", two.RemoteWrite[0].Name)

	again, err := ParseInstance("", two.Text, InstanceOptions{Global: a.Metrics.Global, AllowFiles: true})
	require.NoError(t, err)
	require.Equal(t, two.Digest(), again.Digest(), "the text of a local instance stands for itself")
}

func TestKeysWithoutEffectAreToldOnce(t *testing.T) {
	a := load(t, "metrics:\n  instance_mode: distinct\n  wal_cleanup_age: 1h\n  wal_cleanup_period: 1h\n  global: {evaluation_interval: 1m}\n")
	require.Len(t, a.Warnings, 4)
	require.Contains(t, a.Warnings[3], "nothing is scraped")
	require.Contains(t, a.Warnings[0], "conf/agent.yaml: line 2: metrics.instance_mode")
}

func TestVariablesAreExpandedOnlyWhenAsked(t *testing.T) {
	text := []byte("metrics:\n  wal_directory: ${DIR:-here}/${SUB}\n  http_idle_conn_timeout: ${WAIT}\n  bad: 1\n")
	env := map[string]string{"WAIT": "\n    5s\n"}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	_, err := LoadAgent("a.yaml", text, LoadOptions{ExpandEnv: true, LookupEnv: lookup})
	var errs Errors
	require.ErrorAs(t, err, &errs)
	require.Len(t, errs, 1)
	require.Equal(t, 4, errs[0].Line, "values of several lines must not shift the lines of errors")

	a, err := LoadAgent("a.yaml", text[:len(text)-len("  bad: 1\n")], LoadOptions{ExpandEnv: true, LookupEnv: lookup})
	require.NoError(t, err)
	require.Equal(t, "here/", a.Metrics.WALDirectory)
	require.Equal(t, 5*time.Second, a.Metrics.HTTPIdleConnTimeout)
	require.Equal(t, "a.yaml: line 2: SUB is not set in the environment, so it expands to nothing", a.Warnings[0])

	a, err = LoadAgent("a.yaml", []byte("metrics: {wal_directory: \"${DIR}\"}"), LoadOptions{})
	require.NoError(t, err)
	require.Equal(t, "${DIR}", a.Metrics.WALDirectory)
}

func TestVariablesExpandAsInGrafanaAgent(t *testing.T) {
	env := map[string]string{"A": "abc", "N": "1", "EMPTY": "", "B": "A"}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	for in, want := range map[string]string{
		"${N}${N}":              "11",
		"${1} $A $1":            "${1} $A $1",
		"$${1}":                 "${1}",
		"$${A} $$":              "${A} $",
		"${EMPTY:-x}":           "x",
		"${NONE:-}":             "",
		"${NONE:-a b:c}":        "a b:c",
		"${NONE:=dflt}":         "dflt",
		"${NONE=dflt}":          "dflt",
		"${NONE:-${A}}":         "abc",
		"${NONE:-pre-${A}-suf}": "pre-abc-suf",
		"${A:?must be set}":     "abc",
		"${EMPTY}":              "",
		"${A^}":                 "Abc",
		"${A^^}":                "ABC",
		"${#A}":                 "3",
		"${A/b/x}":              "axc",
		"${A:1}":                "bc",
		"${A:0:1}":              "a",
		"${A#a}":                "bc",
		"${A%c}":                "ab",
	} {
		out := expandVariables("a.yaml", in, lookup)
		require.Empty(t, out.errs, in)
		require.Equal(t, want, out.text, in)
	}
}

func TestAReferenceThatCannotBeReadIsAnErrorWithItsLine(t *testing.T) {
	for _, reference := range []string{"${A", "${}", "${A-x}", "${A!}"} {
		_, err := LoadAgent("a.yaml", []byte("server:\n  log_level: "+reference+"\n"), LoadOptions{ExpandEnv: true})
		require.ErrorContains(t, err, "a.yaml:2: a reference to a variable can't be read", reference)
		require.ErrorContains(t, err, "write it like ${NAME}", reference)
	}
}

func TestTheValuesOfVariablesAreNotExpandedAgain(t *testing.T) {
	lookup := func(string) (string, bool) { return "${A}$$", true }
	require.Equal(t, "${A}$$", expandVariables("a.yaml", "${A}", lookup).text)
}

func TestSyntaxErrorsHaveALine(t *testing.T) {
	for text, line := range map[string]int{
		"server:\n  log_level: [a\n":    2,
		"a: b: c\n":                     1,
		"server: {}\n\x01\n":            2,
		"server: {}\nx: \xff\n":         2,
		"server: {}\n---\nserver: {}\n": 3,
		"server: &a\n  log_level: *a\n": 2,
		"server: *nowhere\n":            1,
		"? [a]\n: b\n":                  1,
		"- a\n":                         1,
	} {
		_, err := LoadAgent("a.yaml", []byte(text), LoadOptions{})
		var errs Errors
		require.ErrorAs(t, err, &errs, text)
		require.Len(t, errs, 1, text)
		require.InDelta(t, line, errs[0].Line, 1, "%q: %v", text, err)
		require.NotEmpty(t, errs[0].Problem)
	}
}

func TestAliasesAndMergesAreExpandedWithinBounds(t *testing.T) {
	i := mustParse(t, "app", `scrape_configs:
  - &base
    job_name: a
    scrape_interval: 30s
    static_configs: [{targets: ["a:1"]}]
  - <<: *base
    job_name: b
    sample_limit: 7
remote_write:
  - &rw {url: "http://a/", send_exemplars: false}
  - <<: [*rw]
    url: "http://b/"
`)
	require.Equal(t, "b", i.ScrapeConfigs[1].JobName)
	require.Equal(t, "30s", i.ScrapeConfigs[1].ScrapeInterval.String())
	require.EqualValues(t, 7, i.ScrapeConfigs[1].SampleLimit)
	require.False(t, i.RemoteWrite[1].SendExemplars, "an explicit false counts when it was merged, too")

	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'j'; c++ {
		bomb += string(c) + ": &" + string(c) + " ["
		for range 10 {
			bomb += "*" + string(c-1) + ","
		}
		bomb += "]\n"
	}
	require.Contains(t, problems(t, bomb, InstanceOptions{})[0].Problem, "more than 500000 values")
}

func TestTheExamplesLoad(t *testing.T) {
	text, err := os.ReadFile("../examples/agent.yaml")
	require.NoError(t, err)
	a, err := LoadAgent("agent.yaml", text, LoadOptions{})
	require.NoError(t, err)
	require.Empty(t, a.Warnings)
	require.True(t, a.Metrics.ScrapingService.Enabled)
	require.Equal(t, StoreEmbedded, a.Metrics.ScrapingService.KVStore.Store)
	files, err := filepath.Glob("../examples/configs/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		i, err := ParseInstance(filepath.Base(file), string(text), InstanceOptions{Global: a.Metrics.Global, Origin: file})
		require.NoError(t, err)
		require.NotEmpty(t, i.ScrapeConfigs)
		require.NotEmpty(t, i.RemoteWrite)
	}
}

func TestAnotherWALDirectoryTakesTheStoreAlong(t *testing.T) {
	a, err := LoadAgent("agent.yaml", []byte("metrics: {wal_directory: /from/file, scraping_service: {enabled: true}}"), LoadOptions{WALDirectory: "/data/wal"})
	require.NoError(t, err)
	for _, agent := range []*Agent{a, Default("/data/wal")} {
		require.Equal(t, "/data/wal", agent.Metrics.WALDirectory)
		require.Equal(t, "/data/wal-store", agent.Metrics.ScrapingService.KVStore.Embedded.DataDirectory)
	}
}

func TestAJobThatTakesItsFailureLogFromTheGlobalBlockIsGivenItsDirectoryOnce(t *testing.T) {
	a, err := LoadAgent("conf/agent.yaml", []byte(`metrics:
  global: {scrape_failure_log_file: global.log}
  configs: [{name: x, scrape_configs: [{job_name: a}, {job_name: b, scrape_failure_log_file: own.log}]}]
`), LoadOptions{})
	require.NoError(t, err)
	jobs := a.Metrics.Configs[0].ScrapeConfigs
	require.Equal(t, "conf/global.log", jobs[0].ScrapeFailureLogFile)
	require.Equal(t, "conf/own.log", jobs[1].ScrapeFailureLogFile)
	require.Equal(t, "conf/global.log", a.Metrics.Global.Prometheus.ScrapeFailureLogFile)
}
