package config

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// canaries writes a config with a value in every field of the schema, and a secret of its own in
// every place where one can be.
type canaries struct {
	schema *schema
	count  int
	path   map[reflect.Type]bool
}

func (c *canaries) secret() string {
	c.count++
	return fmt.Sprintf("cAnArY%dx", c.count)
}

// block is a value of a type with every key that it has, but for those that are on the way to it
// already.
func (c *canaries) block(t reflect.Type, v verdict) *yaml.Node {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	n := &yaml.Node{}
	switch sh := c.schema.of(t); sh.form {
	case formStruct:
		n.Kind = yaml.MappingNode
		if c.path[t] {
			return n
		}
		c.path[t] = true
		defer delete(c.path, t)
		for key, below := range sh.fields {
			n.Content = append(n.Content, scalar(key), c.block(below, judge(sh.owners[key], key)))
		}
	case formMap:
		n.Kind = yaml.MappingNode
		for _, key := range []string{"x-honeycomb-team", "__param_token", "X-JWT"} {
			if v == labelSet && !strings.HasPrefix(key, "__") {
				n.Content = append(n.Content, scalar(key), scalar("visible")) // it is sent to receivers
				continue
			}
			n.Content = append(n.Content, scalar(key), c.block(sh.elem, v))
		}
	case formList:
		n.Kind = yaml.SequenceNode
		n.Content = append(n.Content, c.block(sh.elem, v))
	default:
		return scalar(c.value(t, v))
	}
	return n
}

// value is a secret, or what a user writes in its place where there is none.
func (c *canaries) value(t reflect.Type, v verdict) string {
	switch v {
	case secret, parameters, headers, labelSet, rewritten:
		return c.secret()
	case address:
		return fmt.Sprintf("http://%s:%s@visible/visible?token=%s&any=%s#%s", c.secret(), c.secret(), c.secret(), c.secret(), c.secret())
	}
	switch {
	case t == reflect.TypeFor[time.Duration](), t == reflect.TypeFor[model.Duration]():
		return "1m"
	case t.Kind() == reflect.Bool:
		return "true"
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Float64:
		return "1"
	}
	return "visible"
}

func scalar(value string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: value} }

// everyField is the text of such a config, and how many secrets are in it. Relabelling rules write
// into labels that are not shown.
func everyField(t *testing.T) (text string, secrets int) {
	t.Helper()
	c := &canaries{schema: newSchema(), path: map[reflect.Type]bool{}}
	root := c.block(reflect.TypeFor[instanceFile](), unjudged)
	var hide func(n *yaml.Node)
	hide = func(n *yaml.Node) {
		if target := child(n, "target_label"); target != nil {
			target.Value = "__param_token"
		}
		for _, below := range n.Content {
			hide(below)
		}
	}
	hide(root)
	out, err := yaml.Marshal(root)
	require.NoError(t, err)
	return string(out), c.count
}

func TestNoFieldOfTheSchemaShowsItsSecret(t *testing.T) {
	text, secrets := everyField(t)
	require.Greater(t, secrets, 60)
	masked, err := MaskInstance(text)
	require.NoError(t, err)
	for line := range strings.Lines(masked) {
		require.NotContains(t, line, "cAnArY")
	}
	require.Greater(t, strings.Count(masked, "visible"), strings.Count(text, "visible")/2, "what is no secret stays legible")

	for _, opts := range []InstanceOptions{{}, {AllowFiles: true, AllowAmbient: true}} {
		_, err := ParseInstance("app", text, opts)
		require.Error(t, err, "a config with everything can't be valid")
		require.NotContains(t, err.Error(), "cAnArY")
	}
}

// Each value of the schema is broken in turn: what an error says of it, or of its neighbours, is no
// secret.
func TestNoErrorRepeatsASecretOfTheField(t *testing.T) {
	for _, form := range []string{
		"http://u:cAnArY@h:x/", "http://u:cAn ArY@h/", "http://u:cAnArY%zz@h/", "u:cAnArY@h:80", "http://h/?a=cAnArY%zz", "http://u:cAn/ArY@h", "unix://u:cAnArY@h", "[cAnArY", "cAnArY",
	} {
		for _, text := range []string{
			"remote_write: [{url: %q}]", "remote_write: [{url: 'http://h', proxy_url: %q}]", "remote_write: [{url: 'http://h', headers: {%q: x}}]",
			"remote_write: [{url: 'http://h', headers: {X: %q}, sigv4: {secret_key: %[1]q}}]", "remote_write: [{url: 'http://h', bearer_token: %q, basic_auth: {password: %[1]q}}]",
			"scrape_configs: [{job_name: a, http_sd_configs: [{url: %q}]}]", "scrape_configs: [{job_name: a, oauth2: {token_url: %q, client_secret: %[1]q}}]",
			"scrape_configs: [{job_name: a, authorization: {type: basic, credentials: %q}}]", "scrape_configs: [{job_name: a, tls_config: {key: %q}}]",
			"scrape_configs: [{job_name: a, params: {token: %q}}]", "scrape_configs: [{job_name: a, consul_sd_configs: [{server: %q, token: %[1]q, basic_auth: {password: %[1]q}, authorization: {credentials: %[1]q}}]}]",
			"scrape_configs: [{job_name: a, static_configs: [{targets: [%q]}]}]",
		} {
			written := fmt.Sprintf(text, form)
			if strings.Contains(form, "[cAnArY") && !strings.Contains(text, "token") {
				continue
			}
			if form == "cAnArY" && (strings.Contains(text, "targets") || strings.Contains(text, "url: %q") || strings.Contains(text, "{%q: x}")) {
				continue // a host, a path or the name of a header
			}
			if strings.Contains(text, "{%q: x}") {
				continue
			}
			if _, err := ParseInstance("app", written, InstanceOptions{}); err != nil {
				for _, part := range []string{"cAnArY", "cAn", "ArY"} {
					require.NotContains(t, err.Error(), part, written)
				}
			}
		}
	}
}
