package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/cluster/memstore"
	"github.com/ringmaster-agent/ringmaster/cmd/agentctl/internal/cli"
	"github.com/ringmaster-agent/ringmaster/web"
)

// configText is a valid config; the password and the job tell variants apart.
func configText(job, password string) string {
	return fmt.Sprintf(`scrape_configs:
  - job_name: %s
    basic_auth:
      username: u
      password: %s
    static_configs:
      - targets: ['localhost:9090']
`, job, password)
}

// agent is a real API on the in-memory store.
type agent struct {
	*httptest.Server
	configs *cluster.Configs

	mu      sync.Mutex
	changes []string // the requests that change something
}

// requests are those that change something, in the order of their texts: uploads are made at once.
func (a *agent) requests() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Sorted(slices.Values(a.changes))
}

func startAgent(t *testing.T, o web.Options, stored map[string]string) *agent {
	t.Helper()
	store := memstore.New()
	a := &agent{configs: cluster.NewConfigs(store, "configurations/")}
	for name, text := range stored {
		_, err := a.configs.Put(t.Context(), name, text, cluster.Condition{})
		require.NoError(t, err)
	}
	o.Configs = a.configs
	api := web.New(o)
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			a.mu.Lock()
			a.changes = append(a.changes, r.Method+" "+r.URL.EscapedPath())
			a.mu.Unlock()
		}
		api.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { a.Close(); require.NoError(t, store.Close()) })
	return a
}

// stored is what the store holds.
func (a *agent) stored(t *testing.T) map[string]string {
	t.Helper()
	all, _, err := a.configs.List(t.Context())
	require.NoError(t, err)
	got := map[string]string{}
	for _, c := range all {
		got[c.Name] = c.Text
	}
	return got
}

func directory(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return dir
}

func agentctl(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = cli.Main(t.Context(), cli.Process{
		Args: args, Out: &o, Err: &e, Version: "1.2.3",
		LookupEnv: func(string) (string, bool) { return "", false },
	})
	return code, o.String(), e.String()
}

// odd are names that others may have written into the store, by how they stand in a URL.
var odd = map[string]string{
	"a%FF": "a\xff", "a%FE": "a\xfe", "%FF": "\xff", "a%EF%BF%BD": "a\uFFFD", "%00": "\x00", "a%1B%5B2J": "a\x1b[2J", ".": ".", "..": "..", "..%2Fup": "../up",
	"a%25FF": "a%FF", "a+b": "a+b", "a%3Fb%23c": "a?b#c",
}

func TestEveryKeyInTheStoreCanBeListedAndDeleted(t *testing.T) {
	stored := map[string]string{}
	for _, name := range odd {
		stored[name] = configText("job", "x")
	}
	a := startAgent(t, web.Options{}, stored)
	code, out, errs := agentctl(t, "configs", "names", "-a", a.URL, "--escaped")
	require.Equal(t, 0, code, errs)
	listed := strings.Fields(out)
	require.Len(t, listed, len(odd))
	for _, escaped := range listed {
		require.Contains(t, a.stored(t), odd[escaped])
		code, out, errs := agentctl(t, "configs", "delete", "-a", a.URL, "--escaped", escaped)
		require.Equal(t, 0, code, errs)
		require.NotContains(t, out, "\x1b")
		require.NotContains(t, a.stored(t), odd[escaped])
	}
	require.Empty(t, a.stored(t))
}

func TestSyncDeletesWhateverTheDirectoryLacks(t *testing.T) {
	stored := map[string]string{"job": configText("job", "x")}
	for _, name := range odd {
		stored[name] = configText("job", "x")
	}
	a := startAgent(t, web.Options{}, stored)
	dir := directory(t, map[string]string{"job.yaml": configText("job", "x")})
	code, out, errs := agentctl(t, "config-sync", "-a", a.URL, "--allow-delete-many", dir)
	require.Equal(t, 0, code, errs)
	require.Contains(t, out, "12 deleted, 1 unchanged, 0 failed")
	require.Equal(t, []string{"job"}, slices.Collect(maps.Keys(a.stored(t))))
}

