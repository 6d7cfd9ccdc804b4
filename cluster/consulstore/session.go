package consulstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

const (
	// renewEvery is how often a session proves that it is alive. It must be well below the age (2.5
	// s) at which a node stops trusting that proof. A renewal costs Consul no write.
	renewEvery = time.Second
	// renewTimeout is how long a renewal may take before the next is tried.
	renewTimeout = 3 * time.Second
	// retryPause is the mean time between two attempts of a watch or a session to go on.
	retryPause = 250 * time.Millisecond
)

// session is a Consul session with a TTL, without health checks: only its renewal keeps it alive.
type session struct {
	store *Store
	id    string
	ttl   time.Duration
	stop  context.CancelFunc // ends the renewals
	done  chan struct{}      // closed when they have ended

	mu          sync.Mutex
	lastRenewed time.Time
	closed      bool
}

// OpenSession implements cluster.Store. Consul's minimum is 10 s.
func (s *Store) OpenSession(ctx context.Context, ttl time.Duration) (cluster.Session, error) {
	sess := &session{store: s, done: make(chan struct{})}
	err := s.call(ctx, "open session", 0, func(ctx context.Context) error {
		if ttl <= 0 {
			return fmt.Errorf("TTL must be positive, not %s", ttl)
		}
		sess.ttl = max((ttl + time.Second - 1).Truncate(time.Second), s.config.minTTL)
		var err error
		sess.id, sess.lastRenewed, err = s.createSession(ctx, sess.ttl)
		return err
	})
	if err != nil {
		return nil, err
	}
	var renewals context.Context
	renewals, sess.stop = context.WithCancel(s.ctx)
	if !s.start(func() { sess.run(renewals) }) {
		sess.stop()
		return nil, fmt.Errorf("open session: %w", cluster.ErrClosed)
	}
	return sess, nil
}

// SessionNode is the node of Consul's catalog to which sessions belong, if the token may register
// it (node:write). It is no machine: a session ends with the node that it belongs to, and the node
// of the nearest Consul agent goes when that agent leaves.
const SessionNode = "ringmaster-sessions"

// createSession creates a session that belongs to SessionNode, or else to the node of the Consul
// agent that is asked.
func (s *Store) createSession(ctx context.Context, ttl time.Duration) (id string, asked time.Time, err error) {
	// The library can't ask for a lock delay of 0, without which the default (15 s) keeps keys from
	// their next owner.
	body := map[string]any{
		"Name": "ringmaster", "TTL": ttl.String(), "Behavior": api.SessionBehaviorDelete, "LockDelay": "0s",
		"NodeChecks": []string{},
	}
	if err := s.registerNode(ctx); err == nil {
		body["Node"] = SessionNode
	} else if s.ownNode.CompareAndSwap(false, true) {
		s.logger.Warn("sessions belong to the Consul agent that is asked, and end when it leaves: "+
			"the node for them can't be registered", zap.String("node", SessionNode), zap.NamedError("err", err))
	}
	asked = time.Now()
	var created struct{ ID string }
	if _, err := s.consul.Raw().Write("/v1/session/create", body, &created, (&api.WriteOptions{}).WithContext(ctx)); err != nil {
		return "", asked, err
	}
	return created.ID, asked, s.checkSession(ctx, created.ID)
}

// registerNode sees to it that SessionNode is in the catalog. To register it again changes nothing.
func (s *Store) registerNode(ctx context.Context) error {
	node := &api.CatalogRegistration{Node: SessionNode, Address: "127.0.0.1"}
	_, err := s.consul.Catalog().Register(node, (&api.WriteOptions{}).WithContext(ctx))
	return err
}

// checkSession reads a new session back. Consul ignores a body whose length it isn't told, as
// proxies send it that divide it into chunks, and then creates a session that lives for ever, and
// whose keys stay.
func (s *Store) checkSession(ctx context.Context, id string) error {
	q := &api.QueryOptions{RequireConsistent: true}
	info, _, err := s.consul.Session().Info(id, q.WithContext(ctx))
	switch {
	case err != nil:
		return err
	case info == nil:
		return errors.New("the new session is gone already")
	case info.TTL != "" && info.Behavior == api.SessionBehaviorDelete:
		return nil
	}
	_, err = s.consul.Session().Destroy(id, (&api.WriteOptions{}).WithContext(ctx))
	return errors.Join(errors.New("the session that was created has no time to live: a proxy before Consul sends requests without "+
		"their Content-Length, whose content Consul ignores"), err)
}

// EndSession implements cluster.Store.
func (s *Store) EndSession(ctx context.Context, id string) error {
	return s.call(ctx, "end session "+id, 0, func(ctx context.Context) error {
		_, err := s.consul.Session().Destroy(id, (&api.WriteOptions{}).WithContext(ctx))
		if err == nil {
			return nil
		}
		// Some versions refuse to destroy what is gone.
		if alive, infoErr := s.sessionAlive(ctx, id); infoErr == nil && !alive {
			return nil
		}
		return err
	})
}

// sessionAlive is asked rarely, and much depends on the answer.
func (s *Store) sessionAlive(ctx context.Context, id string) (bool, error) {
	q := &api.QueryOptions{RequireConsistent: true}
	info, _, err := s.consul.Session().Info(id, q.WithContext(ctx))
	return info != nil, err
}

func (s *session) ID() string            { return s.id }
func (s *session) Done() <-chan struct{} { return s.done }

func (s *session) LastRenewed() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lastRenewed
}

func (s *session) Abandon() { s.stop() }

func (s *session) Close(ctx context.Context) error {
	s.stop()
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	err := s.store.EndSession(ctx, s.id)
	s.closed = err == nil
	return err
}

// run renews the session until it is stopped or Consul says that it is gone. Failing is no reason
// to give up: only Consul knows whether the session has ended.
func (s *session) run(ctx context.Context) {
	defer close(s.done)
	defer s.stop()
	complaints := complaints{store: s.store, message: "session can't be renewed; it is tried again"}
	for pause := min(renewEvery, s.ttl/3); sleep(ctx, pause); {
		sent := time.Now()
		gone, err := s.renew(ctx)
		switch {
		case gone:
			return
		case err == nil:
			s.mu.Lock()
			s.lastRenewed = sent
			s.mu.Unlock()
			complaints.succeeded()
			pause = min(renewEvery, s.ttl/3)
		default:
			pause = retryPause
			complaints.failed(ctx, err, zap.String("session", s.id))
		}
	}
}

func (s *session) renew(ctx context.Context) (gone bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, renewTimeout, errNoAnswer)
	defer cancel()
	err = s.store.call(ctx, "renew session "+s.id, 0, func(ctx context.Context) error {
		found, _, err := s.store.consul.Session().Renew(s.id, (&api.WriteOptions{}).WithContext(ctx))
		if err != nil || found != nil {
			return err
		}
		// It was a 404, which anything between here and Consul may say as well.
		alive, err := s.store.sessionAlive(ctx, s.id)
		gone = err == nil && !alive
		return err
	})
	return gone, err
}

// lost ends a session that Consul says is gone.
func lost(s cluster.Session) {
	if s, ok := s.(*session); ok {
		s.stop()
	}
}

// sleep waits for d. It returns false if ctx is over before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
