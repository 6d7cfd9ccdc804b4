package ringmaster

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/cluster"
)

// endTimeout bounds how long the end of a session may take that the actors have left.
const endTimeout = 2 * time.Second

// sessions remembers the sessions that were opened, so that none outlives the supervisor: a parent
// that stops the actor gives it no time to end its own.
type sessions struct {
	actors.Sessions
	keep   bool
	logger *zap.Logger

	mu   sync.Mutex
	open []cluster.Session
}

// around returns s with the memory of k; it can tell how long a session is idle if s can.
func (k *sessions) around(s actors.Sessions) actors.Sessions {
	k.Sessions = s
	if idle, ok := s.(cluster.IdleSessions); ok {
		return struct {
			*sessions
			cluster.IdleSessions
		}{k, idle}
	}
	return k
}

// OpenSession implements actors.Sessions.
func (k *sessions) OpenSession(ctx context.Context, ttl time.Duration) (cluster.Session, error) {
	session, err := k.Sessions.OpenSession(ctx, ttl)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	live := k.open[:0]
	for _, s := range k.open {
		select {
		case <-s.Done():
		default:
			live = append(live, s)
		}
	}
	k.open = append(live, session)
	return session, nil
}

// end ends those that are open, or leaves them for a restart. Nothing scrapes by them any more.
func (k *sessions) end() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range k.open {
		select {
		case <-s.Done():
			continue
		default:
		}
		if k.keep {
			s.Abandon()
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
		if err := s.Close(ctx); err != nil {
			k.logger.Warn("session was not ended; it ends by itself", zap.String("session", s.ID()), zap.Error(err))
			s.Abandon()
		}
		cancel()
	}
	k.open = nil
}
