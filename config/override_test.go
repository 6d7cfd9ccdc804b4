package config

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAFileThatIsWhereGrafanaAgentLookedIsAnErrorThatNamesBothPlaces(t *testing.T) {
	const text = "metrics:\n  configs:\n  - name: a\n    scrape_configs:\n    - job_name: a\n      bearer_token_file: token\n" +
		"      file_sd_configs: [{files: [targets.json]}]\n"
	at := func(there ...string) func(string) bool {
		return func(path string) bool { return slices.Contains(there, path) }
	}
	_, err := LoadAgent("/etc/agent/agent.yaml", []byte(text), LoadOptions{Exists: at("token", "targets.json")})
	require.ErrorContains(t, err, "bearer_token_file: there is no /etc/agent/token; there is a token in the working directory, where Grafana Agent looked")
	require.ErrorContains(t, err, "there is no /etc/agent/targets.json")
	for _, exists := range []func(string) bool{nil, at(), at("token", "targets.json", "/etc/agent/token", "/etc/agent/targets.json")} {
		_, err = LoadAgent("/etc/agent/agent.yaml", []byte(text), LoadOptions{Exists: exists})
		require.NoError(t, err)
	}
}

func TestBlocksThatOtherAgentsDoAreErrorsThatSayWhichOnes(t *testing.T) {
	for block, want := range map[string]string{
		"logs: {}": "Grafana Alloy", "traces: {}": "Grafana Alloy", "integrations: {}": "node_exporter", "prometheus: {}": "calls the block metrics",
	} {
		_, err := LoadAgent("agent.yaml", []byte(block), LoadOptions{})
		require.ErrorContains(t, err, "unknown key")
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "agentctl import")
	}
}
