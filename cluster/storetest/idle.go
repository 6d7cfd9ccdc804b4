package storetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

var idleTests = []test{
	{"a session that is renewed is never idle for long", func(s *suite) {
		store := need[cluster.IdleSessions](s)
		sess := s.openSession(longTTL)
		opened := sess.LastRenewed()
		s.eventually(func() bool {
			before := sess.LastRenewed()
			idle, err := store.SessionIdle(s.ctx, sess.ID())
			require.NoError(s, err)
			// It can't have been idle for longer than since the newest renewal that had been
			// confirmed before the question.
			require.LessOrEqual(s, idle, time.Since(before))
			return before.Sub(opened) > 2*time.Second
		}, "it is renewed")
	}},
	{"a session whose node is gone gets idle, never more than it is", func(s *suite) {
		store := need[cluster.IdleSessions](s)
		node := need[Sharer](s).Share(s.T)
		sess, err := node.OpenSession(s.ctx, longTTL)
		require.NoError(s, err)
		require.NoError(s, node.Close())
		renewed := sess.LastRenewed()
		var last time.Duration
		s.eventually(func() bool {
			idle, err := store.SessionIdle(s.ctx, sess.ID())
			require.NoError(s, err)
			require.LessOrEqual(s, idle, time.Since(renewed))
			require.GreaterOrEqual(s, idle, last, "nobody renews it")
			last = idle
			return idle >= 3*time.Second
		}, "it gets idle")
	}},
	{"a session that has ended, or never was, is not found", func(s *suite) {
		store := need[cluster.IdleSessions](s)
		sess, other := s.openSession(longTTL), s.openSession(longTTL)
		require.NoError(s, sess.Close(s.ctx))
		_, err := store.SessionIdle(s.ctx, sess.ID())
		require.ErrorIs(s, err, cluster.ErrNotFound)
		require.ErrorContains(s, err, sess.ID(), "the error names the session")
		_, err = store.SessionIdle(s.ctx, other.ID())
		require.NoError(s, err)
	}},
	{"a closed store knows no idle sessions", func(s *suite) {
		store := need[cluster.IdleSessions](s)
		sess := s.openSession(longTTL)
		require.NoError(s, s.store.Close())
		_, err := store.SessionIdle(s.ctx, sess.ID())
		require.ErrorIs(s, err, cluster.ErrClosed)
	}},
}
