package node

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ringmaster-agent/ringmaster/config"
	_ "github.com/ringmaster-agent/ringmaster/scrape/sd/light"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSettingsAreAValidAgentFile(t *testing.T) {
	for name, settings := range map[string]Settings{
		"etcd":     {Name: "a", Receiver: "http://127.0.0.1:9/write", Etcd: "127.0.0.1:2379"},
		"embedded": {Name: "a", Receiver: "http://127.0.0.1:9/write"},
		"quorum": {Name: "b", Receiver: "http://127.0.0.1:9/write", SessionTTL: 5 * time.Second,
			Peers: []Peer{{"a", "127.0.0.1:1"}, {"b", "127.0.0.1:2"}, {"c", "127.0.0.1:3"}}},
	} {
		t.Run(name, func(t *testing.T) {
			agent, err := config.LoadAgent("agent.yaml", []byte(settings.yaml(t.TempDir())), config.LoadOptions{})
			require.NoError(t, err)
			service := agent.Metrics.ScrapingService
			require.Equal(t, settings.Name, service.Lifecycler.ID)
			require.Len(t, service.KVStore.Embedded.Peers, len(settings.Peers))
		})
	}
}

// pretend is a node whose program is a shell that does something else; the agent's flags are its
// arguments.
func pretend(t *testing.T, script string) *Node {
	t.Helper()
	n, err := New(Settings{Name: "a"}, filepath.Join(t.TempDir(), "a"), "127.0.0.1:0", "/bin/sh", "-c", script)
	require.NoError(t, err)
	t.Cleanup(n.Kill)
	return n
}

func TestANodeIsStartedAgainAfterItsEnd(t *testing.T) {
	n := pretend(t, "echo begun; cat")
	require.False(t, n.Running())
	n.Kill() // nothing to kill
	for range 2 {
		require.NoError(t, n.Start())
		require.True(t, n.Running())
		require.Error(t, n.Start(), "it runs already")
		n.Kill()
		require.False(t, n.Running())
	}
	require.NoError(t, n.Stop(t.Context()), "it has ended already")
}

func TestAStopWaitsForTheEnd(t *testing.T) {
	n := pretend(t, "trap 'echo handed over; exit 0' TERM; echo begun; while :; do sleep 0.05; done")
	require.NoError(t, n.Start())
	awaitLog(t, n, "begun")
	require.NoError(t, n.Stop(t.Context()))
	require.False(t, n.Running())
	awaitLog(t, n, "handed over")
}

func TestAStopThatTakesTooLongKills(t *testing.T) {
	n := pretend(t, "trap '' TERM; echo begun; while :; do sleep 0.05; done")
	require.NoError(t, n.Start())
	awaitLog(t, n, "begun")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, n.Stop(ctx), context.DeadlineExceeded)
	require.False(t, n.Running())
}

func TestANodeThatFailsSaysSoWhenItIsStopped(t *testing.T) {
	n := pretend(t, "trap 'exit 3' TERM; echo begun; while :; do sleep 0.05; done")
	require.NoError(t, n.Start())
	awaitLog(t, n, "begun")
	require.ErrorContains(t, n.Stop(t.Context()), "exit status 3")
}

func awaitLog(t *testing.T, n *Node, text string) {
	t.Helper()
	require.Eventually(t, func() bool {
		log, err := os.ReadFile(n.LogFile())
		require.NoError(t, err)
		return strings.Contains(string(log), text+"\n")
	}, 30*time.Second, 10*time.Millisecond)
}
