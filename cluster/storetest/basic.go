package storetest

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

var basicTests = []test{
	{"a value that is too long is refused by name, and nothing is written", func(s *suite) {
		const size = 3 << 20
		_, err := s.store.Put(s.ctx, cluster.PutRequest{Key: "big", Value: make([]byte, size)})
		if err == nil {
			s.Skip("the store under test accepts 3 MiB")
		}
		var refusal *cluster.TooLargeError
		require.ErrorAs(s, err, &refusal)
		require.Equal(s, size, refusal.Size)
		_, err = s.store.Get(s.ctx, "big")
		require.ErrorIs(s, err, cluster.ErrNotFound)
	}},
	{"a key that was never written is not found", func(s *suite) {
		_, err := s.store.Get(s.ctx, "k")
		require.ErrorIs(s, err, cluster.ErrNotFound)
		require.ErrorContains(s, err, `"k"`, "the error names the key")
	}},
	{"what was put can be read", func(s *suite) {
		res, err := s.store.Put(s.ctx, cluster.PutRequest{Key: "k", Value: []byte("v")})
		require.NoError(s, err)
		require.True(s, res.Created)
		require.Positive(s, res.Revision)
		require.Equal(s, cluster.Entry{Key: "k", Value: []byte("v"), Revision: res.Revision, Created: res.Revision}, s.get("k"))
	}},
	{"writing again keeps Created and raises Revision", func(s *suite) {
		first := s.put("k", "v1")
		res, err := s.store.Put(s.ctx, cluster.PutRequest{Key: "k", Value: []byte("v2")})
		require.NoError(s, err)
		require.False(s, res.Created)
		require.Greater(s, res.Revision, first)
		require.Equal(s, cluster.Entry{Key: "k", Value: []byte("v2"), Revision: res.Revision, Created: first}, s.get("k"))
	}},
	{"a key that is deleted and written again is a new key", func(s *suite) {
		s.put("k", "v1")
		deleted := s.delete("k")
		res, err := s.store.Put(s.ctx, cluster.PutRequest{Key: "k", Value: []byte("v2")})
		require.NoError(s, err)
		require.True(s, res.Created)
		require.Greater(s, res.Revision, deleted)
		require.Equal(s, res.Revision, s.get("k").Created)
	}},
	{"a deleted key is not found", func(s *suite) {
		put := s.put("k", "v")
		require.Greater(s, s.delete("k"), put)
		_, err := s.store.Get(s.ctx, "k")
		require.ErrorIs(s, err, cluster.ErrNotFound)
		_, err = s.store.Delete(s.ctx, "k", cluster.Condition{})
		require.ErrorIs(s, err, cluster.ErrNotFound)
	}},
	{"keys and values are any bytes", func(s *suite) {
		for _, key := range []string{"\x00", "a\x00b", "\xff", "\xff\xff", "ключ", "a/../b", " "} {
			s.put(key, key+"\x00\xff")
			require.Equal(s, key+"\x00\xff", string(s.get(key).Value))
		}
	}},
	{"an empty value is a value", func(s *suite) {
		s.put("k", "")
		require.Empty(s, s.get("k").Value)
	}},
	{"an empty key is refused", func(s *suite) {
		_, err := s.store.Put(s.ctx, cluster.PutRequest{Value: []byte("v")})
		require.Error(s, err)
		require.Empty(s, s.keys(""))
	}},
	{"a value of 1 MiB is accepted", func(s *suite) {
		size := 1 << 20
		if limited, ok := s.store.(Limited); ok {
			size = limited.ValueLimit()
		}
		s.put("k", string(bytes.Repeat([]byte("x"), size)))
		require.Len(s, s.get("k").Value, size)
	}},
	{"the store keeps its own copy of a value", func(s *suite) {
		value := []byte("before")
		_, err := s.store.Put(s.ctx, cluster.PutRequest{Key: "k", Value: value})
		require.NoError(s, err)
		copy(value, "after!")
		require.Equal(s, "before", string(s.get("k").Value))
	}},
	{"a context that is over ends every call", func(s *suite) {
		ctx, cancel := context.WithCancel(s.ctx)
		cancel()
		_, err := s.store.Get(ctx, "k")
		require.ErrorIs(s, err, context.Canceled)
		_, err = s.store.List(ctx, "k")
		require.ErrorIs(s, err, context.Canceled)
		_, err = s.store.Put(ctx, cluster.PutRequest{Key: "k"})
		require.ErrorIs(s, err, context.Canceled)
		_, err = s.store.Delete(ctx, "k", cluster.Condition{})
		require.ErrorIs(s, err, context.Canceled)
		_, err = s.store.OpenSession(ctx, 1)
		require.ErrorIs(s, err, context.Canceled)
		require.ErrorIs(s, s.store.EndSession(ctx, "1"), context.Canceled)
		_, open := <-s.store.Watch(ctx, "k", 0)
		require.False(s, open)
	}},
	{"revisions grow in the order of the writes, whoever writes", func(s *suite) {
		var last atomic.Int64
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				for i := range 25 {
					before := last.Load()
					res, err := s.store.Put(s.ctx, cluster.PutRequest{Key: fmt.Sprint(w, i)})
					if err != nil || res.Revision <= before {
						s.Errorf("revision %d after %d was known: %v", res.Revision, before, err)
						return
					}
					for seen := before; seen < res.Revision && !last.CompareAndSwap(seen, res.Revision); {
						seen = last.Load()
					}
				}
			})
		}
		wg.Wait()
		require.Len(s, s.keys(""), 100)
	}},
}

var closeTests = []test{
	{"a closed store says so", func(s *suite) {
		sess := s.openSession(longTTL)
		require.NoError(s, s.store.Close())
		require.NoError(s, s.store.Close(), "closing again is fine")
		_, err := s.store.Get(s.ctx, "k")
		require.ErrorIs(s, err, cluster.ErrClosed)
		_, err = s.store.List(s.ctx, "k")
		require.ErrorIs(s, err, cluster.ErrClosed)
		_, err = s.store.Put(s.ctx, cluster.PutRequest{Key: "k"})
		require.ErrorIs(s, err, cluster.ErrClosed)
		_, err = s.store.Delete(s.ctx, "k", cluster.Condition{})
		require.ErrorIs(s, err, cluster.ErrClosed)
		_, err = s.store.OpenSession(s.ctx, longTTL)
		require.ErrorIs(s, err, cluster.ErrClosed)
		require.ErrorIs(s, s.store.EndSession(s.ctx, sess.ID()), cluster.ErrClosed)
		_, open := <-s.store.Watch(s.ctx, "k", 0)
		require.False(s, open)
	}},
	{"closing the store ends its watches, read or not", func(s *suite) {
		idle := s.watch("", s.revision())
		unread := s.watch("", s.revision())
		s.put("k", "v")
		require.Equal(s, cluster.EventPut, s.next(idle).Kind)
		require.NoError(s, s.store.Close())
		s.eventually(func() bool { _, open := <-idle; return !open }, "the idle watch ends")
		s.eventually(func() bool { _, open := <-unread; return !open }, "the unread watch ends")
	}},
	{"closing the store closes Done of its sessions", func(s *suite) {
		sess := s.openSession(longTTL)
		require.NoError(s, s.store.Close())
		s.ends(sess.Done(), "the session of a closed store")
	}},
}
