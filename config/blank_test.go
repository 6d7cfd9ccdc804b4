package config

import (
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	promconfig "github.com/prometheus/prometheus/config"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestABlankKeyMeansWhatPrometheusTakesItFor leaves out each value of the schema, one at a time,
// and writes a tilde for it: those of keys, of entries of lists, and of keys that are words of the
// user's. It compares the outcome with that of Prometheus' own loader.
func TestABlankKeyMeansWhatPrometheusTakesItFor(t *testing.T) {
	accepted, refused := 0, 0
	for key, element := range map[string]reflect.Type{
		"scrape_configs": reflect.TypeFor[promconfig.ScrapeConfig](),
		"remote_write":   reflect.TypeFor[promconfig.RemoteWriteConfig](),
	} {
		for _, path := range blankPaths(newSchema(), element, 0) {
			for _, blank := range []string{"", "~"} {
				if sameAsPrometheus(t, blankAt(append([]string{key, "-"}, path...), blank)) {
					accepted++
				} else {
					refused++
				}
			}
		}
	}
	require.Greater(t, accepted, 500)
	require.Greater(t, refused, 20)
}

// The global block of the agent's file has Prometheus' fields. A test of endpoints in it would
// repeat those of a config's.
func TestABlankKeyOfTheGlobalBlockMeansWhatPrometheusTakesItFor(t *testing.T) {
	paths := blankPaths(newSchema(), reflect.TypeFor[promconfig.GlobalConfig](), 0)
	require.Greater(t, len(paths), 20)
	for _, path := range paths {
		for _, blank := range []string{"", "~"} {
			sameGlobalAsPrometheus(t, blankAt(append([]string{"global"}, path...), blank))
		}
	}
	sameGlobalAsPrometheus(t, "global:\n")
}

// sameGlobalAsPrometheus demands the global block, and a job under it, that Prometheus' loader
// makes of a text, or a refusal where it refuses.
func sameGlobalAsPrometheus(t *testing.T, text string) {
	t.Helper()
	theirs, theirErr := promconfig.Load(text+"scrape_configs: [{job_name: a}]\n", slog.New(slog.DiscardHandler))
	ours, ourErr := LoadAgent("agent.yaml", []byte("metrics:\n  "+strings.ReplaceAll(text, "\n", "\n  ")+
		"configs: [{name: app, scrape_configs: [{job_name: a}]}]\n"), LoadOptions{})
	if theirErr != nil {
		assert.Error(t, ourErr, "%s\nPrometheus: %v", text, theirErr)
		return
	}
	if !assert.NoError(t, ourErr, text) {
		return
	}
	assert.Equal(t, theirs.GlobalConfig, ours.Metrics.Global.Prometheus, text)
	assert.Equal(t, theirs.ScrapeConfigs, ours.Metrics.Configs[0].ScrapeConfigs, text)
}

// blankPaths are the ways to the values of a type: "-" is the first entry of a list, "x" a key of
// the user's.
func blankPaths(s *schema, t reflect.Type, depth int) (paths [][]string) {
	if depth > 6 {
		return nil
	}
	sh := s.of(t)
	switch sh.form {
	case formStruct:
		for _, key := range slices.Sorted(maps.Keys(sh.fields)) {
			paths = append(paths, []string{key})
			for _, below := range blankPaths(s, sh.fields[key], depth+1) {
				paths = append(paths, append([]string{key}, below...))
			}
		}
	case formMap:
		paths = append(paths, []string{"x"})
		for _, below := range blankPaths(s, sh.elem, depth+1) {
			paths = append(paths, append([]string{"x"}, below...))
		}
	case formList:
		paths = append(paths, []string{"-"})
		for _, below := range blankPaths(s, sh.elem, depth+1) {
			paths = append(paths, append([]string{"-"}, below...))
		}
	}
	return paths
}

// required are the keys without which a block is refused whatever else is in it.
var required = map[string][][2]string{
	"scrape_configs":         {{"job_name", "a"}},
	"remote_write":           {{"url", "http://receiver/write"}},
	"http_sd_configs":        {{"url", "http://targets/"}},
	"dns_sd_configs":         {{"names", "[a.example]"}, {"port", "80"}},
	"file_sd_configs":        {{"files", "[a.json]"}},
	"oauth2":                 {{"client_id", "a"}, {"client_secret", "b"}, {"token_url", "http://tokens/"}},
	"basic_auth":             {{"username", "a"}},
	"sigv4":                  {{"region", "a"}},
	"ec2_sd_configs":         {{"region", "a"}},
	"gce_sd_configs":         {{"project", "a"}, {"zone", "b"}},
	"docker_sd_configs":      {{"host", "tcp://127.0.0.1:1"}},
	"dockerswarm_sd_configs": {{"host", "tcp://127.0.0.1:1"}, {"role", "nodes"}},
	"eureka_sd_configs":      {{"server", "http://eureka/"}},
	"hetzner_sd_configs":     {{"role", "hcloud"}},
	"kubernetes_sd_configs":  {{"role", "pod"}},
	"marathon_sd_configs":    {{"servers", "[http://marathon/]"}},
	"openstack_sd_configs":   {{"role", "instance"}, {"region", "a"}},
	"puppetdb_sd_configs":    {{"url", "http://puppet/"}, {"query", "a"}},
	"serverset_sd_configs":   {{"servers", "[a]"}, {"paths", "[/a]"}},
	"nerve_sd_configs":       {{"servers", "[a]"}, {"paths", "[/a]"}},
	"triton_sd_configs":      {{"account", "a"}, {"dns_suffix", "b"}, {"endpoint", "c"}},
	"uyuni_sd_configs":       {{"server", "http://uyuni/"}, {"username", "a"}, {"password", "b"}},
}

// blankAt writes a path. Its last key or entry has no value; what its blocks require stands beside it.
func blankAt(path []string, blank string) string {
	var b strings.Builder
	indent, entry := "", ""
	line := func(key, value string) {
		fmt.Fprintf(&b, "%s%s%s: %s\n", indent, entry, key, value)
		indent += strings.Repeat(" ", len(entry))
		entry = ""
	}
	for i, key := range path {
		if key == "-" {
			entry += "- "
			continue
		}
		for _, beside := range besides(path[:i]) {
			if beside[0] != key {
				line(beside[0], beside[1])
			}
		}
		if i == len(path)-1 {
			line(key, blank)
			continue
		}
		line(key, "")
		indent += "  "
	}
	if path[len(path)-1] == "-" {
		fmt.Fprintf(&b, "%s%s%s\n", indent, entry, blank)
	}
	return b.String()
}

// besides is what the block at a path requires.
func besides(path []string) [][2]string {
	for _, key := range slices.Backward(path) {
		if key != "-" {
			return required[key]
		}
	}
	return nil
}

// loadAsPrometheus is Prometheus' loader, which dereferences null where some discoveries have an
// entry of a list without a value. That is a refusal, too.
func loadAsPrometheus(text string) (c *promconfig.Config, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	return promconfig.Load(text, slog.New(slog.DiscardHandler))
}

// sameAsPrometheus demands the value that Prometheus' loader makes of a text, or a refusal where it
// refuses.
func sameAsPrometheus(t *testing.T, text string) (accepted bool) {
	t.Helper()
	theirs, theirErr := loadAsPrometheus(text)
	ours, ourErr := ParseInstance("app", text, InstanceOptions{AllowFiles: true, AllowAmbient: true})
	if theirErr != nil {
		assert.Error(t, ourErr, "%s\nPrometheus: %v", text, theirErr)
		return false
	}
	if ourErr != nil && strings.Contains(ourErr.Error(), "rds_sd_configs[0].filters[0]: empty entry") {
		return false // Prometheus takes a filter that is a null pointer; the discovery would dereference it
	}
	if !assert.NoError(t, ourErr, text) {
		return true
	}
	assert.Equal(t, theirs.ScrapeConfigs, ours.ScrapeConfigs, text)
	for i, rw := range theirs.RemoteWriteConfigs {
		rw.Name = ours.RemoteWrite[i].Name
		if !strings.Contains(text, "send_exemplars") { // whose defaults are Grafana Agent's
			rw.SendExemplars = true
		}
		if !strings.Contains(text, "retry_on_http_429") {
			rw.QueueConfig.RetryOnRateLimit = true
		}
		assert.Equal(t, rw, ours.RemoteWrite[i], text)
	}
	return true
}