func TestSyncCreatesUpdatesDeletesAndLeavesAlone(t *testing.T) {
	a := startAgent(t, web.Options{}, map[string]string{
		"same": configText("same", "x"), "secret": configText("secret", "old"), "z same": configText("z", "x"), "team/gone": configText("gone", "x"),
	})
	dir := directory(t, map[string]string{
		"same.yaml": configText("same", "x"), "secret.yml": configText("secret", "new"), "z same.yaml": configText("z", "x"),
		"new+50%.yaml": configText("new", "x"), "README.md": "not a config", ".hidden.yaml": "nor this",
	})
	code, out, errs := agentctl(t, "config-sync", "-a", a.URL, dir)
	require.Equal(t, 0, code, errs)
	require.Equal(t, "created new+50%\nupdated secret\ndeleted team/gone\n1 created, 1 updated, 1 deleted, 2 unchanged, 0 failed\n", out)
	require.Empty(t, errs)
	require.Equal(t, []string{"DELETE /agent/api/v1/config/team%2Fgone", "PUT /agent/api/v1/config/new+50%25", "PUT /agent/api/v1/config/secret"}, a.requests())
	require.Equal(t, map[string]string{
		"same": configText("same", "x"), "secret": configText("secret", "new"), "z same": configText("z", "x"), "new+50%": configText("new", "x"),
	}, a.stored(t))

	code, out, _ = agentctl(t, "config-sync", "-a", a.URL+"/", dir)
	require.Equal(t, 0, code)
	require.Equal(t, "0 created, 0 updated, 0 deleted, 4 unchanged, 0 failed\n", out)
	require.Len(t, a.requests(), 3, "the second run writes nothing")

	code, _, _ = agentctl(t, "config-sync", "-a", a.URL, "-d", dir)
	require.Equal(t, 0, code, "and a dry run finds no difference")
}

func TestDryRunShowsADiffAndWritesNothing(t *testing.T) {
	a := startAgent(t, web.Options{ReadAPI: true}, map[string]string{
		"job": configText("old", "x"), "secret": configText("s", "old"), "gone": configText("gone", "x"),
	})
	dir := directory(t, map[string]string{
		"job.yaml": configText("new", "x"), "secret.yaml": configText("s", "new"), "fresh.yaml": configText("fresh", "x"),
	})
	code, out, errs := agentctl(t, "config-sync", "-a", a.URL, "--dry-run", dir)
	require.Equal(t, 3, code, errs)
	require.Empty(t, a.requests())
	require.Equal(t, `would create fresh
--- stored/fresh
+++ directory/fresh
@@ -0,0 +1,7 @@
+scrape_configs:
+  - job_name: fresh
+    basic_auth:
+      username: u
+      password: <secret>
+    static_configs:
+      - targets: ['localhost:9090']
would update job
--- stored/job
+++ directory/job
@@ -1,5 +1,5 @@
 scrape_configs:
-  - job_name: old
+  - job_name: new
     basic_auth:
       username: u
       password: <secret>
would update secret
  (no diff: it is in secrets, comments or layout)
would delete gone
--- stored/gone
+++ directory/gone
@@ -1,7 +0,0 @@
-scrape_configs:
-  - job_name: gone
-    basic_auth:
-      username: u
-      password: <secret>
-    static_configs:
-      - targets: ['localhost:9090']
1 to create, 2 to update, 1 to delete, 0 unchanged, 0 failed
`, out)
}

func TestDryRunWithoutTheReadAPIStillNamesWhatDiffers(t *testing.T) {
	a := startAgent(t, web.Options{}, map[string]string{"job": configText("old", "x")})
	code, out, _ := agentctl(t, "config-sync", "-a", a.URL, "--dry-run", directory(t, map[string]string{"job.yaml": configText("new", "x")}))
	require.Equal(t, 3, code)
	require.Contains(t, out, "would update job\n  (no diff: the agent does not show configs (-config.enable-read-api))\n")
}

