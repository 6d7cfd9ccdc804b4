package consulstore

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/cluster/consulstore/consultest"
)

func TestWhatWasDeletedBetweenAListingAndItsWatchIsTold(t *testing.T) {
	s := open(t)
	put(t, s, "p/a", "v")
	put(t, s, "p/b", "v")
	after := revisionOf(t, s, "p/")
	gone := remove(t, s, "p/a")
	written := put(t, s, "p/c", "v")
	events := s.Watch(t.Context(), "p/", after)
	require.Equal(t, "p/c", next(t, events).Entry.Key)
	ev := next(t, events)
	require.Equal(t, "p/a", ev.Entry.Key)
	require.Equal(t, cluster.EventDelete, ev.Kind)
	require.GreaterOrEqual(t, ev.Entry.Revision, max(gone, written))
}

func TestAWatchFromARevisionThatWasNotListedRelistsIfAnythingHappenedSince(t *testing.T) {
	s := open(t)
	put(t, s, "p/a", "v")
	after := put(t, s, "p/b", "v")
	unchanged := s.Watch(t.Context(), "p/", after)
	require.Eventually(t, func() bool { return s.server.Blocked() == 1 }, patience, time.Millisecond)
	elsewhere := put(t, s, "other", "v")
	deletion := remove(t, s, "p/a")
	require.Equal(t, deleted("p/a", deletion), next(t, unchanged), "nothing had happened, so what is there was known")

	late := s.Watch(t.Context(), "p/", elsewhere)
	require.Equal(t, relist(deletion), next(t, late), "p/a may have been there or not")
	put(t, s, "p/c", "v")
	require.Equal(t, "p/c", next(t, late).Entry.Key)
}

func TestListingsOfOtherPrefixesDoNotHelpAWatch(t *testing.T) {
	s := open(t)
	put(t, s, "p/a", "v")
	after := revisionOf(t, s, "")
	remove(t, s, "p/a")
	require.Equal(t, cluster.EventRelist, next(t, s.Watch(t.Context(), "p/", after)).Kind)
}

func TestOnlyTheNewestListingsAreRemembered(t *testing.T) {
	var m memory
	for i := range maxRemembered + 1 {
		m.remember("p/", int64(i), map[string]int64{})
		m.remember("p/", int64(i), map[string]int64{"again": 1})
	}
	_, ok := m.recall("p/", 0)
	require.False(t, ok)
	keys, ok := m.recall("p/", 1)
	require.True(t, ok)
	require.Contains(t, keys, "again")
	require.Len(t, m.listings, maxRemembered)
}

func TestForgottenTombstonesLoseNothing(t *testing.T) {
	s := open(t)
	put(t, s, "p/kept", "v")
	put(t, s, "p/gone", "v")
	late := dial(t, s.server, Config{ACLToken: "late", Logger: zap.NewNop()})
	after := revisionOf(t, late, "p/")
	s.server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		away := r.Header.Get("X-Consul-Token") == "late"
		if away {
			http.Error(w, "away", http.StatusServiceUnavailable)
		}
		return away
	})
	events := late.Watch(t.Context(), "p/", after)
	there := s.Watch(t.Context(), "p/", revisionOf(t, s, "p/"))
	gone := remove(t, s, "p/gone")
	require.Equal(t, deleted("p/gone", gone), next(t, there))
	s.server.ReapTombstones()
	s.server.Intercept(nil)
	ev := next(t, events)
	require.Equal(t, deleted("p/gone", ev.Entry.Revision), ev, "it was listed, so it is known to be gone")
	require.GreaterOrEqual(t, ev.Entry.Revision, gone)
	for _, stream := range []<-chan cluster.Event{events, there} {
		put(t, s, "p/new", "v")
		require.Equal(t, cluster.EventPut, next(t, stream).Kind, "an index that went back for that is no reason to relist")
	}
}

