// Package scrapetest has what tests of scraping share: a network in memory, so that time can be
// virtual. It is never linked into a binary. Its types may be used by any goroutine.
package scrapetest

import (
	"context"
	"net"
	"net/http"
	"time"
)

// Network reaches one handler over pipes, whatever the address.
type Network struct {
	conns  chan net.Conn
	closed chan struct{}
}

// NewNetwork makes a network on which nobody answers yet. In a bubble of virtual time, make it there.
func NewNetwork() *Network {
	return &Network{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept implements net.Listener.
func (n *Network) Accept() (net.Conn, error) {
	select {
	case c := <-n.conns:
		return c, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (n *Network) Close() error { close(n.closed); return nil }

// Addr implements net.Listener.
func (n *Network) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

// Dial connects to the handler. It is for scrape.Options.DialContext.
func (n *Network) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case n.conns <- there:
		return here, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Serve answers until the returned function is called, which waits for the server's end.
func (n *Network) Serve(handler http.Handler) (shut func()) {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Hour}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(n)
	}()
	return func() {
		_ = server.Close()
		<-served
	}
}
