package cli_test

import (
	"archive/zip"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/ringmaster-agent/ringmaster/web"
)

func TestAStoredConfigIsComparedWithAFile(t *testing.T) {
	a, _ := startWorld(t)
	dir := directory(t, map[string]string{"same.yaml": configText("api", "x"), "job.yaml": configText("other", "x"), "secret.yaml": configText("api", "y")})
	diff := func(name, file string, more ...string) (int, string, string) {
		return agentctl(t, append([]string{"configs", "diff", name, filepath.Join(dir, file), "-a", a.URL}, more...)...)
	}
	code, out, _ := diff("team/api", "same.yaml")
	require.Equal(t, 0, code)
	require.Contains(t, out, "team/api is as in ")
	code, out, _ = diff("team/api", "job.yaml")
	require.Equal(t, 3, code)
	require.Contains(t, out, "--- stored/team/api\n+++ file/team/api\n")
	require.Contains(t, out, "-  - job_name: api\n+  - job_name: other\n")
	require.NotContains(t, out, "password: x")
	code, out, _ = diff("team/api", "secret.yaml")
	require.Equal(t, 3, code)
	require.Equal(t, "team/api differs in secrets, comments or layout only\n", out)
	code, out, _ = diff("new", "job.yaml")
	require.Equal(t, 3, code)
	require.Contains(t, out, "+  - job_name: other\n")
	code, out, _ = diff("team/api", "job.yaml", "-o", "json")
	require.Equal(t, 3, code)
	var value struct {
		Name, Diff string
		Differs    bool
	}
	require.NoError(t, json.Unmarshal([]byte(out), &value))
	require.True(t, value.Differs)
	require.Contains(t, value.Diff, "+  - job_name: other\n")

	closed := startAgent(t, web.Options{}, map[string]string{"team/api": configText("api", "x")})
	code, out, _ = agentctl(t, "configs", "diff", "team/api", filepath.Join(dir, "job.yaml"), "-a", closed.URL)
	require.Equal(t, 3, code, "without the read API it is known that they differ")
	require.Contains(t, out, "-config.enable-read-api")
}

func TestTheHistoryOfAConfigIsListed(t *testing.T) {
	a, _ := startWorld(t)
	code, out, errs := agentctl(t, "configs", "history", "team/api", "-a", a.URL)
	require.Equal(t, 0, code, errs)
	require.Contains(t, out, "run by node-1, first claimed")
	require.Contains(t, out, "answered: out of bounds")
}

func TestTailShowsWhatWasAndWhatIs(t *testing.T) {
	a, _ := startWorld(t)
	code, out, errs := agentctl(t, "tail", "team/api", "--for", "1ms", "-a", a.URL)
	require.Equal(t, 0, code, errs)
	require.Contains(t, out, "run by node-1, first claimed")
	require.Contains(t, out, "targets on node-1: 1 up, 1 down, 0 unknown")
	code, out, _ = agentctl(t, "tail", "team/api", "--for", "1ms", "-a", a.URL, "-o", "json")
	require.Equal(t, 0, code)
	for line := range strings.Lines(out) {
		require.True(t, json.Valid([]byte(line)), line)
	}
}

func TestTheZipForSupportIsSavedAndNothingIsOverwritten(t *testing.T) {
	a, _ := startWorld(t)
	file := filepath.Join(t.TempDir(), "a.zip")
	code, out, errs := agentctl(t, "support", file, "-a", a.URL)
	require.Equal(t, 0, code, errs)
	require.Contains(t, out, "saved "+file)
	archive, err := zip.OpenReader(file)
	require.NoError(t, err)
	defer archive.Close()
	require.True(t, slices.ContainsFunc(archive.File, func(f *zip.File) bool { return f.Name == "instances.json" }))
	code, _, errs = agentctl(t, "support", file, "-a", a.URL)
	require.Equal(t, 1, code)
	require.Contains(t, errs, "file exists")
}

