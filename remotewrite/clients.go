package remotewrite

import (
	"fmt"
	"net/http"
	"sync"

	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/storage/remote"
)

// maxPooledRound is how many bytes of buffers a pooled round keeps. One lane with a full batch of 2,000 samples takes about 1.2 MiB.
const maxPooledRound = 2 << 20

// Clients is what the endpoints of a process share: HTTP clients by the content of their configuration (secrets included), so that
// thousands of instances with one destination use the same connections, and the buffers of rounds. The zero value is not usable.
type Clients struct {
	mu       sync.Mutex
	byDigest map[digest]*sharedClient
	// connect builds a client; tests replace it.
	connect func(*promconfig.RemoteWriteConfig) (*http.Client, error)
	rounds  sync.Pool
}

type sharedClient struct {
	*http.Client
	owner  *Clients
	digest digest
	users  int
}

// NewClients returns an empty set.
func NewClients() *Clients {
	c := &Clients{byDigest: map[digest]*sharedClient{}, connect: connect}
	c.rounds.New = func() any { return newRound() }
	return c
}

// connect builds an HTTP client with Prometheus' own authentication, TLS, proxy and header handling.
func connect(cfg *promconfig.RemoteWriteConfig) (*http.Client, error) {
	c, err := remote.NewWriteClient(cfg.Name, clientConfig(cfg))
	if err != nil {
		return nil, fmt.Errorf("create client of remote_write %q: %w", cfg.Name, err)
	}
	client, ok := c.(*remote.Client)
	if !ok {
		return nil, fmt.Errorf("create client of remote_write %q: unexpected type %T", cfg.Name, c)
	}
	return client.Client, nil
}

func clientConfig(cfg *promconfig.RemoteWriteConfig) *remote.ClientConfig {
	return &remote.ClientConfig{
		URL:              cfg.URL,
		Timeout:          cfg.RemoteTimeout,
		HTTPClientConfig: cfg.HTTPClientConfig,
		SigV4Config:      cfg.SigV4Config,
		AzureADConfig:    cfg.AzureADConfig,
		GoogleIAMConfig:  cfg.GoogleIAMConfig,
		Headers:          cfg.Headers,
		RetryOnRateLimit: cfg.QueueConfig.RetryOnRateLimit,
		WriteProtoMsg:    cfg.ProtobufMessage,
		RoundRobinDNS:    cfg.RoundRobinDNS,
	}
}

// acquire returns the client for cfg, which its user releases.
func (c *Clients) acquire(cfg *promconfig.RemoteWriteConfig) (*sharedClient, error) {
	id := digestOf(clientConfig(cfg))
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, ok := c.byDigest[id]; ok {
		s.users++
		return s, nil
	}
	client, err := c.connect(cfg)
	if err != nil {
		return nil, err
	}
	s := &sharedClient{Client: client, owner: c, digest: id, users: 1}
	c.byDigest[id] = s
	return s, nil
}

// release ends a use. The last one asks for idle connections to be closed; those that Prometheus' client hides behind its tracing
// wrapper end by their own idle timeout of five minutes.
func (s *sharedClient) release() {
	s.owner.mu.Lock()
	s.users--
	last := s.users == 0
	if last {
		delete(s.owner.byDigest, s.digest)
	}
	s.owner.mu.Unlock()
	if last {
		s.CloseIdleConnections()
	}
}

func (c *Clients) borrowRound() *round {
	r, _ := c.rounds.Get().(*round)
	return r
}

func (c *Clients) returnRound(r *round) {
	r.release(maxPooledRound)
	c.rounds.Put(r)
}