func TestAStoreThatIsReplacedWhileItIsLookedAtIsARelist(t *testing.T) {
	s := open(t)
	empty := s.server.Snapshot()
	for _, key := range []string{"p/a", "p/b", "p/c"} {
		put(t, s, key, "v")
	}
	old := revisionOf(t, s, "p/")
	var once sync.Once
	s.server.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Has("recurse") {
			once.Do(func() { s.server.Restore(empty) })
		}
		return false
	})
	ev := next(t, s.Watch(t.Context(), "p/", old))
	require.Equal(t, cluster.EventRelist, ev.Kind, "nobody has deleted anything")
	require.Less(t, ev.Entry.Revision, old)
}

func TestAListingIsNotOfTwoStores(t *testing.T) {
	s := open(t)
	put(t, s, "p/a", "old")
	restored := s.server.Snapshot()
	for _, key := range []string{"p/b", "p/c"} {
		put(t, s, key, "v")
	}
	old := revisionOf(t, s, "p/")
	var once sync.Once
	s.server.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Has("recurse") {
			once.Do(func() { s.server.Restore(restored) })
		}
		return false
	})
	l, err := s.List(t.Context(), "p/")
	require.NoError(t, err)
	require.Len(t, l.Entries, 1)
	require.Less(t, l.Revision, old, "the revision is that of the store that was listed")
	require.EqualValues(t, 1, l.Era.Rewinds)
}

func TestARestoredSnapshotIsARelist(t *testing.T) {
	s := open(t)
	put(t, s, "p/a", "v")
	old := revisionOf(t, s, "p/")
	snapshot := s.server.Snapshot()
	newest := put(t, s, "p/b", "v")
	events := s.Watch(t.Context(), "p/", revisionOf(t, s, "p/"))
	put(t, s, "p/c", "v")
	require.Equal(t, "p/c", next(t, events).Entry.Key)
	require.Eventually(t, func() bool { return s.server.Blocked() == 1 }, patience, time.Millisecond)
	restored := time.Now()
	s.server.Restore(snapshot)
	require.Equal(t, relist(old), next(t, events))
	require.Less(t, time.Since(restored), blockFor, "Consul answers at once, though with what was before")
	require.Equal(t, old, revisionOf(t, s, "p/"))
	require.Greater(t, put(t, s, "p/d", "v"), newest)
	require.Equal(t, "p/d", next(t, events).Entry.Key)
}

func TestAnOldRevisionOfAKeyThatIsNewIsARelist(t *testing.T) {
	w := &watch{store: &Store{logger: zap.NewNop()}, begun: true, index: 20, newest: 20, keys: map[string]int64{"p/k": 18}}
	events := w.take(listing{index: 25, entries: []cluster.Entry{{Key: "p/k", Revision: 12}, {Key: "p/x", Revision: 25}}}, 25, false)
	require.Equal(t, []cluster.Event{relist(25)}, events, "p/k went back, so the store did")
}

func TestARestoreThatNobodyNoticedIsToldAsTheDifference(t *testing.T) {
	s := open(t)
	put(t, s, "p/a", "v")
	snapshot := s.server.Snapshot()
	put(t, s, "p/b", "v")
	events := s.Watch(t.Context(), "p/", revisionOf(t, s, "p/"))
	require.Eventually(t, func() bool { return s.server.Blocked() == 1 }, patience, time.Millisecond)
	var restored atomic.Bool
	s.server.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Has("index") && restored.CompareAndSwap(false, true) {
			s.server.Restore(snapshot) // just before the watch waits again
		}
		return false
	})
	put(t, s, "p/c", "v")
	require.Equal(t, "p/c", next(t, events).Entry.Key)
	require.Eventually(t, restored.Load, patience, time.Millisecond)
	require.Eventually(t, func() bool { return s.server.Blocked() == 1 }, patience, time.Millisecond)
	newest := put(t, s, "p/d", "v")
	require.Equal(t, "p/d", next(t, events).Entry.Key)
	require.Equal(t, deleted("p/b", newest), next(t, events))
	require.Equal(t, deleted("p/c", newest), next(t, events))
}

