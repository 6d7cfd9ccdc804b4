package config

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/units"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

var updateKeys = flag.Bool("keys", false, "write docs/keys.md anew") //nolint:forbidigo // of the test

// newKeys are the keys that Grafana Agent does not have, each with an example.
const newKeys = `
tracing: {endpoint: 'otel-collector:4317', insecure: true, sampling_fraction: 0.01}
server.allowed_hosts: [agents.example.com]
metrics.wal_max_size: 1GiB
metrics.detail: full
metrics.compatibility: agent
metrics.scraping_service.allow_ambient_credentials: true
metrics.scraping_service.uploads_per_second: 50
metrics.scraping_service.upload_bytes_per_second: 1MiB
metrics.scraping_service.when_isolated: stop
metrics.scraping_service.replica_labels: {__replica__: 'replica-{{replica}}', cluster: a}
metrics.scraping_service.gossip.enabled: false
metrics.scraping_service.gossip.listen_address: 0.0.0.0:7946
metrics.scraping_service.gossip.advertise_address: 192.0.2.7:7946
metrics.scraping_service.gossip.join: ['agent-0:7946']
metrics.scraping_service.gossip.encryption_key: MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=
metrics.scraping_service.gossip.encryption_key_file: /etc/ringmaster/gossip.key
metrics.scraping_service.gossip.label: production
metrics.scraping_service.kvstore.embedded.data_directory: /var/lib/ringmaster/store
metrics.scraping_service.kvstore.embedded.listen_client: 127.0.0.1:2379
metrics.scraping_service.kvstore.embedded.listen_peer: 0.0.0.0:2380
metrics.scraping_service.kvstore.embedded.peers: [{name: agent-0, url: 'https://agent-0:2380'}, {name: agent-1, url: 'https://agent-1:2380'}, {name: agent-2, url: 'https://agent-2:2380'}]
metrics.scraping_service.kvstore.embedded.peer_tls.cert_file: peer.crt
metrics.scraping_service.kvstore.embedded.peer_tls.key_file: peer.key
metrics.scraping_service.kvstore.embedded.peer_tls.ca_file: ca.crt
metrics.scraping_service.kvstore.embedded.max_size: 4GiB
metrics.scraping_service.kvstore.embedded.insecure: true
metrics.scraping_service.limits.min_interval: 5s
metrics.scraping_service.limits.values: 50000
metrics.scraping_service.limits.static_targets: 1000
metrics.scraping_service.limits.regex_instructions: 50000
metrics.scraping_service.limits.targets_per_job: 1000
metrics.scraping_service.limits.samples_per_scrape: 100000
metrics.scraping_service.limits.body_size: 64MiB
metrics.scraping_service.limits.labels: 64
metrics.scraping_service.limits.label_name_length: 256
metrics.scraping_service.limits.label_value_length: 4096
metrics.scraping_service.limits.wal_size: 1GiB
metrics.scraping_service.limits.samples_per_second: 20000
metrics.scraping_service.limits.series: 200000
metrics.scraping_service.limits.label_bytes: 128MiB
metrics.scraping_service.limits.body_bytes_in_flight: 128MiB
metrics.scraping_service.limits.discovery_bytes: 16MiB
metrics.scraping_service.limits.discovered_bytes: 64MiB
metrics.scraping_service.limits.discovered_targets: 50000
metrics.scraping_service.limits.cpu: 0.25
metrics.scraping_service.limits.overrides: [{configs: 'team-a-*', series: 500000}]
configs.name: node
configs.slices: 4
configs.compatibility: agent
`

// keyOf is one key of the agent's own blocks.
type keyOf struct{ path, kind string }

// ownKeys lists the keys of a block and of the blocks below it, in their order, as far as they are
// not Prometheus'. The ring's store has the keys of kvstore and is not repeated but for its prefix.
func ownKeys(path string, block reflect.Type) (keys []keyOf) {
	for i := range block.NumField() {
		field := block.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		switch {
		case strings.HasSuffix(field.Tag.Get("yaml"), ",inline"):
			if field.Type.PkgPath() == block.PkgPath() {
				keys = append(keys, ownKeys(path, field.Type)...)
			}
			continue
		case name == "-" || name == "" || path == "metrics" && name == "configs":
			continue
		}
		below := strings.TrimPrefix(path+"."+name, ".")
		switch {
		case below == "metrics.scraping_service.lifecycler.ring.kvstore":
			keys = append(keys, keyOf{below + ".prefix", "text"})
		case below == "metrics.global":
			keys = append(keys, keyOf{below, "block of Prometheus"})
		case field.Type.Kind() == reflect.Struct && field.Type.PkgPath() == block.PkgPath():
			keys = append(keys, ownKeys(below, field.Type)...)
		default:
			keys = append(keys, keyOf{below, kindOf(field.Type)})
		}
	}
	return keys
}

// kindOf is a Go type in the words of the documentation.
func kindOf(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "duration"
	case reflect.TypeFor[units.Base2Bytes]():
		return "size"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64, reflect.Uint, reflect.Float64:
		return "number"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.String {
			return "list of texts"
		}
		return "list of blocks"
	case reflect.Map:
		return "texts by name"
	case reflect.Pointer, reflect.Struct:
		return "block of Prometheus"
	default:
		return "text"
	}
}

