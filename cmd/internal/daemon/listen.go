package daemon

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v3"
	"golang.org/x/net/netutil"

	"github.com/ringmaster-agent/ringmaster/config"
)

// HTTPLimits bound what clients of the API may take. A zero has the default.
type HTTPLimits struct {
	// Read and Write are for one request, Idle is for a connection between two.
	Read, Write, Idle time.Duration
	// Connections is how many there may be at once.
	Connections int
}

// listen opens the HTTP listener, with TLS if agent.yaml asks for it.
func listen(address string, server config.Server, limits HTTPLimits) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listen on %s: another process uses this port; end it or choose another address with -server.http.address", address)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on -server.http.address: %w", err)
	}
	listener = netutil.LimitListener(listener, cmp.Or(limits.Connections, maxConnections(openFiles())))
	if server.HTTPTLS == nil {
		return listener, nil
	}
	settings, err := web.ConfigToTLSConfig(server.HTTPTLS)
	if err != nil {
		_ = listener.Close()
		return nil, fmt.Errorf("apply server.http_tls_config: %w", err)
	}
	return tls.NewListener(listener, settings), nil
}

// maxConnections is how many connections to the API there may be at once: a quarter of what the
// process may have open, so that logs can be written and targets scraped whoever connects. More
// wait; those that say nothing are closed after ten seconds.
func maxConnections(openFiles uint64) int { return int(min(max(openFiles/4, 16), 10_000)) }

// checkWebConfig refuses a web config file that is broken, or at odds with agent.yaml, and says
// whether one of the two asks for TLS.
func checkWebConfig(file string, server config.Server) (secured bool, err error) {
	secured = server.HTTPTLS != nil
	if file == "" {
		return secured, nil
	}
	if err := web.Validate(file); err != nil {
		return false, fmt.Errorf("apply -server.web-config: %w", err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return false, fmt.Errorf("read -server.web-config: %w", err)
	}
	var content struct {
		TLS web.TLSConfig `yaml:"tls_server_config"`
	}
	if err := yaml.Unmarshal(text, &content); err != nil {
		return false, fmt.Errorf("read -server.web-config: %w", err)
	}
	if secured && content.TLS.IsEnabled() {
		return false, fmt.Errorf("apply -server.web-config: %s has TLS settings, and so has server.http_tls_config; remove one of the two", file)
	}
	return secured || content.TLS.IsEnabled(), nil
}

// checkAdvertised refuses a listener that only this host can reach while others are told to reach
// it elsewhere.
func checkAdvertised(listener net.Addr, lifecycler config.Lifecycler) error {
	tcp, ok := listener.(*net.TCPAddr)
	if !ok || !tcp.IP.IsLoopback() || lifecycler.Address == "" {
		return nil
	}
	if advertised := net.ParseIP(lifecycler.Address); advertised != nil && advertised.IsLoopback() || lifecycler.Address == "localhost" {
		return nil
	}
	return fmt.Errorf("check addresses: metrics.scraping_service.lifecycler.address tells others to reach this node at %s, but it listens on %s; set -server.http.address to an address that they can reach",
		lifecycler.Address, listener)
}

// nodeName is how the node calls itself.
func nodeName(lifecycler config.Lifecycler, hostname string) string {
	if lifecycler.ID != "" {
		return lifecycler.ID
	}
	return hostname
}
