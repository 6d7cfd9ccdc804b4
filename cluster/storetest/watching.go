package storetest

import (
	"context"
	"fmt"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

var watchTests = []test{
	{"puts and deletes are told", func(s *suite) {
		events := s.watch("p/", s.revision())
		created := s.put("p/k", "v1")
		require.Equal(s, cluster.Event{Kind: cluster.EventPut, Entry: s.get("p/k")}, s.next(events))
		replaced := s.put("p/k", "v2")
		require.Equal(s, cluster.Event{Kind: cluster.EventPut, Entry: cluster.Entry{
			Key: "p/k", Value: []byte("v2"), Revision: replaced, Created: created,
		}}, s.next(events))
		deleted := s.delete("p/k")
		require.Equal(s, cluster.Event{Kind: cluster.EventDelete, Entry: cluster.Entry{Key: "p/k", Revision: deleted}}, s.next(events))
	}},
	{"only the prefix is told", func(s *suite) {
		events := s.watch("p/", s.revision())
		s.put("p", "v")
		s.put("p0", "v")
		s.put("o/k", "v")
		s.put("p/k", "v")
		require.Equal(s, "p/k", s.next(events).Entry.Key)
	}},
	{"prefixes that end in 0xff have an end, too", func(s *suite) {
		inner := s.watch("a\xff", s.revision())
		outer := s.watch("\xff", s.revision())
		s.put("b", "v")
		s.put("a\xff1", "v")
		s.put("\xff1", "v")
		require.Equal(s, "a\xff1", s.next(inner).Entry.Key)
		require.Equal(s, "\xff1", s.next(outer).Entry.Key)
	}},
	{"the empty prefix is everything", func(s *suite) {
		events := s.watch("", s.revision())
		s.put("\x00", "v")
		s.put("\xff", "v")
		require.Equal(s, "\x00", s.next(events).Entry.Key)
		require.Equal(s, "\xff", s.next(events).Entry.Key)
	}},
	{"a session's key is told with its session", func(s *suite) {
		events := s.watch("", s.revision())
		sess := s.openSession(longTTL)
		s.bound("k", sess)
		require.Equal(s, sess.ID(), s.next(events).Entry.Session)
	}},
	{"a watch from an old revision tells what came after it", func(s *suite) {
		s.put("a", "v")
		from := s.put("b", "v")
		s.listFirst("")
		s.put("c", "v")
		s.put("d", "v")
		events := s.watch("", from)
		require.Equal(s, "c", s.next(events).Entry.Key)
		require.Equal(s, "d", s.next(events).Entry.Key)
		s.put("e", "v")
		require.Equal(s, "e", s.next(events).Entry.Key)
	}},
	{"a listing and the watch after it miss nothing and repeat nothing", func(s *suite) {
		const n = 200
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := range n {
				if _, err := s.putIf(fmt.Sprintf("%04d", i), "v", cluster.Condition{}); err != nil {
					s.Error(err)
					return
				}
			}
		})
		l, err := s.store.List(s.ctx, "")
		require.NoError(s, err)
		known := len(l.Entries)
		events := s.watch("", l.Revision)
		for i := known; i < n; i++ {
			require.Equal(s, fmt.Sprintf("%04d", i), s.next(events).Entry.Key)
		}
		wg.Wait()
	}},
	{"nothing is lost, repeated or out of order under load", func(s *suite) {
		const writers, each, watches = 4, 100, 3
		from := s.revision()
		streams := make([]<-chan cluster.Event, watches)
		for i := range streams {
			streams[i] = s.watch("", from)
		}
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := range each {
					if _, err := s.putIf(fmt.Sprintf("%d/%04d", w, i), "v", cluster.Condition{}); err != nil {
						s.Error(err)
						return
					}
				}
			})
		}
		for _, events := range streams {
			last := from
			seen := map[string]bool{}
			for range writers * each {
				ev := s.next(events)
				require.Equal(s, cluster.EventPut, ev.Kind)
				require.Greater(s, ev.Entry.Revision, last)
				require.False(s, seen[ev.Entry.Key], "told twice: %s", ev.Entry.Key)
				last, seen[ev.Entry.Key] = ev.Entry.Revision, true
			}
		}
		wg.Wait()
	}},
	{"the last change of a key always arrives", func(s *suite) {
		events := s.watch("", s.revision())
		var last int64
		for i := range 50 {
			last = s.put("k", fmt.Sprint(i))
		}
		for seen := int64(0); ; {
			ev := s.next(events)
			require.Greater(s, ev.Entry.Revision, seen)
			if seen = ev.Entry.Revision; seen == last {
				require.Equal(s, "49", string(ev.Entry.Value))
				return
			}
		}
	}},
	{"a slow reader holds back only itself", func(s *suite) {
		from := s.revision()
		slow := s.watch("", from)
		fast := s.watch("", from)
		const n = 500
		for i := range n {
			s.put(fmt.Sprintf("%04d", i), "v")
			require.Equal(s, fmt.Sprintf("%04d", i), s.next(fast).Entry.Key)
		}
		for i := range n {
			require.Equal(s, fmt.Sprintf("%04d", i), s.next(slow).Entry.Key)
		}
	}},
	{"a watch ends with its context, and only that one", func(s *suite) {
		ctx, cancel := context.WithCancel(s.ctx)
		ended := s.store.Watch(ctx, "", s.revision())
		other := s.watch("", s.revision())
		cancel()
		s.eventually(func() bool { _, open := <-ended; return !open }, "the watch ends")
		s.put("k", "v")
		require.Equal(s, "k", s.next(other).Entry.Key)
	}},
	{"a revision that is yet to come is a gap", func(s *suite) {
		s.put("k", "v")
		present := s.revision()
		events := s.watch("", present+1000)
		relist := s.next(events)
		require.Equal(s, cluster.EventRelist, relist.Kind)
		require.Equal(s, present, relist.Entry.Revision)
		s.put("l", "v")
		require.Equal(s, "l", s.next(events).Entry.Key)
	}},
	{"a watch that needs what was compacted is told to relist, then goes on", func(s *suite) {
		compacter := need[Compacter](s)
		from := s.put("a", "v")
		s.put("b", "v")
		compacted := s.put("c", "v")
		compacter.Compact(s.T, compacted)
		events := s.watch("", from)
		relist := s.next(events)
		require.Equal(s, cluster.EventRelist, relist.Kind)
		require.Equal(s, compacted, relist.Entry.Revision)
		require.Equal(s, []string{"a", "b", "c"}, s.keys(""))
		s.put("d", "v")
		require.Equal(s, "d", s.next(events).Entry.Key)
	}},
	{"a watch that needs nothing of what was compacted notices nothing", func(s *suite) {
		compacter := need[Compacter](s)
		s.put("a", "v")
		rev := s.put("b", "v")
		running := s.watch("", rev)
		compacter.Compact(s.T, rev)
		later := s.watch("", rev)
		s.put("c", "v")
		require.Equal(s, "c", s.next(running).Entry.Key)
		require.Equal(s, "c", s.next(later).Entry.Key)
	}},
}