func TestAFileThatFailsProtectsItsStoredConfig(t *testing.T) {
	before := map[string]string{"broken": configText("b", "x"), "twice": configText("t", "x"), "link": configText("l", "x"), "refused": configText("r", "x"), "ok": "x: y"}
	a := startAgent(t, web.Options{}, before)
	dir := directory(t, map[string]string{
		"broken.yaml":  "scrape_configs:\n  - job_name: a\n    nonsense: 1\n    scrape_interval: soon\n",
		"twice.yaml":   configText("1", "x"),
		"twice.yml":    configText("2", "x"),
		"refused.yaml": "scrape_configs:\n  - job_name: a\n    basic_auth:\n      username: u\n      password_file: /etc/shadow\n",
		"ok.yaml":      configText("ok", "x"),
	})
	require.NoError(t, os.Symlink("nowhere", filepath.Join(dir, "link.yaml")))
	code, out, errs := agentctl(t, "config-sync", "-a", a.URL, dir)
	require.Equal(t, 1, code)
	require.Contains(t, out, "0 created, 1 updated, 0 deleted, 0 unchanged, 4 failed")
	for _, want := range []string{
		filepath.Join(dir, "broken.yaml") + ":3: ", filepath.Join(dir, "broken.yaml") + ":4: ",
		filepath.Join(dir, "twice.yml") + " has the same name", filepath.Join(dir, "link.yaml"),
		filepath.Join(dir, "refused.yaml") + ":5: scrape_configs[0].basic_auth.password_file", // the agent's own words, the file's name
	} {
		require.Contains(t, errs, want)
	}
	before["ok"] = configText("ok", "x")
	require.Equal(t, before, a.stored(t))
}