const keysHead = `# Every key

The keys of the agent's own blocks, as a reference. [Configuration](configuration.md) explains them.
Keys below ` + "`configs`" + ` are those of an instance config. *Since* is the version that added the key, or
Grafana Agent, if the key comes from it. A test compares this page with the code and loads every
example; ` + "`go test ./config -run EveryKey -args -keys`" + ` writes the page anew.

| Key | Type | Default | Example | Since |
|---|---|---|---|---|
`

func TestDocsHaveEveryKeyWithTypeDefaultExampleAndVersion(t *testing.T) {
	examples, since := map[string]string{}, map[string]string{}
	for line := range strings.Lines(retiredKeys) {
		path, rest, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if example, _, found := strings.Cut(rest, " ="); ok && found {
			examples[path], since[path] = example, "Grafana Agent"
		}
	}
	for line := range strings.Lines(newKeys) {
		if path, example, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			examples[path], since[path] = example, "0.1"
		}
	}
	examples["server.http_tls_config"], since["server.http_tls_config"] = "{cert_file: tls.crt, key_file: tls.key}", "Grafana Agent"
	examples["metrics.global"], since["metrics.global"] = "{scrape_interval: 30s, external_labels: {cluster: a}}", "Grafana Agent"

	defaults := asYAML(t, "")
	var page strings.Builder
	page.WriteString(keysHead)
	for _, key := range append(ownKeys("", reflect.TypeFor[agentFile]()), ownKeys("configs", reflect.TypeFor[instanceFile]())...) {
		example := examples[key.path]
		require.NotEmpty(t, example, "%s has no example: add it to newKeys", key.path)
		requireDecodes(t, key.path, example)
		requireValid(t, key.path, examples)
		fmt.Fprintf(&page, "| `%s` | %s | %s | %s | %s |\n", key.path, key.kind, cell(defaultOf(t, defaults, key.path)), cell(example), since[key.path])
	}
	file := filepath.Join("..", "docs", "keys.md")
	if *updateKeys {
		require.NoError(t, os.WriteFile(file, []byte(page.String()), 0o600))
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, page.String(), string(text), "go test ./config -run EveryKey -args -keys")
}

func cell(text string) string {
	if text == "" {
		return ""
	}
	return "`" + strings.ReplaceAll(text, "|", `\|`) + "`"
}

// defaultOf is a default in one line; nothing for none.
func defaultOf(t *testing.T, defaults *yaml.Node, path string) string {
	t.Helper()
	switch path {
	case "metrics.wal_max_size":
		return "4GiB"
	case "tracing", "metrics.global", "server.http_tls_config", "configs.name", "configs.compatibility":
		return ""
	case "metrics.scraping_service.lifecycler.ring.heartbeat_timeout":
		return DefaultSessionTTL.String()
	case "configs.slices":
		return "1"
	}
	shown := strings.Join(strings.Fields(shownAt(t, defaults, path)), " ")
	if shown == "[]" || shown == "{}" || shown == "null" {
		return ""
	}
	return shown
}

// requireDecodes reads an example as a part of a file. What it stands for may need more keys.
func requireDecodes(t *testing.T, path, example string) {
	t.Helper()
	var file string
	var into any = &agentFile{}
	block := reflect.TypeFor[agentFile]()
	keys := strings.Split(path, ".")
	if keys[0] == "configs" {
		keys, into, block = keys[1:], &instanceFile{}, reflect.TypeFor[instanceFile]()
	}
	file = strings.Join(keys, ": {") + ": " + example + strings.Repeat("}", len(keys)-1)
	d := parseDocument("example", file, nil, 0)
	require.Empty(t, d.errs, file)
	d.structure(d.root, block)
	require.Empty(t, d.errs, file)
	require.NoError(t, d.root.Decode(into), file)
}

// partners are the keys without which others are not valid.
var partners = map[string][]string{
	"embedded.listen_peer": {"peers", "peer_tls.cert_file", "peer_tls.key_file", "peer_tls.ca_file"},
	"embedded.peers":       {"peer_tls.cert_file", "peer_tls.key_file", "peer_tls.ca_file"},
	"embedded.peer_tls":    {"peers", "peer_tls.cert_file", "peer_tls.key_file", "peer_tls.ca_file"},
}

// requireValid loads a file that has the example, and those of its partners, and nothing else.
func requireValid(t *testing.T, path string, examples map[string]string) {
	t.Helper()
	file := map[string]any{}
	add := func(path string) {
		var value any
		require.NoError(t, yaml.Unmarshal([]byte(examples[path]), &value), path)
		keys, at := strings.Split(path, "."), file
		for _, key := range keys[:len(keys)-1] {
			if at[key] == nil {
				at[key] = map[string]any{}
			}
			at = at[key].(map[string]any)
		}
		at[keys[len(keys)-1]] = value
	}
	add(path)
	for below, others := range partners {
		const store = "metrics.scraping_service.kvstore."
		if strings.HasPrefix(path, store+below) {
			for _, other := range others {
				add(store + "embedded." + other)
			}
		}
	}
	if instance, ok := file["configs"]; ok {
		name, _ := instance.(map[string]any)["name"].(string)
		text, err := yaml.Marshal(instance)
		require.NoError(t, err)
		_, err = ParseInstance(cmp.Or(name, "example"), string(text), InstanceOptions{AllowFiles: true, AllowAmbient: true})
		require.NoError(t, err, "the example of %s: %s", path, text)
		return
	}
	text, err := yaml.Marshal(file)
	require.NoError(t, err)
	_, err = LoadAgent("example.yaml", text, LoadOptions{})
	require.NoError(t, err, "the example of %s:\n%s", path, text)
}
