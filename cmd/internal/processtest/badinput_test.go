package processtest

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cmd/internal/toy"
)

// exitUsage is the exit code of a program that was started in a way that makes no sense.
const exitUsage = 2

// runToEnd runs a program that is expected to end by itself.
func runToEnd(t *testing.T, name string, args ...string) (exitCode int, output string) {
	t.Helper()
	p := start(t, program(t, name), args...)
	p.awaitExit()
	return p.cmd.ProcessState.ExitCode(), p.output.String()
}

func writeFile(t *testing.T, directory, name, text string) (path string) {
	t.Helper()
	path = filepath.Join(directory, name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

const brokenAgentFile = `server:
  log_lvl: debug
metrics:
  wal_cleanup_age: [1]
  configs:
  - name: one
    scrape_configs:
    - job_name: a
      scrape_interval: 5s
      scrape_timeout: 10s
      relabel_configs:
      - source_labels: [x]
        regex: "(("
    - job_name: a
`

func TestABrokenMainFileIsToldAllAtOnce(t *testing.T) {
	file := writeFile(t, t.TempDir(), "agent.yaml", brokenAgentFile)
	problems := map[string]string{
		"unknown key":            "agent.yaml:2: server.log_lvl:",
		"wrong type":             "agent.yaml:4: metrics.wal_cleanup_age:",
		"timeout above interval": "agent.yaml:10: instance \"one\": metrics.configs[0].scrape_configs[0].scrape_timeout:",
		"broken expression":      "agent.yaml:13: instance \"one\": metrics.configs[0].scrape_configs[0].relabel_configs[0].regex:",
		"duplicate job":          "agent.yaml:14: instance \"one\": metrics.configs[0].scrape_configs[1].job_name:",
	}
	for name, args := range map[string][]string{"start": {"-config.file=" + file}, "check": {"-config.file=" + file, "-config.check"}} {
		t.Run(name, func(t *testing.T) {
			code, output := runToEnd(t, "agent", args...)
			require.Equal(t, exitUsage, code, output)
			for problem, line := range problems {
				require.Contains(t, output, line, problem)
			}
			require.Len(t, strings.Split(strings.TrimSpace(output), "\n"), len(problems), "one line for each problem and nothing else:\n%s", output)
		})
	}
}

func TestAStoreThatIsNotThereIsNamedInTheLog(t *testing.T) {
	t.Cleanup(closeIdle)
	endpoints := map[string]struct{ address, reason string }{
		"nobody listens": {freeAddress(t), "connection refused"},
		"not etcd":       {serve(t, http.NotFoundHandler()), "not etcd"},
	}
	for name, endpoint := range endpoints {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			directory := t.TempDir()
			file := writeFile(t, directory, "agent.yaml", fmt.Sprintf(
				"metrics: {scraping_service: {enabled: true, kvstore: {store: etcd, etcd: {endpoints: [%q]}}}}\n", endpoint.address))
			a := launchAgent(t, directory, "-config.file="+file)
			found := a.awaitOutput(`ts=(\S+) level=warn msg="store is not reachable[^\n]*` + endpoint.address + `[^\n]*` + endpoint.reason)
			first := a.awaitOutput(`(?m)^ts=(\S+) `)
			require.Less(t, logTime(t, found[1]).Sub(logTime(t, first[1])), 10*time.Second, "a person is told while still looking")

			eventually(t, func() bool {
				status, body := a.get("/-/ready")
				return status == http.StatusServiceUnavailable && strings.Contains(body, "the store has not been listed yet: ")
			}, "readiness never tells the reason")
			status, body := a.doFor(patience, http.MethodPut, "/agent/api/v1/config/one", "scrape_configs: []\n")
			require.Equal(t, http.StatusInternalServerError, status, body)
			require.Contains(t, body, `{"status":"error","data":{"error":"`)
			require.Contains(t, body, endpoint.address)
			require.True(t, a.running(), "the agent goes on trying")
			a.stop()
			require.NoError(t, a.err)
		})
	}
}

func logTime(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	require.NoError(t, err)
	return at
}

// inMemory is an agent.yaml whose store touches no file.
func inMemory(t *testing.T) (file string) {
	t.Helper()
	return writeFile(t, t.TempDir(), "agent.yaml", "metrics: {scraping_service: {enabled: true, kvstore: {store: inmemory}}}\n")
}

func TestADirectoryThatCannotHoldLogsEndsTheStart(t *testing.T) {
	file := writeFile(t, t.TempDir(), "file", "")
	for name, extra := range map[string][]string{"embedded store": nil, "other store": {"-config.file=" + inMemory(t)}} {
		t.Run(name, func(t *testing.T) {
			directory := filepath.Join(file, "wal")
			code, output := runToEnd(t, "agent", append(extra, "-server.http.address=127.0.0.1:0", "-metrics.wal-directory="+directory)...)
			require.Equal(t, 1, code, output)
			require.Contains(t, output, file)
			require.Contains(t, output, "not a directory")
		})
	}
}

