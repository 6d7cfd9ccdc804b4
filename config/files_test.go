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
		"remote_write[0].sigv4.profile":                             "remote_write: [{url: 'http://r', sigv4: {profile: x}}]",
		"remote_write[0].google_iam.credentials_file":               "remote_write: [{url: 'http://r', google_iam: {credentials_file: x}}]",
		"remote_write[0].azuread.certificate.certificate_path":      "remote_write: [{url: 'http://r', azuread: {certificate: {client_id: 00000000-0000-0000-0000-000000000000, tenant_id: t, certificate_path: x}}}]",
	} {
		errs := problems(t, text, InstanceOptions{})
		require.Len(t, errs, 1, "%v", errs)
		require.Equal(t, field, errs[0].Field)
		require.Contains(t, errs[0].Problem, "may not name files")
		_, err := ParseInstance("app", text, InstanceOptions{AllowFiles: true})
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

// keysOf lists every key that a type's YAML can have, as the schema sees it.
func keysOf(s *schema, t reflect.Type, seen map[reflect.Type]bool, keys map[string]bool) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if seen[t] {
		return
	}
	seen[t] = true
	sh := s.of(t)
	for key, below := range sh.fields {
		keys[key] = true
		keysOf(s, below, seen, keys)
	}
	if sh.elem != nil {
		keysOf(s, sh.elem, seen, keys)
	}
}

func allKeys() []string {
	keys := map[string]bool{}
	keysOf(newSchema(), reflect.TypeFor[instanceFile](), map[reflect.Type]bool{}, keys)
	return slices.Sorted(maps.Keys(keys))
}

// A key that is added to Prometheus or to a discovery shows up here and has to be judged by a person: does it name a file, does it
// hold a secret?
func TestEveryKeyIsKnownToNameAFileOrNot(t *testing.T) {
	var files, suspects []string
	for _, key := range allKeys() {
		switch {
		case namesFile(key):
			files = append(files, key)
		case strings.Contains(key, "path"), strings.Contains(key, "dir"), strings.Contains(key, "cert"), strings.Contains(key, "cred"):
			suspects = append(suspects, key)
		}
	}
	require.Equal(t, []string{
		"bearer_token_file", "ca_file", "cert_file", "certificate_key_path", "certificate_path",
		"client_certificate_key_file", "client_secret_file", "credentials_file", "file_sd_configs", "files", "key_file",
		"password_file", "profile", "scrape_failure_log_file", "token_file_path", "username_file",
	}, files)
	require.Equal(t, []string{
		"cert", "cert_ref", "certificate", "certificate_password", "client_certificate_key", "client_certificate_key_id",
		"client_certificate_key_ref", "credentials", "credentials_ref", "follow_redirects", "metrics_path", "path_prefix",
		"send_certificate_chain",
	}, suspects)
}

func TestKeysOfHeavyDiscoveriesThatNameFiles(t *testing.T) {
	// These discoveries are not linked into the tests, since they take minutes to build.
	for _, key := range []string{
		"kubeconfig_file", "key_passphrase_file", "secret_key_file", "auth_token_file", "service_account_key_path",
		"private_key_path", "credentials_file_path", "profile",
	} {
		require.True(t, namesFile(key), key)
	}
	for _, key := range []string{"paths", "path_prefix", "redirect", "direction"} {
		require.False(t, namesFile(key), key)
	}
}

func TestTheSchemaSeesEveryLinkedDiscovery(t *testing.T) {
	keys := allKeys()
	for _, linked := range []string{"consul", "dns", "file", "http"} {
		require.Contains(t, keys, fmt.Sprintf("%s_sd_configs", linked))
	}
}
