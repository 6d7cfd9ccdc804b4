package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/cluster/gossip"
	"github.com/ringmaster-agent/ringmaster/config"
)

// leaveTimeout bounds how long it may take to tell the peers that this node goes.
const leaveTimeout = 2 * time.Second

// peers is the gossip as the actors see it.
type peers struct{ *gossip.Gossip }

var _ actors.Gossip = peers{}

// SetStatus implements actors.Gossip.
func (p peers) SetStatus(s actors.PeerStatus) { p.Gossip.SetStatus(gossip.Status(s)) }

// Peers implements actors.Gossip.
func (p peers) Peers() []actors.Peer { return present(p.Gossip.Peers()) }

// present are the peers that count. One that has left in order does not: it is not dead, and it has ended its session itself, or keeps it because it
// will be back. But if its last word was that it has given the session up, it could not reach the store, and others may end it.
func present(all []gossip.Peer) []actors.Peer {
	out := make([]actors.Peer, 0, len(all))
	for _, p := range all {
		if !p.Left || p.Status.Fenced {
			out = append(out, actors.Peer{Node: p.Node, Alive: p.Alive, Assured: p.Assured, Status: actors.PeerStatus(p.Status)})
		}
	}
	return out
}

// openGossip begins to gossip, if the node has somebody to gossip with. It comes before the tree and ends after it: what the others hear of this
// node has to be true until nothing of it runs.
func (d *daemon) openGossip(context.Context) (func(), error) {
	settings := d.settings.agent().Metrics.ScrapingService.Gossip
	if d.cluster == nil || !settings.Enabled {
		return func() {}, nil
	}
	key, err := gossipKey(settings)
	if err != nil {
		return nil, err
	}
	listen, advertise := gossipAddresses(settings, d.tcpAddress(), d.reachable)
	g, err := gossip.Start(gossip.Options{
		Node: d.cluster.Node, BindAddress: listen, AdvertiseAddress: advertise, Join: settings.Join, Key: key, Label: settings.Label,
		Logger: d.Logger.Named("gossip"), Registerer: d.registry,
	})
	if err != nil {
		return nil, fmt.Errorf("%w; see metrics.scraping_service.gossip, which can also be turned off (enabled: false)", err)
	}
	d.cluster.Gossip = peers{g}
	d.Logger.Info("gossiping", zap.String("node", d.cluster.Node), zap.String("address", g.Address()), zap.Bool("encrypted", key != nil))
	return func() { d.closeGossip(g) }, nil
}

func (d *daemon) closeGossip(g *gossip.Gossip) {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	left := g.Leave(ctx)
	alone := !slices.ContainsFunc(g.Peers(), func(p gossip.Peer) bool { return p.Alive })
	if alone {
		left = nil // nobody is there to hear it
	}
	if err := errors.Join(left, g.Close()); err != nil {
		d.Logger.Warn("gossip did not end in order; others may take this node for dead", zap.Error(err))
	}
}

// gossipKey is nil if nothing is to be encrypted.
func gossipKey(settings config.Gossip) ([]byte, error) {
	text := string(settings.EncryptionKey)
	if settings.EncryptionKeyFile != "" {
		content, err := os.ReadFile(settings.EncryptionKeyFile)
		if err != nil {
			return nil, fmt.Errorf("read metrics.scraping_service.gossip.encryption_key_file: %w", err)
		}
		text = string(content)
	}
	if text == "" && settings.EncryptionKeyFile == "" {
		return nil, nil
	}
	key, err := config.ParseGossipKey(text)
	if err != nil && settings.EncryptionKeyFile != "" {
		return nil, fmt.Errorf("read metrics.scraping_service.gossip.encryption_key_file %s: %w", settings.EncryptionKeyFile, err)
	}
	return key, err
}

// gossipAddresses are where to listen, and what to tell others: empty if that is the same.
func gossipAddresses(settings config.Gossip, http *net.TCPAddr, reachable netip.Addr) (listen, advertise string) {
	listen, advertise = settings.ListenAddress, settings.AdvertiseAddress
	if listen == "" {
		host := http.IP.String()
		if http.IP.IsUnspecified() && !reachable.Is6() {
			host = "" // all of IPv4; the wildcard of a listener on both families is IPv6's
		}
		listen = net.JoinHostPort(host, "0")
	}
	host, _, err := net.SplitHostPort(listen)
	if everywhere := err == nil && (host == "" || net.ParseIP(host).IsUnspecified()); everywhere && advertise == "" && reachable.IsValid() {
		advertise = net.JoinHostPort(reachable.String(), "0")
	}
	return listen, advertise
}
