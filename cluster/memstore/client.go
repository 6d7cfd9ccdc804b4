package memstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

var (
	_ cluster.Store        = (*Client)(nil)
	_ cluster.IdleSessions = (*Client)(nil)
)

// Client is one node's connection to a Server. Use Server.Connect or New.
type Client struct {
	server *Server

	mu       sync.Mutex
	closed   bool
	closing  chan struct{} // closed by Close
	faults   faults
	sessions map[*session]struct{}
	watches  sync.WaitGroup
}

// New returns a client of a server of its own, on the real clock.
func New() *Client { return NewServer(nil).Connect() }

// Connect returns a new client. Close it when done.
func (s *Server) Connect() *Client {
	return &Client{
		server:   s,
		closing:  make(chan struct{}),
		sessions: make(map[*session]struct{}),
	}
}

// Server returns the server that c is connected to.
func (c *Client) Server() *Server { return c.server }

// Get implements cluster.Store.
func (c *Client) Get(ctx context.Context, key string) (cluster.Entry, error) {
	if err := c.admit(ctx, OpGet); err != nil {
		return cluster.Entry{}, fmt.Errorf("read %q: %w", key, err)
	}
	e, err := c.server.get(key)
	if err != nil {
		return cluster.Entry{}, fmt.Errorf("read %q: %w", key, err)
	}
	return e, nil
}

// List implements cluster.Store.
func (c *Client) List(ctx context.Context, prefix string) (cluster.Listing, error) {
	if err := c.admit(ctx, OpList); err != nil {
		return cluster.Listing{}, fmt.Errorf("list %q: %w", prefix, err)
	}
	return c.server.list(prefix), nil
}

// Put implements cluster.Store.
func (c *Client) Put(ctx context.Context, req cluster.PutRequest) (cluster.PutResult, error) {
	if err := c.admit(ctx, OpPut); err != nil {
		return cluster.PutResult{}, fmt.Errorf("write %q: %w", req.Key, err)
	}
	if req.Key == "" {
		return cluster.PutResult{}, errors.New("write: key is empty")
	}
	res, err := c.server.put(req.Key, bytes.Clone(req.Value), req.If, idOf(req.Session))
	if err != nil {
		return cluster.PutResult{}, fmt.Errorf("write %q: %w", req.Key, err)
	}
	return res, nil
}

// Delete implements cluster.Store.
func (c *Client) Delete(ctx context.Context, key string, cond cluster.Condition) (int64, error) {
	if err := c.admit(ctx, OpDelete); err != nil {
		return 0, fmt.Errorf("delete %q: %w", key, err)
	}
	rev, err := c.server.remove(key, cond)
	if err != nil {
		return 0, fmt.Errorf("delete %q: %w", key, err)
	}
	return rev, nil
}

// Close implements cluster.Store. The server and its other clients go on; sessions of this client
// end when their TTL is over, as if its process had died.
func (c *Client) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	close(c.closing)
	orphans := c.sessions
	c.sessions = nil
	c.mu.Unlock()

	for sess := range orphans {
		sess.end()
	}
	c.watches.Wait()
	return nil
}

// adopt makes sess end with c. It returns false if c is closed.
func (c *Client) adopt(sess *session) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.sessions[sess] = struct{}{}
	return true
}

func (c *Client) forget(sess *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.sessions, sess)
}