func TestAnAgentThatIsStartingIsWaitedFor(t *testing.T) {
	a, _ := startWorld(t)
	inner := a.Config.Handler
	var asked atomic.Int32
	a.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) <= 2 {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte("Agent is not Ready.\n- it is starting\n"))
			return
		}
		inner.ServeHTTP(w, r)
	})
	code, out, errs := agentctl(t, "configs", "get", "team/api", "-a", a.URL, "--retries", "0")
	require.Equal(t, 0, code, errs)
	require.Contains(t, out, "job_name: api")
	require.Equal(t, 1, strings.Count(errs, "does not answer yet; waiting for 10s at most (--wait)"), errs)

	asked.Store(0)
	code, _, errs = agentctl(t, "configs", "get", "team/api", "-a", a.URL, "--retries", "0", "--wait", "0")
	require.Equal(t, 1, code)
	require.Contains(t, errs, "503")

	nobody := httptest.NewServer(nil)
	nobody.Close()
	code, _, errs = agentctl(t, "status", "-a", nobody.URL, "--retries", "0", "--wait", "1ms")
	require.Equal(t, 1, code)
	require.Contains(t, errs, "connection refused")
}

// TestEveryCommandAnswersPrograms runs the commands that the other tests of outputs don't.
func TestEveryCommandAnswersPrograms(t *testing.T) {
	a, _ := startWorld(t)
	dir := directory(t, map[string]string{"new.yaml": configText("new", "x"), "team.yaml": configText("team", "x"), "bad.yaml": "scrape_configs: [{bogus: 1}]\n", "main.yaml": "server: {}\n"})
	one := directory(t, map[string]string{"new.yaml": configText("new", "x")})
	for _, tc := range []struct {
		code int
		args []string
		want string
	}{
		{0, []string{"configs", "put", "new", filepath.Join(dir, "new.yaml"), "-a", a.URL}, `"stored": "new"`},
		{0, []string{"configs", "get", "new", "-a", a.URL}, `"value": "scrape_configs`},
		{0, []string{"configs", "delete", "new", "-a", a.URL}, `"deleted": "new"`},
		{0, []string{"forget", "node-2", "--yes", "-a", a.URL}, `"forgot": "node-2"`},
		{3, []string{"config-sync", "--dry-run", "--allow-delete-many", one, "-a", a.URL}, `"created": [`},
		{0, []string{"config-sync", "--allow-delete-many", one, "-a", a.URL}, `"deleted": [`},
		{0, []string{"config-check", filepath.Join(dir, "main.yaml")}, `"valid": true`},
		{1, []string{"config-check", filepath.Join(dir, "bad.yaml")}, `"problem": `},
		{0, []string{"chaos", "points", "-a", a.URL}, `"points": [`},
		{0, []string{"chaos", "list", "-a", a.URL}, `"Rules": `},
		{0, []string{"chaos", "clear", "-a", a.URL}, `"Rules": `},
		{0, []string{"support", filepath.Join(t.TempDir(), "a.zip"), "-a", a.URL}, `"saved": `},
	} {
		code, out, errs := agentctl(t, append(slices.Clone(tc.args), "-o", "json")...)
		require.Equal(t, tc.code, code, "%v: %s", tc.args, errs)
		require.True(t, json.Valid([]byte(out)), "%v: %s", tc.args, out)
		require.Contains(t, out, tc.want, tc.args)
	}
	_, out, _ := agentctl(t, "config-check", "-o", "yaml", filepath.Join(dir, "main.yaml"))
	var value map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(out), &value))
	require.Equal(t, true, value["valid"])

	for _, command := range commandsBelow(t) {
		_, help, _ := agentctl(t, append(slices.Clone(command), "--help")...)
		require.Equal(t, command[0] != "completion", strings.Contains(help, "--output"), "%v", command)
	}
}

func TestWhatShellsCompleteIsKnown(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		code, out, errs := agentctl(t, "completion", shell)
		require.Equal(t, 0, code, errs)
		require.Contains(t, out, "agentctl")
	}
	code, out, _ := agentctl(t, "__complete", "targets", "-o", "")
	require.Equal(t, 0, code)
	require.Contains(t, out, "table\njson\nyaml\n")
}
