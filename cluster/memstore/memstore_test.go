package memstore

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/cluster/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shared adds to a Client what the conformance suite can't do through cluster.Store.
type shared struct{ *Client }

func (s shared) Compact(_ *testing.T, revision int64) { s.Server().Compact(revision) }
func (s shared) Rewind(*testing.T)                    { s.Server().Reset(1) }
func (s shared) Share(t *testing.T) cluster.Store     { return connect(t, s.Server()) }

func connect(t *testing.T, s *Server) *Client {
	c := s.Connect()
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) cluster.Store { return shared{connect(t, NewServer(nil))} })
}

func TestSessionsFollowVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		server := NewServer(nil)
		alive, dead := server.Connect(), server.Connect()
		defer alive.Close()
		defer dead.Close()
		opened := time.Now()
		kept, err := alive.OpenSession(ctx, 10*time.Second)
		require.NoError(t, err)
		lost, err := dead.OpenSession(ctx, 9500*time.Millisecond) // rounded up to 10 s
		require.NoError(t, err)
		put(t, alive, "kept", kept)
		put(t, dead, "lost", lost)
		events := alive.Watch(ctx, "", server.Revision())

		dead.SetUnreachable(true)
		ev := <-events
		require.Equal(t, "lost", ev.Entry.Key)
		require.Equal(t, cluster.EventDelete, ev.Kind)
		require.Equal(t, 10*time.Second, time.Since(opened), "it expires just when its TTL is over")
		require.Equal(t, opened, lost.LastRenewed())

		select {
		case <-lost.Done():
			t.Fatal("a node that can't reach the store doesn't know that its session has ended")
		default:
		}
		dead.SetUnreachable(false)
		<-lost.Done()

		<-time.After(time.Hour)
		require.Less(t, time.Since(kept.LastRenewed()), 2*renewEvery)
		require.Equal(t, []string{"kept"}, keys(t, alive))
	})
}

func TestASessionThatIsBackInTimeLivesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New()
		defer c.Close()
		sess, err := c.OpenSession(t.Context(), 10*time.Second)
		require.NoError(t, err)
		put(t, c, "k", sess)
		c.SetUnreachable(true)
		<-time.After(8500 * time.Millisecond) // between two renewals, and before the last that is in time
		c.SetUnreachable(false)
		<-time.After(9 * time.Second)
		require.Equal(t, []string{"k"}, keys(t, c))
	})
}

func TestAnUnreachableServerFailsCallsAndHoldsWatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		server := NewServer(nil)
		here, there := server.Connect(), server.Connect()
		defer here.Close()
		defer there.Close()
		events := here.Watch(ctx, "", server.Revision())
		here.SetUnreachable(true)

		_, err := here.Get(ctx, "k")
		require.ErrorIs(t, err, ErrUnreachable)
		put(t, there, "k", nil)
		synctest.Wait()
		select {
		case ev := <-events:
			t.Fatalf("an event got through: %+v", ev)
		default:
		}

		here.SetUnreachable(false)
		require.Equal(t, "k", (<-events).Entry.Key, "the watch goes on where it was")

		here.SetUnreachable(true)
		cancel()
		_, open := <-events
		require.False(t, open, "a watch ends with its context, reachable or not")
	})
}

func TestSessionIdleIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := NewServer(nil)
		node, other := server.Connect(), server.Connect()
		defer node.Close()
		defer other.Close()
		sess, err := node.OpenSession(t.Context(), 10*time.Second)
		require.NoError(t, err)
		<-time.After(renewEvery + 300*time.Millisecond)
		idle, err := other.SessionIdle(t.Context(), sess.ID())
		require.NoError(t, err)
		require.Equal(t, 300*time.Millisecond, idle, "it was renewed after a second")
		node.SetUnreachable(true)
		<-time.After(4 * time.Second)
		idle, err = other.SessionIdle(t.Context(), sess.ID())
		require.NoError(t, err)
		require.Equal(t, 4300*time.Millisecond, idle)
	})
}

func TestFailNextFailsOneCallOfOneKind(t *testing.T) {
	c := connect(t, NewServer(nil))
	ctx := t.Context()
	sess, err := c.OpenSession(ctx, time.Minute)
	require.NoError(t, err)
	calls := map[Op]func() error{
		OpGet:         func() error { _, err := c.Get(ctx, "k"); return err },
		OpList:        func() error { _, err := c.List(ctx, "k"); return err },
		OpPut:         func() error { _, err := c.Put(ctx, cluster.PutRequest{Key: "k"}); return err },
		OpDelete:      func() error { _, err := c.Delete(ctx, "k", cluster.Condition{}); return err },
		OpBatch:       func() error { _, err := c.Batch(ctx, nil); return err },
		OpOpenSession: func() error { _, err := c.OpenSession(ctx, time.Second); return err },
		OpEndSession:  func() error { return c.EndSession(ctx, "k") },
		OpSessionIdle: func() error { _, err := c.SessionIdle(ctx, sess.ID()); return err },
	}
	boom := errors.New("boom")
	for op, call := range calls {
		put(t, c, "k", nil)
		c.FailNext(op, boom)
		for other, call := range calls {
			if other != op && other != OpDelete {
				require.NoError(t, call())
			}
		}
		require.ErrorIs(t, call(), boom)
		require.NoError(t, call())
	}
}

func TestHistoryIsBounded(t *testing.T) {
	c := connect(t, NewServer(nil))
	events := c.Watch(t.Context(), "", 1)
	for range maxHistory + 1 {
		put(t, c, "k", nil)
	}
	require.LessOrEqual(t, len(c.server.history), maxHistory)
	ev := <-events
	if ev.Kind == cluster.EventPut { // it was on its way before
		ev = <-events
	}
	require.Equal(t, cluster.EventRelist, ev.Kind, "a reader that is too slow has to list again")
}

func TestResetEndsSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New()
		defer c.Close()
		sess, err := c.OpenSession(t.Context(), time.Minute)
		require.NoError(t, err)
		put(t, c, "k", sess)
		c.Server().Reset(1)
		<-sess.Done()
		require.Empty(t, keys(t, c))
	})
}

func put(t *testing.T, c *Client, key string, sess cluster.Session) {
	t.Helper()
	_, err := c.Put(t.Context(), cluster.PutRequest{Key: key, Session: sess})
	require.NoError(t, err)
}

func keys(t *testing.T, c *Client) []string {
	t.Helper()
	l, err := c.List(t.Context(), "")
	require.NoError(t, err)
	keys := []string{}
	for _, e := range l.Entries {
		keys = append(keys, e.Key)
	}
	return keys
}