func TestAWatchIsNotFasterThanItsLimit(t *testing.T) {
	server := serve(t, consultest.Options{})
	s := dial(t, server, Config{WatchRateLimit: 4, WatchBurstSize: 1})
	writer := dial(t, server, Config{})
	start := time.Now()
	events := s.Watch(t.Context(), "p/", 0)
	put(t, writer, "p/k", "0")
	listings := 1
	for last := ""; last != "19"; listings++ {
		if last == "" {
			for _, value := range []string{"1", "5", "10", "19"} {
				put(t, writer, "p/k", value)
			}
		}
		last = string(next(t, events).Entry.Value)
	}
	// The first listing is free, each one after it waits a quarter of a second.
	require.GreaterOrEqual(t, time.Since(start), time.Duration(listings-2)*250*time.Millisecond)
	require.Less(t, listings, 20, "changes were merged")
}

func TestAListingThatTheTokenMayNotSeeWholeIsAnErrorNotADeletion(t *testing.T) {
	allowed := make(chan bool, 1)
	allowed <- true
	everything := func(string) bool { return true }
	server := serve(t, consultest.Options{Policies: map[string]consultest.Policy{
		"admin": {Read: everything, Write: everything},
		"agent": {Write: everything, Read: func(key string) bool {
			may := <-allowed
			allowed <- may
			return may || key == "p/b" || key == "p/"+neverWritten
		}},
	}})
	admin := dial(t, server, Config{ACLToken: "admin"})
	put(t, admin, "p/a", "v")
	put(t, admin, "p/b", "v")
	s := dial(t, server, Config{ACLToken: "agent"})
	events := s.Watch(t.Context(), "p/", revisionOf(t, s, "p/"))

	<-allowed
	allowed <- false
	put(t, admin, "p/b", "changed") // ends the blocking query, which then lacks p/a
	_, err := s.List(t.Context(), "p/")
	require.ErrorContains(t, err, `the ACL token may not read all keys under "p/"`)
	_, err = s.Get(t.Context(), "p/a")
	require.ErrorContains(t, err, `lacks key "p/a": the ACL token may not read it`)
	require.NotErrorIs(t, err, cluster.ErrNotFound)

	<-allowed
	allowed <- true
	ev := next(t, events)
	require.Equal(t, cluster.EventPut, ev.Kind, "p/a was never gone")
	require.Equal(t, "p/b", ev.Entry.Key)
}

func TestAKeyThatMayNotBeWrittenIsNoConflict(t *testing.T) {
	server := serve(t, consultest.Options{Policies: map[string]consultest.Policy{
		"": {Read: func(string) bool { return true }},
	}})
	s := dial(t, server, Config{})
	_, err := s.Put(t.Context(), cluster.PutRequest{Key: "k", If: cluster.Condition{Absent: true}})
	require.ErrorContains(t, err, "the transaction was refused: Permission denied")
	require.NotErrorIs(t, err, cluster.ErrConflict)
	_, err = s.OpenSession(t.Context(), time.Minute)
	require.ErrorContains(t, err, "403")
	_, err = dial(t, server, Config{ACLToken: "expired"}).List(t.Context(), "")
	require.ErrorContains(t, err, "ACL not found")
}

func TestWhatIsNotConsulIsNotAnEmptyStore(t *testing.T) {
	s := open(t)
	put(t, s, "k", "v")
	for _, status := range []int{http.StatusOK, http.StatusNotFound, http.StatusForbidden, http.StatusBadGateway} {
		for _, body := range []string{"", "null", "[]", "{}", "<html>"} {
			s.server.Fail(status, body)
			_, err := s.List(t.Context(), "")
			require.Error(t, err, "%d %q", status, body)
			_, err = s.Get(t.Context(), "k")
			require.Error(t, err, "%d %q", status, body)
			require.NotErrorIs(t, err, cluster.ErrNotFound, "%d %q", status, body)
			_, err = s.Put(t.Context(), cluster.PutRequest{Key: "k"})
			require.Error(t, err, "%d %q", status, body)
		}
	}
	s.server.Intercept(nil)
	require.Positive(t, revisionOf(t, s, ""))
}
