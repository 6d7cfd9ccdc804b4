package memstore

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

// renewEvery is how often a session proves that it is alive. It must be well below the age (2.5 s)
// at which a node stops trusting that proof.
const renewEvery = time.Second

type session struct {
	client *Client
	ttl    time.Duration
	done   chan struct{}

	// Owned by the server, under its lock.
	id          string
	keys        map[string]struct{}
	lastRenewed time.Time
	stopExpiry  func() bool
	expiries    uint64

	mu          sync.Mutex
	ended       bool // no longer renewed
	closed      bool // ended on the server by Close
	stopRenewal func() bool
}

// OpenSession implements cluster.Store.
func (c *Client) OpenSession(ctx context.Context, ttl time.Duration) (cluster.Session, error) {
	if err := c.admit(ctx, OpOpenSession); err != nil {
		return nil, fmt.Errorf("open session: %w", err)
	}
	if ttl <= 0 {
		return nil, fmt.Errorf("open session: TTL must be positive, not %s", ttl)
	}
	sess := &session{
		client: c,
		ttl:    (ttl + time.Second - 1).Truncate(time.Second),
		done:   make(chan struct{}),
		keys:   make(map[string]struct{}),
	}
	c.server.openSession(sess)
	if !c.adopt(sess) {
		c.server.endSession(sess.id)
		return nil, fmt.Errorf("open session: %w", cluster.ErrClosed)
	}
	sess.scheduleRenewal()
	return sess, nil
}

// EndSession implements cluster.Store.
func (c *Client) EndSession(ctx context.Context, id string) error {
	if err := c.admit(ctx, OpEndSession); err != nil {
		return fmt.Errorf("end session %s: %w", id, err)
	}
	c.server.endSession(id)
	return nil
}

// SessionIdle implements cluster.IdleSessions. It is exact.
func (c *Client) SessionIdle(ctx context.Context, id string) (time.Duration, error) {
	if err := c.admit(ctx, OpSessionIdle); err != nil {
		return 0, fmt.Errorf("look at session %s: %w", id, err)
	}
	idle, ok := c.server.idle(id)
	if !ok {
		return 0, fmt.Errorf("look at session %s: %w", id, cluster.ErrNotFound)
	}
	return idle, nil
}

func (s *session) ID() string            { return s.id }
func (s *session) Done() <-chan struct{} { return s.done }

func (s *session) LastRenewed() time.Time {
	s.client.server.mu.Lock()
	defer s.client.server.mu.Unlock()
	return s.lastRenewed
}

func (s *session) Abandon() { s.end() }

func (s *session) Close(ctx context.Context) error {
	s.end()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	err := s.client.EndSession(ctx, s.id)
	s.closed = err == nil
	return err
}

func (s *session) scheduleRenewal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.stopRenewal = s.client.server.clock.AfterFunc(min(renewEvery, s.ttl/3), s.renew)
}

func (s *session) renew() {
	server := s.client.server
	if s.client.cutOff() == nil && !server.renew(s, server.clock.Now()) {
		s.end()
		return
	}
	s.scheduleRenewal()
}

// end stops the renewals and tells so. What the server holds is not touched.
func (s *session) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.ended = true
	if s.stopRenewal != nil {
		s.stopRenewal()
	}
	close(s.done)
	s.client.forget(s)
}
