package scrape

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	config_util "github.com/prometheus/common/config"
	"github.com/stretchr/testify/require"
)

func TestAPlainTargetIsAskedOverOneConnection(t *testing.T) {
	var conns, requests atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		oneMetric(w, r)
	}))
	t.Cleanup(server.Close)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	server.Start()
	m := newMemory()
	s := newScraper(t, m)
	run(t, s, configure(t, `[{job_name: a, static_configs: [{targets: [ADDR0]}]}]`, server))
	eventually(t, func() bool { return requests.Load() > 3 }, "some scrapes")
	require.NoError(t, s.Stop(t.Context(), KeepSeries))
	require.Equal(t, int64(1), conns.Load())
	eventually(t, func() bool { return len(m.find("metric")) > 3 }, "all committed")
}

func TestAConnectionThatTheTargetClosedOrSpoiledIsReplaced(t *testing.T) {
	for name, after := range map[string]func(net.Conn){
		"closed":    func(c net.Conn) { _ = c.Close() },
		"unasked":   func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nfalse 1") },
		"half open": func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0); _ = c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			server := serveBytes(t, func(c net.Conn) {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nmetric 1\n")
				after(c)
				_, _ = io.Copy(io.Discard, c)
			})
			m := newMemory()
			s := newScraper(t, m)
			run(t, s, configure(t, `[{job_name: a, static_configs: [{targets: [ADDR0]}]}]`, server))
			eventually(t, func() bool { return len(m.find("metric")) > 3 }, "scrapes")
			require.NoError(t, s.Stop(over(), KeepSeries))
			require.Empty(t, m.find("false"))
			for _, up := range m.find("up") {
				require.Equal(t, 1.0, up.v)
			}
		})
	}
}

func TestNothingIsAskedWhenTheTimeIsOver(t *testing.T) {
	shared := NewShared()
	shared.dial = func(context.Context, string, string) (net.Conn, error) {
		t.Error("the target was dialled")
		return nil, net.ErrClosed
	}
	d := &direct{client: &client{shared: shared}, host: "one:80", network: "tcp", address: "one:80"}
	request, err := http.NewRequestWithContext(over(), http.MethodGet, "http://one:80/", nil)
	require.NoError(t, err)
	response, err := d.roundTrip(request.Context(), request, nil)
	require.ErrorIs(t, err, context.Canceled)
	require.Nil(t, response)
}

func TestARequestIsAlwaysAsNetHTTPWritesIt(t *testing.T) {
	shared := NewShared()
	headers := []*requestHeader{
		shared.headers.get(headerKey{"text/plain;q=0.5,*/*;q=0.1", "gzip", "Prometheus/3.14.0", 10 * time.Second}),
		shared.headers.get(headerKey{"*/*", "identity", "with\r\nbreak: 1", 1500 * time.Millisecond}),
		shared.headers.get(headerKey{"", "", "", 0}),
	}
	for _, address := range []string{
		"http://one:80/metrics", "http://[::1]:9100/", "http://one?a=b&a=%0D%0A", "http://one/a b/\u00e9#c", "http://[fe80::1%25eth0]:9/x",
	} {
		u, err := url.Parse(address)
		require.NoError(t, err)
		d, kept := &direct{}, 0
		for range 3 {
			for _, header := range headers {
				var want, got bytes.Buffer
				require.NoError(t, scrapeRequest(u, header.Header).Write(&want))
				if d.head.url != nil {
					kept++
				}
				require.NoError(t, d.write(&got, scrapeRequest(u, header.Header), header))
				require.Equal(t, want.String(), got.String())
			}
		}
		require.Equal(t, 8, kept, "all but the first are put together")

		// A redirect, and a target at another place.
		moved := scrapeRequest(u, http.Header{"Referer": {"http://two"}})
		other := scrapeRequest(&url.URL{Scheme: "http", Host: "other", Path: "/"}, headers[0].Header)
		var want, got bytes.Buffer
		require.NoError(t, errors.Join(moved.Write(&want), other.Write(&want)))
		require.NoError(t, errors.Join(d.write(&got, moved, nil), d.write(&got, other, headers[0])))
		require.Equal(t, want.String(), got.String())
	}
}

