package scrape

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
)

var errConnectionsClosed = errors.New("dial target: the scraper is stopping")

// connections dials targets and remembers what is open, so that a stop can end a scrape whose target hangs: Prometheus'
// manager waits for it up to the scrape timeout and has no way to cancel it.
type connections struct {
	ctx     context.Context // over once closed: ends dials in progress
	abort   context.CancelFunc
	sockets atomic.Pointer[sockets]

	mu   sync.Mutex
	open map[*connection]struct{} // nil once closed
}

func newConnections() *connections {
	ctx, cancel := context.WithCancel(context.Background())
	return &connections{ctx: ctx, abort: cancel, open: map[*connection]struct{}{}}
}

// dial is a net.Dialer.DialContext that is refused after close.
//
// The transport detaches ctx from the request that asked for the connection, hence the second way to end it.
func (c *connections) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()

	network, address, err := c.sockets.Load().resolve(network, address)
	if err != nil {
		return nil, err
	}
	raw, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	conn := &connection{Conn: raw, owner: c}
	if !c.add(conn) {
		_ = raw.Close()
		return nil, errConnectionsClosed
	}
	return conn, nil
}

// close ends every open connection and refuses new ones: the transport would otherwise dial again, since a GET may be
// repeated.
func (c *connections) close() {
	c.abort()
	c.mu.Lock()
	open := c.open
	c.open = nil
	c.mu.Unlock()
	for conn := range open {
		_ = conn.Conn.Close()
	}
}

func (c *connections) add(conn *connection) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		return false
	}
	c.open[conn] = struct{}{}
	return true
}

func (c *connections) remove(conn *connection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, conn)
}

type connection struct {
	net.Conn
	owner *connections
}

func (c *connection) Close() error {
	c.owner.remove(c)
	return c.Conn.Close()
}
