package migrate

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ringmaster-agent/ringmaster/config"
)

// Result is what was made of a file.
type Result struct {
	// Main is the new main file.
	Main string
	// Configs are instance configs in the order of the file.
	Configs []Config
	// Notes are sentences about what was left out or renamed.
	Notes []string
}

// Config is one instance config.
type Config struct{ Name, Text string }

// Convert reads a prometheus.yml or an agent.yaml and tells which it is by its blocks. file is for
// messages.
func Convert(file string, text []byte) (*Result, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	if len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, fmt.Errorf("read %s: this is neither a Prometheus nor a Grafana Agent config: it has no blocks", file)
	}
	c := &conversion{file: file, root: doc.Content[0], result: &Result{}}
	switch {
	case c.has("scrape_configs", "remote_write") && !c.has("metrics", "prometheus"):
		return c.result, c.prometheus()
	case c.has("metrics", "prometheus", "server", "integrations", "logs", "traces"):
		return c.result, c.agent()
	}
	return nil, fmt.Errorf("read %s: this is neither a Prometheus config, which has scrape_configs, nor a Grafana Agent config, which has metrics", file)
}

// mainFile and configsDirectory are where things are in the directory that is written.
const (
	mainFile         = "agent.yaml"
	configsDirectory = "configs"
)

// Write writes everything below dir, and nothing if one of the files is there already. Only the
// owner can read the files, since they may hold secrets.
func (r *Result) Write(dir string) (written []string, err error) {
	files := map[string]string{}
	order := []string{filepath.Join(dir, mainFile)}
	files[order[0]] = r.Main
	for _, c := range r.Configs {
		path := filepath.Join(dir, configsDirectory, c.Name+".yaml")
		order = append(order, path)
		files[path] = c.Text
	}
	for _, path := range order {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("write %s: there is such a file already; choose an empty directory", path)
		}
	}
	for _, path := range order {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return written, err
		}
		if err := os.WriteFile(path, []byte(files[path]), 0o600); err != nil {
			return written, err
		}
		written = append(written, path)
	}
	return written, nil
}

// Check validates everything that Write wrote below dir.
func (r *Result) Check(dir string, o config.LoadOptions) (problems []error) {
	agent, err := config.LoadAgent(filepath.Join(dir, mainFile), []byte(r.Main), o)
	problems = add(problems, err)
	options := config.InstanceOptions{ForeignDiscoveries: o.ForeignDiscoveries, AllowFiles: true, AllowAmbient: true}
	if err == nil {
		options.Global = agent.Metrics.Global
	}
	for _, c := range r.Configs {
		options.Origin = filepath.Join(dir, configsDirectory, c.Name+".yaml")
		_, err := config.ParseInstance(c.Name, c.Text, options)
		problems = add(problems, err)
	}
	return problems
}

func add(problems []error, err error) []error {
	var all config.Errors
	if !errors.As(err, &all) {
		if err != nil {
			problems = append(problems, err)
		}
		return problems
	}
	for _, e := range all {
		problems = append(problems, e)
	}
	return problems
}

// conversion is one file on its way.
type conversion struct {
	file   string
	root   *yaml.Node
	result *Result
}

func (c *conversion) note(line int, format string, args ...any) {
	c.result.Notes = append(c.result.Notes, fmt.Sprintf("%s:%d: %s", c.file, line, fmt.Sprintf(format, args...)))
}

func (c *conversion) has(keys ...string) bool {
	for _, key := range keys {
		if get(c.root, key) != nil {
			return true
		}
	}
	return false
}

// get is the value under a key; nil if there is none.
func get(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// put sets a key at the end of a block, or in place of what it has.
func put(n *yaml.Node, key string, value *yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			n.Content[i+1] = value
			return
		}
	}
	n.Content = append(n.Content, word(key), value)
}

func word(text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
}

func block() *yaml.Node { return &yaml.Node{Kind: yaml.MappingNode} }

func list(items ...*yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.SequenceNode, Content: items}
}

// render writes a block as a file.
func render(head string, n *yaml.Node) (string, error) {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(n); err != nil {
		return "", err
	}
	return head + b.String(), nil
}

// configName makes a file's name, which is a config's name as well, of a job's, different from
// those that there are.
func (c *conversion) configName(job string) string {
	name := strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-', r == '_', r == '.':
			return r
		}
		return '-'
	}, job), ".-")
	if name == "" {
		name = "job"
	}
	for n, base := 2, name; c.taken(name); n++ {
		name = fmt.Sprintf("%s-%d", base, n)
	}
	return name
}

func (c *conversion) taken(name string) bool {
	for _, config := range c.result.Configs {
		if strings.EqualFold(config.Name, name) {
			return true
		}
	}
	return false
}
