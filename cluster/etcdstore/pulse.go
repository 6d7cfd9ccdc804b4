package etcdstore

import (
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	// quietTime is how long a connection may receive nothing before its server is asked whether it
	// is there.
	quietTime = 3 * time.Second
	// lookEvery is how often that is looked at. So a silent server is found within five seconds.
	lookEvery = time.Second
	// quietAnswer is how long that server has to answer.
	quietAnswer = time.Second
)

// pulse notices a server that is silent: its process was stopped or its host hangs, while the
// kernel goes on to accept what is sent. gRPC notices that after 13 s (it sends no pings at shorter
// intervals than 10 s), and until then it gives every third request to one such server of three.
// That is longer than a session lives.
//
// So a connection that receives nothing makes pulse ask the server GET /version, beside gRPC. A
// server that is slow, or has no leader, answers that. If nothing at all answers, the server's
// connections are closed: what was waiting on them fails, watches and sessions go on at other
// endpoints, and gRPC uses this one again when it answers.
type pulse struct {
	logger *zap.Logger
	scheme string
	hosts  map[string]bool // the endpoints' host:port
	http   *http.Client
	wake   chan struct{}

	mu     sync.Mutex
	conns  map[*pulseConn]struct{}
	silent map[string]bool // hosts that didn't answer when they were last asked
	// answered is when a host answered last, which is as good as hearing something from it.
	answered map[string]time.Time
}

func newPulse(endpoints []*url.URL, tlsConfig *tls.Config, logger *zap.Logger) *pulse {
	p := &pulse{
		logger: logger, scheme: endpoints[0].Scheme, hosts: map[string]bool{}, wake: make(chan struct{}, 1),
		conns: map[*pulseConn]struct{}{}, silent: map[string]bool{}, answered: map[string]time.Time{},
		http: &http.Client{
			Transport:     &http.Transport{TLSClientConfig: tlsConfig.Clone(), MaxIdleConnsPerHost: 1},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	for _, u := range endpoints {
		p.hosts[u.Host] = true
	}
	return p
}

// run checks all connections now and then, and those that doubt is about at once.
func (p *pulse) run(ctx context.Context) {
	defer p.http.CloseIdleConnections()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			p.check(ctx, quietTime, quietAnswer)
		case <-p.wake:
			p.check(ctx, renewDoubt, diagnoseTimeout)
		}
	}
}

// doubt has the connections checked that received nothing for renewDoubt.
func (p *pulse) doubt() {
	select {
	case p.wake <- struct{}{}:
	default: // it is about to check
	}
}

// check closes the connections that received nothing for quiet and whose server says nothing for
// patience, if another server is there: without one there is nowhere to go, and it may be this machine
// that has no time.
func (p *pulse) check(ctx context.Context, quiet, patience time.Duration) {
	now := time.Now()
	asked, elsewhere := p.quietHosts(now.Add(-quiet))
	var all sync.WaitGroup
	var mu sync.Mutex
	for _, host := range slices.Collect(maps.Keys(asked)) {
		all.Go(func() {
			silent := p.isSilent(ctx, host, patience)
			mu.Lock()
			defer mu.Unlock()
			asked[host] = silent
			elsewhere = elsewhere || !silent
		})
	}
	all.Wait()
	if ctx.Err() != nil || !elsewhere {
		return
	}
	for host, silent := range asked {
		p.conclude(host, silent, now.Add(-quiet))
	}
}

// quietHosts are those with a connection that has heard nothing since, and those that were silent
// when they were last asked. The second result says whether another one was heard since.
func (p *pulse) quietHosts(since time.Time) (quiet map[string]bool, others bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	quiet = maps.Clone(p.silent)
	for c := range p.conns {
		if !c.heard().After(since) && !p.answered[c.host].After(since) {
			quiet[c.host] = true
		}
	}
	for c := range p.conns {
		others = others || !quiet[c.host] && (c.last.Load() > 0 || p.answered[c.host].After(since))
	}
	return quiet, others
}

// isSilent asks a server for anything. An error is an answer, too, unless it is that of a time-out.
func (p *pulse) isSilent(ctx context.Context, host string, patience time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.scheme+"://"+host+"/version", nil)
	if err != nil {
		return false
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
	}
	_ = resp.Body.Close()
	return false
}

// conclude closes a silent server's connections that have heard nothing since, and tells the log of
// a change.
func (p *pulse) conclude(host string, silent bool, since time.Time) {
	p.mu.Lock()
	if !silent {
		p.answered[host] = time.Now()
	}
	var closed []*pulseConn
	for c := range p.conns {
		if silent && c.host == host && !c.heard().After(since) {
			closed = append(closed, c)
		}
	}
	silent = silent && (len(closed) > 0 || p.silent[host])
	changed := p.silent[host] != silent
	if silent {
		p.silent[host] = true
	} else {
		delete(p.silent, host)
	}
	p.mu.Unlock()
	for _, c := range closed {
		_ = c.Close()
	}
	switch {
	case changed && silent:
		p.logger.Warn("store endpoint is silent, its connections were closed", zap.String("endpoint", host))
	case changed:
		p.logger.Info("store endpoint answers again", zap.String("endpoint", host))
	}
}

// credentials are what gRPC needs to tell pulse of its connections.
func (p *pulse) credentials(tlsConfig *tls.Config) credentials.TransportCredentials {
	if tlsConfig == nil {
		return pulseCredentials{insecure.NewCredentials(), p}
	}
	return pulseCredentials{credentials.NewTLS(tlsConfig), p}
}

// pulseCredentials see each connection before it is used. A dialer of our own would see them too,
// but would make gRPC ignore the environment's proxies.
type pulseCredentials struct {
	credentials.TransportCredentials
	pulse *pulse
}

func (c pulseCredentials) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	host := authority
	if !c.pulse.hosts[host] {
		host = raw.RemoteAddr().String() // a name to verify replaced the endpoint's
	}
	conn := c.pulse.follow(host, raw)
	secure, info, err := c.TransportCredentials.ClientHandshake(ctx, authority, conn)
	if err != nil {
		_ = conn.Close()
	}
	return secure, info, err
}

func (c pulseCredentials) Clone() credentials.TransportCredentials {
	return pulseCredentials{c.TransportCredentials.Clone(), c.pulse}
}

func (p *pulse) follow(host string, raw net.Conn) *pulseConn {
	c := &pulseConn{Conn: raw, pulse: p, host: host, opened: time.Now()}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = struct{}{}
	return c
}

// pulseConn remembers when it last received something.
type pulseConn struct {
	net.Conn
	pulse  *pulse
	host   string
	opened time.Time
	last   atomic.Int64 // ns since opened
}

func (c *pulseConn) heard() time.Time { return c.opened.Add(time.Duration(c.last.Load())) }

func (c *pulseConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.last.Store(int64(time.Since(c.opened)))
	}
	return n, err
}

func (c *pulseConn) Close() error {
	c.pulse.mu.Lock()
	delete(c.pulse.conns, c)
	c.pulse.mu.Unlock()
	return c.Conn.Close()
}
