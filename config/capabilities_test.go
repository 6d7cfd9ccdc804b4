package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAnUploadedConfigMayNotNameFiles(t *testing.T) {
	for field, text := range map[string]string{
		"scrape_configs[0].bearer_token_file":                       "scrape_configs: [{job_name: a, bearer_token_file: x}]",
		"scrape_configs[0].basic_auth.username_file":                "scrape_configs: [{job_name: a, basic_auth: {username_file: x}}]",
		"scrape_configs[0].basic_auth.password_file":                "scrape_configs: [{job_name: a, basic_auth: {username: u, password_file: x}}]",
		"scrape_configs[0].authorization.credentials_file":          "scrape_configs: [{job_name: a, authorization: {credentials_file: x}}]",
		"scrape_configs[0].oauth2.client_secret_file":               "scrape_configs: [{job_name: a, oauth2: {client_id: i, token_url: 'http://t', client_secret_file: x}}]",
		"scrape_configs[0].oauth2.tls_config.key_file":              "scrape_configs: [{job_name: a, oauth2: {client_id: i, client_secret: s, token_url: 'http://t', tls_config: {key_file: x, cert: c}}}]",
		"scrape_configs[0].tls_config.ca_file":                      "scrape_configs: [{job_name: a, tls_config: {ca_file: x}}]",
		"scrape_configs[0].http_headers.X.files":                    "scrape_configs: [{job_name: a, http_headers: {X: {files: [x]}}}]",
		"scrape_configs[0].scrape_failure_log_file":                 "scrape_configs: [{job_name: a, scrape_failure_log_file: x}]",
		"scrape_configs[0].file_sd_configs":                         "scrape_configs: [{job_name: a, file_sd_configs: [{files: [x.json]}]}]",
		"scrape_configs[0].http_sd_configs[0].bearer_token_file":    "scrape_configs: [{job_name: a, http_sd_configs: [{url: 'http://s', bearer_token_file: x}]}]",
		"scrape_configs[0].consul_sd_configs[0].tls_config.ca_file": "scrape_configs: [{job_name: a, consul_sd_configs: [{tls_config: {ca_file: x}}]}]",
		"remote_write[0].tls_config.cert_file":                      "remote_write: [{url: 'http://r', tls_config: {cert_file: x, key: k}}]",
		"remote_write[0].sigv4.profile":                             "remote_write: [{url: 'http://r', sigv4: {profile: x, access_key: a, secret_key: b, region: c}}]",
		"remote_write[0].google_iam.credentials_file":               "remote_write: [{url: 'http://r', google_iam: {credentials_file: x}}]",
		"remote_write[0].azuread.certificate.certificate_path":      "remote_write: [{url: 'http://r', azuread: {certificate: {client_id: 00000000-0000-0000-0000-000000000000, tenant_id: t, certificate_path: x}}}]",
	} {
		errs := problems(t, text, InstanceOptions{})
		require.Len(t, errs, 1, "%v", errs)
		require.Equal(t, field, errs[0].Field)
		require.Contains(t, errs[0].Problem, "may not name files")
		_, err := ParseInstance("app", text, InstanceOptions{AllowFiles: true, AllowAmbient: true})
		require.NoError(t, err)
	}
}

func TestFilesBehindAliasesAndMergesAreFound(t *testing.T) {
	errs := problems(t, `scrape_configs:
  - job_name: a
    params: &p {ca_file: [x]}
  - job_name: b
    tls_config: {<<: {ca_file: x}}
`, InstanceOptions{})
	require.Len(t, errs, 1, "a parameter's name is not a key of ours: %v", errs)
	require.Equal(t, "scrape_configs[1].tls_config.ca_file", errs[0].Field)
}

func TestNamesThatOnlyLookLikeFilesAreFree(t *testing.T) {
	_, err := ParseInstance("app", `scrape_configs:
  - job_name: a
    metrics_path: /x
    params: {file: [a], path: [b]}
    http_headers: {X-File: {values: [v]}}
    static_configs: [{targets: ["a:1"], labels: {file: x}}]
    consul_sd_configs: [{path_prefix: /consul}]
    tls_config: {ca_file: "", cert_file: }
`, InstanceOptions{})
	require.NoError(t, err)
}

// declared is a key as it is judged.
type declared struct {
	owner, key string
	value      reflect.Type
}

// everyKey lists every key that an instance config can have, as the schema sees it.
func everyKey() []declared {
	var (
		s    = newSchema()
		seen = map[reflect.Type]bool{}
		keys []declared
		walk func(t reflect.Type)
	)
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
			keys = append(keys, declared{sh.owners[key], key, below})
			walk(below)
		}
		if sh.elem != nil {
			walk(sh.elem)
		}
	}
	walk(reflect.TypeFor[instanceFile]())
	return keys
}

func allKeys() []string {
	keys := map[string]bool{}
	for _, k := range everyKey() {
		keys[k.key] = true
	}
	return slices.Sorted(maps.Keys(keys))
}

