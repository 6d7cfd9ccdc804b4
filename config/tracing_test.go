package config

import (
	"path/filepath"
	"testing"

	promconfig "github.com/prometheus/prometheus/config"
	"github.com/stretchr/testify/require"
)

func loadTracing(t *testing.T, block string) (*Agent, error) {
	t.Helper()
	return LoadAgent(filepath.Join("etc", "agent.yaml"), []byte("metrics: {scraping_service: {enabled: true}}\n"+block), LoadOptions{})
}

func TestTracingIsWhatPrometheusHas(t *testing.T) {
	a, err := loadTracing(t, "")
	require.NoError(t, err)
	require.Nil(t, a.Tracing, "it is off by default")

	a, err = loadTracing(t, "tracing: {endpoint: 'h:4317', sampling_fraction: 0.5, headers: {X-Tenant: cAnArY}, tls_config: {ca_file: ca.crt}}\n")
	require.NoError(t, err)
	require.Empty(t, a.Warnings)
	require.Equal(t, promconfig.TracingClientGRPC, a.Tracing.ClientType)
	require.Equal(t, "h:4317", a.Tracing.Endpoint)
	require.Equal(t, filepath.Join("etc", "ca.crt"), a.Tracing.TLSConfig.CAFile)
	require.NotContains(t, a.Masked(), "cAnArY")
	require.Contains(t, a.Masked(), "h:4317")

	a, err = loadTracing(t, "tracing: {endpoint: 'h:4317'}\n")
	require.NoError(t, err)
	require.Len(t, a.Warnings, 1)
	require.Contains(t, a.Warnings[0], "nothing is traced")
}

func TestTracingThatMakesNoSenseIsRefused(t *testing.T) {
	for block, want := range map[string]string{
		"{}": "endpoint must be set",
		"{endpoint: 'h:1', sampling_fraction: 2}":                               "agent.yaml:2: tracing.sampling_fraction: a fraction is between 0 and 1",
		"{endpoint: 'h:1', sampling_fraction: 1, client_type: udp}":             "expected tracing client type",
		"{endpoint: 'h:1', sampling_fraction: 1, compression: zip}":             "invalid compression type",
		"{endpoint: 'h:1', sampling_fraction: 1, bogus: 1}":                     "unknown key",
		"{endpoint: 'h:1', sampling_fraction: 1, headers: {Authorization: me}}": "authorization",
	} {
		_, err := loadTracing(t, "tracing: "+block+"\n")
		require.ErrorContains(t, err, want, block)
	}
}
