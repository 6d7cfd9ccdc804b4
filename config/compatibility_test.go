package config

import (
	"testing"

	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	promscrape "github.com/prometheus/prometheus/scrape"
	"github.com/stretchr/testify/require"
)

// instanceLabelOf is the instance label of a target with this address.
func instanceLabelOf(t *testing.T, i *Instance, address string, more model.LabelSet) string {
	t.Helper()
	b := labels.NewBuilder(labels.EmptyLabels())
	own := model.LabelSet{model.AddressLabel: model.LabelValue(address)}
	ls, err := promscrape.PopulateLabels(b, i.ScrapeConfigs[0], own, more)
	require.NoError(t, err)
	return ls.Get(model.AddressLabel) + " " + ls.Get(model.InstanceLabel)
}

func TestSeriesAsGrafanaAgentWroteThem(t *testing.T) {
	const jobs = "scrape_configs:\n- job_name: a\n  relabel_configs: [{regex: 'a.b', source_labels: [x], target_label: y}]\n" +
		"  metric_relabel_configs: [{action: labeldrop, regex: ab}]\nremote_write: [{url: 'http://a/', write_relabel_configs: [{regex: .*, target_label: z}]}]\n"
	for _, i := range []*Instance{
		mustParse(t, "app", "compatibility: agent\n"+jobs),
		load(t, "metrics:\n  compatibility: agent\n  configs:\n  - {name: app, scrape_configs: [{job_name: a, relabel_configs: [{regex: 'a.b', "+
			"source_labels: [x], target_label: y}]}], remote_write: [{url: 'http://a/', write_relabel_configs: [{regex: .*, target_label: z}]}]}").Metrics.Configs[0],
	} {
		require.Equal(t, AgentSeries, i.Compatibility)
		for address, want := range map[string]string{
			"host": "host:80 host:80", "host:9100": "host:9100 host:9100", "[::1]": "[::1]:80 [::1]:80", "[::1]:9": "[::1]:9 [::1]:9",
		} {
			require.Equal(t, want, instanceLabelOf(t, i, address, nil))
		}
		https := model.LabelSet{model.SchemeLabel: "https"}
		require.Equal(t, "host:443 host:443", instanceLabelOf(t, i, "host", https))
		named := model.LabelSet{model.InstanceLabel: "mine"}
		require.Equal(t, "host:80 mine", instanceLabelOf(t, i, "host", named))

		job := i.ScrapeConfigs[0]
		require.Equal(t, promconfig.PrometheusText0_0_4, job.ScrapeFallbackProtocol)
		require.Equal(t, model.LegacyValidation, job.MetricNameValidationScheme)
		require.Equal(t, model.EscapeUnderscores, job.MetricNameEscapingScheme)
		for _, rules := range [][]*relabel.Config{job.RelabelConfigs[:1], i.RemoteWrite[0].WriteRelabelConfigs} {
			require.False(t, rules[0].Regex.MatchString("a\nb"))
			require.True(t, rules[0].Regex.MatchString("axb"))
		}
	}
}

func TestSeriesAreThoseOfPrometheusUnlessTheConfigSaysOtherwise(t *testing.T) {
	for _, i := range []*Instance{
		mustParse(t, "app", "scrape_configs: [{job_name: a, relabel_configs: [{regex: .*, target_label: y}]}]"),
		load(t, "metrics: {compatibility: agent, configs: [{name: app, compatibility: prometheus, scrape_configs: [{job_name: a, "+
			"relabel_configs: [{regex: .*, target_label: y}]}]}]}").Metrics.Configs[0],
	} {
		require.Equal(t, PrometheusSeries, i.Compatibility)
		require.Equal(t, "host host", instanceLabelOf(t, i, "host", nil))
		require.Empty(t, i.ScrapeConfigs[0].ScrapeFallbackProtocol)
		require.True(t, i.ScrapeConfigs[0].RelabelConfigs[0].Regex.MatchString("a\nb"))
	}
	require.ErrorContains(t, problems(t, "compatibility: loki", InstanceOptions{}), `compatibility: "loki" is not known here; use prometheus, agent`)
}

func TestACompatibilityThatChangesIsAnotherConfig(t *testing.T) {
	plain := load(t, "metrics: {configs: [{name: app}]}")
	agent := load(t, "metrics: {compatibility: agent, configs: [{name: app}]}")
	require.NotEqual(t, plain.Metrics.Global.Digest(), agent.Metrics.Global.Digest())
	require.NotEqual(t, plain.Metrics.Configs[0].Digest(), agent.Metrics.Configs[0].Digest())
}

func TestEndpointsThatInstancesShareStayAsTheyAre(t *testing.T) {
	a := load(t, "metrics: {global: {remote_write: [{url: 'http://a/', write_relabel_configs: [{regex: .*, target_label: z}]}]}, configs: ["+
		"{name: one, compatibility: agent}, {name: two}]}")
	rule := func(i int) *relabel.Config { return a.Metrics.Configs[i].RemoteWrite[0].WriteRelabelConfigs[0] }
	require.False(t, rule(0).Regex.MatchString("a\nb"))
	require.True(t, rule(1).Regex.MatchString("a\nb"))
}
