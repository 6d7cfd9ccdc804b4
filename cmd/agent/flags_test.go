package main

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/scrape"

	"github.com/ringmaster-agent/ringmaster/cmd/internal/daemon"
)

func TestFlagsTakeEverySpellingOfTheFlagPackage(t *testing.T) {
	for _, args := range [][]string{
		{"-config.file=a.yaml", "-config.expand-env", "-server.graceful-shutdown-timeout", "5s"},
		{"--config.file", "a.yaml", "--config.expand-env=true", "--server.graceful-shutdown-timeout=5s"},
	} {
		f, err := parseFlags(args, io.Discard)
		require.NoError(t, err)
		require.Equal(t, "a.yaml", f.configFile)
		require.True(t, f.expandEnv)
		require.Equal(t, 5*time.Second, f.shutdownTimeout)
		require.Equal(t, "127.0.0.1:12345", f.httpAddress)
	}
}

func TestFlagsOfGrafanaAgentWithoutAMeaningAreAcceptedWithOneLineEach(t *testing.T) {
	f, err := parseFlags([]string{
		"-server.grpc.address", "127.0.0.1:1", "-disable-reporting", "-config.file=a.yaml", "--server.grpc.in-memory-addr=x",
		"-server.http.network=tcp", "-server.register-instrumentation", "-server.log.source-ips.enabled", "-server.log.source-ips.header=a",
		"-metrics.service-client.grpc-max-recv-msg-size", "5", "-config.file.type=yaml", "-enable-features=integrations-next,extra-scrape-metrics",
	}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, []string{
		"-server.grpc.address: there is no gRPC listener",
		"-disable-reporting: this agent reports nothing to anybody",
		"-server.grpc.in-memory-addr: there is no gRPC listener",
		"-server.http.network: the listener takes the family of its address",
		"-server.register-instrumentation: /metrics and /debug/pprof are always served",
		"-server.log.source-ips.enabled: the address of a client is in each request's debug line",
		"-server.log.source-ips.header: the address of a client is in each request's debug line",
		"-metrics.service-client.grpc-max-recv-msg-size: nodes ask each other over HTTP, not gRPC",
		"-enable-features=integrations-next: this agent embeds no exporters",
	}, f.ignored)
	require.Equal(t, "a.yaml", f.configFile)
	require.Equal(t, scrape.Features{ExtraScrapeMetrics: true}, f.features)
}

func TestAScrapingServiceCanBeConfiguredByFlagsAlone(t *testing.T) {
	f, err := parseFlags([]string{
		"-metrics.service.enabled", "-metrics.service.reshard-interval=2m", "-metrics.service.config-store.store", "etcd",
		"-metrics.service.config-store.etcd.endpoints=a:2379", "-metrics.service.config-store.etcd.endpoints=b:2379",
		"-metrics.service.config-store.etcd.password=12", "-metrics.service.store=etcd", "-metrics.service.etcd.endpoints=a:2379",
		"-metrics.service.etcd.endpoints=b:2379", "-metrics.service.etcd.password=12", "-metrics.service.lifecycler.ID=one",
		"-metrics.service.num-tokens", "64", "-metrics.service.unregister-on-shutdown=false", "-metrics.service.lifecycler.interface=eth9",
		"-metrics.wal-cleanup-age=3h", "-metrics.instance-restart-backoff=7s", "-metrics.wal-directory=/wal",
	}, io.Discard)
	require.NoError(t, err)
	agent, err := f.load()
	require.NoError(t, err)
	m, s := agent.Metrics, agent.Metrics.ScrapingService
	require.True(t, s.Enabled)
	require.Equal(t, 2*time.Minute, s.ReshardInterval)
	require.Equal(t, "etcd", s.KVStore.Store)
	require.Equal(t, []string{"a:2379", "b:2379"}, s.KVStore.Etcd.Endpoints)
	require.EqualValues(t, "12", s.KVStore.Etcd.Password)
	require.Equal(t, "one", s.Lifecycler.ID)
	require.Equal(t, 64, s.Lifecycler.NumTokens)
	require.False(t, s.Lifecycler.UnregisterOnShutdown)
	require.Equal(t, []string{"eth9"}, s.Lifecycler.InterfaceNames)
	require.Equal(t, 3*time.Hour, m.WALCleanupAge)
	require.Equal(t, 7*time.Second, m.InstanceRestartBackoff)
	require.Equal(t, "/wal", m.WALDirectory)
}

func TestFlagsBeatTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "agent.yaml")
	require.NoError(t, os.WriteFile(file, []byte("metrics:\n  scraping_service:\n    enabled: false\n    kvstore: {store: etcd, etcd: {endpoints: [f:1]}}\n"), 0o600))
	f, err := parseFlags([]string{"-config.file", file, "-metrics.service.enabled=true", "-metrics.service.config-store.etcd.endpoints=a:2379"}, io.Discard)
	require.NoError(t, err)
	agent, err := f.load()
	require.NoError(t, err)
	require.True(t, agent.Metrics.ScrapingService.Enabled)
	require.Equal(t, []string{"a:2379"}, agent.Metrics.ScrapingService.KVStore.Etcd.Endpoints)

	f, err = parseFlags([]string{"-config.file", file, "-metrics.service.reshard-interval=soon"}, io.Discard)
	require.NoError(t, err)
	_, err = f.load()
	require.ErrorContains(t, err, `metrics.scraping_service.reshard_interval: -metrics.service.reshard-interval: "soon" is not a duration`)
}

func TestEachFlagOfGrafanaAgentNamesAKeyThatThereIs(t *testing.T) {
	for name, flag := range legacyFlags() {
		value := map[kindOfFlag]string{plainValue: "7", textValue: "x", switchValue: "true", listValue: "x"}[flag.kind]
		f, err := parseFlags([]string{"-" + name + "=" + value}, io.Discard)
		require.NoError(t, err)
		if _, err = f.load(); err != nil {
			require.NotContains(t, err.Error(), "unknown key", name)
		}
	}
}

func TestTheListenerFollowsItsFlags(t *testing.T) {
	f, err := parseFlags([]string{
		"-server.http.read-timeout=3s", "-server.http.write-timeout=4s", "-server.http.idle-timeout=5s", "-server.http.conn-limit=6",
	}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, daemon.HTTPLimits{Read: 3 * time.Second, Write: 4 * time.Second, Idle: 5 * time.Second, Connections: 6}, f.http)

	file := filepath.Join(t.TempDir(), "agent.yaml")
	require.NoError(t, os.WriteFile(file, []byte("server: {http_tls_config: {cert_file: c, key_file: k}}"), 0o600))
	for flag, want := range map[string]bool{"-version=false": true, "-server.http.enable-tls": true, "-server.http.tls-enabled=false": false} {
		f, err := parseFlags([]string{flag, "-config.file", file}, io.Discard)
		require.NoError(t, err)
		agent, err := f.load()
		require.NoError(t, err)
		require.Equal(t, want, agent.Server.HTTPTLS != nil, flag)
	}
	f, err = parseFlags([]string{"-server.http.enable-tls", "-metrics.service.enabled"}, io.Discard)
	require.NoError(t, err)
	_, err = f.load()
	require.ErrorContains(t, err, "needs server.http_tls_config")
}

func TestWrongCommandLinesAreRefused(t *testing.T) {
	for name, args := range map[string][]string{
		"not defined: -no.such.flag":        {"-no.such.flag"},
		"unexpected argument":               {"agent.yaml"},
		"needs -config.file":                {"-config.check"},
		"is unknown; there are":             {"-enable-features=warp"},
		"must be positive":                  {"-server.graceful-shutdown-timeout=0s"},
		"flag needs an argument":            {"-config.file"},
		"needs an argument: -metrics":       {"-metrics.service.num-tokens"},
		`value "x" for -metrics.service`:    {"-metrics.service.enabled=x"},
		"reads yaml only":                   {"-config.file.type=dynamic"},
		"reads files only":                  {"-config.file=http://a/b"},
		"must not be negative":              {"-server.http.conn-limit=-1"},
		`invalid boolean value "maybe" for`: {"-config.expand-env=maybe"},
	} {
		_, err := parseFlags(args, io.Discard)
		require.ErrorContains(t, err, name)
	}
}

func TestHelpShowsEveryFlag(t *testing.T) {
	var out bytes.Buffer
	_, err := parseFlags([]string{"-help"}, &out)
	require.ErrorIs(t, err, flag.ErrHelp)
	require.Contains(t, out.String(), "-server.web-config")
	require.Contains(t, out.String(), "type-and-unit-labels")
}

func TestEachFeatureTurnsSomethingOn(t *testing.T) {
	all := map[scrape.Features]bool{}
	for _, f := range features {
		parsed, err := parseFlags([]string{"-enable-features=" + f.name}, io.Discard)
		require.NoError(t, err)
		require.NotEqual(t, scrape.Features{}, parsed.features, f.name)
		all[parsed.features] = true
	}
	require.Len(t, all, len(features)-1, "two are one here")
	parsed, err := parseFlags([]string{"-enable-features=" + strings.ReplaceAll(featureNames(), " ", "")}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, scrape.Features{ParseStartTimestamps: true, ProtobufFirst: true, SynthesizeStartTimestamps: true, TypeAndUnitLabels: true,
		ExtraScrapeMetrics: true, OpenMetrics2: true, ZstdScrape: true}, parsed.features)
}
