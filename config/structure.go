package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// structure checks the shape of n against t: unknown and repeated keys, blocks, lists and single
// values in each other's place, blocks in lists that are empty.
func (d *document) structure(n *yaml.Node, t reflect.Type) {
	if isNull(n) {
		return
	}
	sh := d.schema.of(t)
	switch sh.form {
	case formStruct, formMap:
		if n.Kind != yaml.MappingNode {
			d.reject(n, "this must be a block of keys, not "+describe(n), "write the keys below it, indented")
			return
		}
		d.keys(n, sh)
	case formList:
		if n.Kind != yaml.SequenceNode {
			d.reject(n, "this must be a list, not "+describe(n), "begin each entry with '- '")
			return
		}
		for _, item := range n.Content {
			if isNull(item) && !d.mayBeEmpty(sh.elem) {
				d.emptyEntry(item)
				continue
			}
			d.structure(item, sh.elem)
		}
	case formLeaf:
		if n.Kind != yaml.ScalarNode {
			d.reject(n, "this must be a single value, not "+describe(n), "")
			return
		}
		d.normalizeDuration(n, t)
	}
}

// keys checks a block.
func (d *document) keys(n *yaml.Node, sh shape) {
	lines := map[string]int{}
	for key, value := range pairs(n) {
		if name, renamed := sh.renamed[key.Value]; renamed {
			key.Value = name
		}
		if sh.ours && isNull(value) {
			d.bad[value] = true // a key of ours without a value has its default
		}
		if first, again := lines[key.Value]; again {
			d.reject(key, fmt.Sprintf("the key is already set in line %d", first), "keep one of the two")
			continue
		}
		lines[key.Value] = d.original(key.Line)
		if sh.form == formMap {
			d.structure(value, sh.elem)
		} else if below, known := sh.fields[key.Value]; known {
			if sh.ours {
				d.entriesOfOurs(value, below)
			}
			d.structure(value, below)
		} else if why, retired := sh.retired[key.Value]; retired {
			d.retire(key, value, why)
		} else {
			d.unknownKey(n, key, sh)
		}
	}
}

// mayBeEmpty reports whether an entry of a list may have no value. A single value is the empty string,
// 0 or false then, as without a list, and so is each field of a plain block of Prometheus'.
func (d *document) mayBeEmpty(entry reflect.Type) bool {
	sh := d.schema.of(entry)
	return sh.form == formAny || sh.form == formLeaf || entry.Kind() == reflect.Struct && !sh.ours
}

// entriesOfOurs checks that no entry is empty in a list of single values that is the value of a key
// of ours: there is nothing that it could mean.
func (d *document) entriesOfOurs(n *yaml.Node, t reflect.Type) {
	if sh := d.schema.of(t); sh.form == formList && d.schema.of(sh.elem).form == formLeaf {
		for _, item := range listed(n) {
			if isNull(item) {
				d.emptyEntry(item)
			}
		}
	}
}

func (d *document) emptyEntry(n *yaml.Node) {
	d.reject(n, "empty entry", "remove the line or fill it in")
}

func (d *document) unknownKey(n, key *yaml.Node, sh shape) {
	_, scrapes := sh.fields["static_configs"]
	if name, discovers := strings.CutSuffix(key.Value, discoverySuffix); scrapes && discovers {
		if d.leaveOut(name) {
			d.bad[key] = true
			return
		}
		linked := discoveries(sh)
		hint := "it has: " + strings.Join(linked, ", ")
		if meant := nearest(name, linked); meant != "" {
			hint = fmt.Sprintf("did you mean %s%s? %s", meant, discoverySuffix, hint)
		}
		d.reject(key, fmt.Sprintf("this build does not contain the discovery %q", name), hint)
		return
	}
	hint := elsewhere(key.Value)
	if hint == "" {
		hint = "remove it; known here: " + abridged(slices.Sorted(maps.Keys(sh.fields)))
		if meant := nearest(key.Value, slices.Collect(maps.Keys(sh.fields))); meant != "" {
			d.badKeys[n] = append(d.badKeys[n], meant)
			hint = fmt.Sprintf("did you mean %s?", meant)
		}
	}
	d.reject(key, "unknown key", hint)
}

// elsewhere is what to do about keys of other agents and of Prometheus; empty for any other key.
func elsewhere(key string) string {
	switch key {
	case "scrape_config_files":
		return "a config has all of its jobs in itself, so that every node can run it: write them under scrape_configs"
	case "logs", "loki", "traces", "tempo":
		return "this agent collects metrics only: run Grafana Alloy beside it for these, and remove the block; agentctl import takes out what this agent does"
	case "integrations":
		return "this agent embeds no exporters: run them (node_exporter for example) or Grafana Alloy beside it, scrape them, and remove the block; " +
			"agentctl import takes out what this agent does"
	case "prometheus":
		return "Grafana Agent calls the block metrics since version 0.24: rename it, or use agentctl import"
	case "rule_files", "alerting", "remote_read", "storage":
		return "this agent evaluates no rules and stores nothing to query: remove the block"
	}
	return ""
}

const discoverySuffix = "_sd_configs"

// discoveries are the names of the linked discoveries.
func discoveries(sh shape) []string {
	var found []string
	for key := range sh.fields {
		if name, ok := strings.CutSuffix(key, discoverySuffix); ok {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found
}

func abridged(words []string) string {
	const enough = 12
	if len(words) > enough {
		return strings.Join(words[:enough], ", ") + " …"
	}
	return strings.Join(words, ", ")
}
