package etcdstore

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// DefaultDialTimeout is Config.DialTimeout where that is 0.
const DefaultDialTimeout = 10 * time.Second

// Config says how to reach an external etcd cluster.
type Config struct {
	// Endpoints are the members' client addresses, as host:port, http://host:port or
	// https://host:port. At least one.
	Endpoints []string
	// DialTimeout bounds one attempt to connect, and any call whose context has no deadline. 0 is
	// DefaultDialTimeout.
	DialTimeout time.Duration
	// MaxRetries is how often one request is tried again on another endpoint while none is known to
	// work, within its deadline. 0 is etcd's default (100). A write that may have reached a server
	// is never repeated.
	MaxRetries uint
	// TLS, if not nil, makes all connections use it. Endpoints with https:// use TLS in any case.
	TLS *TLS
	// Username and Password log in to an etcd that has authentication enabled.
	Username, Password string
	// Logger gets a line whenever the store becomes reachable or unreachable. nil logs nothing.
	Logger *zap.Logger
}

// TLS is how to encrypt. All fields may be empty: then the system's certificate authorities are
// trusted.
type TLS struct {
	// CertFile and KeyFile identify this client; both or neither. They are read again at every
	// connection, so they may be renewed on disk.
	CertFile, KeyFile string
	// CAFile holds the certificate authorities to trust instead of the system's.
	CAFile string
	// ServerName is the name to verify instead of the endpoint's host.
	ServerName string
	// InsecureSkipVerify accepts any certificate.
	InsecureSkipVerify bool
}

// normalise checks what can be checked without a network, and returns the endpoints as URLs of one
// scheme.
func (c *Config) normalise() ([]*url.URL, error) {
	if len(c.Endpoints) == 0 {
		return nil, errors.New("no etcd endpoint is given")
	}
	if c.Password != "" && c.Username == "" {
		return nil, errors.New("an etcd password is given, but no username")
	}
	if c.DialTimeout < 0 {
		return nil, fmt.Errorf("etcd dial timeout is negative: %s", c.DialTimeout)
	}
	var endpoints []*url.URL
	for _, text := range c.Endpoints {
		u, err := c.parseEndpoint(text)
		if err != nil {
			return nil, fmt.Errorf("etcd endpoint %q: %w", text, err)
		}
		if u.Scheme != "http" && u.Scheme != "https" || len(endpoints) > 0 && u.Scheme != endpoints[0].Scheme {
			return nil, fmt.Errorf("etcd endpoint %q: all endpoints must use http, or all https", text)
		}
		endpoints = append(endpoints, u)
	}
	return endpoints, nil
}

func (c *Config) parseEndpoint(text string) (*url.URL, error) {
	if !strings.Contains(text, "://") {
		scheme := "http"
		if c.TLS != nil {
			scheme = "https"
		}
		text = scheme + "://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(u.Host)
	switch {
	case err != nil || host == "" || port == "":
		return nil, errors.New("want host:port (etcd's usual port is 2379)")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("want host:port or http://host:port, nothing behind it")
	case u.User != nil:
		return nil, errors.New("put the user name and password into their own settings")
	case c.TLS != nil && u.Scheme == "http":
		return nil, errors.New("TLS is enabled, but the endpoint says http://")
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

// clientTLS returns nil for plain text.
func (c *Config) clientTLS(scheme string) (*tls.Config, error) {
	if scheme != "https" {
		return nil, nil
	}
	if c.TLS == nil {
		return &tls.Config{MinVersion: tls.VersionTLS12}, nil
	}
	t := c.TLS
	conf := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         t.ServerName,
		InsecureSkipVerify: t.InsecureSkipVerify, //nolint:gosec // the user asked for it
	}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read certificate authorities for etcd: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read certificate authorities for etcd: no certificate in %s", t.CAFile)
		}
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		return nil, errors.New("the certificate and the key for etcd must be given together")
	}
	if t.CertFile != "" {
		load := func() (*tls.Certificate, error) {
			cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
			if err != nil {
				return nil, fmt.Errorf("read client certificate for etcd: %w", err)
			}
			return &cert, nil
		}
		if _, err := load(); err != nil {
			return nil, err
		}
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	}
	return conf, nil
}

// placeholderToken is not a token of any server. See newClient.
const placeholderToken = "none yet"

// newClient returns without having talked to anybody.
func (c *Config) newClient(endpoints []*url.URL, tlsConfig *tls.Config, watchdog *pulse, logger *zap.Logger) (*clientv3.Client, error) {
	conf := clientv3.Config{
		TLS:             tlsConfig,
		MaxUnaryRetries: c.MaxRetries,
		Logger:          logger,
		// A connection whose peer is gone without a word is noticed after the sum of the two, if
		// not by pulse before. gRPC allows no shorter interval than 10 s.
		DialKeepAliveTime:    10 * time.Second,
		DialKeepAliveTimeout: 3 * time.Second,
		DialOptions: []grpc.DialOption{grpc.WithTransportCredentials(watchdog.credentials(tlsConfig)), grpc.WithConnectParams(grpc.ConnectParams{
			// gRPC would wait up to two minutes between attempts, and so long a restarted etcd
			// would go unnoticed.
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: c.DialTimeout,
		})},
	}
	if tlsConfig != nil && tlsConfig.ServerName != "" {
		// gRPC verifies each address by its own name and overlooks the one in the TLS config.
		conf.DialOptions = append(conf.DialOptions, grpc.WithAuthority(tlsConfig.ServerName))
	}
	for _, u := range endpoints {
		conf.Endpoints = append(conf.Endpoints, u.String())
	}
	if c.Username == "" {
		return clientv3.New(conf)
	}
	// With a user name in its config the client logs in before it is constructed, and fails if the
	// server is away. With a token it doesn't; a token that the server refuses makes it log in with
	// what is in these fields.
	conf.Token = placeholderToken
	client, err := clientv3.New(conf)
	if err != nil {
		return nil, err
	}
	client.Token, client.Username, client.Password = "", c.Username, c.Password
	return client, nil
}
