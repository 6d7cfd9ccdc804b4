package daemon

import (
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cluster/memstore"
)

// send makes a request with a body.
func (r *running) send(t *testing.T, method, path, body string) (status int, answer string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, r.base+path, strings.NewReader(body))
	require.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(text)
}

func TestAnAgentThatWasNotStartedForItCanNotBeBroken(t *testing.T) {
	agent := startDaemon(t, Options{Agent: inMemory(t)})
	status, text := agent.request(t, http.MethodGet, "/agent/api/v1/chaos/rules")
	require.Equal(t, http.StatusForbidden, status)
	require.Contains(t, text, "-chaos.enabled")
	_, metrics := agent.request(t, http.MethodGet, "/metrics")
	require.NotContains(t, metrics, "agent_chaos_active")
	require.NoError(t, agent.end(t))
}

func TestARuleForAllNodesReachesAllAndAGuardEndsItOnAll(t *testing.T) {
	store := memstore.NewServer(nil)
	a := startDaemon(t, Options{Agent: sharing(t, "a", ""), sharedStore: store.Connect(), Chaos: true})
	b := startDaemon(t, Options{Agent: sharing(t, "b", ""), sharedStore: store.Connect(), Chaos: true})
	members := func() int {
		_, text := a.request(t, http.MethodGet, "/agent/api/v1/cluster")
		return strings.Count(text, `"alive":true`)
	}
	require.Eventually(t, func() bool { return members() == 2 }, patience, 20*time.Millisecond)
	rules := func(r *running) int {
		_, text := r.request(t, http.MethodGet, "/agent/api/v1/chaos/rules")
		var answer struct {
			Data struct{ Rules []json.RawMessage }
		}
		require.NoError(t, json.Unmarshal([]byte(text), &answer), text)
		return len(answer.Data.Rules)
	}
	rule := `{"point": "remote_write.request", "action": "reset", "duration": "10m"}`
	status, text := a.send(t, http.MethodPut, "/agent/api/v1/chaos/rules/here", rule)
	require.Equal(t, http.StatusOK, status, text)
	require.Equal(t, []int{1, 0}, []int{rules(a), rules(b)}, "without nodes=all it is this node's")
	status, text = a.send(t, http.MethodPut, "/agent/api/v1/chaos/rules/everywhere?nodes=all", rule)
	require.Equal(t, http.StatusOK, status, text)
	require.Contains(t, text, `"unreachable":[]`)
	require.Equal(t, []int{2, 1}, []int{rules(a), rules(b)})

	_, metrics := b.request(t, http.MethodGet, "/metrics")
	require.Contains(t, metrics, "agent_chaos_active 1\n")
	for _, name := range []string{"\nscrape_ticks_skipped_total ", "\nscrape_ticks_vetoed_total "} {
		require.Contains(t, metrics, name, "a guard goes by it")
	}
	_, page := b.request(t, http.MethodGet, "/")
	require.Contains(t, page, "Broken on purpose: everywhere")
	require.Contains(t, b.log.String(), "fault injected")

	// Nobody may be without an owner, and a config that nobody can start is.
	guarded := `{"point": "pipeline.open", "action": "error", "duration": "10m", "guard": {"unowned": 0, "for": "1s"}}`
	status, text = a.send(t, http.MethodPut, "/agent/api/v1/chaos/rules/guarded?nodes=all", guarded)
	require.Equal(t, http.StatusOK, status, text)
	status, text = a.send(t, http.MethodPut, "/agent/api/v1/config/one", "scrape_configs: [{job_name: j}]")
	require.Equal(t, http.StatusCreated, status, text)
	require.Eventually(t, func() bool { return rules(a)+rules(b) == 0 }, patience, 50*time.Millisecond)
	require.Contains(t, a.log.String()+b.log.String(), "guard exceeded")
	require.NoError(t, a.end(t))
	require.NoError(t, b.end(t))
}

func TestRulesAreNotThereAfterARestart(t *testing.T) {
	agent := load(t, "metrics: {wal_directory: "+filepath.Join(t.TempDir(), "wal")+"}")
	first := startDaemon(t, Options{Agent: agent, Chaos: true})
	status, text := first.send(t, http.MethodPut, "/agent/api/v1/chaos/rules/a", `{"point": "clock", "action": "skew", "delay": "1s", "duration": "1h"}`)
	require.Equal(t, http.StatusOK, status, text)
	require.NoError(t, first.end(t))
	second := startDaemon(t, Options{Agent: agent, Chaos: true})
	_, text = second.request(t, http.MethodGet, "/agent/api/v1/chaos/rules")
	require.Contains(t, text, `"rules":[]`)
	require.NoError(t, second.end(t))
}
