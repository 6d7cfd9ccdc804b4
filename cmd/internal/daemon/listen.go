package daemon

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/prometheus/exporter-toolkit/web"

	"github.com/ringmaster-agent/ringmaster/config"
)

// listen opens the HTTP listener, with TLS if agent.yaml asks for it.
func listen(address string, server config.Server) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listen on %s: another process uses this port; end it or choose another address with -server.http.address", address)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on -server.http.address: %w", err)
	}
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

// checkAdvertised refuses a listener that only this host can reach while others are told to reach it elsewhere.
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
