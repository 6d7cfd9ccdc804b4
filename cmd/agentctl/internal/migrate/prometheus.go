package migrate

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// leftOut are Prometheus' blocks that have no place in an agent.
var leftOut = map[string]string{
	"rule_files":  "this agent evaluates no rules: keep them in Prometheus, Mimir or Thanos",
	"alerting":    "this agent sends no alerts: keep the block where the rules are",
	"remote_read": "this agent answers no queries",
	"storage":     "this agent stores nothing to query",
	"otlp":        "this agent takes no OTLP",
	"runtime":     "the Go runtime is set by the environment: GOGC, GOMEMLIMIT",
}

// unusedGlobals are keys of the global block that only rules and queries need.
var unusedGlobals = []string{"evaluation_interval", "rule_query_offset", "query_log_file"}

// prometheus makes one config of each job, and a main file of the rest.
func (c *conversion) prometheus() error {
	global, main := block(), block()
	for i := 0; i+1 < len(c.root.Content); i += 2 {
		key, value := c.root.Content[i], c.root.Content[i+1]
		switch why, out := leftOut[key.Value]; {
		case key.Value == "scrape_configs":
			if err := c.jobs(value); err != nil {
				return err
			}
		case key.Value == "scrape_config_files":
			c.note(key.Line, "scrape_config_files is left out: import each of these files like this one, or copy its jobs here")
		case key.Value == "global" && value.Kind == yaml.MappingNode:
			global.Content = append(c.withoutRules(value), global.Content...)
		case key.Value == "remote_write":
			put(global, key.Value, value)
		case key.Value == "tracing":
			put(main, key.Value, value)
		case out:
			c.note(key.Line, "%s is left out: %s", key.Value, why)
		default:
			c.note(key.Line, "%s is left out: this agent does not know it", key.Value)
		}
	}
	if get(global, "remote_write") == nil {
		c.note(1, "there is no remote_write: add one to metrics.global, or nothing is sent anywhere")
	}
	service := block()
	put(service, "enabled", &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: "true"})
	metrics := block()
	if len(global.Content) > 0 {
		put(metrics, "global", global)
	}
	put(metrics, "scraping_service", service)
	put(main, "metrics", metrics)
	text, err := render(fmt.Sprintf("# Made of %s by agentctl import.\n", c.file), main)
	c.result.Main = text
	return err
}

func (c *conversion) withoutRules(global *yaml.Node) (kept []*yaml.Node) {
next:
	for i := 0; i+1 < len(global.Content); i += 2 {
		for _, unused := range unusedGlobals {
			if key := global.Content[i]; key.Value == unused {
				c.note(key.Line, "global.%s is left out: this agent evaluates no rules and answers no queries", unused)
				continue next
			}
		}
		kept = append(kept, global.Content[i], global.Content[i+1])
	}
	return kept
}

func (c *conversion) jobs(jobs *yaml.Node) error {
	for _, job := range jobs.Content {
		name := get(job, "job_name")
		if name == nil {
			return fmt.Errorf("read %s: line %d: this scrape config has no job_name", c.file, job.Line)
		}
		for i := 0; i+1 < len(job.Content); i += 2 {
			if key := job.Content[i].Value; key == "file_sd_configs" || strings.HasSuffix(key, "_file") {
				c.note(job.Content[i].Line, "job %q has %s: uploaded configs may not read files unless scraping_service.dangerous_allow_reading_files is true",
					name.Value, key)
			}
		}
		one := block()
		put(one, "scrape_configs", list(job))
		text, err := render("", one)
		if err != nil {
			return fmt.Errorf("write job %q: %w", name.Value, err)
		}
		c.result.Configs = append(c.result.Configs, Config{Name: c.configName(name.Value), Text: text})
	}
	return nil
}
