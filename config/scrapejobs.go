package config

import (
	"fmt"
	"strings"

	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"go.yaml.in/yaml/v3"
)

// scrapeConfigs validates decoded jobs, which come from the entries of list that are not bad, and
// fills in what they take from the global block.
func (d *document) scrapeConfigs(list *yaml.Node, jobs []*promconfig.ScrapeConfig, g promconfig.GlobalConfig) {
	names := d.uniques("job of an instance")
	for i, n := range d.items(list) {
		if i >= len(jobs) {
			break
		}
		job := jobs[i]
		where, _ := at(n, "job_name")
		names.add(where, job.JobName)
		asWritten := *job
		if job.Validate(g) != nil {
			d.explainJob(n, asWritten, g)
		}
	}
}

// explainJob finds all reasons why a job is not valid; Prometheus stops at the first.
func (d *document) explainJob(n *yaml.Node, job promconfig.ScrapeConfig, g promconfig.GlobalConfig) {
	interval := job.ScrapeInterval
	if interval == 0 {
		interval = g.ScrapeInterval
	}
	if job.ScrapeTimeout > interval {
		where, _ := at(n, "scrape_timeout")
		d.fail(where, fmt.Sprintf("the timeout %s is longer than the scrape interval %s", job.ScrapeTimeout, interval), "lower it or raise scrape_interval")
		job.ScrapeTimeout = 0
	}
	scheme := job.MetricNameValidationScheme
	if scheme == model.UnsetValidation {
		scheme = g.MetricNameValidationScheme
	}
	d.relabelRules(child(n, "relabel_configs"), job.RelabelConfigs, scheme)
	d.relabelRules(child(n, "metric_relabel_configs"), job.MetricRelabelConfigs, scheme)
	job.RelabelConfigs, job.MetricRelabelConfigs = nil, nil
	if err := job.Validate(g); err != nil {
		problem := strings.ReplaceAll(plain(err, n), fmt.Sprintf(" for scrape config with job name %q", job.JobName), "")
		d.fail(d.culprit(n, problem, err), problem, remedy(problem))
	}
}
