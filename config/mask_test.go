package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	promcommon "github.com/prometheus/common/config"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/redact"
)

// Every S<number> in here is a secret.
const secretive = `# the password is S0
scrape_configs:
  - job_name: visible # a remark
    basic_auth: {username: visible, password: S1}
    oauth2: {client_id: visible, client_secret: S2, token_url: "http://u:S3@visible/", endpoint_params: {client_assertion: S4, audience: visible}}
    tls_config:
      key: |
        S5
        S5
    proxy_url: http://u:S6@visible:1/
    proxy_connect_header: {X: [S7]}
    http_headers:
      X-A: {secrets: [S8, S8], values: [S8]}
      X-Api-Key: {values: [S9]}
    params: {token: [S10], module: [visible], what: [S10]}
    static_configs: [{targets: [visible], labels: {visible: visible, __param_k: S10, __tmp_x: S10}}]
    relabel_configs: [{target_label: __param_token, regex: S10, replacement: S10}, {target_label: visible, replacement: visible}]
    consul_sd_configs:
      # password: S11
      - {server: "visible:8500", token: &token S12, password: S13, basic_auth: {username: a, password_file: /visible}}
    http_sd_configs:
      - url: "http://S14:S14@visible/?api_key=S15&any=S15&format=visible#S15"
        authorization: {type: Bearer, credentials: *token}
  - job_name: b
    bearer_token: S16
    kubernetes_sd_configs:
      - {role: S17, anything: [S18, {deep: S19}]}
remote_write:
  - url: "https://u:S20@visible/push"
    headers: {X-Scope-OrgID: "visible", X-Auth: S21, x-honeycomb-team: S21}
    sigv4: {access_key: S22, secret_key: S23, region: visible}
    azuread: {oauth: {client_id: visible, client_secret: S24, tenant_id: visible}}
    basic_auth: {<<: {password: S25}}
    queue_config: {max_shards: 10}
  - url: "http://u:S26/S26@visible/"
    azuread: {certificate: {certificate_password: S27}}
    pasword: S28
    bearer_token: {S: S29}
    url_list: [S30]
unknown: {a: S31}
`

func TestMaskedTextShowsNoSecret(t *testing.T) {
	text, err := MaskInstance(secretive)
	require.NoError(t, err)
	for i := range 32 {
		require.NotContains(t, text, fmt.Sprintf("S%d\n", i))
	}
	require.NotRegexp(t, `\bS\d`, text)
	require.Equal(t, strings.Count(secretive, "visible"), strings.Count(text, "visible"), "%s", text)
	require.Contains(t, text, "password: <secret>")
	require.Contains(t, text, "https://xxxxx@visible/push")
	require.Contains(t, text, "api_key=xxxxx&any=xxxxx&format=visible#xxxxx")
	require.Contains(t, text, "max_shards: 10")
	require.Contains(t, text, "# a remark")
}

func TestMaskedTextIsStillTheUsersConfig(t *testing.T) {
	const plainText = "# what this is\nscrape_configs:\n  - job_name: a # why\n    static_configs:\n      - targets: ['a:1']\nremote_write:\n  - url: http://r/\n"
	i := mustParse(t, "app", plainText)
	require.Equal(t, plainText, i.Masked())
	masked := mustParse(t, "app", everything).Masked()
	again := mustParse(t, "app", masked)
	require.Equal(t, masked, again.Masked(), "what is masked stays as it is")
	require.Equal(t, promcommon.Secret("<secret>"), again.RemoteWrite[0].SigV4Config.SecretKey)
}

func TestTheAgentsFileIsMasked(t *testing.T) {
	a, err := LoadAgent("a", []byte(`metrics:
  global: {remote_write: [{url: "http://u:S1@visible", bearer_token: S2}]}
  scraping_service:
    kvstore: {etcd: {username: visible, password: "${PW}"}, consul: {acl_token: S4}}
    lifecycler: {num_tokens: 64, tokens_file_path: visible}
  configs: [{name: visible, scrape_configs: [{job_name: visible, basic_auth: {password: S5}}]}]
`), LoadOptions{ExpandEnv: true, LookupEnv: func(string) (string, bool) { return "S3", true }})
	require.NoError(t, err)
	text := a.Masked()
	require.NotRegexp(t, `\bS\d`, text)
	require.Equal(t, 5, strings.Count(text, "visible"))
	require.Contains(t, text, "num_tokens: 64")
	require.Empty(t, Default("").Masked())
}

func TestWhatIsNotYAMLIsNotShown(t *testing.T) {
	_, err := MaskInstance("password: S1\n  x: [")
	require.Error(t, err)
	require.NotContains(t, err.Error(), "S1")
	for text, want := range map[string]string{"": "", "S1": "<secret>\n", "[S1]": "[<secret>]\n", "name: [S1]": "name: [<secret>]\n"} {
		shown, err := MaskInstance(text)
		require.NoError(t, err)
		require.Equal(t, want, shown)
	}
}

// Keys of plain text that sound like a secret are masked by their sound; this list shows that
// nothing useful is lost by it.
func TestPlainKeysThatAreMaskedByTheirSound(t *testing.T) {
	masked := map[string]bool{}
	seen := map[reflect.Type]bool{}
	s := newSchema()
	var walk func(t reflect.Type)
	walk = func(t reflect.Type) {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if seen[t] {
			return
		}
		seen[t] = true
		sh := s.of(t)
		for key, below := range sh.fields {
			if s.of(below).form != formStruct && !holdsSecret(below) && redact.SoundsSecret(key) && below.Kind() != reflect.Bool && below.Kind() != reflect.Int {
				masked[key] = true
			}
			walk(below)
		}
		if sh.elem != nil {
			walk(sh.elem)
		}
	}
	walk(reflect.TypeFor[agentFile]())
	require.Equal(t, []string{"access_key"}, slices.Sorted(maps.Keys(masked)))
}
