package config

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

const (
	// maxTokens keeps a member's record small; more than a few hundred tokens hardly improve the
	// balance.
	maxTokens = 4096
	// maxReplicas is more than anybody has receivers for: each replica of a config is scheduled and
	// stored like a config.
	maxReplicas = 64
	// minSessionTTL is longer than a node may go on scraping after it was last heard of, which is
	// 2.5 s.
	minSessionTTL = 3 * time.Second
	// minConsulTTL is Consul's own limit.
	minConsulTTL = 10 * time.Second
)

func (d *document) service(n *yaml.Node, s ScrapingService) {
	d.moreThanZero(n, s.ReshardInterval > 0, "reshard_interval")
	d.oneOf(n, "when_isolated", s.WhenIsolated, IsolatedContinue, IsolatedStop)
	d.limitsFile(child(n, "limits"), s.Limits)
	d.gossip(child(n, "gossip"), s.Gossip)
	d.lifecycler(child(n, "lifecycler"), s)
	d.store(child(n, "kvstore"), s.KVStore)
	d.ringStore(child(n, "kvstore"), child(child(child(n, "lifecycler"), "ring"), "kvstore"), s)
}

func (d *document) lifecycler(n *yaml.Node, s ScrapingService) {
	l := s.Lifecycler
	d.within(n, l.NumTokens, maxTokens, "num_tokens")
	d.within(n, l.Ring.ReplicationFactor, maxReplicas, "ring", "replication_factor")
	d.moreThanZero(n, l.HeartbeatPeriod > 0, "heartbeat_period")
	if where, ok := at(n, "port"); ok && (l.Port < 0 || l.Port > 65535) {
		d.fail(where, "this is not a port", "use 1 to 65535, or leave the key out")
	}
	if where, ok := at(n, "id"); ok && l.ID != "" {
		if err := ValidateName(l.ID); err != nil {
			d.fail(where, err.Error(), "choose another name for the node")
		} else if strings.Contains(l.ID, "/") {
			d.fail(where, "the name of a node has no slash", "choose another name for the node")
		}
	}
	where, ok := at(n, "ring", "heartbeat_timeout")
	switch ttl := l.Ring.HeartbeatTimeout; {
	case !ok || d.bad[where]:
	case ttl < minSessionTTL:
		d.fail(where, fmt.Sprintf("%s is too short to tell a node that is gone from one that is slow", ttl), "use 3s or more, or leave the key out for its default")
	case ttl < minConsulTTL && s.KVStore.Store == StoreConsul:
		d.fail(where, "Consul keeps a session for 10s at least", "use 10s or more, or leave the key out for its default")
	}
}

func (d *document) store(n *yaml.Node, s KVStore) {
	d.oneOf(n, "store", s.Store, StoreEmbedded, StoreEtcd, StoreConsul, StoreInMemory)
	if s.Store == StoreEtcd && len(s.Etcd.Endpoints) == 0 {
		where, _ := at(n, "etcd", "endpoints")
		d.fail(where, "there are no endpoints of the etcd store", "list host:port of each under etcd.endpoints")
	}
	if where, ok := at(n, "consul", "host"); ok && !d.bad[where] && addressProblem(withoutScheme(s.Consul.Host), reached) != "" {
		d.fail(where, "this is not the address of a Consul agent", "write it like consul:8500, or https://consul:8501")
	}
	before := len(d.errs)
	d.embedded(child(n, "embedded"), s.Embedded)
	if list, ok := at(n, "embedded", "peers"); ok && len(d.errs) == before && !d.damaged(list) && s.Store == StoreEmbedded && s.Embedded.talksInPlainText() && !s.Embedded.Insecure {
		d.fail(list, "these peers would talk without TLS: whoever reaches their ports could change what is stored", "use https:// and peer_tls, or say insecure: true beside them")
	}
}

// talksInPlainText says whether peers on several hosts have no TLS.
func (e Embedded) talksInPlainText() bool { return e.PeerTLS == (PeerTLS{}) && !allOnLoopback(e.Peers) }

// withoutScheme takes the scheme off an address that may have one.
func withoutScheme(address string) string {
	for _, scheme := range []string{"http://", "https://"} {
		if rest, ok := strings.CutPrefix(address, scheme); ok {
			return rest
		}
	}
	return address
}

// ringStore refuses a ring that is anywhere else than beside the configs: one connection serves
// both, so that what is known of the one holds for the other. What the ring's block does not say is
// as in the configs'.
func (d *document) ringStore(configs, ring *yaml.Node, s ScrapingService) {
	if d.damaged(configs) || d.damaged(ring) {
		return
	}
	of, meant := s.KVStore, d.ringStoreAsWritten(ring, s)
	for _, part := range []struct {
		same bool
		keys []string
	}{
		{of.Store == meant.Store, []string{"store"}},
		{sameEndpoints(of.Etcd, meant.Etcd), []string{"etcd", "endpoints"}},
		{withoutScheme(of.Consul.Host) == withoutScheme(meant.Consul.Host), []string{"consul", "host"}},
		{of.Embedded.DataDirectory == meant.Embedded.DataDirectory, []string{"embedded", "data_directory"}},
		{slices.Equal(of.Embedded.Peers, meant.Embedded.Peers), []string{"embedded", "peers"}},
	} {
		if where, written := at(ring, part.keys...); written && !part.same {
			d.fail(where, "the ring can't be in another store than the configs: scraping_service.kvstore is not this one", "remove all but the prefix here, or name the same store in both")
			return
		}
	}
	if prefix := s.Lifecycler.Ring.KVStore.Prefix; strings.HasPrefix(prefix, of.Prefix) {
		where, ok := at(ring, "prefix")
		if !ok {
			where, _ = at(configs, "prefix")
		}
		d.fail(where, fmt.Sprintf("the ring's keys, under %q, would be among the configs, under %q", prefix, of.Prefix), "give the two prefixes of which neither begins with the other")
	}
}

