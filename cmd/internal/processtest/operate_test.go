package processtest

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cmd/internal/toy"
)

func TestAHangupWithABrokenFileChangesNothing(t *testing.T) {
	t.Cleanup(closeIdle)
	directory := t.TempDir()
	target, receiver := &toy.Target{}, &toy.Receiver{}
	healthy := "metrics: {scraping_service: {enabled: true, kvstore: {store: inmemory}}}\n"
	file := writeFile(t, directory, "agent.yaml", healthy)
	a := startAgent(t, directory, "-config.file="+file)
	a.put("one", toyConfig("100ms", serve(t, target), serve(t, receiver)))
	eventually(t, func() bool { return target.Scrapes() >= 3 }, "no scrapes")
	require.EqualValues(t, 1, a.metric("agent_config_last_load_successful"))

	writeFile(t, directory, "agent.yaml", healthy+"server:\n  log_lvl: debug\n  log_format: xml\n")
	require.NoError(t, a.cmd.Process.Signal(syscall.SIGHUP))
	a.awaitOutput(`level=error msg="config was not reloaded[^\n]*agent\.yaml:3: server\.log_lvl[^\n]*agent\.yaml:4: server\.log_format`)
	require.EqualValues(t, 0, a.metric("agent_config_last_load_successful"))
	status, body := a.do(http.MethodPost, "/-/reload", "")
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, body, "agent.yaml:3: server.log_lvl")
	refused := target.Scrapes()
	eventually(t, func() bool { return target.Scrapes() >= refused+3 }, "scraping stopped")

	writeFile(t, directory, "agent.yaml", healthy)
	require.NoError(t, a.cmd.Process.Signal(syscall.SIGHUP))
	eventually(t, func() bool { return a.metric("agent_config_last_load_successful") == 1 }, "the repaired file is never loaded")
	requireNothingLost(t, target, receiver)
	a.stop()
	require.NoError(t, a.err)
}

func TestLocalConfigsFollowTheMainFile(t *testing.T) {
	t.Cleanup(closeIdle)
	directory := t.TempDir()
	stays, goes, comes := &toy.Target{}, &toy.Target{}, &toy.Target{}
	receiver := &toy.Receiver{}
	receiverAddress := serve(t, receiver)
	stayingConfig := localConfig("stays", toyConfig("100ms", serve(t, stays), receiverAddress))
	elsewhere := serve(t, &toy.Receiver{})
	file := writeFile(t, directory, "agent.yaml", "metrics:\n  configs:\n"+stayingConfig+localConfig("goes", toyConfig("100ms", serve(t, goes), elsewhere)))
	a := startAgent(t, directory, "-config.file="+file)
	eventually(t, func() bool { return stays.Scrapes() >= 3 && goes.Scrapes() >= 3 }, "no scrapes")
	_, body := a.get("/agent/api/v1/metrics/instances")
	require.JSONEq(t, `{"status":"success","data":["goes","stays"]}`, body)
	status, body := a.get("/agent/api/v1/configs")
	require.Equal(t, http.StatusNotFound, status, body)

	writeFile(t, directory, "agent.yaml", "metrics:\n  configs:\n"+stayingConfig+localConfig("comes", toyConfig("100ms", serve(t, comes), elsewhere)))
	status, body = a.do(http.MethodPost, "/-/reload", "")
	require.Equal(t, http.StatusOK, status, body)
	eventually(t, func() bool {
		_, body := a.get("/agent/api/v1/metrics/instances")
		return strings.Contains(body, `["comes","stays"]`) && comes.Scrapes() >= 3
	}, "the new file is not in force")
	requireNothingLost(t, stays, receiver)
	a.stop()
	require.NoError(t, a.err)
}

// localConfig makes a config an element of metrics.configs.
func localConfig(name, text string) string {
	indented := strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n    ")
	return fmt.Sprintf("  - name: %s\n    %s\n", name, indented)
}

func TestConfigSyncTellsByItsExitCode(t *testing.T) {
	t.Cleanup(closeIdle)
	a := startAgent(t, t.TempDir(), "-config.file="+inMemory(t), "-config.enable-read-api")
	directory := t.TempDir()
	sync := func(wantCode int, wantConfigs string, flags ...string) (output string) {
		t.Helper()
		code, output := runToEnd(t, "agentctl", append([]string{"config-sync", "--addr=" + a.base, directory}, flags...)...)
		require.Equal(t, wantCode, code, output)
		_, body := a.get("/agent/api/v1/configs")
		require.JSONEq(t, fmt.Sprintf(`{"status":"success","data":{"configs":%s}}`, wantConfigs), body, output)
		return output
	}
	const done, failed, usage, differs = 0, 1, 2, 3

	sync(failed, `[]`) // An empty directory is more likely a mistake than a wish.
	for _, name := range []string{"a.yaml", "b.yml", "c.yaml"} {
		writeFile(t, directory, name, "scrape_configs: []\n")
	}
	sync(differs, `[]`, "--dry-run")
	sync(done, `["a","b","c"]`)
	sync(done, `["a","b","c"]`, "--dry-run")
	sync(usage, `["a","b","c"]`, "--no-such-flag")

	broken := writeFile(t, directory, "c.yaml", "scrape_configs:\n- job_nme: x\n")
	require.NoError(t, os.Remove(filepath.Join(directory, "a.yaml")))
	require.Contains(t, sync(failed, `["b","c"]`), broken+":2: ", "a file that is broken protects its stored config")

	require.NoError(t, os.Remove(broken))
	require.NoError(t, os.Remove(filepath.Join(directory, "b.yml")))
	writeFile(t, directory, "d.yaml", "scrape_configs: []\n")
	require.Contains(t, sync(failed, `["b","c"]`), "--allow-delete-many", "deleting most of what is there is refused")
	sync(differs, `["b","c"]`, "--dry-run", "--allow-delete-many")
	sync(done, `["d"]`, "--allow-delete-many")
	a.stop()

	code, output := runToEnd(t, "agentctl", "config-sync", "--addr="+a.base, "--retries=0", directory)
	require.Equal(t, failed, code, output)
}
