package config

import (
	"crypto/sha256"
	"strings"

	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/relabel"
)

// Compatibility says whose series those of a config are, where Prometheus 3 and Grafana Agent,
// which was made of Prometheus 2, differ.
type Compatibility string

// The values of the key compatibility.
const (
	// PrometheusSeries are those that Prometheus 3 would write.
	PrometheusSeries Compatibility = "prometheus"
	// AgentSeries are those that Grafana Agent static mode wrote: le="1" and quantile="1" as the
	// target writes them, an instance label with :80 or :443, a . in a relabelling rule that
	// matches no line break, Prometheus 2's rules for names, and a target without a known
	// Content-Type read as text.
	AgentSeries Compatibility = "agent"
)

var compatibilities = []string{string(PrometheusSeries), string(AgentSeries)}

// standFor makes a choice part of the defaults.
func (g *Global) standFor(c Compatibility) {
	if g.Compatibility = c; c == AgentSeries {
		g.digest = sha256.Sum256(append(g.digest[:], c...))
	}
}

// forAgent sets, before jobs are validated, what Prometheus 2 did and Prometheus 3 does when it is
// told to.
func forAgent(jobs []*promconfig.ScrapeConfig) {
	for _, job := range jobs {
		if job.ScrapeFallbackProtocol == "" {
			job.ScrapeFallbackProtocol = promconfig.PrometheusText0_0_4
		}
		if job.MetricNameValidationScheme == model.UnsetValidation {
			job.MetricNameValidationScheme = model.LegacyValidation
			if job.MetricNameEscapingScheme == "" {
				job.MetricNameEscapingScheme = model.EscapeUnderscores
			}
		}
	}
}

// agentJobs sets, after jobs and endpoints were validated, what Prometheus 3 has no settings for.
// The endpoints may be shared and are copied.
func agentJobs(jobs []*promconfig.ScrapeConfig, endpoints []*promconfig.RemoteWriteConfig) []*promconfig.RemoteWriteConfig {
	for _, job := range jobs {
		job.RelabelConfigs = append(agentRules(job.RelabelConfigs), defaultPort("(?:http)?", "80"), defaultPort("https", "443"))
		job.MetricRelabelConfigs = agentRules(job.MetricRelabelConfigs)
	}
	own := make([]*promconfig.RemoteWriteConfig, len(endpoints))
	for i, rw := range endpoints {
		copied := *rw
		copied.WriteRelabelConfigs = agentRules(rw.WriteRelabelConfigs)
		own[i] = &copied
	}
	return own
}

// defaultPort is the rule that gives a target without a port the one of its scheme, before the
// instance label is made of the address.
func defaultPort(scheme, port string) *relabel.Config {
	rule := relabel.DefaultRelabelConfig
	rule.SourceLabels = model.LabelNames{model.SchemeLabel, model.AddressLabel}
	rule.Regex = relabel.MustNewRegexp(scheme + `;([^:\[\]]+|\[[^\[\]]+\])`)
	rule.TargetLabel = model.AddressLabel
	rule.Replacement = "${1}:" + port
	rule.NameValidationScheme = model.LegacyValidation
	return &rule
}

// agentRules are copies of rules in which a . matches no line break.
func agentRules(rules []*relabel.Config) []*relabel.Config {
	own := make([]*relabel.Config, 0, len(rules)+2)
	for _, rule := range rules {
		copied := *rule
		if text := rule.Regex.String(); strings.Contains(text, ".") {
			copied.Regex = relabel.MustNewRegexp("(?-s:" + text + ")")
		}
		own = append(own, &copied)
	}
	return own
}