// ringStoreAsWritten is the configs' store with what the ring's block says otherwise.
func (d *document) ringStoreAsWritten(ring *yaml.Node, s ScrapingService) KVStore {
	meant := s.KVStore
	if ring != nil {
		// It was decoded before, so it decodes; only what it is laid over differs.
		_ = decodeNode(ring, &meant)
	}
	return meant
}

// ringStoreDiffers says whether the ring's block, which names the configs' store, has other
// settings for it.
func (d *document) ringStoreDiffers(ring *yaml.Node, s ScrapingService) bool {
	meant := d.ringStoreAsWritten(ring, s)
	meant.Prefix, meant.Etcd.Endpoints, meant.Consul.Host = s.KVStore.Prefix, s.KVStore.Etcd.Endpoints, s.KVStore.Consul.Host
	return !reflect.DeepEqual(meant, s.KVStore)
}

func sameEndpoints(a, b Etcd) bool {
	hosts := func(e Etcd) []string {
		var out []string
		for _, endpoint := range e.Endpoints {
			out = append(out, withoutScheme(endpoint))
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	return slices.Equal(hosts(a), hosts(b))
}

// damaged says whether anything in a block was refused before it was decoded.
func (d *document) damaged(n *yaml.Node) bool {
	if n == nil {
		return false
	}
	return d.bad[n] || slices.ContainsFunc(n.Content, d.damaged)
}

// completeService fills in what depends on other keys.
func (m *Metrics) completeService() {
	s := &m.ScrapingService
	if s.KVStore.Embedded.DataDirectory == "" {
		s.KVStore.Embedded.DataDirectory = storeDirectory(m.WALDirectory)
	}
	if s.KVStore.Embedded.ListenPeer == "" && len(s.KVStore.Embedded.Peers) == 0 {
		s.KVStore.Embedded.ListenPeer = "127.0.0.1:0"
	}
	if s.ReplicaLabels == nil {
		s.ReplicaLabels = defaultReplicaLabels()
	}
	prefix := s.Lifecycler.Ring.KVStore.Prefix
	s.Lifecycler.Ring.KVStore = s.KVStore
	s.Lifecycler.Ring.KVStore.Prefix = prefix
}

// storeDirectory is beside the WAL directory and named after it, so that two agents in one place
// keep apart.
func storeDirectory(walDirectory string) string {
	clean := filepath.Clean(walDirectory)
	if base := filepath.Base(clean); base == "." || base == ".." || base == string(filepath.Separator) {
		return filepath.Join(clean, "..", "ringmaster-store")
	}
	return clean + "-store"
}

// serviceWarnings tell of what is valid but may not mean what it says.
func (d *document) serviceWarnings(n *yaml.Node, s ScrapingService) []string {
	var found []string
	note := func(where *yaml.Node, why string) {
		found = append(found, d.warning(where, "metrics.scraping_service."+why))
	}
	configs, ring := child(n, "kvstore"), child(child(child(n, "lifecycler"), "ring"), "kvstore")
	for _, store := range []string{StoreEmbedded, StoreEtcd, StoreConsul} {
		if where, ok := at(configs, store); ok && s.KVStore.Store != store {
			note(where, fmt.Sprintf("kvstore.%s has no effect: kvstore.store is %s", store, s.KVStore.Store))
		}
	}
	if d.ringStoreDiffers(ring, s) {
		note(ring, "lifecycler.ring.kvstore has settings that differ from those of kvstore and have no effect: the ring is reached as the configs are")
	}
	if list, ok := at(configs, "embedded", "peers"); ok && s.KVStore.Store == StoreEmbedded && s.KVStore.Embedded.talksInPlainText() {
		note(list, "kvstore.embedded.peers talk without TLS: whoever reaches their ports can change what is stored; use https:// and peer_tls")
	}
	if where, ok := at(n, "lifecycler", "heartbeat_period"); ok {
		note(where, "lifecycler.heartbeat_period has no effect: a node is heard of as often as its session needs it")
	}
	if where, ok := at(n, "lifecycler", "ring", "zone_awareness_enabled"); ok && s.Lifecycler.Ring.ZoneAwarenessEnabled && s.Lifecycler.AvailabilityZone == "" {
		note(where, "lifecycler.ring.zone_awareness_enabled: this node has no availability_zone, so it counts as in one zone with all others that have none")
	}
	return append(found, d.replicaWarnings(n, s)...)
}
