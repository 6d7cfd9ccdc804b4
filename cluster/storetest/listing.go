package storetest

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

var listTests = []test{
	{"a prefix without keys is an empty listing at the present revision", func(s *suite) {
		rev := s.put("a", "v")
		l, err := s.store.List(s.ctx, "b")
		require.NoError(s, err)
		require.Empty(s, l.Entries)
		require.Equal(s, rev, l.Revision)
	}},
	{"a listing is sorted, complete, and has nothing else", func(s *suite) {
		for _, key := range []string{"p/b", "p/a", "p", "p/", "p0", "o", "q", "p/a/c", "p/Z"} {
			s.put(key, "value of "+key)
		}
		s.put("p/gone", "v")
		s.delete("p/gone")
		require.Equal(s, []string{"p/", "p/Z", "p/a", "p/a/c", "p/b"}, s.keys("p/"))
		require.Equal(s, "value of p/a", string(s.get("p/a").Value))
	}},
	{"entries are told as Get tells them", func(s *suite) {
		s.put("k", "v1")
		s.put("k", "v2")
		sess := s.openSession(longTTL)
		s.bound("l", sess)
		l, err := s.store.List(s.ctx, "")
		require.NoError(s, err)
		require.Equal(s, []cluster.Entry{s.get("k"), s.get("l")}, l.Entries)
		require.Equal(s, sess.ID(), l.Entries[1].Session)
	}},
	{"the empty prefix is everything", func(s *suite) {
		all := []string{"\x00", "a", "z", "\xff"}
		for _, key := range all {
			s.put(key, "v")
		}
		require.Equal(s, all, s.keys(""))
	}},
	{"prefixes that end in 0xff have an end, too", func(s *suite) {
		for _, key := range []string{"a", "a\xff", "a\xff\x00", "a\xff\xff", "b", "\xff", "\xff\xff", "\xff\xffx"} {
			s.put(key, "v")
		}
		require.Equal(s, []string{"a\xff", "a\xff\x00", "a\xff\xff"}, s.keys("a\xff"))
		require.Equal(s, []string{"a\xff\xff"}, s.keys("a\xff\xff"))
		require.Equal(s, []string{"\xff", "\xff\xff", "\xff\xffx"}, s.keys("\xff"))
		require.Equal(s, []string{"\xff\xff", "\xff\xffx"}, s.keys("\xff\xff"))
	}},
	{"a big listing comes whole", func(s *suite) {
		const n = 800
		value := bytes.Repeat([]byte("0123456789abcdef"), 640) // 10 KiB; 8 MB together, more than one message of gRPC may have
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				for i := w; i < n; i += 8 {
					if _, err := s.store.Put(s.ctx, cluster.PutRequest{Key: fmt.Sprintf("big/%05d", i), Value: value}); err != nil {
						s.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		l, err := s.store.List(s.ctx, "big/")
		require.NoError(s, err)
		require.Len(s, l.Entries, n)
		for i, e := range l.Entries {
			require.Equal(s, fmt.Sprintf("big/%05d", i), e.Key)
			require.Len(s, e.Value, len(value))
		}
	}},
	{"a listing is one moment", func(s *suite) {
		// The writer always creates the next key before it deletes the last, so every moment has
		// one or two.
		s.put("0", "v")
		stop := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := s.putIf(fmt.Sprint(i+1), "v", cluster.Condition{}); err != nil {
					s.Error(err)
					return
				}
				if _, err := s.store.Delete(s.ctx, fmt.Sprint(i), cluster.Condition{}); err != nil {
					s.Error(err)
					return
				}
			}
		})
		for range 50 {
			n := len(s.keys(""))
			if n < 1 || n > 2 {
				s.Errorf("a listing has %d keys where every moment had one or two", n)
			}
		}
		close(stop)
		wg.Wait()
	}},
}
