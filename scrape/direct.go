package scrape

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	config_util "github.com/prometheus/common/config"
)

const (
	maxHeaderBytes = 10 << 20 // of a response, with those 1xx before it; as net/http
	// defaultIdleTimeout is Prometheus'.
	defaultIdleTimeout = 5 * time.Minute
)

var errHeaderBytes = fmt.Errorf("net/http: server response headers exceeded %d bytes; aborted", maxHeaderBytes)

// direct makes the requests to one target that speaks plain HTTP/1.1, which most do. It has at most
// one connection. net/http keeps two goroutines and 8 KiB of buffers for each idle connection, and
// passes each request between three goroutines; here a scrape reads and writes by itself, and an
// idle connection is a file descriptor. Requests and responses are written and parsed by net/http.
// Whatever is not plain goes to the client's own transport: TLS, authentication, proxies, redirects
// elsewhere.
//
// It belongs to the goroutine that scrapes.
type direct struct {
	client      *client
	network     string
	address     string // to dial
	host        string // of the URLs it is for
	idleTimeout time.Duration

	idle      net.Conn // nil: none
	idleSince time.Time
	interval  time.Duration // between scrapes

	// head is what a request to head.url begins with: the lines with the URL and the host.
	head struct {
		url   *url.URL
		lines []byte
	}
}

// exchange is a request on its way. It is pooled.
type exchange struct {
	out bytes.Buffer
	in  *bufio.Reader
	raw boundedReader
}

// newDirect returns nil if the target needs more than a plain connection.
func newDirect(j *job, c *client, t *target) *direct {
	if t.urlErr != nil || t.url.Scheme != "http" || t.url.User != nil || t.url.Hostname() == "" ||
		j.options.HTTPDisableKeepAlives || !isPlain(&j.config.HTTPClientConfig) {
		return nil
	}
	for _, char := range t.url.Host {
		if char >= 0x80 {
			return nil
		}
	}
	d := &direct{client: c, network: "tcp", host: t.url.Host, interval: t.interval, idleTimeout: j.options.HTTPIdleConnTimeout}
	if d.idleTimeout == 0 {
		d.idleTimeout = defaultIdleTimeout
	}
	port := t.url.Port()
	if port == "" {
		port = "80"
	}
	d.address = net.JoinHostPort(t.url.Hostname(), port)
	if t.socket != "" {
		d.network, d.address = "unix", t.socket
	}
	return d
}

// isPlain reports whether a config changes nothing about requests over plain HTTP.
func isPlain(c *config_util.HTTPClientConfig) bool {
	return c.BasicAuth == nil && c.Authorization == nil && c.OAuth2 == nil && c.BearerToken == "" && c.BearerTokenFile == "" &&
		c.HTTPHeaders == nil && c.ProxyURL.URL == nil && !c.ProxyFromEnvironment
}

// get makes the request of a scrape, which has this header. What an http.Client does about it beyond
// one round trip is left to one only if the answer is a redirect.
func (d *direct) get(ctx context.Context, r *http.Request, header *requestHeader) (*http.Response, error) {
	response, err := d.roundTrip(ctx, r, header)
	if err != nil {
		return nil, &url.Error{Op: "Get", URL: r.URL.String(), Err: err} // as http.Client
	}
	if response.StatusCode/100 != 3 || response.Header.Get("Location") == "" {
		return response, nil
	}
	client := &http.Client{Transport: &redirected{first: response, direct: d}, CheckRedirect: d.client.CheckRedirect}
	return client.Do(r.WithContext(ctx))
}

// redirected is an http.RoundTripper whose first answer may be there already.
type redirected struct {
	first  *http.Response // nil: none
	direct *direct
}

// RoundTrip implements http.RoundTripper.
func (t *redirected) RoundTrip(r *http.Request) (*http.Response, error) {
	if first := t.first; first != nil {
		t.first = nil
		return first, nil
	}
	if r.URL.Scheme != "http" || r.URL.Host != t.direct.host {
		return t.direct.client.Transport.RoundTrip(r)
	}
	return t.direct.roundTrip(r.Context(), r, nil)
}

// roundTrip makes one request. header is nil if it is not a scrape's, as it was made.
func (d *direct) roundTrip(ctx context.Context, r *http.Request, header *requestHeader) (*http.Response, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err // a redirect may come when the time is over
		}
		conn, reused, err := d.connect(ctx)
		if err != nil {
			return nil, because(ctx, err)
		}
		response, silent, err := d.ask(ctx, conn, r, header)
		if err == nil {
			return response, nil
		}
		_ = conn.Close()
		if !reused || !silent || ctx.Err() != nil {
			return nil, because(ctx, err)
		}
	}
}

