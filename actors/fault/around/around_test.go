package around_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/actors/async"
	"github.com/ringmaster-agent/ringmaster/actors/fault"
	"github.com/ringmaster-agent/ringmaster/actors/fault/around"
	"github.com/ringmaster-agent/ringmaster/actors/fault/faulttest"
	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/cluster/memstore"
	"github.com/ringmaster-agent/ringmaster/messages"
	"github.com/ringmaster-agent/ringmaster/wal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const long = time.Minute

func TestWithoutRulesNothingIsWrapped(t *testing.T) {
	store := memstore.New()
	defer store.Close()
	require.Same(t, store, around.Store(store, nil))
	require.Nil(t, around.Disk(nil, nil, ""))
	require.Nil(t, around.Receivers(nil))
	require.Nil(t, around.Targets(nil, "a"))
	require.Nil(t, around.Discovery(nil))
	require.Nil(t, around.Gossip(nil))
}

func TestAStoreThatFailsOnPurpose(t *testing.T) {
	for name, c := range map[string]struct {
		point fault.Point
		act   fault.Action
		check func(t *testing.T, s, real cluster.Store)
	}{
		"a read fails": {fault.StoreRead, fault.Error, func(t *testing.T, s, _ cluster.Store) {
			_, err := s.Get(t.Context(), "k")
			require.ErrorContains(t, err, `injected (fault "`)
			_, err = s.List(t.Context(), "")
			require.Error(t, err)
			require.NotErrorIs(t, err, cluster.ErrNotFound)
		}},
		"the answer is empty": {fault.StoreRead, fault.Empty, func(t *testing.T, s, _ cluster.Store) {
			_, err := s.Get(t.Context(), "k")
			require.ErrorIs(t, err, cluster.ErrNotFound)
			l, err := s.List(t.Context(), "")
			require.NoError(t, err)
			require.Empty(t, l.Entries)
			require.NotZero(t, l.Revision)
		}},
		"the answer is garbage": {fault.StoreRead, fault.Garbage, func(t *testing.T, s, _ cluster.Store) {
			e, err := s.Get(t.Context(), "k")
			require.NoError(t, err)
			require.NotEqual(t, "v", string(e.Value))
			l, err := s.List(t.Context(), "")
			require.NoError(t, err)
			require.NotEqual(t, "v", string(l.Entries[0].Value))
		}},
		"the answer is old": {fault.StoreRead, fault.Stale, func(t *testing.T, s, real cluster.Store) {
			before, err := s.List(t.Context(), "")
			require.NoError(t, err)
			_, err = real.Put(t.Context(), cluster.PutRequest{Key: "k2", Value: []byte("v")})
			require.NoError(t, err)
			after, err := s.List(t.Context(), "")
			require.NoError(t, err)
			require.Equal(t, before, after)
		}},
		"a write fails": {fault.StoreWrite, fault.Error, func(t *testing.T, s, real cluster.Store) {
			_, err := s.Put(t.Context(), cluster.PutRequest{Key: "new"})
			require.Error(t, err)
			_, err = s.Delete(t.Context(), "k", cluster.Condition{})
			require.Error(t, err)
			_, err = s.Batch(t.Context(), []cluster.Op{{Delete: &cluster.DeleteRequest{Key: "k"}}})
			require.Error(t, err)
			_, err = real.Get(t.Context(), "k")
			require.NoError(t, err, "nothing was done")
		}},
		"the answer to a write is lost": {fault.StoreWrite, fault.LoseAnswer, func(t *testing.T, s, real cluster.Store) {
			_, err := s.Put(t.Context(), cluster.PutRequest{Key: "new"})
			require.Error(t, err)
			_, err = real.Get(t.Context(), "new")
			require.NoError(t, err, "it was done all the same")
		}},
		"it hangs": {fault.StoreRead, fault.Hang, func(t *testing.T, s, _ cluster.Store) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			_, err := s.Get(ctx, "k")
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}},
		"a watch has a gap": {fault.StoreWatch, fault.Gap, func(t *testing.T, s, real cluster.Store) {
			ctx, cancel := context.WithCancel(t.Context())
			events := s.Watch(ctx, "", 0)
			require.Equal(t, cluster.EventRelist, (<-events).Kind)
			cancel()
			for range events {
			}
		}},
		"no session can be opened": {fault.StoreSession, fault.Error, func(t *testing.T, s, _ cluster.Store) {
			_, err := s.OpenSession(t.Context(), time.Second)
			require.Error(t, err)
		}},
		"the session is not renewed, and nobody says so": {fault.StoreSession, fault.Hang, func(t *testing.T, s, real cluster.Store) {
			session, err := s.OpenSession(t.Context(), 200*time.Millisecond)
			require.NoError(t, err)
			_, err = s.Put(t.Context(), cluster.PutRequest{Key: "bound", Session: session})
			require.NoError(t, err)
			renewed := session.LastRenewed()
			<-session.Done()
			require.GreaterOrEqual(t, time.Since(renewed), 200*time.Millisecond, "it hears nothing before its time is over")
			require.Equal(t, renewed, session.LastRenewed())
			require.Eventually(t, func() bool {
				_, err = real.Get(t.Context(), "bound")
				return errors.Is(err, cluster.ErrNotFound)
			}, time.Minute, time.Millisecond, "for the store it has ended")
		}},
		"the session is lost": {fault.StoreSession, fault.Lose, func(t *testing.T, s, _ cluster.Store) {
			session, err := s.OpenSession(t.Context(), time.Minute)
			require.NoError(t, err)
			session.LastRenewed()
			<-session.Done()
			_, err = s.Put(t.Context(), cluster.PutRequest{Key: "bound", Session: session})
			require.ErrorIs(t, err, cluster.ErrSessionLost)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			real := memstore.New()
			defer real.Close()
			_, err := real.Put(t.Context(), cluster.PutRequest{Key: "k", Value: []byte("v")})
			require.NoError(t, err)
			c.check(t, around.Store(real, faulttest.New(t, faulttest.Always(c.point, c.act, long))), real)
		})
	}
}

