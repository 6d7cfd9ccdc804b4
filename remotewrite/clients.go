package remotewrite

import (
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/storage/remote"
	"golang.org/x/sync/semaphore"
)

const (
	// maxPooledRound is how many bytes of batches a pooled round keeps.
	maxPooledRound = 512 << 10
	// maxPooledPress is how many bytes of buffers a pooled press keeps. A lane's full batch of
	// ordinary samples takes half a MiB.
	maxPooledPress = 16 << 20
	// maxSending is how many bytes of batches all endpoints of a process hold at once, as estimated
	// before they are read.
	maxSending = 64 << 20
	// maxSendingEach is the same for one destination: a receiver that hangs leaves room for the others.
	maxSendingEach = maxSending / 4
	// maxRedirects is how many redirects a request follows.
	maxRedirects = 5
)

// Clients is what the endpoints of a process share: destinations by the content of their
// configuration (secrets included), so that thousands of instances with one receiver use the same
// connections and wait for it together, and the buffers of rounds. The zero value is not usable.
type Clients struct {
	// UserAgent is the header that receivers are told. "": Ringmaster/ and the version that the
	// binary says of itself.
	UserAgent string

	// Wrap is put around the transport of each client. nil: nothing is. Set it before the first use.
	Wrap func(http.RoundTripper) http.RoundTripper

	mu       sync.Mutex
	byDigest map[digest]*destination
	// connect builds a client; tests replace it.
	connect func(*promconfig.RemoteWriteConfig) (*http.Client, error)
	rounds  sync.Pool
	presses sync.Pool
	// latency is how long receivers take to answer.
	latency prometheus.Histogram
	// sending bounds the bytes of batches in memory.
	sending *semaphore.Weighted
}

// NewClients returns an empty set.
func NewClients() *Clients {
	c := &Clients{byDigest: map[digest]*destination{}, connect: connect, sending: semaphore.NewWeighted(maxSending)}
	c.latency = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: metricPrefix + "sent_batch_duration_seconds", Help: "Time from a request's start to its answer, of all endpoints.",
		Buckets: append(slices.Clone(prometheus.DefBuckets), 25, 60, 120, 300), // as Prometheus has them
	})
	c.rounds.New = func() any { return newRound() }
	c.presses.New = func() any { return newPress() }
	return c
}

// Latency is the histogram of how long receivers take to answer; the caller registers it.
func (c *Clients) Latency() prometheus.Collector { return c.latency }

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
	if cfg.HTTPClientConfig.FollowRedirects {
		client.Client.CheckRedirect = checkRedirect
	}
	return client.Client, nil
}

// checkRedirect follows 307 and 308. Others turn a POST into a GET without a body, whose 200 says
// nothing about the samples.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if req.Method != http.MethodPost || len(via) > maxRedirects {
		return http.ErrUseLastResponse
	}
	return nil
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

// acquire returns the destination of cfg, which its user releases.
func (c *Clients) acquire(cfg *promconfig.RemoteWriteConfig) (*destination, error) {
	id := digestOf(clientConfig(cfg))
	c.mu.Lock()
	defer c.mu.Unlock()
	if d, ok := c.byDigest[id]; ok {
		d.users.Add(1)
		return d, nil
	}
	client, err := c.connect(cfg)
	if err != nil {
		return nil, err
	}
	if c.Wrap != nil {
		client.Transport = c.Wrap(client.Transport)
	}
	d := newDestination(c, client, id)
	c.byDigest[id] = d
	return d, nil
}

// release ends a use. The last one asks for idle connections to be closed; those that Prometheus'
// client hides behind its tracing wrapper end by their own idle timeout of five minutes.
func (d *destination) release() {
	d.owner.mu.Lock()
	last := d.users.Add(-1) == 0
	if last {
		delete(d.owner.byDigest, d.digest)
	}
	d.owner.mu.Unlock()
	if last {
		d.joiner.close()
		d.runs.close()
		d.client.CloseIdleConnections()
	}
}

func (c *Clients) userAgent() string {
	if c.UserAgent != "" {
		return c.UserAgent
	}
	return UserAgent(builtVersion())
}

func (c *Clients) borrowRound() *round {
	r, _ := c.rounds.Get().(*round)
	return r
}

func (c *Clients) returnRound(r *round) {
	r.release(maxPooledRound)
	c.rounds.Put(r)
}

func (c *Clients) borrowPress() *press {
	p, _ := c.presses.Get().(*press)
	return p
}

// returnPress keeps the buffers of some thirty lanes with full batches. They are few, and the
// garbage collector empties a pool that is not used.
func (c *Clients) returnPress(p *press) {
	if p.shared.reset(); p.shared.memory() > maxPooledRound {
		p.shared = encoder2{}
	}
	kept := cap(p.scratch) + cap(p.headed) + cap(p.joined) + p.shared.memory()
	for i := range p.raws {
		if kept += cap(p.raws[i]); kept > maxPooledPress {
			p.raws = p.raws[:i]
			break
		}
	}
	c.presses.Put(p)
}
