package node

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"
)

// Settings is what an agent.yaml says. Name and Receiver are required.
type Settings struct {
	// Name of the node, also in the external label "node" of what it sends.
	Name string
	// Receiver is the URL of remote write of all configs that name none.
	Receiver string
	// Etcd is the address of an etcd server, host:port. Empty: the embedded store.
	Etcd string
	// Consul is the address of a Consul agent, host:port, in place of Etcd.
	Consul string
	// Peers of the embedded store: name → host:port. None: a single one.
	Peers []Peer
	// SessionTTL is lifecycler.ring.heartbeat_timeout. 0: the default.
	SessionTTL time.Duration
	// WhenIsolated is scraping_service.when_isolated. Empty: the default.
	WhenIsolated string
	// Args are more flags of the agent, as -chaos.enabled.
	Args []string
	// RestartBackoff is instance_restart_backoff. 0: the default.
	RestartBackoff time.Duration
	// Dial reaches the node's API where that takes more than net.Dial. nil: it doesn't.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Peer is one of the servers of an embedded quorum.
type Peer struct{ Name, Address string }

// yaml is the agent.yaml of a node in a directory.
func (s Settings) yaml(directory string) string {
	var b strings.Builder
	backoff := ""
	if s.RestartBackoff > 0 {
		backoff = fmt.Sprintf("  instance_restart_backoff: %s\n", s.RestartBackoff)
	}
	fmt.Fprintf(&b, `metrics:
  wal_directory: %q
%s  global:
    scrape_interval: 15s
    external_labels: {node: %q}
    remote_write:
      - url: %q
        queue_config: {batch_send_deadline: 500ms, max_backoff: 1s}
  scraping_service:
    enabled: true
    lifecycler:
      id: %q
`, directory+"/wal", backoff, s.Name, s.Receiver, s.Name)
	if s.SessionTTL > 0 {
		fmt.Fprintf(&b, "      ring: {heartbeat_timeout: %s}\n", s.SessionTTL)
	}
	if s.WhenIsolated != "" {
		fmt.Fprintf(&b, "    when_isolated: %s\n", s.WhenIsolated)
	}
	b.WriteString("    kvstore:\n")
	if s.Etcd != "" {
		fmt.Fprintf(&b, "      store: etcd\n      etcd: {endpoints: [%q]}\n", s.Etcd)
		return b.String()
	}
	if s.Consul != "" {
		fmt.Fprintf(&b, "      store: consul\n      consul: {host: %q, watch_rate_limit: 10, watch_burst_size: 10}\n", s.Consul)
		return b.String()
	}
	fmt.Fprintf(&b, "      store: embedded\n      embedded:\n        data_directory: %q\n", directory+"/store")
	if len(s.Peers) > 0 {
		b.WriteString("        peers:\n")
	}
	for _, p := range s.Peers {
		fmt.Fprintf(&b, "          - {name: %q, url: %q}\n", p.Name, "http://"+p.Address)
	}
	return b.String()
}
