package clustertest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/ringmaster-agent/ringmaster/cmd/internal/node"
	"github.com/ringmaster-agent/ringmaster/cmd/internal/toy"
)

const (
	// patience bounds every wait; it is a guard against hanging, not a measure.
	patience = 2 * time.Minute
	// pollEvery is how often a condition is looked at.
	pollEvery = 100 * time.Millisecond
	// stopPatience is how long an orderly end may take.
	stopPatience = 25 * time.Second
)

// clusterUnderTest is some nodes on one store, between targets and a receiver.
type clusterUnderTest struct {
	t         *testing.T // that runs now
	owner     *testing.T // that the cluster ends with
	directory string
	etcd      *etcdServer       // nil: embedded, or Consul
	consul    string            // its address
	cables    map[string]*proxy // between a node and etcd
	peers     []node.Peer       // of the embedded quorum
	nodes     map[string]*node.Node
	lan       *lan // nil: loopback
	isolated  string
	program   string // of nodes that are made; empty: this module's

	metronome *metronome
	targets   *toy.Targets
	ledger    *toy.Ledger
	address   string // of both
	configs   []string
	interval  time.Duration
	began     time.Time
	learned   map[string]toy.Schedule
}

// newCluster starts a store, the nodes called so, and what is around them.
func newCluster(t *testing.T, names ...string) *clusterUnderTest {
	t.Helper()
	c := clusterWithoutStore(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c.serve(listener)
	if *embedded {
		for _, name := range names {
			c.peers = append(c.peers, node.Peer{Name: name, Address: freeAddress(t)})
		}
	} else {
		c.etcd = startEtcd(t, c.directory)
	}
	c.startAll(names...)
	return c
}

func clusterWithoutStore(t *testing.T) *clusterUnderTest {
	return &clusterUnderTest{t: t, owner: t, directory: workDirectory(t), cables: map[string]*proxy{}, nodes: map[string]*node.Node{},
		metronome: startMetronome(t), targets: &toy.Targets{}, ledger: &toy.Ledger{}, began: time.Now()}
}

func (c *clusterUnderTest) startAll(names ...string) {
	c.t.Helper()
	for _, name := range names {
		c.start(name)
	}
	c.awaitReady(names...)
}

func workDirectory(t *testing.T) string {
	t.Helper()
	if *keep == "" {
		return t.TempDir()
	}
	directory := filepath.Join(*keep, strings.ReplaceAll(t.Name(), "/", "-"))
	require.NoError(t, os.RemoveAll(directory))
	require.NoError(t, os.MkdirAll(directory, 0o700))
	return directory
}

// serve serves the targets and the receiver.
func (c *clusterUnderTest) serve(listener net.Listener) {
	mux := http.NewServeMux()
	mux.Handle(toy.TargetsPath, c.targets)
	mux.Handle("/api/v1/write", c.ledger)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	var ended sync.WaitGroup
	ended.Go(func() { _ = server.Serve(listener) })
	c.owner.Cleanup(func() {
		_ = server.Close()
		ended.Wait()
	})
	c.address = listener.Addr().String()
}

// start starts a node, for the first time or again.
func (c *clusterUnderTest) start(name string) {
	c.t.Helper()
	n := c.nodes[name]
	if n == nil {
		n = c.newNode(name)
	}
	require.NoError(c.t, n.Start())
	c.logf("node %s started", name)
}

func (c *clusterUnderTest) newNode(name string) *node.Node {
	settings := node.Settings{Name: name, Receiver: "http://" + c.address + "/api/v1/write", Peers: c.peers, WhenIsolated: c.isolated}
	command := []string{c.program}
	if c.program == "" {
		command[0] = agentProgram(c.t)
	}
	address := ""
	switch {
	case c.consul != "":
		settings.Consul = c.consul
	case c.lan != nil:
		settings.Etcd, settings.Dial = c.etcd.address, c.lan.dial
		command, address = c.lan.command(name, command...), c.lan.stations[name].address+":9090"
	case c.etcd != nil:
		c.cables[name] = startProxy(c.owner, c.etcd.address)
		settings.Etcd = c.cables[name].address()
	}
	return c.addNode(name, settings, filepath.Join(c.directory, name), address, command...)
}

// addNode adds a node that is known here by a name which may be another one than its own. Without
// an address it gets a free one of loopback.
func (c *clusterUnderTest) addNode(key string, settings node.Settings, directory, address string, command ...string) *node.Node {
	c.t.Helper()
	if address == "" {
		address = freeAddress(c.t)
	}
	n, err := node.New(settings, directory, address, command...)
	require.NoError(c.t, err)
	c.nodes[key] = n
	c.owner.Cleanup(func() {
		n.Kill()
		if c.owner.Failed() && *keep == "" {
			log, _ := os.ReadFile(n.LogFile())
			c.owner.Logf("log of node %s (its end):\n%s", key, log[max(0, len(log)-20_000):])
		}
	})
	return n
}

func (c *clusterUnderTest) awaitReady(names ...string) {
	c.t.Helper()
	for _, name := range names {
		eventually(c.t, func() bool {
			require.True(c.t, c.nodes[name].Running(), "node %s has ended", name)
			return c.nodes[name].Ready(c.t.Context())
		}, "node %s never gets ready", name)
	}
}

// stop is SIGTERM, and waits for the end.
func (c *clusterUnderTest) stop(name string) {
	c.t.Helper()
	require.NoError(c.t, c.tryStop(name))
}

// tryStop is stop where the end of the node is part of what is measured. It has ended in any case.
func (c *clusterUnderTest) tryStop(name string) error {
	ctx, cancel := context.WithTimeout(c.t.Context(), stopPatience)
	defer cancel()
	began := time.Now()
	err := c.nodes[name].Stop(ctx)
	c.logf("node %s ended, after %s (%v)", name, time.Since(began).Round(time.Millisecond), err)
	return err
}

// put uploads configs of one target each, through all nodes, many at a time.
func (c *clusterUnderTest) put(count int, interval time.Duration) {
	c.t.Helper()
	c.interval = interval
	c.configs = nil
	for i := range count {
		c.configs = append(c.configs, fmt.Sprintf("c%05d", i))
	}
	var doors []*node.Node
	for _, n := range c.nodes {
		doors = append(doors, n)
	}
	uploads, ctx := errgroup.WithContext(c.t.Context())
	uploads.SetLimit(64)
	for i, name := range c.configs {
		uploads.Go(func() error { return doors[i%len(doors)].Put(ctx, name, c.config(name)) })
	}
	require.NoError(c.t, uploads.Wait())
	c.logf("%d configs uploaded", count)
}

func (c *clusterUnderTest) config(name string) string {
	return fmt.Sprintf("scrape_configs:\n- job_name: %s\n  metrics_path: %s%s\n  scrape_interval: %s\n  scrape_timeout: %s\n  static_configs: [{targets: [%q]}]\n",
		name, toy.TargetsPath, name, c.interval, min(c.interval, 10*time.Second), c.address)
}

// owners are the nodes that have sent the last scrape of each config.
func (c *clusterUnderTest) owners() map[string]string {
	owners := make(map[string]string, len(c.configs))
	for _, name := range c.configs {
		if last, ok := c.ledger.Last(name); ok {
			owners[name] = last.Node
		}
	}
	return owners
}

// ownedBy are the configs of a node.
func ownedBy(owners map[string]string, node string) (configs []string) {
	for config, owner := range owners {
		if owner == node {
			configs = append(configs, config)
		}
	}
	return configs
}

// settle waits until all configs are scraped, by the nodes named and each of them, and nothing has
// moved for some ticks.
func (c *clusterUnderTest) settle(names ...string) {
	c.t.Helper()
	var before map[string]string
	since := time.Now()
	eventually(c.t, func() bool {
		owners := c.owners()
		if !equal(owners, before) || !c.allFresh() || !exactly(owners, names) {
			before, since = owners, time.Now()
		}
		return time.Since(since) > 3*c.interval
	}, "the nodes %v never settle", names)
	shares := map[string]int{}
	for _, owner := range before {
		shares[owner]++
	}
	c.logf("settled: %v", shares)
}

func equal(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

// exactly says that the owners are those named, all of them.
func exactly(owners map[string]string, names []string) bool {
	found := map[string]bool{}
	for _, owner := range owners {
		found[owner] = true
	}
	for _, name := range names {
		if !found[name] {
			return false
		}
	}
	return len(found) == len(names)
}

// allFresh says that each config was scraped lately, by whomever.
func (c *clusterUnderTest) allFresh() bool {
	for _, name := range c.configs {
		if last, ok := c.ledger.Last(name); !ok || time.Since(last.At) > 2*c.interval+time.Second {
			return false
		}
	}
	return true
}

// logf tells what happens, and when.
func (c *clusterUnderTest) logf(format string, args ...any) {
	c.t.Logf("%s  +%.1f s  %s", time.Now().Format("15:04:05.000"), time.Since(c.began).Seconds(), fmt.Sprintf(format, args...))
}

func eventually(t *testing.T, condition func() bool, message string, args ...any) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !condition() {
		if time.Now().After(deadline) {
			require.FailNow(t, fmt.Sprintf(message, args...))
		}
		pause(pollEvery)
	}
}

// pause lets the cluster go on for a while.
func pause(d time.Duration) { <-time.After(d) }
