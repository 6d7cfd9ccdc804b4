package config

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	promcommon "github.com/prometheus/common/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// service loads an agent's file with this block under metrics.scraping_service, written in YAML's
// flow style.
func service(t *testing.T, block string) (ScrapingService, []string) {
	t.Helper()
	a := load(t, "metrics: {scraping_service: {enabled: true, "+block+"}}")
	return a.Metrics.ScrapingService, a.Warnings
}

const threePeers = `insecure: true, peers: [{name: a, url: "http://10.0.0.1:2380"}, {name: b, url: "http://10.0.0.2:2380"}, {name: c, url: "http://c.example:2381"}]`

func TestAScrapingServiceHasDefaults(t *testing.T) {
	loaded, warnings := service(t, "")
	require.Empty(t, warnings)
	require.Equal(t, Default("").Metrics.ScrapingService, loaded)
	require.Equal(t, IsolatedContinue, loaded.WhenIsolated)
	require.Equal(t, Gossip{Enabled: true}, loaded.Gossip)
	require.Equal(t, map[string]string{"__replica__": "replica-{{replica}}"}, loaded.ReplicaLabels)
	require.Equal(t, 1, loaded.Lifecycler.Ring.ReplicationFactor)
	require.Zero(t, loaded.Lifecycler.Ring.HeartbeatTimeout)
	require.Equal(t, 10*time.Second, loaded.Lifecycler.Ring.SessionTTL())
	require.Equal(t, "127.0.0.1:0", loaded.KVStore.Embedded.ListenPeer)
	require.Empty(t, loaded.KVStore.Embedded.Peers)
}

func TestAScrapingServiceSaysWhatTheFileSays(t *testing.T) {
	s, warnings := service(t, `when_isolated: stop,
  gossip: {enabled: false, listen_address: ":7946", advertise_address: "a.example:7946", join: ["b:1", "[::1]:2"], encryption_key_file: k, label: prod},
  replica_labels: {replica: "r{{ replica }}", cluster: c},
  lifecycler: {id: a, availability_zone: z, join_after: 1s, observe_period: 2s, final_sleep: 3s, tokens_file_path: f, unregister_on_shutdown: false,
    ring: {heartbeat_timeout: 1m, replication_factor: 2, zone_awareness_enabled: true}}`)
	require.Empty(t, warnings)
	require.Equal(t, IsolatedStop, s.WhenIsolated)
	require.Equal(t, Gossip{ListenAddress: ":7946", AdvertiseAddress: "a.example:7946", Join: []string{"b:1", "[::1]:2"}, EncryptionKeyFile: "k", Label: "prod"}, s.Gossip)
	require.Equal(t, map[string]string{"replica": "r{{ replica }}", "cluster": "c"}, s.ReplicaLabels, "the default is not mixed in")
	require.Equal(t, time.Minute, s.Lifecycler.Ring.SessionTTL())
	require.Equal(t, 2, s.Lifecycler.Ring.ReplicationFactor)
	require.False(t, s.Lifecycler.UnregisterOnShutdown)
}

func TestConsulIsAStore(t *testing.T) {
	for _, host := range []string{"localhost:8500", "http://consul:8500", "https://consul:8501", "[::1]:8500"} {
		s, warnings := service(t, `kvstore: {store: consul, consul: {host: "`+host+`", acl_token: t, consistent_reads: true}}, lifecycler: {ring: {heartbeat_timeout: 10s}}`)
		require.Empty(t, warnings)
		require.Equal(t, StoreConsul, s.KVStore.Store)
		require.Equal(t, host, s.Lifecycler.Ring.KVStore.Consul.Host)
	}
	s, _ := service(t, "kvstore: {store: consul}")
	require.Equal(t, "localhost:8500", s.KVStore.Consul.Host)
}

