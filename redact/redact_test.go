package redact_test

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/redact"
)

const canary = "cAnArY7"

func TestAURLShowsWhereItGoesAndNothingElse(t *testing.T) {
	for in, out := range map[string]string{
		"http://h:9090/api/v1/write":                  "http://h:9090/api/v1/write",
		"https://user:cAnArY7@h/x":                    "https://xxxxx@h/x",
		"https://cAnArY7@h/x":                         "https://xxxxx@h/x",
		"http://h/x?token=cAnArY7&format=json":        "http://h/x?token=xxxxx&format=json",
		"http://h/x?anything=cAnArY7":                 "http://h/x?anything=xxxxx",
		"http://h/x?cAnArY7":                          "http://h/x?xxxxx",
		"http://h/x?target=http://u:cAnArY7@other/":   "http://h/x?target=xxxxx",
		"http://h/x#cAnArY7":                          "http://h/x#xxxxx",
		"http://h/x?format=prometheus":                "http://h/x?format=prometheus",
		"http://h/x?match[]=up":                       "http://h/x?match[]=up",
		"http://h/x?format=http%3A%2F%2Fu:cAnArY7@y/": "http://h/x?format=xxxxx",
	} {
		u, err := url.Parse(in)
		require.NoError(t, err)
		require.Equal(t, out, redact.URL(u), in)
	}
	require.Empty(t, redact.URL(nil))
	require.Equal(t, "http://xxxxx@h:80/metrics", redact.URLText("http://u:cAnArY7%40h:80/metrics"))
	require.Equal(t, "xxxxx@h:80", redact.Address("u:cAnArY7@h:80"))
	require.Equal(t, "h:80", redact.Address("h:80"))
}

func TestTextsKeepTheirSenseAndLoseTheirSecrets(t *testing.T) {
	for in, out := range map[string]string{
		`Get "http://u:cAnArY7@h/x?y=cAnArY7": dial tcp: connection refused`:       `Get "http://xxxxx@h/x?y=xxxxx": dial tcp: connection refused`,
		`parse "http://u:cAn ArY7@h/x": invalid character " " in host name`:        `parse "http://xxxxx@h/x": invalid character "xxxxx" in host name`,
		`parse "http://u:cAnArY7/x@h": invalid port ":cAnArY7" after host`:         `parse "http://xxxxx@h": invalid port "xxxxx" after host`,
		"see http://h/x?k=cAnArY7, then go on":                                     "see http://h/x?k=xxxxx, then go on",
		"server says: Bearer cAnArY7 is not known":                                 "server says: Bearer xxxxx is not known",
		`parse "u:cAnArY7@h:3128": first path segment in URL cannot contain colon`: `parse "xxxxx@h:3128": first path segment in URL cannot contain colon`,
		"config team:app@prod":                                               "config team:app@prod",
		"nothing to hide: a@b.example, 5m, /var/lib":                         "nothing to hide: a@b.example, 5m, /var/lib",
		"/root/go/pkg/mod/github.com/x@v1.2.3/file.go:12 +0x1":               "/root/go/pkg/mod/github.com/x@v1.2.3/file.go:12 +0x1",
		"upstream 10.0.0.1:80 answered 503 (url http://10.0.0.1/?q=cAnArY7)": "upstream 10.0.0.1:80 answered 503 (url http://10.0.0.1/?q=xxxxx)",
		`"text before http://u:cAnArY7@h/ in quotes"`:                        `"text before http://xxxxx@h/ in quotes"`,
	} {
		require.Equal(t, out, redact.Text(in))
	}
}

func TestOnlyKnownHeadersParametersAndLabelsAreShown(t *testing.T) {
	require.Equal(t, "application/json", redact.Header("Content-Type", "application/json"))
	require.Equal(t, "team-a", redact.Header("X-Scope-OrgID", "team-a"))
	for _, name := range []string{"Authorization", "x-honeycomb-team", "X-JWT", "Anything"} {
		require.Equal(t, redact.Mark, redact.Header(name, canary), name)
	}
	require.Equal(t, "prometheus", redact.Parameter("format", "prometheus"))
	require.Equal(t, redact.Mark, redact.Parameter("k", canary))
	for _, name := range []string{"__param_token", "__tmp_x", "__my_label", "api_key", "password"} {
		require.Equal(t, redact.Mark, redact.Label(name, canary), name)
		require.True(t, redact.Relabeled(name), name)
	}
	for _, name := range []string{"job", "instance", "__address__", "__meta_consul_node", "__scrape_interval__", "__param_module", "key_id"} {
		require.Equal(t, "v", redact.Label(name, "v"), name)
		require.False(t, redact.Relabeled(name), name)
	}
	require.Equal(t, redact.Mark, redact.Label("instance", "http://u:"+canary+"@h/"))
	require.Equal(t, redact.Mark, redact.Label("__address__", "u:"+canary+"@h:80"))
}

func TestAnErrorKeepsItsChain(t *testing.T) {
	cause := errors.New("refused")
	err := redact.Error(fmt.Errorf("post http://u:%s@h/: %w", canary, cause))
	require.ErrorIs(t, err, cause)
	require.Equal(t, "post http://xxxxx@h/: refused", err.Error())
	require.Equal(t, err, redact.Error(err))
	require.NoError(t, redact.Error(nil))
}

// The secret is not found in anything, wherever in a URL or in its quoted form it was put.
func FuzzSecretsOfURLs(f *testing.F) {
	f.Add("h", "path", "name", uint8(0))
	f.Add("h:80", "a@b", "x[]", uint8(3))
	f.Fuzz(func(t *testing.T, host, path, name string, form uint8) {
		if strings.ContainsAny(host+path+name, "\"'<>`\\ @#?&=;/") || strings.ContainsFunc(host+path+name, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return
		}
		switch strings.ToLower(name) {
		case "format", "module", "modules", "db", "rp", "precision", "consistency", "extra_label", "api-version", "version",
			"timeout", "stale", "target", "scheme", "port", "protocol", "resource", "audience", "match[]", "collect[]", "name[]", "exclude[]":
			return
		}
		text := []string{
			"http://u:" + canary + "@" + host + "/" + path,
			"http://" + canary + "@" + host + "/" + path,
			"http://" + host + "/" + path + "?" + name + "=" + canary,
			"http://" + host + "/" + path + "?" + canary,
			"http://" + host + "/" + path + "#" + canary,
			`Post "http://u:` + canary + "@" + host + "/" + path + `?` + name + `=` + canary + `": EOF`,
		}[form%6]
		if out := redact.Text("before " + text + " after"); strings.Contains(out, canary) {
			t.Fatalf("%q became %q", text, out)
		}
	})
}

func TestJSONIsRedactedStringByString(t *testing.T) {
	in := `{"a": "Get \"http://u:cAnArY7@h/?k=cAnArY7\": EOF", "n": [1, "plain", "http://h/?x=cAnArY7"], "http://cAnArY7@h": null}`
	require.JSONEq(t, `{"a": "Get \"http://xxxxx@h/?k=xxxxx\": EOF", "n": [1, "plain", "http://h/?x=xxxxx"], "http://xxxxx@h": null}`, string(redact.JSON([]byte(in))))
	same := []byte(`{"a": "b <c> \u00e9", "n": 1}`)
	require.Equal(t, &same[0], &redact.JSON(same)[0], "nothing is copied where nothing changes")
	require.Equal(t, `"<secret> http://h/?a=xxxxx"`, string(redact.JSON([]byte(`"<secret> http://h/?a=b"`))))
}
