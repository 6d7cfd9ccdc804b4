package daemon

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
)

func load(t *testing.T, text string) *config.Agent {
	t.Helper()
	agent, err := config.LoadAgent("agent.yaml", []byte(text), config.LoadOptions{})
	require.NoError(t, err)
	return agent
}

func TestAReloadNamesEverythingThatNeedsARestart(t *testing.T) {
	before := load(t, "metrics: {scraping_service: {enabled: true}}")
	for key, text := range map[string]string{
		"server.log_format":                         "server: {log_format: json}\nmetrics: {scraping_service: {enabled: true}}",
		"server.http_tls_config":                    "server: {http_tls_config: {cert_file: a, key_file: b}}\nmetrics: {scraping_service: {enabled: true}}",
		"metrics.wal_max_size":                      "metrics: {wal_max_size: 1GiB, scraping_service: {enabled: true}}",
		"metrics.wal_cleanup_age":                   "metrics: {wal_cleanup_age: 1h, scraping_service: {enabled: true}}",
		"metrics.http_disable_keepalives":           "metrics: {http_disable_keepalives: true, scraping_service: {enabled: true}}",
		"metrics.http_idle_conn_timeout":            "metrics: {http_idle_conn_timeout: 1m, scraping_service: {enabled: true}}",
		"metrics.instance_restart_backoff":          "metrics: {instance_restart_backoff: 1m, scraping_service: {enabled: true}}",
		"metrics.scraping_service.enabled":          "metrics: {scraping_service: {enabled: false}}",
		"metrics.scraping_service.reshard_interval": "metrics: {scraping_service: {enabled: true, reshard_interval: 2m}}",
		"metrics.scraping_service.when_isolated":    "metrics: {scraping_service: {enabled: true, when_isolated: stop}}",
		"metrics.scraping_service.gossip":           "metrics: {scraping_service: {enabled: true, gossip: {label: x}}}",
		"metrics.scraping_service.replica_labels":   "metrics: {scraping_service: {enabled: true, replica_labels: {r: 'x{{replica}}'}}}",
		"metrics.scraping_service.kvstore":          "metrics: {scraping_service: {enabled: true, kvstore: {store: etcd, etcd: {endpoints: ['a:1'], password: x}}}}",
		"metrics.scraping_service.lifecycler":       "metrics: {scraping_service: {enabled: true, lifecycler: {id: me}}}",
	} {
		require.ErrorContains(t, needsRestart(before, load(t, text)), key)
	}
	err := needsRestart(before, load(t, "server: {log_format: json}\nmetrics: {wal_directory: elsewhere, scraping_service: {enabled: true}}"))
	require.ErrorContains(t, err, "server.log_format, metrics.wal_directory, ", "all at once")
}

func TestAChangedPasswordOfTheStoreNeedsARestartAndIsNotShown(t *testing.T) {
	withPassword := func(password string) *config.Agent {
		return load(t, "metrics: {scraping_service: {enabled: true, kvstore: {store: etcd, etcd: {endpoints: ['a:1'], username: u, password: "+password+"}}}}")
	}
	err := needsRestart(withPassword("alpha"), withPassword("omega"))
	require.ErrorContains(t, err, "kvstore")
	require.NotContains(t, err.Error(), "omega")
	require.NoError(t, needsRestart(withPassword("alpha"), withPassword("alpha")))
}

func TestAReloadTakesWhatCanChangeWhileTheAgentRuns(t *testing.T) {
	before := load(t, "metrics: {scraping_service: {enabled: true}}")
	after := load(t, "server: {log_level: debug}\nmetrics: {global: {scrape_interval: 5s}, scraping_service: {enabled: true, dangerous_allow_reading_files: true}}")
	require.NoError(t, needsRestart(before, after))
}

func TestConfigsAreLookedAtAgainWhenTheirRulesChange(t *testing.T) {
	before := load(t, "metrics: {scraping_service: {enabled: true}}")
	for text, differ := range map[string]bool{
		"server: {log_level: debug}\nmetrics: {scraping_service: {enabled: true}}":          false,
		"metrics: {global: {scrape_interval: 5s}, scraping_service: {enabled: true}}":       true,
		"metrics: {scraping_service: {enabled: true, dangerous_allow_reading_files: true}}": true,
	} {
		require.Equal(t, differ, rulesDiffer(before, load(t, text)), text)
	}
}