func TestRequestHeadersAreSharedAndBounded(t *testing.T) {
	var shared requestHeaders
	first := shared.get(headerKey{timeout: time.Second})
	require.Same(t, first, shared.get(headerKey{timeout: time.Second}))
	for i := range 3 * maxRequestHeaders {
		h := shared.get(headerKey{timeout: time.Duration(i) * time.Minute})
		require.Equal(t, time.Duration(i)*time.Minute, h.key.timeout)
		require.LessOrEqual(t, len(shared.byKey), maxRequestHeaders)
	}
}

func TestWhatIsNotPlainGoesThroughTheClient(t *testing.T) {
	plain := config_util.DefaultHTTPClientConfig
	require.True(t, isPlain(&plain))
	for name, change := range map[string]func(*config_util.HTTPClientConfig){
		"basic auth":    func(c *config_util.HTTPClientConfig) { c.BasicAuth = &config_util.BasicAuth{} },
		"authorization": func(c *config_util.HTTPClientConfig) { c.Authorization = &config_util.Authorization{} },
		"OAuth":         func(c *config_util.HTTPClientConfig) { c.OAuth2 = &config_util.OAuth2{} },
		"token":         func(c *config_util.HTTPClientConfig) { c.BearerToken = "x" },
		"token file":    func(c *config_util.HTTPClientConfig) { c.BearerTokenFile = "x" },
		"headers":       func(c *config_util.HTTPClientConfig) { c.HTTPHeaders = &config_util.Headers{} },
		"proxy":         func(c *config_util.HTTPClientConfig) { c.ProxyURL = mustURL(t, "http://proxy:1") },
		"proxy of env":  func(c *config_util.HTTPClientConfig) { c.ProxyFromEnvironment = true },
	} {
		changed := plain
		change(&changed)
		require.False(t, isPlain(&changed), name)
	}
}

func mustURL(t *testing.T, text string) config_util.URL {
	t.Helper()
	var u config_util.URL
	require.NoError(t, u.UnmarshalJSON([]byte(`"`+text+`"`)))
	return u
}

func TestEqualClientsAreSharedAndOthersAreNot(t *testing.T) {
	shared := NewShared()
	config := func(password, proxy string) config_util.HTTPClientConfig {
		c := config_util.DefaultHTTPClientConfig
		c.BasicAuth = &config_util.BasicAuth{Username: "u", Password: config_util.Secret(password)}
		c.ProxyURL = mustURL(t, proxy)
		return c
	}
	get := func(c config_util.HTTPClientConfig, o clientOptions) *client {
		got, err := shared.client(c, o)
		require.NoError(t, err)
		return got
	}
	first := get(config("a", "http://u:p@proxy:1"), clientOptions{})
	require.Same(t, first, get(config("a", "http://u:p@proxy:1"), clientOptions{}))
	for name, other := range map[string]*client{
		"password":       get(config("b", "http://u:p@proxy:1"), clientOptions{}),
		"proxy password": get(config("a", "http://u:q@proxy:1"), clientOptions{}),
		"socket":         get(config("a", "http://u:p@proxy:1"), clientOptions{socket: "/s"}),
		"keep-alives":    get(config("a", "http://u:p@proxy:1"), clientOptions{disableKeepAlives: true}),
		"idle timeout":   get(config("a", "http://u:p@proxy:1"), clientOptions{idleTimeout: 1}),
	} {
		require.NotSame(t, first, other, name)
		other.release()
	}
	first.release()
	require.Len(t, shared.clients, 1, "one user is left")
	first.release()
	require.Empty(t, shared.clients)
}

func TestAHungTargetDelaysNoStop(t *testing.T) {
	target := &hangingTarget{}
	target.hang.Store(true)
	inBubble(t, target.ServeHTTP, func(t *testing.T, dial func(*Options)) {
		m := newMemory()
		s := newScraper(t, m, dial)
		run(t, s, configure(t, `[{job_name: a, scrape_interval: 10s, scrape_timeout: 10s, static_configs: [{targets: ["one:80"]}]}]`))
		<-time.After(11 * time.Second)
		require.Positive(t, target.hanging.Load())
		began := time.Now()
		require.NoError(t, s.Stop(over(), EndSeries))
		require.Equal(t, began, time.Now(), "in virtual time it takes none")
		require.Zero(t, m.size())
	})
}