// A key that is new in Prometheus or in a discovery fails here until a person has judged it. Build
// it without the tag light for all discoveries.
func TestEveryKeyIsJudged(t *testing.T) {
	for _, k := range everyKey() {
		verdict := judge(k.owner, k.key)
		if verdict == unjudged {
			t.Errorf("%s of %s (%s) is not in verdicts.go: read what the code does with it, and with its absence", k.key, k.owner, k.value)
		}
		if namesFile(k.key) && verdict != file {
			t.Errorf("%s of %s sounds like a file, but is judged otherwise", k.key, k.owner)
		}
		if holdsSecret(k.value) && verdict != secret && verdict != headers {
			t.Errorf("%s of %s is a secret by its type, but is judged otherwise", k.key, k.owner)
		}
	}
}

// namesFile is a second opinion, by the sound of a key.
func namesFile(key string) bool {
	switch key {
	case "metrics_path", "path_prefix", "paths":
		return false
	}
	return strings.Contains(key, "file") || strings.Contains(key, "path") || slices.Contains(strings.Split(key, "_"), "dir")
}

func TestTheSchemaSeesEveryLinkedDiscovery(t *testing.T) {
	keys := allKeys()
	for _, linked := range []string{"consul", "dns", "file", "http"} {
		require.Contains(t, keys, fmt.Sprintf("%s_sd_configs", linked))
	}
}

func TestAnUploadedConfigMayNotUseTheMachine(t *testing.T) {
	for text, field := range map[string]string{
		"remote_write: [{url: 'http://r', sigv4: {region: r}}]":                                                                     "remote_write[0].sigv4",
		"remote_write: [{url: 'http://r', sigv4: {access_key: a, secret_key: b}}]":                                                  "remote_write[0].sigv4",
		"remote_write: [{url: 'http://r', azuread: {cloud: AzurePublic, sdk: {tenant_id: t}}}]":                                     "remote_write[0].azuread.sdk",
		"remote_write: [{url: 'http://r', azuread: {managed_identity: {client_id: 00000000-0000-0000-0000-000000000000}}}]":         "remote_write[0].azuread.managed_identity",
		"remote_write: [{url: 'http://r', azuread: {managed_identity: {}}}]":                                                        "remote_write[0].azuread.managed_identity",
		"remote_write: [{url: 'http://r', google_iam: {}}]":                                                                         "remote_write[0].google_iam",
		"remote_write: [{url: 'http://r', proxy_from_environment: true}]":                                                           "remote_write[0].proxy_from_environment",
		"remote_write: [{url: 'http://169.254.169.254/latest'}]":                                                                    "remote_write[0].url",
		"scrape_configs: [{job_name: a, proxy_from_environment: true}]":                                                             "scrape_configs[0].proxy_from_environment",
		"scrape_configs: [{job_name: a, oauth2: {client_id: i, client_secret: s, token_url: 'http://metadata.google.internal/x'}}]": "scrape_configs[0].oauth2.token_url",
		"scrape_configs: [{job_name: a, consul_sd_configs: [{server: 'unix:///run/consul.sock'}]}]":                                 "scrape_configs[0].consul_sd_configs[0].server",
		"scrape_configs: [{job_name: a, consul_sd_configs: [{server: 'UNIX:/run/consul.sock'}]}]":                                   "scrape_configs[0].consul_sd_configs[0].server",
		"scrape_configs: [{job_name: a, http_sd_configs: [{url: 'http://[fd00:ec2::254]/'}]}]":                                      "scrape_configs[0].http_sd_configs[0].url",
		"scrape_configs: [{job_name: a, static_configs: [{targets: ['169.254.169.254:80']}]}]":                                      "scrape_configs[0].static_configs[0].targets[0]",
		"scrape_configs: [{job_name: a, static_configs: [{targets: [a], labels: {__unix_socket__: /run/docker.sock}}]}]":            "scrape_configs[0].static_configs[0].labels.__unix_socket__",
		"scrape_configs: [{job_name: a, relabel_configs: [{target_label: __unix_socket__, replacement: /x}]}]":                      "scrape_configs[0].relabel_configs[0].target_label",
	} {
		errs := problems(t, text, InstanceOptions{AllowFiles: true})
		require.Len(t, errs, 1, "%v", errs)
		require.Equal(t, field, errs[0].Field)
		require.Contains(t, errs[0].Problem, "an uploaded config may not")
		require.Contains(t, errs[0].Hint, "allow_ambient_credentials")
		_, err := ParseInstance("app", text, InstanceOptions{AllowAmbient: true})
		require.NoError(t, err, "with the switch it may")
	}
}

func TestWhatAConfigBringsWithItIsItsOwn(t *testing.T) {
	i, err := ParseInstance("app", `scrape_configs:
  - job_name: a
    proxy_from_environment: false
    proxy_url: http://proxy:3128
    consul_sd_configs: [{server: "consul:8500"}, {}]
    static_configs: [{targets: ["unix:80", "h:9100", "169.254.20.10:9253"]}]
remote_write:
  - {url: "http://r", sigv4: {region: r, access_key: a, secret_key: b, role_arn: c}}
  - {url: "http://q", azuread: {oauth: {client_id: 00000000-0000-0000-0000-000000000000, client_secret: s, tenant_id: t}}}
`, InstanceOptions{})
	require.ErrorContains(t, err, "scrape_configs[0].static_configs[0].targets[0]: an uploaded config may not reach local sockets")
	require.Nil(t, i)
}
