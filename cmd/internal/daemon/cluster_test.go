package daemon

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/cluster/memstore"
	"github.com/ringmaster-agent/ringmaster/cmd/internal/logging"
	"github.com/ringmaster-agent/ringmaster/config"
)

// sharing is the config of one node of several.
func sharing(t *testing.T, node, more string) *config.Agent {
	t.Helper()
	return load(t, fmt.Sprintf("metrics: {wal_directory: %s, scraping_service: {enabled: true, kvstore: {store: inmemory}, lifecycler: {id: %s%s}}}",
		filepath.Join(t.TempDir(), "wal"), node, more))
}

// upload puts n configs, which scrape nothing, into the store by way of an agent.
func (r *running) upload(t *testing.T, n int) (names []string) {
	t.Helper()
	for i := range n {
		name := fmt.Sprintf("app-%d", i)
		response, err := http.Post(r.base+"/agent/api/v1/config/"+name, "text/yaml", strings.NewReader("scrape_configs: [{job_name: j}]"))
		require.NoError(t, err)
		response.Body.Close()
		require.Equal(t, http.StatusCreated, response.StatusCode)
		names = append(names, name)
	}
	http.DefaultClient.CloseIdleConnections()
	return names
}

func (r *running) instances(t *testing.T) []string {
	t.Helper()
	_, body := r.request(t, http.MethodGet, "/agent/api/v1/metrics/instances")
	var answer struct{ Data []string }
	require.NoError(t, json.Unmarshal([]byte(body), &answer), body)
	return answer.Data
}

// requireDivided waits until each config runs on one of the agents, and none is without. Their places
// on the ring are random: 24 configs for two agents and 48 for three leave none without, but for once
// in millions of runs.
func requireDivided(t *testing.T, names []string, agents ...*running) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		var all []string
		for _, agent := range agents {
			own := agent.instances(t)
			assert.NotEmpty(c, own)
			all = append(all, own...)
		}
		assert.ElementsMatch(c, names, all)
	}, patience, 20*time.Millisecond)
}

func TestAgentsOnOneStoreDivideItsConfigsAndHandThemOver(t *testing.T) {
	store := memstore.NewServer(nil)
	start := func(node string) *running {
		return startDaemon(t, Options{Agent: sharing(t, node, ""), sharedStore: store.Connect()})
	}
	a, b := start("a"), start("b")
	requireReady(t, a, b)
	names := a.upload(t, 48)
	requireDivided(t, names, a, b)

	c := start("c")
	requireDivided(t, names, a, b, c)
	requireReady(t, c)

	require.NoError(t, a.end(t))
	requireDivided(t, names, b, c)
	require.Contains(t, a.log.String(), "left the ring")
	require.Contains(t, b.log.String(), "gossip peer left")
	require.NotContains(t, b.log.String(), "gossip peer dead")

	require.NoError(t, b.end(t))
	requireDivided(t, names, c)
	require.NoError(t, c.end(t))
}

func requireReady(t *testing.T, agents ...*running) {
	t.Helper()
	for _, agent := range agents {
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			status, body := agent.request(t, http.MethodGet, "/-/ready")
			assert.Equal(c, http.StatusOK, status, body)
		}, patience, 20*time.Millisecond)
	}
}

// claims are what the store holds of the node's.
func claims(t *testing.T, store cluster.Store, node string) (units []string) {
	t.Helper()
	listed, err := cluster.NewRegistry(store, "collectors/").List(t.Context())
	require.NoError(t, err)
	for claim := range listed.Claims.All() {
		if claim.Node == node && claim.Held() {
			units = append(units, claim.Unit.Key())
		}
	}
	return units
}

func TestANodeThatKeepsItsPlaceIsNotSucceededDuringARestart(t *testing.T) {
	store := memstore.NewServer(nil)
	observer := store.Connect()
	defer observer.Close()
	// The session outlives everything that a slow machine may do in between.
	const keeping = ", unregister_on_shutdown: false, ring: {heartbeat_timeout: 5m}"
	agent := sharing(t, "a", keeping)
	a := startDaemon(t, Options{Agent: agent, sharedStore: store.Connect()})
	b := startDaemon(t, Options{Agent: sharing(t, "b", keeping), sharedStore: store.Connect()})
	requireReady(t, a, b)
	names := a.upload(t, 24)
	requireDivided(t, names, a, b)
	before := claims(t, observer, "a")
	others := b.instances(t)

	require.NoError(t, a.end(t))
	require.ElementsMatch(t, before, claims(t, observer, "a"), "the claims are still there")
	again := startDaemon(t, Options{Agent: agent, sharedStore: store.Connect()})
	requireDivided(t, names, again, b)
	require.ElementsMatch(t, before, again.instances(t))
	require.ElementsMatch(t, others, b.instances(t), "nothing has moved")
	require.NotContains(t, b.log.String(), "its session was ended")
	require.NoError(t, again.end(t))
	require.NoError(t, b.end(t))
}