func TestWhatIsRefusedInAScrapingService(t *testing.T) {
	const peers = "kvstore: {embedded: {peers: "
	for _, c := range []struct{ block, want string }{
		{"when_isolated: panic", `when_isolated: "panic" is not known here; use continue, stop`},
		{"gossip: {listen_address: 7946}", "gossip.listen_address: this is not host:port; write it like"},
		{"gossip: {listen_address: 'a:70000'}", "gossip.listen_address: this has no port between 1 and 65535"},
		{"gossip: {advertise_address: ':7946'}", "gossip.advertise_address: this has no host that others can reach"},
		{"gossip: {advertise_address: '0.0.0.0:7946'}", "this has no host that others can reach"},
		{"gossip: {advertise_address: 'a:0'}", "this has no port between 1 and 65535"},
		{"gossip: {join: ['a:1', b]}", "gossip.join[1]: this is not host:port"},
		{"gossip: {join: a}", "gossip.join: this must be a list"},
		{"gossip: {join: [[a]]}", "gossip.join[0]: this must be a single value"},
		{"gossip: {encryption_key: hunter2}", "gossip.encryption_key: this is not a key: it needs 16, 24 or 32 bytes, written in base64 or hexadecimal; make one with: openssl rand -base64 32"},
		{"gossip: {encryption_key: ''}", "gossip.encryption_key: this is not a key"},
		{"gossip: {encryption_key: 00112233445566778899aabbccddeeff, encryption_key_file: a}", "gossip.encryption_key_file: encryption_key and encryption_key_file exclude each other"},
		{"gossip: {encryption_key_file: ''}", "gossip.encryption_key_file: the name of the file is empty"},
		{"gossip: {label: " + strings.Repeat("x", 256) + "}", "gossip.label: the label is longer than 255 bytes"},
		{"gossip: {secret_key: a}", "gossip.secret_key: unknown key"},
		{"replica_labels: [a]", "replica_labels: this must be a block of keys, not a list"},
		{"replica_labels: {'': a}", `replica_labels."": "" is not a label name`},
		{"replica_labels: {__name__: a}", "replica_labels.__name__: this label is the name of the metric"},
		{"replica_labels: {a: ''}", "replica_labels.a: the label has no value"},
		{"replica_labels: {a: }", "replica_labels.a: the label has no value"},
		{"replica_labels: {a: '{{node}}'}", "replica_labels.a: only {{replica}} can be filled in"},
		{"replica_labels: {a: '{{replica}'}", "replica_labels.a: only {{replica}} can be filled in"},
		{"lifecycler: {num_tokens: 5000}", "lifecycler.num_tokens: this must be at most 4096"},
		{"lifecycler: {num_tokens: 0}", "lifecycler.num_tokens: this must be more than 0"},
		{"lifecycler: {ring: {replication_factor: 65}}", "lifecycler.ring.replication_factor: this must be at most 64"},
		{"lifecycler: {ring: {replication_factor: -1}}", "lifecycler.ring.replication_factor: this must be more than 0"},
		{"lifecycler: {ring: {heartbeat_timeout: 2s}}", "lifecycler.ring.heartbeat_timeout: 2s is too short to tell a node that is gone from one that is slow; use 3s or more"},
		{"lifecycler: {ring: {heartbeat_timeout: 0}}", "lifecycler.ring.heartbeat_timeout: 0s is too short"},
		{"lifecycler: {ring: {heartbeat_timeout: 9s}}, kvstore: {store: consul}", "lifecycler.ring.heartbeat_timeout: Consul keeps a session for 10s at least"},
		{"lifecycler: {id: a/b}", "lifecycler.id: the name of a node has no slash"},
		{`lifecycler: {id: "a\tb"}`, "lifecycler.id: the name has a control character"},
		{"lifecycler: {port: 70000}", "lifecycler.port: this is not a port"},
		{"kvstore: {store: consul, consul: {host: consul}}", "kvstore.consul.host: this is not the address of a Consul agent; write it like consul:8500"},
		{"kvstore: {store: zookeeper}", `kvstore.store: "zookeeper" is not known here; use embedded, etcd, consul, inmemory`},
		{"kvstore: {embedded: {listen_peer: '0.0.0.0:2380'}}", "kvstore.embedded.listen_peer: this is not a loopback address with a port"},
		{"kvstore: {embedded: {listen_client: '0.0.0.0:2380'}}", "kvstore.embedded.listen_client: this is not a loopback address with a port"},
		{`kvstore: {embedded: {peers: [{name: a, url: "http://10.0.0.1:1"}, {name: b, url: "http://127.0.0.1:2"}, {name: c, url: "http://127.0.0.1:3"}]}}`, "kvstore.embedded.peers: these peers would talk without TLS"},
		{"kvstore: {embedded: {listen_client: '0.0.0.0:2380', " + threePeers + "}}", "kvstore.embedded.listen_client: this is not a loopback address with a port"},
		{"kvstore: {embedded: {peer_tls: {cert_file: a}}}", "kvstore.embedded.peer_tls: there are no peers to talk TLS with"},
		{"kvstore: {embedded: {listen_peer: '10.0.0.1:0', " + threePeers + "}}", "kvstore.embedded.listen_peer: this has no port between 1 and 65535"},
		{"kvstore: {embedded: {listen_peer: 'a.example:2380', " + threePeers + "}}", "kvstore.embedded.listen_peer: this has no IP address to listen on"},
		{peers + "a}}", "kvstore.embedded.peers: this must be a list"},
		{peers + "[{name: a, url: 'http://a:1'}]}}", "kvstore.embedded.peers: there are 1 peers: only three"},
		{peers + "[{name: a, url: 'http://a:1'}, {name: b, url: 'http://b:1'}, {name: c, url: 'http://c:1'}, {name: d, url: 'http://d:1'}]}}", "there are 4 peers"},
		{peers + "[{name: a, url: 'http://a:1'}, {name: b, url: 'http://b:1'}, {name: a, url: 'http://c:1'}]}}", `peers[2].name: the name "a" is already used`},
		{peers + "[{name: a, url: 'http://a:1'}, {name: b, url: 'http://b:1'}, {name: c, url: 'http://a:1'}]}}", "peers[2].url: another peer has this address"},
		{peers + "[{name: a, url: 'http://a:1'}, {name: b, url: 'http://b:1'}, {url: 'http://c:1'}]}}", "peers[2]: the peer has no name"},
		{peers + "[{name: a, url: 'http://a:1'}, {name: b, url: 'http://b:1'}, {nam: c, url: 'http://c:1'}]}}", "peers[2].nam: unknown key; did you mean name?"},
		{peers + "[{name: a, url: 'http://a:1'}, {name: b, url: 'http://b:1'}, {name: [c], url: 'http://c:1'}]}}", "peers[2].name: this must be a single value"},
		{peers + "[{name: a, url: 'http://a:1'}, {name: b, url: 'http://b:1'}, {name: c}]}}", "peers[2]: the peer has no URL"},
		{peers + "[{name: a, url: 'http://a:1'}, {name: b, url: 'http://b:1'}, {name: c, url: {}}]}}", "peers[2].url: this must be a single value"},
		{peers + "[{name: a, url: 'http://a:1'}, {name: b, url: 'http://b:1'}, ]}}", "there are 2 peers"},
		{peers + "[{name: a, url: 'http://a:1'}, {name: b, url: 'http://b:1'}, null]}}", "peers[2]: empty entry"},
		{peers + "[{name: a, url: 'http://a:1'}, {name: b, url: 'http://b:1'}, {name: c, url: 'c:1'}]}}", "peers[2].url: this is not a URL of a peer"},
		{peers + "[{name: a, url: 'http://a:1'}, {name: b, url: 'http://b:1'}, {name: c, url: 'http://u:hunter2@c:1'}]}}", "peers[2].url: this is not a URL of a peer"},
		{peers + "[{name: a, url: 'http://a:1'}, {name: b, url: 'http://b:1'}, {name: c, url: 'http://c'}]}}", "peers[2].url: this is not host:port"},
		{peers + "[{name: a, url: 'http://a:1'}, {name: b, url: 'http://b:1'}, {name: c, url: 'http://0.0.0.0:1'}]}}", "peers[2].url: this has no host that others can reach"},
		{peers + "[{name: a, url: 'http://a:1'}, {name: b, url: 'https://b:1'}, {name: c, url: 'http://c:1'}]}}", "peers[1].url: all peers must use http, or all https"},
		{peers + "[{name: a, url: 'https://a:1'}, {name: b, url: 'https://b:1'}, {name: c, url: 'https://c:1'}]}}", "kvstore.embedded: peers with https:// need peer_tls"},
		{peers + "[{name: a, url: 'https://a:1'}, {name: b, url: 'https://b:1'}, {name: c, url: 'https://c:1'}], peer_tls: {cert_file: a, key_file: b}}}", "kvstore.embedded.peer_tls: cert_file, key_file and ca_file are needed together"},
		{peers + "[{name: a, url: 'https://a:1'}, {name: b, url: 'https://b:1'}, {name: c, url: 'https://c:1'}], peer_tls: {cert_file: a, key_file: b, ca_fil: c}}}", "peer_tls.ca_fil: unknown key; did you mean ca_file?"},
		{"kvstore: {embedded: {" + threePeers + ", peer_tls: {cert_file: a, key_file: b, ca_file: c}}}", "kvstore.embedded.peer_tls: the peers have http:// URLs, so there is no TLS"},
	} {
		_, err := LoadAgent("agent.yaml", []byte("metrics:\n  scraping_service: {enabled: true, "+c.block+"}\n"), LoadOptions{})
		var errs Errors
		require.ErrorAs(t, err, &errs, c.block)
		require.Len(t, errs, 1, "%s\n%v", c.block, err)
		require.Contains(t, err.Error(), "agent.yaml:2: metrics.scraping_service.", c.block)
		require.Contains(t, err.Error(), c.want, c.block)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestTheRingIsInTheStoreOfTheConfigs(t *testing.T) {
	const etcd = "kvstore: {store: etcd, etcd: {endpoints: ['a:1', 'b:1'], dial_timeout: 5s, username: u, password: p}}, lifecycler: {ring: {kvstore: "
	for _, ring := range []string{
		"{}", "{prefix: ring/}", "{store: etcd}", "{store: etcd, etcd: {endpoints: ['http://b:1', 'a:1']}}", "{store: etcd, etcd: {endpoints: }}",
		"{store: etcd, etcd: {endpoints: ['a:1', 'b:1'], dial_timeout: 5000ms, username: u, password: p}}",
	} {
		s, warnings := service(t, etcd+ring+"}}")
		require.Empty(t, warnings, ring)
		stored := s.Lifecycler.Ring.KVStore
		require.NotEqual(t, s.KVStore.Prefix, stored.Prefix)
		stored.Prefix = s.KVStore.Prefix
		require.Equal(t, s.KVStore, stored, ring)
	}
	s, _ := service(t, etcd+"{prefix: ring/}}}")
	require.Equal(t, "ring/", s.Lifecycler.Ring.KVStore.Prefix)

	for ring, field := range map[string]string{
		"{store: consul}":   "store",
		"{store: inmemory}": "store",
		"{store: consul, consul: {host: 'localhost:1'}}": "store",
		"{store: etcd, etcd: {endpoints: ['a:1']}}":      "etcd.endpoints",
		"{etcd: {endpoints: ['c:1', 'd:1']}}":            "etcd.endpoints",
		"{consul: {host: 'c:1'}}":                        "consul.host",
		"{embedded: {data_directory: /x}}":               "embedded.data_directory",
		"{embedded: {" + threePeers + "}}":               "embedded.peers",
	} {
		_, err := LoadAgent("a", []byte("metrics: {scraping_service: {"+etcd+ring+"}}}}"), LoadOptions{})
		require.ErrorContains(t, err, "lifecycler.ring.kvstore."+field+": the ring can't be in another store than the configs", ring)
		require.ErrorContains(t, err, "remove all but the prefix here, or name the same store in both")
	}
	_, err := LoadAgent("a", []byte("metrics: {scraping_service: {kvstore: {store: etcd, etcd: {endpoints: {}}}, lifecycler: {ring: {kvstore: {store: etcd, etcd: {endpoints: [a]}}}}}}"), LoadOptions{})
	var errs Errors
	require.ErrorAs(t, err, &errs)
	for _, e := range errs {
		require.NotContains(t, e.Field, "lifecycler", "what can't be compared is not blamed")
	}
}

func TestConfigsAndRingKeepApartInTheStore(t *testing.T) {
	for _, c := range []struct{ configs, ring, field string }{
		{"x/", "x/", "lifecycler.ring.kvstore.prefix"},
		{"x/", "x/ring/", "lifecycler.ring.kvstore.prefix"},
		{"", "x/", "lifecycler.ring.kvstore.prefix"},
	} {
		_, err := LoadAgent("a", fmt.Appendf(nil, "metrics: {scraping_service: {kvstore: {prefix: %q}, lifecycler: {ring: {kvstore: {prefix: %q}}}}}", c.configs, c.ring), LoadOptions{})
		require.ErrorContains(t, err, c.field+": the ring's keys, under")
	}
	_, err := LoadAgent("a", []byte("metrics: {scraping_service: {kvstore: {prefix: coll}}}"), LoadOptions{})
	require.ErrorContains(t, err, `metrics.scraping_service.kvstore.prefix: the ring's keys, under "collectors/", would be among the configs, under "coll"`)
	s, _ := service(t, "kvstore: {prefix: x/configs/}, lifecycler: {ring: {kvstore: {prefix: x/ring/}}}")
	require.Equal(t, "x/configs/", s.KVStore.Prefix)
}

func TestWhatMayNotMeanWhatItSaysIsTold(t *testing.T) {
	for _, c := range []struct{ block, want string }{
		{"replica_labels: {a: '{{replica}}'}", "replica_labels has no effect: lifecycler.ring.replication_factor is 1"},
		{"replica_labels: {}, lifecycler: {ring: {replication_factor: 2}}", "replica_labels: no value has {{replica}}, so a receiver can't tell the replicas of a config apart"},
		{"replica_labels: {a: b}, lifecycler: {ring: {replication_factor: 2}}", "no value has {{replica}}"},
		{"kvstore: {etcd: {endpoints: ['a:1']}}", "kvstore.etcd has no effect: kvstore.store is embedded"},
		{"kvstore: {store: inmemory, embedded: {data_directory: a}}", "kvstore.embedded has no effect: kvstore.store is inmemory"},
		{"kvstore: {consul: {acl_token: t}}", "kvstore.consul has no effect: kvstore.store is embedded"},
		{"kvstore: {embedded: {" + threePeers + "}}", "kvstore.embedded.peers talk without TLS"},
		{"kvstore: {store: consul}, lifecycler: {ring: {kvstore: {store: consul, consul: {acl_token: t}}}}", "lifecycler.ring.kvstore has settings that differ"},
		{"lifecycler: {heartbeat_period: 5s}", "lifecycler.heartbeat_period has no effect"},
		{"lifecycler: {ring: {zone_awareness_enabled: true}}", "lifecycler.ring.zone_awareness_enabled: this node has no availability_zone"},
	} {
		_, warnings := service(t, c.block)
		require.Len(t, warnings, 1, "%s: %v", c.block, warnings)
		require.Contains(t, warnings[0], "conf/agent.yaml: line 1: metrics.scraping_service.", c.block)
		require.Contains(t, warnings[0], c.want)
	}
	_, warnings := service(t, `kvstore: {embedded: {peers: [{name: a, url: "http://127.0.0.1:1"}, {name: b, url: "http://localhost:2"}, {name: c, url: "http://[::1]:3"}]}}`)
	require.Empty(t, warnings, "nobody else reaches a loopback address")
}

func TestANodeFindsItselfAmongThePeers(t *testing.T) {
	s, _ := service(t, "kvstore: {embedded: {"+threePeers+"}}")
	e := s.KVStore.Embedded
	require.Empty(t, e.ListenPeer)
	for node, listen := range map[string]string{"a": "10.0.0.1:2380", "b": "10.0.0.2:2380", "c": "0.0.0.0:2381"} {
		self, where, err := e.Self(node)
		require.NoError(t, err)
		require.Equal(t, node, self.Name)
		require.Equal(t, listen, where)
	}
	_, _, err := e.Self("web-1")
	require.EqualError(t, err, `find this node among the peers: it is called "web-1", and metrics.scraping_service.kvstore.embedded.peers has a, b, c; set lifecycler.id to one of these, or add it`)
	_, _, err = Embedded{}.Self("a")
	require.Error(t, err)
	_, _, err = e.Self("")
	require.Error(t, err)

	s, _ = service(t, "kvstore: {embedded: {listen_peer: '0.0.0.0:9', peers: [{name: a, url: 'https://a:1'}, {name: b, url: 'https://b:1'}, {name: c, url: 'https://c:1/'}], peer_tls: {cert_file: a, key_file: b, ca_file: c}}}")
	_, listen, err := s.KVStore.Embedded.Self("b")
	require.NoError(t, err)
	require.Equal(t, "0.0.0.0:9", listen)
	require.Equal(t, PeerTLS{CertFile: "a", KeyFile: "b", CAFile: "c"}, s.KVStore.Embedded.PeerTLS)
}

func TestReplicasDifferInTheirLabels(t *testing.T) {
	external := labels.FromStrings("cluster", "c", "__replica__", "external")
	s, _ := service(t, "lifecycler: {ring: {replication_factor: 2}}")
	require.Equal(t, labels.FromStrings("cluster", "c", "__replica__", "replica-1"), s.WithReplicaLabels(external, 1))
	s, _ = service(t, "replica_labels: {r: 'x{{replica}}-{{ replica }}$1', zone: y}, lifecycler: {ring: {replication_factor: 3}}")
	require.Equal(t, labels.FromStrings("r", "x0-0$1", "zone", "y"), s.WithReplicaLabels(labels.EmptyLabels(), 0))
	require.Equal(t, external, Default("").Metrics.ScrapingService.WithReplicaLabels(external, 0), "without replicas nothing is added")
}

func TestGossipKeysAreBase64OrHexadecimal(t *testing.T) {
	for size := range 40 {
		key := bytes.Repeat([]byte{0xfb, 0x10}, 20)[:size]
		good := size == 16 || size == 24 || size == 32
		for _, text := range []string{
			hex.EncodeToString(key), strings.ToUpper(hex.EncodeToString(key)) + "\n", base64.StdEncoding.EncodeToString(key),
			" " + base64.URLEncoding.EncodeToString(key),
		} {
			got, err := ParseGossipKey(text)
			if !good {
				require.Error(t, err, "%d bytes", size)
				continue
			}
			require.NoError(t, err, "%d bytes", size)
			require.Equal(t, key, got)
		}
	}
	_, err := ParseGossipKey("hunter2hunter2")
	require.Error(t, err)
	require.NotContains(t, err.Error(), "hunter2")
}

func TestAGossipKeyIsNeverShown(t *testing.T) {
	const key = "00112233445566778899aabbccddeeff"
	a := load(t, "metrics:\n  scraping_service:\n    gossip: {encryption_key: "+key+"}\n    kvstore: {consul: {acl_token: hunter2}}\n")
	require.Equal(t, promcommon.Secret(key), a.Metrics.ScrapingService.Gossip.EncryptionKey)
	inJSON, err := json.Marshal(a.Metrics.ScrapingService)
	require.NoError(t, err)
	inYAML, err := yaml.Marshal(a.Metrics.ScrapingService)
	require.NoError(t, err)
	for _, shown := range []string{a.Masked(), string(inJSON), string(inYAML)} {
		require.NotContains(t, shown, key)
		require.NotContains(t, shown, "hunter2")
		require.Contains(t, shown, "secret")
	}
	require.Contains(t, a.Masked(), "gossip: {encryption_key: <secret>}")
	a = load(t, "metrics: {scraping_service: {gossip: {encryption_key_file: /etc/key}}}")
	require.Contains(t, a.Masked(), "/etc/key")
}
