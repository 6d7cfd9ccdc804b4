package apiclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	promcommon "github.com/prometheus/common/config"

	"github.com/ringmaster-agent/ringmaster/redact"
)

// maxAnswerBytes caps what is read of one answer: a listing of 100,000 configs with digests takes
// about 30 MB.
const maxAnswerBytes = 64 << 20

// Options say where the agent is and how to reach it.
type Options struct {
	// Address is host:port, or the agent's base URL; a path in it is kept, for agents behind a proxy.
	Address string
	// User and PasswordFile are for basic authentication, BearerTokenFile for a token. The files
	// are read at each request.
	User, PasswordFile, BearerTokenFile string
	// TLSCAFile, TLSCertFile, TLSKeyFile and TLSServerName are for https; empty: the system's CAs,
	// no client certificate.
	TLSCAFile, TLSCertFile, TLSKeyFile, TLSServerName string
	TLSInsecureSkipVerify                             bool
	// Timeout bounds one attempt; 0 is 30 s, which leaves the agent the time it grants its store.
	Timeout time.Duration
	// Retries is how often a failed attempt is repeated.
	Retries int
	// Wait is how long a Client waits, from its making on, for an agent that is starting: nothing
	// listens yet, or what listens says so. It ends with the first answer.
	Wait time.Duration
	// OnWait hears once that it waits. Nil: nobody does.
	OnWait func(address string)
	// Backoff is the wait before the attempt-th retry, from 1. Nil: jittered, doubling from 250 ms
	// to 10 s.
	Backoff func(attempt int) time.Duration
}

// Client calls one agent.
type Client struct {
	http    *http.Client
	base    string
	timeout time.Duration
	retries int
	backoff func(attempt int) time.Duration
	// until is when the wait for an agent that is starting ends.
	until    time.Time
	answered atomic.Bool
	waiting  sync.Once
	onWait   func()
}

// ErrAddress says that Options.Address is no URL of an agent.
var ErrAddress = errors.New("want host:port, http://host:port or https://host:port")

// New makes a Client. It fails with ErrAddress, if the options contradict each other, or if a file
// they name can't be read.
func New(o Options) (*Client, error) {
	if host, port, err := net.SplitHostPort(o.Address); err == nil && host != "" {
		if _, err := strconv.ParseUint(port, 10, 16); err == nil {
			o.Address = "http://" + o.Address
		}
	}
	u, err := url.Parse(o.Address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("address %q: %w", redact.URLText(o.Address), ErrAddress)
	}
	for _, f := range []string{o.PasswordFile, o.BearerTokenFile} {
		if f == "" {
			continue
		}
		if _, err := os.ReadFile(f); err != nil {
			return nil, err
		}
	}
	hc, err := promcommon.NewClientFromConfig(httpConfig(o), "agentctl")
	if err != nil {
		return nil, fmt.Errorf("set up HTTP client: %w", err)
	}
	c := &Client{http: hc, base: strings.TrimRight(o.Address, "/"), timeout: o.Timeout, retries: o.Retries, backoff: o.Backoff}
	c.until = time.Now().Add(o.Wait)
	c.onWait = func() {
		if o.OnWait != nil {
			o.OnWait(u.Host)
		}
	}
	if c.timeout <= 0 {
		c.timeout = 30 * time.Second
	}
	if c.backoff == nil {
		c.backoff = backoff
	}
	return c, nil
}

func httpConfig(o Options) promcommon.HTTPClientConfig {
	cfg := promcommon.HTTPClientConfig{
		// A redirect would turn a PUT into a GET, whose 200 would look like an upload.
		FollowRedirects: false,
		EnableHTTP2:     true,
		TLSConfig: promcommon.TLSConfig{
			CAFile: o.TLSCAFile, CertFile: o.TLSCertFile, KeyFile: o.TLSKeyFile,
			ServerName: o.TLSServerName, InsecureSkipVerify: o.TLSInsecureSkipVerify,
		},
	}
	if o.User != "" {
		cfg.BasicAuth = &promcommon.BasicAuth{Username: o.User, PasswordFile: o.PasswordFile}
	}
	if o.BearerTokenFile != "" {
		cfg.Authorization = &promcommon.Authorization{Type: "Bearer", CredentialsFile: o.BearerTokenFile}
	}
	return cfg
}

func backoff(attempt int) time.Duration {
	d := min(10*time.Second, 250*time.Millisecond<<min(attempt-1, 10))
	return d/2 + rand.N(d/2)
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// answer is what came back, whatever its status.
type answer struct {
	status   int
	location string
	body     []byte
	// retried: an earlier attempt may have been applied.
	retried bool
	// after is how long the agent says to wait before the next attempt; 0: it does not say.
	after time.Duration
}

// call sends a request until it is answered with something other than a passing failure. The error
// is that of the network.
func (c *Client) call(ctx context.Context, method, path, body string, header http.Header) (answer, error) {
	for attempt, told := 0, 0; ; attempt++ {
		a, err := c.once(ctx, method, path, body, header)
		if c.starting(a, err) {
			attempt--
			c.waiting.Do(c.onWait)
			select {
			case <-time.After(waitStep):
				continue
			case <-ctx.Done():
				return a, errors.Join(err, ctx.Err())
			}
		}
		c.answered.Store(true)
		a.retried = attempt > 0
		toldWhen := a.status == http.StatusTooManyRequests && a.after > 0 && told < mostTold
		if err == nil && !passing(a.status) || attempt >= c.retries && !toldWhen || ctx.Err() != nil {
			return a, err
		}
		pause := c.backoff(attempt + 1)
		if toldWhen { // which is no failed attempt
			pause = min(a.after, mostRetryAfter)
			attempt--
			told++
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return a, errors.Join(err, ctx.Err())
		}
	}
}

func (c *Client) once(ctx context.Context, method, path, body string, header http.Header) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	res, err := c.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswerBytes))
	if err != nil {
		return answer{}, fmt.Errorf("read answer: %w", err)
	}
	a := answer{status: res.StatusCode, location: res.Header.Get("Location"), body: text}
	if seconds, err := strconv.ParseUint(res.Header.Get("Retry-After"), 10, 16); err == nil {
		a.after = time.Duration(seconds) * time.Second
	}
	return a, nil
}

const (
	// mostRetryAfter bounds one pause that the agent asks for.
	mostRetryAfter = time.Minute
	// mostTold bounds how often a request waits because the agent asks for it.
	mostTold = 100
)

// waitStep is how often an agent that is starting is asked again.
const waitStep = 200 * time.Millisecond

// starting tells an agent that is worth waiting for. Such an attempt has changed nothing.
func (c *Client) starting(a answer, err error) bool {
	if c.answered.Load() || !time.Now().Before(c.until) {
		return false
	}
	return errors.Is(err, syscall.ECONNREFUSED) ||
		err == nil && a.status == http.StatusServiceUnavailable && strings.HasPrefix(string(a.body), "Agent is not Ready.")
}

// passing tells failures that may be over soon; 500 is what an agent answers whose store is away.
func passing(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}