func TestANodeWithOtherSettingsDoesNotJoinAndSaysWhy(t *testing.T) {
	store := memstore.NewServer(nil)
	a := startDaemon(t, Options{Agent: sharing(t, "a", ""), sharedStore: store.Connect()})
	requireReady(t, a)
	b := startDaemon(t, Options{Agent: sharing(t, "b", ", ring: {replication_factor: 2}"), sharedStore: store.Connect()})
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		status, body := b.request(t, http.MethodGet, "/-/ready")
		assert.Equal(c, http.StatusServiceUnavailable, status)
		assert.Contains(c, body, "configs=configurations/ replicas=2 zones=false")
	}, patience, 20*time.Millisecond)
	require.NoError(t, b.end(t))
	require.NoError(t, a.end(t))
}

// runRefused runs an agent that does not start, and returns why.
func runRefused(t *testing.T, agent *config.Agent) error {
	t.Helper()
	logger, err := logging.New(io.Discard, "error", logging.FormatLogfmt)
	require.NoError(t, err)
	err = Run(t.Context(), Options{
		Agent: agent, ListenAddress: "127.0.0.1:0", Hostname: "host", Logger: logger, sharedStore: memstore.NewServer(nil).Connect(),
	})
	require.Error(t, err)
	return err
}

func TestGossipThatCannotBeginIsAnErrorThatNamesTheSetting(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	with := func(settings string) *config.Agent {
		return load(t, fmt.Sprintf("metrics: {wal_directory: %s, scraping_service: {enabled: true, gossip: {%s}}}", filepath.Join(t.TempDir(), "wal"), settings))
	}
	err = runRefused(t, with("listen_address: '"+taken.Addr().String()+"'"))
	require.ErrorContains(t, err, taken.Addr().String())
	require.ErrorContains(t, err, "metrics.scraping_service.gossip")

	missing := filepath.Join(t.TempDir(), "missing")
	require.ErrorContains(t, runRefused(t, with("encryption_key_file: "+missing)), "encryption_key_file")

	weak := filepath.Join(t.TempDir(), "weak")
	require.NoError(t, os.WriteFile(weak, []byte("secret"), 0o600))
	err = runRefused(t, with("encryption_key_file: "+weak))
	require.ErrorContains(t, err, weak)
	require.NotContains(t, err.Error(), "secret")
}

func TestAClusterNeedsNoGossip(t *testing.T) {
	store := memstore.NewServer(nil)
	quiet := func(node string) *config.Agent {
		return load(t, fmt.Sprintf("metrics: {wal_directory: %s, scraping_service: {enabled: true, gossip: {enabled: false}, lifecycler: {id: %s}}}",
			filepath.Join(t.TempDir(), "wal"), node))
	}
	a := startDaemon(t, Options{Agent: quiet("a"), sharedStore: store.Connect()})
	b := startDaemon(t, Options{Agent: quiet("b"), sharedStore: store.Connect()})
	requireReady(t, a, b)
	requireDivided(t, a.upload(t, 24), a, b)
	require.NotContains(t, a.log.String(), "gossiping")
	require.NoError(t, a.end(t))
	require.NoError(t, b.end(t))
}

func TestWhatAllNodesMustAgreeAboutIsReadable(t *testing.T) {
	s := load(t, "metrics: {scraping_service: {enabled: true, kvstore: {prefix: prod/}, lifecycler: {ring: {replication_factor: 3, zone_awareness_enabled: true}}}}").Metrics.ScrapingService
	require.Equal(t, "configs=prod/ replicas=3 zones=true", agreement(s))
}