// TestARuleIsNotUsedUpByWhatItCanNotChange asks for one hit only, and lets events come first that
// know nothing of the action.
func TestARuleIsNotUsedUpByWhatItCanNotChange(t *testing.T) {
	once := func(p fault.Point, a fault.Action) *fault.Registry {
		rule := faulttest.Nth(1, p, a)
		rule.Delay = fault.Duration(time.Minute)
		return faulttest.New(t, rule)
	}
	clock := around.Clock(async.Runtime{SinceBoot: func() time.Duration { return 0 }}, once(fault.Clock, fault.Suspend))
	clock.Now()
	require.Equal(t, time.Minute, clock.SinceBoot())

	real := memstore.New()
	defer real.Close()
	lose := around.Store(real, once(fault.StoreSession, fault.Lose))
	session, err := lose.OpenSession(t.Context(), time.Minute)
	require.NoError(t, err)
	session.LastRenewed()
	<-session.Done()
	cut := around.Store(real, once(fault.StoreSession, fault.Hang))
	session, err = cut.OpenSession(t.Context(), time.Hour)
	require.NoError(t, err)
	renewed := session.LastRenewed()
	require.Equal(t, renewed, session.LastRenewed(), "the rule is used up, and it hears of its end")
	<-session.Done()
	refuse := around.Store(real, faulttest.New(t, faulttest.Nth(2, fault.StoreSession, fault.Error)))
	session, err = refuse.OpenSession(t.Context(), time.Minute)
	require.NoError(t, err)
	session.LastRenewed()
	_, err = refuse.OpenSession(t.Context(), time.Minute)
	require.Error(t, err)

	stale := once(fault.StoreRead, fault.Stale)
	_, err = around.Store(real, stale).Get(t.Context(), "k")
	require.ErrorIs(t, err, cluster.ErrNotFound)
	require.Zero(t, stale.Rules()[0].Hits, "a single key is never stale")

	short := once(fault.DiskWrite, fault.Short)
	f, err := around.Disk(nil, short, "a").OpenFile(filepath.Join(t.TempDir(), "f"), os.O_RDWR|os.O_CREATE)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, f.Truncate(0))
	n, err := f.WriteAt([]byte("ABCD"), 0)
	require.Equal(t, 2, n)
	require.ErrorIs(t, err, syscall.EIO)
}

func TestAStoreThatCanTellIdleSessionsStillCan(t *testing.T) {
	real := memstore.New()
	defer real.Close()
	_, can := cluster.Store(real).(cluster.IdleSessions)
	_, still := around.Store(real, faulttest.New(t)).(cluster.IdleSessions)
	require.Equal(t, can, still)
}

