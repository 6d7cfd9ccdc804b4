package scrape

import (
	"context"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
)

// memoryNetwork reaches one handler over pipes, whatever the address, so that a test can run in virtual time.
type memoryNetwork struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (n *memoryNetwork) Accept() (net.Conn, error) {
	select {
	case c := <-n.conns:
		return c, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

func (n *memoryNetwork) Close() error   { close(n.closed); return nil }
func (n *memoryNetwork) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

func (n *memoryNetwork) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case n.conns <- there:
		return here, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// inBubble runs f in virtual time. Scrapers made with dial reach handler.
func inBubble(t *testing.T, handler http.HandlerFunc, f func(t *testing.T, dial func(*Options))) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		network := &memoryNetwork{conns: make(chan net.Conn), closed: make(chan struct{})}
		server := &http.Server{Handler: handler}
		served := make(chan struct{})
		go func() {
			defer close(served)
			_ = server.Serve(network)
		}()
		defer func() {
			_ = server.Close()
			<-served
		}()
		f(t, func(o *Options) { o.DialContext = network.dial })
	})
}

// oneMetric is a target with one series.
func oneMetric(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", textFormat)
	_, _ = w.Write([]byte("metric 1\n"))
}