func TestSchedulesAgreeWithinAClusterAndNotBeyond(t *testing.T) {
	seed := func(service string) uint64 {
		return scheduleSeed(load(t, "metrics: {scraping_service: {enabled: true, "+service+"}}").Metrics.ScrapingService)
	}
	one := seed("kvstore: {store: etcd, etcd: {endpoints: ['a:1']}}, lifecycler: {id: a}")
	require.Equal(t, one, seed("kvstore: {store: etcd, etcd: {endpoints: ['b:1']}}, lifecycler: {id: b}"))
	require.NotEqual(t, one, seed("kvstore: {prefix: other/}"))
	require.Equal(t, uint64(0x2e89c071), one, "another seed moves all ticks of a cluster that is updated node by node")
}

func TestWhatANodeKnewElsewhereIsNoEvidenceHere(t *testing.T) {
	path := func(node, store string) string {
		return memoryPath("wal", node, load(t, "metrics: {scraping_service: {enabled: true, kvstore: {"+store+"}}}").Metrics.ScrapingService)
	}
	etcd := path("a", "store: etcd, etcd: {endpoints: ['x:1', 'y:1']}")
	require.Equal(t, etcd, path("a", "store: etcd, etcd: {endpoints: ['y:1', 'x:1'], dial_timeout: 3s}"))
	for _, other := range []string{
		path("b", "store: etcd, etcd: {endpoints: ['x:1', 'y:1']}"),
		path("a", "store: etcd, etcd: {endpoints: ['z:1']}"),
		path("a", "store: etcd, prefix: other/, etcd: {endpoints: ['x:1', 'y:1']}"),
		path("a", "store: consul, consul: {host: 'x:1'}"),
	} {
		require.NotEqual(t, etcd, other)
	}
}

func TestOnlyAStoreOnLoopbackMakesALoopbackListenerUseful(t *testing.T) {
	for store, local := range map[string]bool{
		"store: etcd, etcd: {endpoints: ['127.0.0.1:1', 'http://localhost:2']}":                                                                                true,
		"store: etcd, etcd: {endpoints: ['127.0.0.1:1', 'etcd.example.org:2']}":                                                                                false,
		"store: consul, consul: {host: 'localhost:8500'}":                                                                                                      true,
		"store: consul, consul: {host: 'https://consul.example.org:8501'}":                                                                                     false,
		"embedded: {insecure: true, peers: [{name: a, url: 'http://127.0.0.1:1'}, {name: b, url: 'http://127.0.0.1:2'}, {name: c, url: 'http://10.0.0.1:3'}]}": false,
	} {
		kv := load(t, "metrics: {scraping_service: {enabled: true, kvstore: {"+store+"}}}").Metrics.ScrapingService.KVStore
		require.Equal(t, local, storeOnLoopback(kv), store)
	}
}

func TestAnEmbeddedServerOfSeveralHasToBeInTheList(t *testing.T) {
	c := load(t, `metrics: {scraping_service: {enabled: true, kvstore: {embedded: {peer_tls: {cert_file: c, key_file: k, ca_file: a}, peers: [
		{name: a, url: 'https://10.0.0.1:2380'}, {name: b, url: 'https://b.example.org:2380'}, {name: c, url: 'https://10.0.0.3:2380'}]}}}}`).Metrics.ScrapingService.KVStore.Embedded
	q, err := quorum(c, "b")
	require.NoError(t, err)
	require.Equal(t, "b", q.Name)
	require.Equal(t, "0.0.0.0:2380", q.Listen)
	require.Equal(t, map[string]string{"a": "https://10.0.0.1:2380", "b": "https://b.example.org:2380", "c": "https://10.0.0.3:2380"}, q.Members)
	require.Equal(t, "k", q.TLS.KeyFile)
	_, err = quorum(c, "d")
	require.ErrorContains(t, err, `"d"`)
}

func TestTheLastMetricsCanBeScrapedBeforeTheProcessEnds(t *testing.T) {
	agent := startDaemon(t, Options{Agent: load(t, "metrics: {wal_directory: "+filepath.Join(t.TempDir(), "wal")+
		", scraping_service: {enabled: true, kvstore: {store: inmemory}, lifecycler: {final_sleep: 1s}}}")})
	agent.stop()
	require.Eventually(t, func() bool { return strings.Contains(agent.log.String(), "all configs stopped") }, patience, time.Millisecond)
	status, _ := agent.request(t, http.MethodGet, "/metrics")
	require.Equal(t, http.StatusOK, status)
	require.NoError(t, agent.end(t))
}
