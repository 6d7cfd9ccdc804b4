package clusterview

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/exporter-toolkit/web"
	"go.uber.org/zap"
	"go.yaml.in/yaml/v3"

	"github.com/ringmaster-agent/ringmaster/config"
)

// PeerClient asks other nodes. Over TLS it trusts certificates signed by the system's roots, this
// node's own certificate, or the authority that this node checks its clients with; to a node that
// demands a certificate of its clients it shows this node's own. Connections are not kept: nodes
// are asked when a person asks.
func PeerClient(webConfigFile string, server config.Server, logger *zap.Logger) *http.Client {
	transport := &http.Transport{
		DialContext:           (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
		TLSHandshakeTimeout:   3 * time.Second,
		ResponseHeaderTimeout: 10 * time.Second,
		DisableKeepAlives:     true,
	}
	settings, err := serverTLS(webConfigFile, server)
	if err == nil && settings != nil {
		transport.TLSClientConfig, err = peerTLS(*settings)
	}
	if err != nil {
		logger.Warn("trusting certificates of other nodes only if signed by the system's roots", zap.Error(err))
	}
	return &http.Client{Transport: transport}
}

// serverTLS is how this node serves TLS; nil if it does not.
func serverTLS(webConfigFile string, server config.Server) (*web.TLSConfig, error) {
	if server.HTTPTLS != nil || webConfigFile == "" {
		return server.HTTPTLS, nil
	}
	text, err := os.ReadFile(webConfigFile)
	if err != nil {
		return nil, fmt.Errorf("read -server.web-config: %w", err)
	}
	var content struct {
		TLS web.TLSConfig `yaml:"tls_server_config"`
	}
	if err := yaml.Unmarshal(text, &content); err != nil {
		return nil, fmt.Errorf("read -server.web-config: %w", err)
	}
	if !content.TLS.IsEnabled() {
		return nil, nil
	}
	content.TLS.SetDirectory(filepath.Dir(webConfigFile))
	return &content.TLS, nil
}

// peerTLS is what asking other nodes needs, if they are configured as this one is.
func peerTLS(server web.TLSConfig) (*tls.Config, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	certificate, err := textOrFile(server.TLSCert, server.TLSCertPath)
	if err != nil {
		return nil, fmt.Errorf("read the server's certificate: %w", err)
	}
	authority, err := textOrFile(server.ClientCAsText, server.ClientCAs)
	if err != nil {
		return nil, fmt.Errorf("read the clients' authority: %w", err)
	}
	roots.AppendCertsFromPEM(certificate)
	roots.AppendCertsFromPEM(authority)
	client := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if strings.HasPrefix(server.ClientAuth, "Require") {
		// Read anew each time, as the server does: certificates are replaced while agents run.
		client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return keyPair(server) }
	}
	return client, nil
}

func keyPair(server web.TLSConfig) (*tls.Certificate, error) {
	certificate, err := textOrFile(server.TLSCert, server.TLSCertPath)
	if err != nil {
		return nil, fmt.Errorf("read the server's certificate: %w", err)
	}
	key, err := textOrFile(string(server.TLSKey), server.TLSKeyPath)
	if err != nil {
		return nil, fmt.Errorf("read the server's key: %w", err)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	return &pair, err
}

// textOrFile is nil if neither is given.
func textOrFile(text, file string) ([]byte, error) {
	if text != "" || file == "" {
		return []byte(text), nil
	}
	return os.ReadFile(file)
}
