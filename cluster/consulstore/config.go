package consulstore

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
	"go.uber.org/zap"
)

// The values of Config's fields where they are 0 or empty.
const (
	DefaultHost              = "localhost:8500"
	DefaultHTTPClientTimeout = 20 * time.Second
	DefaultCASRetryDelay     = time.Second
)

// minTTL is Consul's shortest TTL of a session (setting session_ttl_min).
const minTTL = 10 * time.Second

// Config says how to reach Consul.
type Config struct {
	// Host is a Consul agent or server: host:port, http://host:port or https://host:port, with a
	// path if a proxy wants one. Empty is DefaultHost.
	Host string
	// ACLToken is sent with every request.
	ACLToken string
	// HTTPClientTimeout bounds every request; a watch may wait for that much longer than Consul
	// blocks it. 0 is DefaultHTTPClientTimeout.
	HTTPClientTimeout time.Duration
	// ConsistentReads makes the leader confirm its leadership at each Get, List and Watch. See the
	// package comment.
	ConsistentReads bool
	// WatchRateLimit is how many listings per second one watch may ask for, in the long run; 0 is
	// no limit. It is also how late a change may be told. WatchBurstSize is how many may be asked
	// for at once after a quiet time; at least 1.
	WatchRateLimit float64
	WatchBurstSize int
	// CASRetryDelay is the mean pause before a write is tried again that met a concurrent one for
	// the second time. 0 is DefaultCASRetryDelay.
	CASRetryDelay time.Duration
	// Prefixes are those that will be listed. One that Consul's URLs can't carry is refused: each
	// listing of it would read keys that are none of ours.
	Prefixes []string
	// Logger gets a line whenever Consul becomes reachable or unreachable. nil logs nothing.
	Logger *zap.Logger

	minTTL time.Duration // tests only
}

// normalise fills in defaults and checks what can be checked without a network.
func (c *Config) normalise() (*url.URL, error) {
	if c.Host == "" {
		c.Host = DefaultHost
	}
	if c.HTTPClientTimeout == 0 {
		c.HTTPClientTimeout = DefaultHTTPClientTimeout
	}
	if c.CASRetryDelay == 0 {
		c.CASRetryDelay = DefaultCASRetryDelay
	}
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	if c.minTTL == 0 {
		c.minTTL = minTTL
	}
	c.WatchBurstSize = max(c.WatchBurstSize, 1)
	switch {
	case c.HTTPClientTimeout < 0:
		return nil, fmt.Errorf("consul http client timeout is negative: %s", c.HTTPClientTimeout)
	case c.CASRetryDelay < 0:
		return nil, fmt.Errorf("consul cas retry delay is negative: %s", c.CASRetryDelay)
	case c.WatchRateLimit < 0:
		return nil, fmt.Errorf("consul watch rate limit is negative: %g", c.WatchRateLimit)
	}
	for _, prefix := range c.Prefixes {
		if carried := urlPrefix(prefix); carried != prefix {
			return nil, fmt.Errorf("consul prefix %q: Consul could list it only by reading everything under %q; "+
				"begin it with a letter or a digit, and use letters, digits, '-', '_', ',' and single slashes", prefix, carried)
		}
	}
	u, err := parseHost(c.Host)
	if err != nil {
		return nil, fmt.Errorf("consul host %q: %w", c.Host, err)
	}
	return u, nil
}

func parseHost(text string) (*url.URL, error) {
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(u.Host)
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("want http:// or https://")
	case err != nil || host == "" || port == "":
		return nil, errors.New("want host:port (Consul's usual port is 8500)")
	case u.User != nil:
		return nil, errors.New("put the token into its own setting")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("want host:port or a URL, nothing behind it")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	return u, nil
}

// newClient returns without having talked to anybody. reach hears how every request went.
func (c *Config) newClient(u *url.URL, reach *reach) (*api.Client, *http.Transport, error) {
	dialer := &net.Dialer{
		Timeout: c.HTTPClientTimeout,
		// A peer that is gone without a word is noticed after 20 s, though a watch may wait on it
		// for minutes.
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 2},
	}
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer.DialContext,
		TLSHandshakeTimeout: c.HTTPClientTimeout,
		MaxIdleConnsPerHost: 8,
		IdleConnTimeout:     90 * time.Second,
	}
	client, err := api.NewHttpClient(transport, api.DefaultConfig().TLSConfig)
	if err != nil {
		return nil, nil, fmt.Errorf("set up TLS for consul: %w", err)
	}
	client.Transport = observed{transport, reach}
	consul, err := api.NewClient(&api.Config{
		Scheme: u.Scheme, Address: u.Host, PathPrefix: u.Path, Token: c.ACLToken, HttpClient: client,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("create consul client: %w", err)
	}
	return consul, transport, nil
}

// observed is a transport that is watched.
type observed struct {
	http.RoundTripper
	reach *reach
}

func (o observed) RoundTrip(req *http.Request) (*http.Response, error) {
	number := o.reach.begin()
	resp, err := o.RoundTripper.RoundTrip(req)
	o.reach.observe(number, req, resp, err)
	return resp, err
}
