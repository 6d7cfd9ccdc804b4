package config

import (
	"reflect"
	"testing"

	promconfig "github.com/prometheus/prometheus/config"
	"github.com/stretchr/testify/require"
)

func TestADiscoveryThatThisProgramLacksIsLeftToTheAgentOnRequest(t *testing.T) {
	const jobs = "scrape_configs:\n- {job_name: a, kubernetes_sd_configs: [{role: pod}]}\n- {job_name: b, kubernetes_sd_configs: [{role: pod}]}\n"
	i, err := ParseInstance("app", jobs, InstanceOptions{ForeignDiscoveries: true})
	require.NoError(t, err)
	require.Len(t, i.ScrapeConfigs, 2)
	if discovers(t, "kubernetes") {
		require.Empty(t, i.Unchecked)
		return
	}
	require.Equal(t, []string{"kubernetes_sd_configs"}, i.Unchecked)
	_, err = ParseInstance("app", jobs+"- {job_name: c, foo_sd_configs: [], scrape_timeout: -1s}\n", InstanceOptions{ForeignDiscoveries: true})
	require.ErrorContains(t, err, `does not contain the discovery "foo"`)
	require.ErrorContains(t, err, "must not be negative")
	a, err := LoadAgent("agent.yaml", []byte("metrics:\n  configs:\n  - name: a\n    "+"scrape_configs: [{job_name: a, kubernetes_sd_configs: [{}]}]\n"),
		LoadOptions{ForeignDiscoveries: true})
	require.NoError(t, err)
	require.Contains(t, a.Warnings, "agent.yaml: kubernetes_sd_configs is not checked by this program, but by the agent")
}

func scrapeConfigType() reflect.Type { return reflect.TypeFor[promconfig.ScrapeConfig]() }

func discovers(t *testing.T, name string) bool {
	t.Helper()
	_, linked := newSchema().of(scrapeConfigType()).fields[name+discoverySuffix]
	return linked
}

// TestEveryDiscoveryThatIsLinkedIsKnownByName means most where all of them are linked.
func TestEveryDiscoveryThatIsLinkedIsKnownByName(t *testing.T) {
	for _, name := range discoveries(newSchema().of(scrapeConfigType())) {
		require.Contains(t, prometheusDiscoveries, name)
	}
}