func TestADiskThatFailsOnPurpose(t *testing.T) {
	open := func(t *testing.T, rules ...fault.Rule) (wal.FS, wal.File) {
		clean, faults := filepath.Join(t.TempDir(), "f"), faulttest.New(t, rules...)
		require.NoError(t, os.WriteFile(clean, []byte("abcdefgh"), 0o600))
		fs := around.Disk(nil, faults, "a")
		f, err := fs.OpenFile(clean, os.O_RDWR)
		if err != nil {
			return fs, nil
		}
		t.Cleanup(func() { f.Close() })
		return fs, f
	}
	for text, number := range map[string]syscall.Errno{"ENOSPC": syscall.ENOSPC, "": syscall.EIO, "EMFILE": syscall.EMFILE, "EROFS": syscall.EROFS} {
		rule := faulttest.Always(fault.DiskWrite, fault.Error, long)
		rule.Error, rule.Units = text, "a"
		_, f := open(t, rule)
		_, err := f.WriteAt([]byte("x"), 0)
		require.ErrorIs(t, err, number)
		require.ErrorIs(t, f.Truncate(1), number)
	}
	other := faulttest.Always(fault.DiskWrite, fault.Error, long)
	other.Units = "b"
	_, f := open(t, other)
	_, err := f.WriteAt([]byte("x"), 0)
	require.NoError(t, err, "another unit's disk")

	_, f = open(t, faulttest.Always(fault.DiskWrite, fault.Short, long))
	n, err := f.WriteAt([]byte("ABCD"), 0)
	require.ErrorIs(t, err, syscall.EIO)
	require.Equal(t, 2, n)

	b := make([]byte, 8)
	_, f = open(t, faulttest.Always(fault.DiskRead, fault.Flip, long))
	_, err = f.ReadAt(b, 0)
	require.NoError(t, err)
	require.Equal(t, "abcddfgh", string(b), "one bit is another")
	given := []byte("abcdefgh")
	_, f = open(t, faulttest.Always(fault.DiskWrite, fault.Flip, long))
	_, err = f.WriteAt(given, 0)
	require.NoError(t, err)
	_, err = f.ReadAt(b, 0)
	require.NoError(t, err)
	require.Equal(t, "abcddfgh", string(b))
	require.Equal(t, "abcdefgh", string(given), "the caller's bytes are not touched")

	fs, f := open(t, faulttest.Always(fault.DiskSync, fault.Error, long))
	require.Error(t, f.Sync())
	require.Error(t, fs.SyncDir(t.TempDir()))
	require.Error(t, fs.SyncFS(t.TempDir()))
	fs, f = open(t, faulttest.Always(fault.DiskOpen, fault.Error, long))
	require.Nil(t, f)
	require.Error(t, fs.MkdirAll(t.TempDir()))
	_, err = fs.ReadDir(t.TempDir())
	require.Error(t, err)
}

func TestRequestsThatFailOnPurpose(t *testing.T) {
	var received int
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		received++
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "up 1\nup 2\n")
	}))
	defer server.Close()
	ask := func(t *testing.T, p fault.Point, rule fault.Rule) (*http.Response, string, error) {
		faults := faulttest.New(t, rule)
		wrap := around.Receivers(faults)
		if p == fault.Scrape {
			wrap = around.Targets(faults, "a")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if rule.Action == fault.Hang {
			ctx, cancel = context.WithTimeout(ctx, time.Millisecond)
			defer cancel()
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, strings.NewReader("samples"))
		require.NoError(t, err)
		transport := &http.Transport{DisableKeepAlives: true}
		response, err := wrap(transport).RoundTrip(request)
		if err != nil {
			return nil, "", err
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		return response, string(text), err
	}
	for name, c := range map[string]struct {
		point  fault.Point
		action fault.Action
		check  func(t *testing.T, r *http.Response, text string, err error)
		sent   int
	}{
		"hang": {fault.RemoteWrite, fault.Hang, func(t *testing.T, _ *http.Response, _ string, err error) {
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}, 0},
		"reset": {fault.RemoteWrite, fault.Reset, func(t *testing.T, _ *http.Response, _ string, err error) { require.ErrorIs(t, err, syscall.ECONNRESET) }, 0},
		"refuse": {fault.Scrape, fault.Refuse, func(t *testing.T, _ *http.Response, _ string, err error) {
			require.ErrorIs(t, err, syscall.ECONNREFUSED)
		}, 0},
		"status": {fault.RemoteWrite, fault.Status, func(t *testing.T, r *http.Response, _ string, err error) { require.Equal(t, 503, r.StatusCode) }, 0},
		"redirect": {fault.RemoteWrite, fault.Redirect, func(t *testing.T, r *http.Response, _ string, err error) {
			require.Equal(t, server.URL, r.Header.Get("Location"))
		}, 0},
		"garbage": {fault.Scrape, fault.Garbage, func(t *testing.T, r *http.Response, text string, err error) { require.Contains(t, text, "no metric") }, 0},
		"lost": {fault.RemoteWrite, fault.LoseAnswer, func(t *testing.T, _ *http.Response, _ string, err error) {
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		}, 1},
		"half": {fault.Scrape, fault.Half, func(t *testing.T, _ *http.Response, text string, err error) {
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			require.Equal(t, "up 1\n", text)
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			received = 0
			response, text, err := ask(t, c.point, faulttest.Always(c.point, c.action, long))
			c.check(t, response, text, err)
			require.Equal(t, c.sent, received)
		})
	}
	require.Panics(t, func() { _, _, _ = ask(t, fault.Scrape, faulttest.Always(fault.Scrape, fault.Panic, long)) })
	elsewhere := faulttest.Always(fault.RemoteWrite, fault.Reset, long)
	elsewhere.Peers = []string{"receiver.example.org:*"}
	_, text, err := ask(t, fault.RemoteWrite, elsewhere)
	require.NoError(t, err, "another receiver")
	require.Equal(t, "up 1\nup 2\n", text)
}

func TestADiscoveryThatFailsSaysLaterWhatItHasFound(t *testing.T) {
	for action, want := range map[fault.Action][]bool{fault.Error: {false}, fault.Empty: {true, false}, fault.Delay: {false}} {
		synctest.Test(t, func(t *testing.T) {
			rule := faulttest.Always(fault.Discovery, action, 10*time.Second)
			rule.Delay = fault.Duration(10 * time.Second)
			intercept, began := around.Discovery(faulttest.New(t, rule)), time.Now()
			var told []bool
			intercept(t.Context(), "file", func(empty bool) { told = append(told, empty) })
			require.Equal(t, want, told, action)
			require.Equal(t, 10*time.Second, time.Since(began))
		})
	}
}

func TestAClockThatIsWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := faulttest.New(t)
		r := around.Clock(async.Runtime{SinceBoot: func() time.Duration { return time.Hour }}, faults)
		require.Equal(t, time.Now(), r.Now())
		skew := fault.Rule{Name: "skew", Point: fault.Clock, Action: fault.Skew, Delay: fault.Duration(-time.Minute), Duration: fault.Duration(time.Second)}
		require.NoError(t, faults.Put(skew))
		require.Equal(t, time.Now().Add(-time.Minute), r.Now())
		require.Equal(t, time.Hour, r.SinceBoot())
		faults.Clear("test")
		require.Equal(t, time.Now(), r.Now())
		suspend := fault.Rule{Name: "suspend", Point: fault.Clock, Action: fault.Suspend, Delay: fault.Duration(time.Minute), Duration: fault.Duration(time.Second)}
		require.NoError(t, faults.Put(suspend))
		require.Equal(t, time.Hour+time.Minute, r.SinceBoot())
		require.Equal(t, time.Hour+time.Minute, r.SinceBoot(), "once")
		faults.Clear("test")
		require.Equal(t, time.Hour+time.Minute, r.SinceBoot(), "that time does not come back")
	})
}

