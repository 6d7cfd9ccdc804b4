package daemon

import (
	"cmp"
	"context"
	"net"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster"
	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/config"
)

// shareConfigs makes the agent one of those that divide the configs of the store among them. It is
// for stores that others can reach; on the rest this node is the whole cluster.
func (d *daemon) shareConfigs(ctx context.Context, store cluster.Store) error {
	m := d.settings.agent().Metrics
	service := m.ScrapingService
	l := service.Lifecycler
	interfaces, err := hostInterfaces()
	if err != nil {
		return err
	}
	address, err := advertised(d.tcpAddress(), l, interfaces)
	if err != nil {
		return err
	}
	d.reachable = reachableIP(d.tcpAddress(), l, interfaces)
	registry := cluster.NewRegistry(store, l.Ring.KVStore.Prefix)
	d.oldRing = registry.Predecessors
	node := l.ID
	switch {
	case node != "":
	case len(service.KVStore.Embedded.Peers) > 0:
		node = d.Hostname // which is one of the peers' names
	default:
		node = d.ownName(ctx, registry.GetMember, address, m.WALDirectory)
	}
	d.cluster = &actors.Cluster{
		Node:             node,
		Address:          address,
		Scheme:           d.scheme(),
		Zone:             l.AvailabilityZone,
		Version:          d.Version,
		Settings:         agreement(service),
		Tokens:           ringmaster.OwnTokens(cmp.Or(l.TokensFilePath, ringmaster.TokensPath(m.WALDirectory)), node, l.NumTokens, d.Logger.Logger),
		Registry:         registry,
		Sessions:         store,
		SessionTTL:       l.Ring.SessionTTL(),
		JoinAfter:        l.JoinAfter + l.ObservePeriod,
		Replicas:         l.Ring.ReplicationFactor,
		ZoneAware:        l.Ring.ZoneAwarenessEnabled,
		StopWhenIsolated: service.WhenIsolated == config.IsolatedStop,
		KeepClaims:       !l.UnregisterOnShutdown,
	}
	d.Logger.Info("sharing configs with the other nodes of this store", zap.String("node", node), zap.String("address", address),
		zap.String("prefix", l.Ring.KVStore.Prefix))
	if d.tcpAddress().IP.IsLoopback() && !storeOnLoopback(service.KVStore) {
		d.Logger.Warn("only nodes on this host can reach this one, because it listens on loopback: set -server.http.address", zap.String("address", address))
	}
	return nil
}

// agreement is what all nodes of a cluster have to have in common, for people to compare. Where it
// differs, nodes would run other units than others think, or the same config at other moments.
func agreement(s config.ScrapingService) string {
	return ringmaster.Agreement(s.KVStore.Prefix, s.Lifecycler.Ring.ReplicationFactor, s.Lifecycler.Ring.ZoneAwarenessEnabled)
}

// scheduleSeed is the same on all nodes that share configs, and another one where the prefix is:
// two clusters that scrape the same targets spread out.
func scheduleSeed(s config.ScrapingService) uint64 { return ringmaster.ScheduleSeed(s.KVStore.Prefix) }

// storeOnLoopback reports whether no other host reaches the store.
func storeOnLoopback(kv config.KVStore) bool {
	addresses := kv.Etcd.Endpoints
	switch kv.Store {
	case config.StoreConsul:
		addresses = []string{kv.Consul.Host}
	case config.StoreEmbedded:
		addresses = nil
		for _, p := range kv.Embedded.Peers {
			addresses = append(addresses, p.URL)
		}
	}
	return !slices.ContainsFunc(addresses, func(address string) bool {
		if _, rest, found := strings.Cut(address, "://"); found {
			address = rest
		}
		host, _, err := net.SplitHostPort(address)
		return err != nil || host != "localhost" && !net.ParseIP(host).IsLoopback()
	})
}

func (d *daemon) scheme() string {
	if d.secured {
		return "https"
	}
	return "http"
}

// tcpAddress is where the HTTP listener is.
func (d *daemon) tcpAddress() *net.TCPAddr { return d.listener.Addr().(*net.TCPAddr) }