func TestAReadOnlyDirectoryIsToldAndHealsWhenItIsWritable(t *testing.T) {
	t.Cleanup(closeIdle)
	disk := mountTmpfs(t, "4m")
	require.NoError(t, syscall.Mount("", disk, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))

	code, output := runToEnd(t, "agent", "-config.file="+inMemory(t), "-server.http.address=127.0.0.1:0", "-metrics.wal-directory="+filepath.Join(disk, "wal"))
	require.Equal(t, 1, code, output)
	require.Contains(t, output, "metrics.wal_directory")
	require.Contains(t, output, "read-only file system")

	// A directory that exists may become writable later, so the agent waits for it.
	target, receiver := &toy.Target{}, &toy.Receiver{}
	config := writeFile(t, t.TempDir(), "agent.yaml", "metrics: {instance_restart_backoff: 100ms, scraping_service: {enabled: true, kvstore: {store: inmemory}}}\n")
	a := startAgent(t, t.TempDir(), "-config.file="+config, "-metrics.wal-directory="+disk)
	a.put("one", toyConfig("100ms", serve(t, target), serve(t, receiver)))
	eventually(t, func() bool {
		_, body := a.get("/agent/api/v1/metrics/instances/status")
		return strings.Contains(body, "read-only file system")
	}, "the instance's status never tells the reason")
	require.NoError(t, syscall.Mount("", disk, "", syscall.MS_REMOUNT, ""))
	eventually(t, func() bool { return target.Scrapes() >= 3 }, "the instance never recovers")
	requireNothingLost(t, target, receiver)
	a.stop()
}

func TestAPortInUseIsToldWithTheFlagThatChangesIt(t *testing.T) {
	address := serve(t, http.NotFoundHandler())
	code, output := runToEnd(t, "agent", "-server.http.address="+address, "-metrics.wal-directory="+filepath.Join(t.TempDir(), "wal"))
	require.Equal(t, 1, code, output)
	require.Contains(t, output, address)
	require.Contains(t, output, "another process uses this port")
	require.Contains(t, output, "-server.http.address")
}

func TestNamesAndBodiesThatAreRefused(t *testing.T) {
	t.Cleanup(closeIdle)
	a := startAgent(t, t.TempDir(), "-config.file="+inMemory(t))
	for name, path := range map[string]string{
		"parent":              "%2E%2E",
		"parent inside":       "a%2F..%2Fb",
		"current":             "a%2F.",
		"too long":            strings.Repeat("n", 300),
		"newline":             "a%0Ab",
		"null byte":           "a%00b",
		"escape":              "a%1Bb",
		"not UTF-8":           "a%FFb",
		"escape sequence cut": "a%2",
	} {
		t.Run(name, func(t *testing.T) {
			status, body := a.doRaw("PUT /agent/api/v1/config/" + path)
			require.Equal(t, http.StatusBadRequest, status, body)
		})
	}
	status, body := a.do(http.MethodPut, "/agent/api/v1/config/big", "# "+strings.Repeat("x", 2<<20))
	require.Equal(t, http.StatusRequestEntityTooLarge, status, body)
	_, body = a.get("/agent/api/v1/configs")
	require.JSONEq(t, `{"status":"success","data":{"configs":[]}}`, body)
	a.stop()
}

func TestANameWithSlashesWorksAndStaysInItsDirectory(t *testing.T) {
	t.Cleanup(closeIdle)
	directory := t.TempDir()
	target, receiver := &toy.Target{}, &toy.Receiver{}
	a := startAgent(t, directory, "-config.file="+inMemory(t), "-config.enable-read-api")
	name := "/team/~weird name+%/ü"
	text := toyConfig("100ms", serve(t, target), serve(t, receiver))
	a.put(url.PathEscape(name), text)
	eventually(t, func() bool { return target.Scrapes() >= 3 }, "no scrapes")
	requireNothingLost(t, target, receiver)

	_, body := a.get("/agent/api/v1/configs")
	require.JSONEq(t, fmt.Sprintf(`{"status":"success","data":{"configs":[%q]}}`, name), body)
	status, body := a.get("/agent/api/v1/configs/" + url.PathEscape(name))
	require.Equal(t, http.StatusOK, status, body)
	require.Len(t, directoriesIn(t, filepath.Join(directory, "wal")), 1, "one directory for the instance")
	require.Equal(t, []string{"wal"}, directoriesIn(t, directory), "nothing beside the logs")

	status, body = a.do(http.MethodDelete, "/agent/api/v1/config/"+url.PathEscape(name), "")
	require.Equal(t, http.StatusOK, status, body)
	eventually(t, func() bool { return len(directoriesIn(t, filepath.Join(directory, "wal"))) == 0 }, "the log of a deleted config stays")
	a.stop()
}

func directoriesIn(t *testing.T, directory string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(directory)
	require.NoError(t, err)
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}
