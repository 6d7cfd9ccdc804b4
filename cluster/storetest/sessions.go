package storetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

const (
	// longTTL outlives every test, shortTTL does not.
	longTTL  = time.Minute
	shortTTL = time.Second
)

func (s *suite) openSession(ttl time.Duration) cluster.Session {
	s.Helper()
	sess, err := s.store.OpenSession(s.ctx, ttl)
	require.NoError(s, err)
	return sess
}

// bound writes a key bound to sess.
func (s *suite) bound(key string, sess cluster.Session) {
	s.Helper()
	_, err := s.store.Put(s.ctx, cluster.PutRequest{Key: key, Value: []byte("v"), Session: sess})
	require.NoError(s, err)
}

func (s *suite) alive(sess cluster.Session) {
	s.Helper()
	select {
	case <-sess.Done():
		require.FailNow(s, "the session has ended")
	default:
	}
}

// deletesOf waits until the watch told that all keys are gone.
func (s *suite) deletesOf(events <-chan cluster.Event, keys ...string) {
	s.Helper()
	gone := []string{}
	for range keys {
		ev := s.next(events)
		require.Equal(s, cluster.EventDelete, ev.Kind)
		require.Positive(s, ev.Entry.Revision)
		gone = append(gone, ev.Entry.Key)
	}
	require.ElementsMatch(s, keys, gone)
}