func TestAPipelineThatCanNotBeOpened(t *testing.T) {
	open := func(context.Context, actors.PipelineSpec) (actors.Pipeline, error) { return nil, errors.New("opened") }
	spec := actors.PipelineSpec{Unit: messages.WholeConfig("a")}
	_, err := around.Pipelines(open, faulttest.New(t, faulttest.Nth(1, fault.PipelineOpen, fault.Error)))(t.Context(), spec)
	require.ErrorContains(t, err, "injected")
	_, err = around.Pipelines(open, faulttest.New(t))(t.Context(), spec)
	require.ErrorContains(t, err, "opened")
	require.Panics(t, func() {
		_, _ = around.Pipelines(open, faulttest.New(t, faulttest.Nth(1, fault.PipelineOpen, fault.Panic)))(t.Context(), spec)
	})
}

func TestGossipIsLostInOneDirectionOnly(t *testing.T) {
	rule := faulttest.Always(fault.GossipSend, fault.Drop, long)
	rule.Peers = []string{"b"}
	fate := around.Gossip(faulttest.New(t, rule))
	lost, _ := fate("b", false)
	require.True(t, lost)
	lost, _ = fate("b", true)
	require.False(t, lost, "what b says arrives")
	lost, _ = fate("c", false)
	require.False(t, lost)
	late := faulttest.Always(fault.GossipReceive, fault.Delay, long)
	late.Delay = fault.Duration(time.Second)
	_, by := around.Gossip(faulttest.New(t, late))("b", true)
	require.Equal(t, time.Second, by)
}

func TestAProcessIsKeptBusyHoldsMemoryAndEnds(t *testing.T) {
	for _, action := range []fault.Action{fault.CPU, fault.Memory, fault.Exit} {
		rule := faulttest.Always(fault.Process, action, long)
		rule.Bytes = 1 << 20
		faults := faulttest.New(t, rule)
		ctx, cancel := context.WithCancel(t.Context())
		exited, over := make(chan struct{}, 100), make(chan struct{})
		go func() {
			defer close(over)
			around.Process(ctx, faults, func() { exited <- struct{}{} })
		}()
		if action == fault.Exit {
			<-exited
		} else {
			require.Eventually(t, func() bool { return len(faults.Hits()) > 0 && faults.Rules()[0].Hits > 0 }, 10*time.Second, time.Millisecond)
		}
		faults.Clear("test")
		cancel()
		<-over
	}
}
