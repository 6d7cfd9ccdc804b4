package config

import (
	"fmt"
	"path/filepath"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Override is a key of the main file that the command line sets.
type Override struct {
	// Flag is how the user wrote it, for messages.
	Flag string
	// Path is the key, as in metrics.scraping_service.enabled.
	Path string
	// Value is one value as YAML has it, unless Text says that it is taken as it is.
	Value string
	Text  bool
	// Append adds the value to a list that other flags have begun.
	Append bool
}

// override sets what the command line says, in place of what the file says.
func (d *document) override(root *yaml.Node, overrides []Override) {
	d.flags = map[*yaml.Node]string{}
	for _, o := range overrides {
		value := &yaml.Node{Kind: yaml.ScalarNode, Value: o.Value}
		if o.Text {
			value.Tag, value.Style = "!!str", yaml.DoubleQuotedStyle
		}
		keys := strings.Split(o.Path, ".")
		in := root
		for _, key := range keys[:len(keys)-1] {
			in = d.block(in, key)
		}
		key := keys[len(keys)-1]
		d.flags[value] = o.Flag
		if !o.Append {
			setKey(in, key, value)
			continue
		}
		list := child(in, key)
		if list == nil || d.flags[list] == "" {
			list = &yaml.Node{Kind: yaml.SequenceNode}
			d.flags[list] = o.Flag
			setKey(in, key, list)
		}
		list.Content = append(list.Content, value)
	}
}

// block is the mapping under a key; anything else that is there gives way to an empty one only if
// it says nothing.
func (d *document) block(in *yaml.Node, key string) *yaml.Node {
	below := child(in, key)
	if below != nil && !isNull(below) {
		return below
	}
	below = &yaml.Node{Kind: yaml.MappingNode}
	setKey(in, key, below)
	return below
}

// setKey sets a key of a mapping. What is no mapping stays as it is: it is told to be wrong.
func setKey(in *yaml.Node, key string, value *yaml.Node) {
	if in.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(in.Content); i += 2 {
		if in.Content[i].Value == key {
			in.Content[i+1] = value
			return
		}
	}
	in.Content = append(in.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}, value)
}

// foundElsewhere reports relative paths of files that are not beside the main file, where they are
// looked for, but in the working directory, where Grafana Agent looked for them.
func (d *document) foundElsewhere(root *yaml.Node, exists func(path string) bool) {
	dir := filepath.Dir(d.file)
	if exists == nil || dir == "." {
		return
	}
	d.schema.visit(root, reflect.TypeFor[agentFile](), func(k keyAt) bool {
		for _, value := range append([]*yaml.Node{k.value}, listed(k.value)...) {
			path := value.Value
			if k.verdict != file || value.Kind != yaml.ScalarNode || path == "" || filepath.IsAbs(path) {
				continue
			}
			if beside := filepath.Join(dir, path); !exists(beside) && exists(path) {
				d.fail(value, fmt.Sprintf("there is no %s; there is a %s in the working directory, where Grafana Agent looked", beside, path),
					"relative paths are relative to the main file: write the absolute path")
			}
		}
		return true
	})
}