var sessionTests = []test{
	{"a key shows its session", func(s *suite) {
		sess := s.openSession(longTTL)
		require.NotEmpty(s, sess.ID())
		s.bound("k", sess)
		require.Equal(s, sess.ID(), s.get("k").Session)
	}},
	{"a TTL that is not positive is refused", func(s *suite) {
		_, err := s.store.OpenSession(s.ctx, 0)
		require.Error(s, err)
		_, err = s.store.OpenSession(s.ctx, -time.Second)
		require.Error(s, err)
	}},
	{"sessions have IDs of their own", func(s *suite) {
		require.NotEqual(s, s.openSession(longTTL).ID(), s.openSession(longTTL).ID())
	}},
	{"Close deletes the session's keys and no others", func(s *suite) {
		sess, other := s.openSession(longTTL), s.openSession(longTTL)
		s.bound("a", sess)
		s.bound("b", sess)
		s.bound("c", other)
		s.put("d", "v")
		events := s.watch("", s.revision())
		require.NoError(s, sess.Close(s.ctx))
		s.ends(sess.Done(), "a closed session")
		s.alive(other)
		require.Equal(s, []string{"c", "d"}, s.keys(""))
		s.deletesOf(events, "a", "b")
	}},
	{"Close may be called again", func(s *suite) {
		sess := s.openSession(longTTL)
		require.NoError(s, sess.Close(s.ctx))
		require.NoError(s, sess.Close(s.ctx))
		require.NoError(s, s.store.Close())
		require.NoError(s, sess.Close(s.ctx))
	}},
	{"a write bound to a session that has ended is refused", func(s *suite) {
		sess := s.openSession(longTTL)
		require.NoError(s, sess.Close(s.ctx))
		for _, cond := range []cluster.Condition{{}, {Absent: true}} {
			_, err := s.store.Put(s.ctx, cluster.PutRequest{Key: "k", If: cond, Session: sess})
			require.ErrorIs(s, err, cluster.ErrSessionLost)
		}
		require.Empty(s, s.keys(""))
	}},
	{"a write without the session frees the key from it", func(s *suite) {
		sess := s.openSession(longTTL)
		s.bound("k", sess)
		s.put("k", "free")
		require.Empty(s, s.get("k").Session)
		require.NoError(s, sess.Close(s.ctx))
		require.Equal(s, "free", string(s.get("k").Value))
	}},
	{"a write with another session moves the key to it", func(s *suite) {
		first, second := s.openSession(longTTL), s.openSession(longTTL)
		s.bound("k", first)
		s.bound("k", second)
		require.NoError(s, first.Close(s.ctx))
		require.Equal(s, second.ID(), s.get("k").Session)
		require.NoError(s, second.Close(s.ctx))
		require.Empty(s, s.keys(""))
	}},
	{"a deleted key that is written again doesn't belong to the old session", func(s *suite) {
		sess := s.openSession(longTTL)
		s.bound("k", sess)
		s.delete("k")
		s.put("k", "v")
		require.NoError(s, sess.Close(s.ctx))
		require.Equal(s, []string{"k"}, s.keys(""))
	}},
	{"EndSession ends another's session, and that one learns it", func(s *suite) {
		sess := s.openSession(longTTL)
		s.bound("k", sess)
		events := s.watch("", s.revision())
		require.NoError(s, s.store.EndSession(s.ctx, sess.ID()))
		require.Empty(s, s.keys(""))
		s.deletesOf(events, "k")
		s.ends(sess.Done(), "a session that someone else ended")
		_, err := s.store.Put(s.ctx, cluster.PutRequest{Key: "k", Session: sess})
		require.ErrorIs(s, err, cluster.ErrSessionLost)
	}},
	{"EndSession of a session that is gone is no error", func(s *suite) {
		sess := s.openSession(longTTL)
		require.NoError(s, sess.Close(s.ctx))
		require.NoError(s, s.store.EndSession(s.ctx, sess.ID()))
	}},
	{"a session outlives its TTL by being renewed, and tells since when", func(s *suite) {
		opened := time.Now()
		sess := s.openSession(shortTTL)
		s.bound("k", sess)
		require.False(s, sess.LastRenewed().Before(opened), "opening is the first proof")
		s.eventually(func() bool { return sess.LastRenewed().Sub(opened) > 3*shortTTL }, "it is renewed")
		require.False(s, sess.LastRenewed().After(time.Now()))
		s.alive(sess)
		require.Equal(s, []string{"k"}, s.keys(""))
		require.NoError(s, sess.Close(s.ctx))
	}},
	{"a session whose node is gone expires, and its keys with it", func(s *suite) {
		node := need[Sharer](s).Share(s.T)
		sess, err := node.OpenSession(s.ctx, shortTTL)
		require.NoError(s, err)
		_, err = node.Put(s.ctx, cluster.PutRequest{Key: "a", Session: sess})
		require.NoError(s, err)
		_, err = node.Put(s.ctx, cluster.PutRequest{Key: "b", Session: sess})
		require.NoError(s, err)
		s.put("c", "v")
		events := s.watch("", s.revision())
		require.NoError(s, node.Close(), "closing the store is not closing the session")
		require.Equal(s, []string{"a", "b", "c"}, s.keys(""))
		s.deletesOf(events, "a", "b")
		require.Equal(s, []string{"c"}, s.keys(""))
	}},
	{"a session can be ended through another client", func(s *suite) {
		node := need[Sharer](s).Share(s.T)
		sess, err := node.OpenSession(s.ctx, longTTL)
		require.NoError(s, err)
		_, err = node.Put(s.ctx, cluster.PutRequest{Key: "k", Session: sess})
		require.NoError(s, err)
		require.Equal(s, sess.ID(), s.get("k").Session)
		require.NoError(s, s.store.EndSession(s.ctx, sess.ID()))
		s.ends(sess.Done(), "a session that another node ended")
	}},
	{"a store that lost its keys has lost its sessions, and they learn it", func(s *suite) {
		rewinder := need[Rewinder](s)
		sess := s.openSession(longTTL)
		s.bound("k", sess)
		rewinder.Rewind(s.T)
		s.ends(sess.Done(), "a session of a store that was emptied")
		_, err := s.store.Put(s.ctx, cluster.PutRequest{Key: "k", Session: sess})
		require.ErrorIs(s, err, cluster.ErrSessionLost)
		require.Empty(s, s.keys(""))
		s.bound("k", s.openSession(longTTL))
	}},
}