// historyTests need a store that was never anything else.
var historyTests = []test{
	{"a watch from the beginning tells everything", func(s *suite) {
		s.put("a", "v")
		s.put("b", "v")
		for _, after := range []int64{0, -5} {
			events := s.watch("", after)
			require.Equal(s, "a", s.next(events).Entry.Key)
			require.Equal(s, "b", s.next(events).Entry.Key)
		}
	}},
	{"a store that lost its keys under a watch makes it relist", func(s *suite) {
		rewinder := need[Rewinder](s)
		for i := range 50 {
			s.put(fmt.Sprint(i), "v")
		}
		before := s.revision()
		events := s.watch("", before)
		rewinder.Rewind(s.T)
		relist := s.next(events)
		require.Equal(s, cluster.EventRelist, relist.Kind)
		require.Less(s, relist.Entry.Revision, before)
		require.Empty(s, s.keys(""))
		s.put("new", "v")
		require.Equal(s, "new", s.next(events).Entry.Key)
	}},
	{"a listing after the store lost its keys is of another era, also once the old revision is passed", func(s *suite) {
		rewinder := need[Rewinder](s)
		for i := range 50 {
			s.put(fmt.Sprint(i), "v")
		}
		before := s.point()
		s.put("more", "v")
		require.True(s, s.point().Follows(before))
		rewinder.Rewind(s.T)
		s.eventually(func() bool { return !s.point().Follows(before) }, "the store is the same as before")
		for s.revision() <= before.Revision {
			s.put("new", "v")
		}
		after := s.point()
		require.Greater(s, after.Revision, before.Revision)
		require.False(s, after.Follows(before), "what is missing now was not deleted")
		s.put("new", "v")
		require.True(s, s.point().Follows(after))
	}},
}