// because prefers the end of a context to what it brought about.
func because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// connect returns the idle connection, if it is still good, or a new one.
func (d *direct) connect(ctx context.Context) (conn net.Conn, reused bool, err error) {
	if conn = d.idle; conn != nil {
		d.idle = nil
		if time.Since(d.idleSince) < d.idleTimeout && isQuiet(conn) {
			return conn, true, nil
		}
		_ = conn.Close()
	}
	dial := d.client.shared.dial
	if dial == nil || d.network == "unix" {
		dial = new(net.Dialer).DialContext
	}
	conn, err = dial(ctx, d.network, d.address)
	return conn, false, err
}

// ask sends a request and reads the response's header. silent says that the other side has not
// answered a byte.
func (d *direct) ask(
	ctx context.Context, conn net.Conn, r *http.Request, header *requestHeader,
) (_ *http.Response, silent bool, err error) {
	x := d.client.shared.exchange(conn)
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		if err != nil {
			stop()
			d.client.shared.exchanges.Put(x)
		}
	}()
	if err := d.write(&x.out, r, header); err != nil {
		return nil, false, err
	}
	if _, err := conn.Write(x.out.Bytes()); err != nil {
		return nil, true, err
	}
	response, err := x.response(r)
	if err != nil {
		return nil, x.raw.total == 0, err
	}
	keep := !response.Close && response.StatusCode != http.StatusSwitchingProtocols
	response.Body = &directBody{ReadCloser: response.Body, direct: d, conn: conn, exchange: x, stop: stop, ctx: ctx, keep: keep}
	return response, false, nil
}

// write writes a request as net/http does. Of one target it is the same each time, and is put
// together of what net/http has written before: 0.1 µs in place of 4.
func (d *direct) write(out *bytes.Buffer, r *http.Request, header *requestHeader) error {
	if header != nil && d.head.url == r.URL {
		out.Write(d.head.lines)
		out.Write(header.lines)
		return nil
	}
	if err := r.Write(out); err != nil {
		return err
	}
	if head, lines := cutHead(out.Bytes()); header != nil && bytes.Equal(lines, header.lines) {
		d.head.url, d.head.lines = r.URL, bytes.Clone(head)
	}
	return nil
}

// response reads a response's header.
func (x *exchange) response(r *http.Request) (*http.Response, error) {
	if _, err := x.in.Peek(1); err != nil {
		return nil, err
	}
	for {
		response, err := http.ReadResponse(x.in, r)
		switch {
		case err != nil:
			return nil, fmt.Errorf("net/http: HTTP/1.x transport connection broken: %w", err)
		case response.StatusCode < 100 || response.StatusCode > 199 || response.StatusCode == http.StatusSwitchingProtocols:
			x.raw.left = 1 << 62 // the body has limits of its own
			return response, nil
		}
	}
}

// release keeps the connection for the next scrape, or closes it: also if it would be idle for too
// long until then.
func (d *direct) release(conn net.Conn, keep bool) {
	if keep && d.idle == nil && d.interval < d.idleTimeout {
		d.idle, d.idleSince = conn, time.Now()
		return
	}
	_ = conn.Close()
}

// close closes the idle connection.
func (d *direct) close() {
	if d != nil && d.idle != nil {
		_ = d.idle.Close()
		d.idle = nil
	}
}

// directBody is a response's body. When it was read to its end the connection is free again.
type directBody struct {
	io.ReadCloser
	direct   *direct
	conn     net.Conn
	exchange *exchange
	stop     func() bool // ends the watch over the context
	ctx      context.Context
	keep     bool
}

func (b *directBody) Read(p []byte) (int, error) {
	if b.conn == nil {
		return 0, io.EOF
	}
	n, err := b.ReadCloser.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		b.end(b.keep)
	case err != nil:
		err = because(b.ctx, err)
		b.end(false)
	}
	return n, err
}

// Close does not read on.
func (b *directBody) Close() error {
	b.end(false)
	return nil
}

// end lets the connection go, once. What came after the response makes it useless.
func (b *directBody) end(keep bool) {
	if b.conn == nil {
		return
	}
	watched := b.stop()
	b.direct.release(b.conn, keep && watched && b.exchange.in.Buffered() == 0)
	b.direct.client.shared.exchanges.Put(b.exchange)
	b.conn, b.exchange = nil, nil
}

// boundedReader reads no more than left.
type boundedReader struct {
	conn        net.Conn
	left, total int64
}

func (r *boundedReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, errHeaderBytes
	}
	n, err := r.conn.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	r.total += int64(n)
	return n, err
}

// exchange returns one for a connection.
func (s *Shared) exchange(conn net.Conn) *exchange {
	x, ok := s.exchanges.Get().(*exchange)
	if !ok {
		x = &exchange{in: bufio.NewReader(nil)}
	}
	x.out.Reset()
	x.raw = boundedReader{conn: conn, left: maxHeaderBytes}
	x.in.Reset(&x.raw)
	return x
}
