package daemon

import (
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/ringmaster-agent/ringmaster/cluster/gossip"
	"github.com/ringmaster-agent/ringmaster/config"
)

// gossipOptions are how to gossip; nil if the node has nobody to gossip with.
func (d *daemon) gossipOptions() (*gossip.Options, error) {
	settings := d.settings.agent().Metrics.ScrapingService.Gossip
	if d.cluster == nil || !settings.Enabled {
		return nil, nil
	}
	key, err := gossipKey(settings)
	if err != nil {
		return nil, err
	}
	listen, advertise := gossipAddresses(settings, d.tcpAddress(), d.reachable)
	return &gossip.Options{
		BindAddress: listen, AdvertiseAddress: advertise, Join: settings.Join, Key: key, Label: settings.Label, Logger: d.Logger.Named("gossip"),
	}, nil
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
