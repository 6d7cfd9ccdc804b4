package migrate

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
)

// otherBlocks are Grafana Agent's blocks that another program has to take over.
var otherBlocks = map[string]string{
	"logs": "run Grafana Alloy or Promtail for it", "loki": "run Grafana Alloy or Promtail for it",
	"traces": "run Grafana Alloy or an OpenTelemetry Collector for it", "tempo": "run Grafana Alloy or an OpenTelemetry Collector for it",
	"agent_management": "configs are managed through the API or agentctl config-sync",
}

// knownServerKeys are those of the server block that have a meaning here, or had none but are accepted.
var knownServerKeys = []string{"log_level", "log_format", "http_tls_config", "grpc_tls_config"}

// agent keeps the blocks server and metrics.
func (c *conversion) agent() error {
	main, metrics := block(), (*yaml.Node)(nil)
	for i := 0; i+1 < len(c.root.Content); i += 2 {
		key, value := c.root.Content[i], c.root.Content[i+1]
		switch why, other := otherBlocks[key.Value]; {
		case key.Value == "server" && value.Kind == yaml.MappingNode:
			c.server(value)
			put(main, key.Value, value)
		case key.Value == "metrics" || key.Value == "prometheus":
			if key.Value == "prometheus" {
				c.note(key.Line, "prometheus is renamed to metrics")
			}
			if metrics != nil {
				return fmt.Errorf("read %s: line %d: the file has both prometheus and metrics; keep one of the two", c.file, key.Line)
			}
			metrics = value
		case key.Value == "integrations":
			c.integrations(key, value)
		case other:
			c.note(key.Line, "%s is left out: %s", key.Value, why)
		default:
			c.note(key.Line, "%s is left out: this agent does not know it", key.Value)
		}
	}
	if metrics == nil || metrics.Kind != yaml.MappingNode {
		metrics = block()
		c.note(1, "there is no metrics block, so the new agent scrapes nothing")
	}
	put(metrics, "compatibility", word("agent"))
	put(main, "metrics", metrics)
	text, err := render(fmt.Sprintf("# Made of %s by agentctl import.\n", c.file), main)
	c.result.Main = text
	return err
}

// server drops keys of the server block that became flags.
func (c *conversion) server(n *yaml.Node) {
	var kept []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if slices.Contains(knownServerKeys, key.Value) {
			kept = append(kept, key, n.Content[i+1])
			continue
		}
		hint := "see agent -help for flags that begin with -server"
		switch key.Value {
		case "http_listen_address", "http_listen_port":
			hint = "write -server.http.address=HOST:PORT on the command line"
		case "graceful_shutdown_timeout":
			hint = "write -server.graceful-shutdown-timeout=DURATION on the command line"
		}
		c.note(key.Line, "server.%s is left out: %s", key.Value, hint)
	}
	n.Content = kept
}

// integrations tells what has to run in place of each.
func (c *conversion) integrations(key, n *yaml.Node) {
	c.note(key.Line, "integrations is left out: this agent embeds no exporters")
	if n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		if value.Kind != yaml.MappingNode && value.Kind != yaml.SequenceNode || name.Value == "metrics" {
			continue
		}
		switch enabled := get(value, "enabled"); {
		case name.Value == "prometheus_remote_write":
			c.note(name.Line, "integrations.prometheus_remote_write is left out: metrics.global.remote_write is where configs send to")
		case name.Value == "agent":
			c.note(name.Line, "integrations.agent is left out: scrape this agent's own /metrics")
		case enabled == nil || enabled.Value != "false":
			c.note(name.Line, "integrations.%s is left out: run that exporter and scrape it", name.Value)
		}
	}
}
