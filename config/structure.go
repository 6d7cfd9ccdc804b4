package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// structure checks the shape of n against t: unknown and repeated keys, blocks, lists and single values in each other's
// place, entries of lists that are empty.
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
			if isNull(item) && d.schema.of(sh.elem).form != formAny {
				d.reject(item, "empty entry", "remove the line or fill it in")
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
		if first, again := lines[key.Value]; again {
			d.reject(key, fmt.Sprintf("the key is already set in line %d", first), "keep one of the two")
			continue
		}
		lines[key.Value] = d.original(key.Line)
		if sh.form == formMap {
			d.structure(value, sh.elem)
		} else if below, known := sh.fields[key.Value]; known {
			d.structure(value, below)
		} else {
			d.unknownKey(n, key, sh)
		}
	}
}

func (d *document) unknownKey(n, key *yaml.Node, sh shape) {
	_, scrapes := sh.fields["static_configs"]
	if name, discovers := strings.CutSuffix(key.Value, discoverySuffix); scrapes && discovers {
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
	case "logs", "loki", "traces", "tempo", "integrations":
		return "this agent collects metrics only: remove the block"
	case "prometheus":
		return "the block is called metrics"
	case "rule_files", "alerting", "remote_read", "storage":
		return "this agent evaluates no rules and stores nothing to query: remove the block"
	case "grpc_tls_config":
		return "there is no gRPC listener: remove the block"
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