func TestUploadsFollowTheRulesInForce(t *testing.T) {
	s := newSettings(load(t, "metrics: {scraping_service: {enabled: true}}"))
	document := messages.Document{Name: "a", Text: "scrape_configs: [{job_name: j, authorization: {credentials_file: /token}}]"}
	_, err := s.parse(document)
	require.ErrorContains(t, err, "dangerous_allow_reading_files")
	s.current.Store(load(t, "metrics: {scraping_service: {enabled: true, dangerous_allow_reading_files: true}}"))
	parsed, err := s.parse(document)
	require.NoError(t, err)
	require.Equal(t, "a", parsed.Name)
}

func TestLocalConfigsAreThoseOfTheMainFile(t *testing.T) {
	agent := load(t, "metrics: {configs: [{name: a, scrape_configs: [{job_name: j}]}]}")
	s := newSettings(agent)
	documents := localDocuments(agent)
	require.Len(t, documents, 1)
	documents[0].Local = true // as the supervisor marks it
	parsed, err := s.parse(documents[0])
	require.NoError(t, err)
	require.Same(t, agent.Metrics.Configs[0], parsed)

	s.current.Store(load(t, ""))
	_, err = s.parse(documents[0])
	require.ErrorContains(t, err, "not in the main file any more")
}

func TestAPortInUseIsSaidWithTheWayOut(t *testing.T) {
	taken, err := listen("127.0.0.1:0", config.Server{}, HTTPLimits{})
	require.NoError(t, err)
	defer taken.Close()
	_, err = listen(taken.Addr().String(), config.Server{}, HTTPLimits{})
	require.ErrorContains(t, err, "another process uses this port")
	require.ErrorContains(t, err, "-server.http.address")
}

func TestATLSConfigWithoutFilesReleasesThePort(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	agent := load(t, "server: {http_tls_config: {cert_file: "+missing+", key_file: "+missing+"}}")
	_, err := listen("127.0.0.1:0", agent.Server, HTTPLimits{})
	require.ErrorContains(t, err, "server.http_tls_config")
}

func TestAWebConfigFileIsCheckedBeforeAnythingStarts(t *testing.T) {
	write := func(text string) string {
		file := filepath.Join(t.TempDir(), "web.yaml")
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		return file
	}
	secured, err := checkWebConfig("", config.Server{})
	require.NoError(t, err)
	require.False(t, secured)

	secured, err = checkWebConfig(write("basic_auth_users: {}"), config.Server{})
	require.NoError(t, err)
	require.False(t, secured)

	for _, text := range []string{"no_such_key: 1", "tls_server_config: {cert_file: missing, key_file: missing}"} {
		_, err = checkWebConfig(write(text), config.Server{})
		require.ErrorContains(t, err, "-server.web-config")
	}
	_, err = checkWebConfig(filepath.Join(t.TempDir(), "missing.yaml"), config.Server{})
	require.ErrorContains(t, err, "-server.web-config")
}

func TestALoopbackListenerMayNotBeAdvertisedElsewhere(t *testing.T) {
	loopback := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 12345}
	everywhere := &net.TCPAddr{IP: net.IPv4zero, Port: 12345}
	for _, c := range []struct {
		listener   net.Addr
		advertised string
		fine       bool
	}{
		{loopback, "", true},
		{loopback, "127.0.0.1", true},
		{loopback, "::1", true},
		{loopback, "localhost", true},
		{loopback, "10.0.0.1", false},
		{loopback, "agent-1.example.org", false},
		{everywhere, "10.0.0.1", true},
	} {
		err := checkAdvertised(c.listener, config.Lifecycler{Address: c.advertised})
		if c.fine {
			require.NoError(t, err, c.advertised)
		} else {
			require.ErrorContains(t, err, c.advertised)
		}
	}
}

func TestANodeIsCalledByItsIDOrItsHost(t *testing.T) {
	require.Equal(t, "host", nodeName(config.Lifecycler{}, "host"))
	require.Equal(t, "me", nodeName(config.Lifecycler{ID: "me"}, "host"))
}