func TestWhatMayBeAnAccidentIsRefused(t *testing.T) {
	three := map[string]string{"a": configText("a", "x"), "b": configText("b", "x"), "c": configText("c", "x")}
	onlyA := map[string]string{"a.yaml": configText("a", "x"), "new.yaml": configText("new", "x")}
	t.Run("deleting more than half", func(t *testing.T) {
		a := startAgent(t, web.Options{}, three)
		for _, args := range [][]string{{}, {"--dry-run"}} {
			code, _, errs := agentctl(t, append([]string{"config-sync", "-a", a.URL, directory(t, onlyA)}, args...)...)
			require.Equal(t, 1, code)
			require.Contains(t, errs, "2 of 3 stored configs would be deleted")
			require.Empty(t, a.requests(), "not even the new one is uploaded")
		}
		code, _, _ := agentctl(t, "config-sync", "-a", a.URL, "--allow-delete-many", directory(t, onlyA))
		require.Equal(t, 0, code)
		require.Len(t, a.stored(t), 2)
	})
	t.Run("an empty directory", func(t *testing.T) {
		a := startAgent(t, web.Options{}, three)
		code, _, errs := agentctl(t, "config-sync", "-a", a.URL, directory(t, nil))
		require.Equal(t, 1, code)
		require.Contains(t, errs, "has no *.yaml or *.yml file")
		require.Len(t, a.stored(t), 3)
		code, _, _ = agentctl(t, "config-sync", "-a", a.URL, "--allow-delete-many", directory(t, nil))
		require.Equal(t, 0, code)
		require.Empty(t, a.stored(t))
	})
	t.Run("a directory that is not there", func(t *testing.T) {
		a := startAgent(t, web.Options{}, three)
		code, _, errs := agentctl(t, "config-sync", "-a", a.URL, "--allow-delete-many", filepath.Join(t.TempDir(), "nope"))
		require.Equal(t, 1, code)
		require.Contains(t, errs, "no such file or directory")
		require.Len(t, a.stored(t), 3)
	})
	t.Run("an answer that is not an agent's", func(t *testing.T) {
		other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"status":"success","data":{}}`) }))
		defer other.Close()
		code, _, errs := agentctl(t, "config-sync", "-a", other.URL, "--allow-delete-many", directory(t, onlyA))
		require.Equal(t, 1, code)
		require.Contains(t, errs, "is this the address of an agent?")
	})
	t.Run("an agent without the scraping service", func(t *testing.T) {
		off := httptest.NewServer(web.New(web.Options{}))
		defer off.Close()
		code, _, errs := agentctl(t, "config-sync", "-a", off.URL, directory(t, onlyA))
		require.Equal(t, 1, code)
		require.Contains(t, errs, "scraping service is off")
	})
}

func TestASymbolicLinkToADirectoryIsFollowed(t *testing.T) {
	a := startAgent(t, web.Options{}, nil)
	dir := directory(t, map[string]string{"a.yaml": configText("a", "x")})
	require.NoError(t, os.Mkdir(filepath.Join(dir, "sub.yaml"), 0o755))
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(dir, link))
	code, out, _ := agentctl(t, "config-sync", "-a", a.URL, link)
	require.Equal(t, 0, code)
	require.Contains(t, out, "created a\n")
	require.Len(t, a.stored(t), 1)
}

func TestAnotherPersonsChangeIsNotOverwritten(t *testing.T) {
	a := startAgent(t, web.Options{}, map[string]string{"a": configText("a", "x"), "b": configText("b", "x")})
	inner := a.Config.Handler
	a.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner.ServeHTTP(w, r)
		if r.Method == http.MethodGet { // between the listing and the upload
			_, err := a.configs.Put(context.WithoutCancel(r.Context()), "a", configText("a", "theirs"), cluster.Condition{})
			require.NoError(t, err)
		}
	})
	dir := directory(t, map[string]string{"a.yaml": configText("a", "mine"), "b.yaml": configText("b", "mine")})
	code, out, errs := agentctl(t, "config-sync", "-a", a.URL, dir)
	require.Equal(t, 1, code)
	require.Contains(t, errs, "a.yaml: changed by someone else")
	require.Contains(t, out, "updated b\n")
	require.Equal(t, configText("a", "theirs"), a.stored(t)["a"])
}

func TestGrafanaAgentGetsEveryFile(t *testing.T) {
	a := startAgent(t, web.Options{}, map[string]string{"a": configText("a", "x"), "b": configText("b", "x")})
	inner := a.Config.Handler
	var mu sync.Mutex
	var conditions []string
	a.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.RawQuery = "" // it knows no digests
		mu.Lock()
		conditions = append(conditions, r.Header.Get("If-Match")+r.Header.Get("If-None-Match"))
		mu.Unlock()
		inner.ServeHTTP(w, r)
	})
	dir := directory(t, map[string]string{"a.yaml": configText("a", "x"), "new.yaml": configText("new", "x")})
	code, out, errs := agentctl(t, "config-sync", "-a", a.URL, dir)
	require.Equal(t, 0, code)
	require.Contains(t, errs, "does not tell digests")
	require.Contains(t, out, "1 created, 1 updated, 1 deleted, 0 unchanged")
	require.Empty(t, strings.Join(conditions, ""))
	code, _, _ = agentctl(t, "config-sync", "-a", a.URL, "-d", dir)
	require.Equal(t, 3, code, "whether anything differs is not known")
}

func TestExitStatusOfWrongUsageIs2(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{
		{"nope"}, {"--nope"}, {"config-sync"}, {"config-sync", "a", "b"}, {"config-sync", "--nope", dir}, {"config-check"},
		{"config-sync", "-a", "localhost", dir}, {"config-sync", "-a", "::", dir}, {"config-sync", "--user", "u", dir},
		{"config-sync", "--tls-cert", "c", dir}, {"config-sync", "--timeout", "0s", dir}, {"config-sync", "--retries", "-1", dir},
		{"config-sync", "--user", "u", "--password-file", "p", "--bearer-token-file", "t", dir},
	} {
		code, out, errs := agentctl(t, args...)
		require.Equal(t, 2, code, args)
		require.Empty(t, out)
		require.Equal(t, 1, strings.Count(errs, "\n"), "one line: %s", errs)
		require.Contains(t, errs, " --help)")
	}
	code, _, errs := agentctl(t, "config-sync", "--user", "u", "--password-file", filepath.Join(dir, "nope"), dir)
	require.Equal(t, 1, code)
	require.Contains(t, errs, "nope")
}

func TestHelpAndVersion(t *testing.T) {
	code, out, _ := agentctl(t, "--version")
	require.Equal(t, 0, code)
	require.Equal(t, "agentctl version 1.2.3\n", out)
	for _, args := range [][]string{{}, {"--help"}, {"config-sync", "--help"}, {"help", "config-check"}} {
		code, out, errs := agentctl(t, args...)
		require.Equal(t, 0, code, args)
		require.Contains(t, out, "Usage:")
		require.Empty(t, errs)
	}
}

func TestConfigCheckPrintsEveryErrorWithItsLine(t *testing.T) {
	dir := directory(t, map[string]string{
		"good.yaml":  "server:\n  log_level: debug\n",
		"bad.yaml":   "server:\n  log_level: loud\nmetrics:\n  nonsense: 1\n",
		"env.yaml":   "server:\n  log_level: ${LEVEL:-debug}\n",
		"empty.yaml": "",
	})
	code, out, errs := agentctl(t, "config-check", filepath.Join(dir, "good.yaml"))
	require.Equal(t, 0, code, errs)
	require.Equal(t, filepath.Join(dir, "good.yaml")+" is valid\n", out)

	code, _, errs = agentctl(t, "config-check", filepath.Join(dir, "bad.yaml"))
	require.Equal(t, 1, code)
	require.Contains(t, errs, "bad.yaml:2: server.log_level")
	require.Contains(t, errs, "bad.yaml:4: metrics.nonsense")

	code, _, _ = agentctl(t, "config-check", filepath.Join(dir, "env.yaml"))
	require.Equal(t, 1, code)
	code, _, errs = agentctl(t, "config-check", "-e", filepath.Join(dir, "env.yaml"))
	require.Equal(t, 0, code, errs)
	code, _, errs = agentctl(t, "config-check", filepath.Join(dir, "nope.yaml"))
	require.Equal(t, 1, code)
	require.Contains(t, errs, "no such file")
}

func TestNothingThatAgentctlPrintsHoldsASecret(t *testing.T) {
	const canary = "cAnArY70x"
	a := startAgent(t, web.Options{ReadAPI: true}, map[string]string{"old": configText("old", canary), "changed": configText("changed", canary)})
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "no "+r.URL.String()+" for "+r.Header.Get("Authorization"), http.StatusBadRequest)
	}))
	t.Cleanup(echo.Close)
	good := directory(t, map[string]string{"new.yaml": configText("new", canary), "changed.yaml": configText("changed", canary+"2")})
	bad := directory(t, map[string]string{
		"a.yaml": configText("a", canary) + "    proxy_url: 'http://u:" + canary + "@h:x/'\n",
		"b.yaml": "scrape_configs: [{job_name: b, authorization: {credentials: " + canary + "}, scrape_interval: nonsense}]",
		"c.yaml": "remote_write: [{url: 'http://u:" + canary + "@h:x/?token=" + canary + "', unknown: " + canary + "}]",
		"d.yaml": "scrape_configs: [\n  password: " + canary + "\n",
	})
	password := func(url string) string { return strings.Replace(url, "http://", "http://u:"+canary+"@", 1) }
	for _, args := range [][]string{
		{"config-check", bad}, {"config-check", good}, {"config-sync", "-a", a.URL, bad}, {"config-sync", "-a", a.URL, "--dry-run", good},
		{"config-sync", "-a", password(echo.URL), good}, {"config-sync", "-a", password("http://127.0.0.1:1"), good},
		{"config-sync", "-a", password("http://h:x"), good}, {"config-sync", "-a", a.URL, good},
	} {
		_, out, errs := agentctl(t, args...)
		require.NotEmpty(t, out+errs, args)
		require.NotContains(t, out+errs, "cAnArY", args)
	}
}
