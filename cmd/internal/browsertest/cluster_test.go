package browsertest

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cmd/internal/node"
	"github.com/ringmaster-agent/ringmaster/cmd/internal/toy"
	"github.com/ringmaster-agent/ringmaster/internal/loopback"
)

// restartBackoff is the shortest that there is: a config which always fails is in quarantine on a
// node within a minute, and then goes to the next one.
const restartBackoff = 100 * time.Millisecond

// stopPatience is how long an orderly end may take.
const stopPatience = 25 * time.Second

// nodeNames are in the order of the pages. The last one is as long as a cloud makes them.
var nodeNames = []string{"agent-0", "agent-1", "ip-10-20-130-240.eu-central-1.compute.internal"}

// startCluster starts three agents with a quorum of embedded stores, which end with the test, and
// waits until they are ready.
func startCluster(t *testing.T, receiver string) (nodes []*node.Node) {
	t.Helper()
	agent := buildAgent(t)
	var peers []node.Peer
	for _, name := range nodeNames {
		peers = append(peers, node.Peer{Name: name, Address: freeAddress(t)})
	}
	for _, peer := range peers {
		settings := node.Settings{Name: peer.Name, Receiver: "http://" + receiver + "/", Peers: peers, RestartBackoff: restartBackoff, Args: []string{"-config.enable-read-api"}}
		n, err := node.New(settings, filepath.Join(t.TempDir(), peer.Name), freeAddress(t), agent)
		require.NoError(t, err)
		require.NoError(t, n.Start())
		t.Cleanup(n.Kill)
		nodes = append(nodes, n)
	}
	t.Cleanup(func() { stopAll(t, nodes) })
	for _, n := range nodes {
		eventually(t, func() bool { return !n.Running() || n.Ready(t.Context()) }, time.Now().Add(patience), "node %s never gets ready", n.Name)
		require.True(t, n.Running(), "node %s has ended", n.Name)
	}
	return nodes
}

// stopAll stops the nodes together, as a quorum that loses one after the other could not say goodbye.
func stopAll(t *testing.T, nodes []*node.Node) {
	ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	var stops sync.WaitGroup
	for _, n := range nodes {
		stops.Go(func() {
			if err := n.Stop(ctx); err != nil {
				t.Logf("node %s was killed: %v", n.Name, err)
			}
		})
	}
	stops.Wait()
	for _, n := range nodes {
		if log, _ := os.ReadFile(n.LogFile()); t.Failed() {
			t.Logf("log of node %s (its end):\n%s", n.Name, log[max(0, len(log)-10_000):])
		}
	}
}

func buildAgent(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "agent")
	build := exec.Command("go", "build", "-tags", "light", "-o", path, "./cmd/agent")
	build.Dir = filepath.Join("..", "..", "..")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "build the agent:\n%s", out)
	return path
}

func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := loopback.FreeAddress()
	require.NoError(t, err)
	return address
}

// refusal is what the receiver says that refuses everything.
const refusal = "out of bounds: this receiver takes nothing on Sundays"

// serveToys serves a target at /metrics and a receiver elsewhere.
func serveToys(t *testing.T) (address string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/metrics", &toy.Target{})
	mux.HandleFunc("/refuse", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, refusal, http.StatusBadRequest)
	})
	mux.Handle("/", &toy.Receiver{})
	address = freeAddress(t)
	server := &http.Server{Addr: address, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	var ended sync.WaitGroup
	ended.Go(func() { _ = server.ListenAndServe() })
	t.Cleanup(func() {
		_ = server.Close()
		ended.Wait()
	})
	return address
}

// configOf is an instance config with these targets.
func configOf(targets ...string) string {
	return fmt.Sprintf("scrape_configs:\n- job_name: toys\n  scrape_interval: 1s\n  scrape_timeout: 1s\n  static_configs: [{targets: [%s]}]\n",
		strings.Join(targets, ", "))
}
