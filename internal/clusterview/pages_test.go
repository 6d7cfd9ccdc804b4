package clusterview

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/messages"
	"github.com/ringmaster-agent/ringmaster/web"
)

const (
	manyConfigs = 10_000
	// mostPartBytes bounds what a node says of its part of a page, however many configs there are.
	mostPartBytes = 64 << 10
)

// countingTree is the supervisor of a node in a large cluster, and counts what it is asked.
type countingTree struct {
	fakeTree
	mu    sync.Mutex
	asked map[string]int
}

func (c *countingTree) DescribeOnly(_ context.Context, part messages.DescribeTree) (messages.TreeDescription, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	answer := c.description
	switch {
	case part.Brief:
		c.asked["members"]++
		answer.Units = messages.List[messages.UnitDescription]{}
	case part.Config != "":
		c.asked["a config"]++
		var units []messages.UnitDescription
		for u := range answer.Units.All() {
			if u.Unit.Config == part.Config {
				units = append(units, u)
			}
		}
		answer.Units = messages.NewList(units...)
	case part.Own:
		c.asked["its own"]++
		var units []messages.UnitDescription
		for u := range answer.Units.All() {
			if u.Owned {
				units = append(units, u)
			}
		}
		answer.Units = messages.NewList(units...)
	default:
		c.asked["everything"]++
	}
	return answer, nil
}

// wire connects the nodes, and counts what they say to each other.
type wire struct {
	nodes map[string]http.Handler
	mu    sync.Mutex
	parts []int // bytes of each answer
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	asked := r.Clone(context.WithoutCancel(r.Context()))
	asked.RequestURI = r.URL.RequestURI()
	w.nodes[r.URL.Host].ServeHTTP(rec, asked)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.parts = append(w.parts, rec.Body.Len())
	return rec.Result(), nil
}

// largeCluster is three nodes with manyConfigs configs.
func largeCluster() (net *wire, trees []*countingTree) {
	names := []string{"a", "b", "c"}
	var members []messages.MemberDescription
	for _, name := range names {
		members = append(members, messages.MemberDescription{Member: messages.Member{Node: name, State: messages.Active, Scheme: "http", Address: name + ":80"}, Share: 1. / 3})
	}
	net = &wire{nodes: map[string]http.Handler{}}
	for _, self := range names {
		units := make([]messages.UnitDescription, manyConfigs)
		for i := range units {
			owner := names[i%len(names)]
			units[i] = messages.UnitDescription{
				Unit: messages.WholeConfig(fmt.Sprintf("app-%05d", i)), Phase: messages.PhaseWaiting, Owner: owner, ClaimedBy: owner, Epoch: int64(i + 1), ClaimedSince: noon,
			}
			if owner == self {
				units[i].Phase, units[i].Owned, units[i].Since = messages.PhaseRunning, true, noon
			}
		}
		tree := &countingTree{asked: map[string]int{}, fakeTree: fakeTree{description: messages.TreeDescription{
			Complete: true, Settled: true, Units: messages.NewList(units...),
			Cluster: messages.ClusterDescription{Node: self, Session: "1", Settled: true, Permitted: true, Members: messages.NewList(members...)},
		}}}
		view := New(Options{
			Self: web.Member{ID: self}, Shared: &actors.Cluster{Node: self}, Tree: tree, Directory: actors.NewDirectory(), Now: clock,
		})
		ready := &Readiness{Tree: tree, Least: func() time.Duration { return 0 }}
		net.nodes[self+":80"] = web.New(web.Options{
			Node: self, Cluster: view, Ring: view, Instances: view, Inspector: view, Ready: ready.Missing, Late: ready.Late, Now: clock,
			PeerClient: &http.Client{Transport: net},
		})
		trees = append(trees, tree)
	}
	return net, trees
}

func clock() time.Time { return noon }

// Every node describes what is its own, and that once; only the page Cluster is about all units of all
// nodes. A page about one config describes no other.
func TestAPageDescribesNoMoreThanItShows(t *testing.T) {
	const one = "app-00042"
	net, trees := largeCluster()
	for path, whole := range map[string]int{
		"/": 0, "/configs": 0, "/configs?state=down": 0, "/configs?q=00042": 0, "/receivers": 0, "/flow": 0, "/cluster": 1, "/cluster?leave=b": 1,
		"/configs/" + one: 0, "/flow?config=" + one: 0, "/targets": 0, "/targets?q=refused": 0, "/targets?instance=" + one: 0, "/discovery": 0,
		"/discovery?config=" + one: 0, "/status": 0, "/-/ready": 0,
	} {
		net.parts = nil
		for _, tree := range trees {
			clear(tree.asked)
		}
		request := httptest.NewRequest(http.MethodGet, path, http.NoBody)
		request.Header.Set("Accept", "text/html")
		rec := httptest.NewRecorder()
		net.nodes["a:80"].ServeHTTP(rec, request)
		body, err := io.ReadAll(rec.Body)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, rec.Code, "%s: %s", path, body)
		require.NotContains(t, string(body), "does not answer", path)
		require.Less(t, len(bytes.TrimSpace(body)), 200<<10, path)
		for i, tree := range trees {
			if i == 0 {
				require.Equal(t, whole, tree.asked["everything"], "%s on the node that is asked", path)
				require.LessOrEqual(t, tree.asked["its own"], 1, "%s on the node that is asked", path)
			} else {
				require.Zero(t, tree.asked["everything"], "%s on node %d", path, i)
				require.LessOrEqual(t, tree.asked["its own"], 2, "%s on node %d", path, i)
			}
			require.LessOrEqual(t, tree.asked["a config"], 1, "%s on node %d", path, i)
			require.LessOrEqual(t, tree.asked["members"], 5, "%s on node %d", path, i)
		}
		for _, size := range net.parts {
			require.Less(t, size, mostPartBytes, "%s: what a node says to another", path)
		}
	}
}
