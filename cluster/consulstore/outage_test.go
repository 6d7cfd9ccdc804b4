package consulstore

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/cluster/consulstore/consultest"
)

// logged is a logger and what it has logged.
func logged() (*zap.Logger, *observer.ObservedLogs) {
	core, logs := observer.New(zap.InfoLevel)
	return zap.New(core), logs
}

func messages(logs *observer.ObservedLogs) []string {
	texts := []string{}
	for _, e := range logs.All() {
		first, _, _ := strings.Cut(e.Message, ";")
		texts = append(texts, first)
	}
	return texts
}

// hang answers a request when the client has given it up. A server notices that once it has read
// the body.
func hang(_ http.ResponseWriter, r *http.Request) bool {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
	return true
}

func TestAnOutageIsSurvivedAndLoggedOnce(t *testing.T) {
	server := serve(t, consultest.Options{MinTTL: time.Second})
	logger, logs := logged()
	s := dial(t, server, Config{Logger: logger})
	writer := dial(t, server, Config{})
	put(t, writer, "gone", "v")
	put(t, writer, "kept", "v")
	events := s.Watch(t.Context(), "", revisionOf(t, s, ""))
	sess, err := s.OpenSession(t.Context(), time.Minute)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return server.Blocked() == 1 }, patience, time.Millisecond)

	server.Stop()
	outage := time.Now()
	_, err = s.Get(t.Context(), "k")
	require.ErrorContains(t, err, `read "k" on consul http://`+server.Address())
	require.Eventually(t, func() bool {
		_, err = s.Get(t.Context(), "k")
		return strings.Contains(err.Error(), "nothing listens there")
	}, patience, time.Millisecond, "once the broken connections are used up")
	_, err = s.List(t.Context(), "")
	require.Error(t, err)
	_, err = s.Put(t.Context(), cluster.PutRequest{Key: "k"})
	require.Error(t, err)
	require.Error(t, s.EndSession(t.Context(), sess.ID()))
	require.NoError(t, server.Resume())

	gone := remove(t, dial(t, server, Config{}), "gone") // the connection of the other writer may be broken
	ev := next(t, events)
	require.Equal(t, deleted("gone", ev.Entry.Revision), ev, "there is no reason to relist")
	require.GreaterOrEqual(t, ev.Entry.Revision, gone)
	require.Eventually(t, func() bool { return sess.LastRenewed().After(outage) }, patience, 10*time.Millisecond)
	select {
	case <-sess.Done():
		t.Fatal("the session has ended")
	default:
	}
	require.Equal(t, []string{"consul can't be reached", "consul answers again"}, messages(logs))
}

func TestErrorsOfConsulAreAnOutageToo(t *testing.T) {
	server := serve(t, consultest.Options{MinTTL: time.Second})
	logger, logs := logged()
	s := dial(t, server, Config{Logger: logger})
	sess, err := s.OpenSession(t.Context(), time.Minute)
	require.NoError(t, err)
	events := s.Watch(t.Context(), "", 0)
	put(t, s, "a", "v")
	require.Equal(t, "a", next(t, events).Entry.Key)
	server.Fail(http.StatusInternalServerError, "No cluster leader")
	for range 3 {
		_, err = s.List(t.Context(), "")
		require.ErrorContains(t, err, "No cluster leader")
	}
	server.Intercept(nil)
	put(t, s, "b", "v")
	require.Equal(t, "b", next(t, events).Entry.Key)
	require.NoError(t, sess.Close(t.Context()))
	require.Equal(t, []string{"consul answers with an error", "consul answers again"}, messages(logs))
	require.Equal(t, "HTTP status 500: No cluster leader", logs.All()[0].ContextMap()["err"])
}

func TestAServerThatSaysNothingIsGivenUpAndLogged(t *testing.T) {
	server := serve(t, consultest.Options{})
	server.Intercept(hang)
	logger, logs := logged()
	s := dial(t, server, Config{Logger: logger, HTTPClientTimeout: 50 * time.Millisecond})
	_, err := s.Get(t.Context(), "k")
	require.ErrorIs(t, err, errNoAnswer)
	require.Equal(t, []string{"consul can't be reached"}, messages(logs))

	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	_, err = dial(t, server, Config{}).Get(ctx, "k")
	require.ErrorIs(t, err, context.Canceled)
}

func TestACallerThatGivesUpIsNoOutage(t *testing.T) {
	server := serve(t, consultest.Options{})
	logger, logs := logged()
	s := dial(t, server, Config{Logger: logger})
	server.Intercept(hang)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := s.Get(ctx, "k")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Empty(t, logs.All())
}

func TestAnOutageIsRepeatedInTheLogNowAndThen(t *testing.T) {
	logger, logs := logged()
	r := &reach{logger: logger}
	for range 3 {
		r.failed(r.begin(), unreachable, errNoAnswer)
	}
	require.Len(t, logs.All(), 1)
	r.reminded = r.reminded.Add(-remindEvery)
	r.failed(r.begin(), unreachable, errNoAnswer)
	require.Len(t, logs.All(), 2)
	r.answered(r.begin())
	r.answered(r.begin())
	require.Len(t, logs.All(), 3)
}

func TestARequestThatBeganBeforeTheEndOfAnOutageSaysNothing(t *testing.T) {
	logger, logs := logged()
	r := &reach{logger: logger}
	slow := r.begin()
	r.failed(r.begin(), unreachable, errNoAnswer)
	r.answered(r.begin())
	r.failed(slow, unreachable, errNoAnswer)
	require.Equal(t, []string{"consul can't be reached", "consul answers again"}, messages(logs))
	require.True(t, r.away(), "the log has the reason of what fails now")
	r.found = r.found.Add(-aftermath)
	require.False(t, r.away())
	r.failed(r.begin(), unreachable, errNoAnswer)
	require.True(t, r.away())
}

func TestAQuestionThatBreaksAfterANewerOneWasAnsweredIsNoInterruption(t *testing.T) {
	logger, logs := logged()
	s := &Store{logger: logger, reach: &reach{logger: logger}}
	watch := complaints{store: s, message: "watch is interrupted"}
	waiting := s.reach.begin()
	s.reach.answered(s.reach.begin())
	s.reach.failed(waiting, unreachable, errNoAnswer)
	watch.failed(t.Context(), errNoAnswer)
	require.Empty(t, logs.All(), "the next one tells what it was")

	s.reach.failed(s.reach.begin(), unreachable, errNoAnswer)
	watch.failed(t.Context(), errNoAnswer)
	require.Equal(t, []string{"consul can't be reached"}, messages(logs))

	s.reach.answered(s.reach.begin())
	s.reach.found = s.reach.found.Add(-aftermath)
	for range 3 {
		watch.failed(t.Context(), errors.New("permission denied"))
	}
	require.Equal(t, []string{"consul can't be reached", "consul answers again", "watch is interrupted"}, messages(logs))
}

func TestASessionThatEndedDuringAnOutageIsNoticed(t *testing.T) {
	s := open(t)
	sess, err := s.OpenSession(t.Context(), time.Minute)
	require.NoError(t, err)
	require.NoError(t, s.server.Wipe())
	select {
	case <-sess.Done():
	case <-time.After(patience):
		t.Fatal("the session of a server that was emptied goes on")
	}
}

func TestOnlyConsulItselfEndsASession(t *testing.T) {
	server := serve(t, consultest.Options{MinTTL: time.Second})
	logger, logs := logged()
	s := dial(t, server, Config{Logger: logger})
	sess, err := s.OpenSession(t.Context(), time.Minute)
	require.NoError(t, err)
	server.Fail(http.StatusNotFound, "no such site")
	require.Eventually(t, func() bool { return logs.Len() > 0 }, patience, 10*time.Millisecond)
	server.Intercept(nil)
	since := time.Now()
	require.Eventually(t, func() bool { return sess.LastRenewed().After(since) }, patience, 10*time.Millisecond)
	require.Equal(t, []string{"session can't be renewed"}, messages(logs), "once, though it was tried again and again")
}

func TestASessionThatAProxyMadeImmortalIsRefused(t *testing.T) {
	server := serve(t, consultest.Options{})
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.ContentLength = -1 // it passes the body on in chunks
		server.ServeHTTP(w, r)
	}))
	defer proxy.Close()
	s, err := Dial(Config{Host: proxy.URL})
	require.NoError(t, err)
	defer s.Close()
	_, err = s.OpenSession(t.Context(), 10*time.Second)
	require.ErrorContains(t, err, "has no time to live")
	list, _, err := s.consul.Session().List(nil)
	require.NoError(t, err)
	require.Empty(t, list, "it must not stay behind")
}

func TestASessionOutlivesTheConsulAgentThatMadeItIfTheTokenAllows(t *testing.T) {
	everything := func(string) bool { return true }
	server := serve(t, consultest.Options{Policies: map[string]consultest.Policy{
		"may":     {Read: everything, Write: everything, Sessions: true, Nodes: true},
		"may not": {Read: everything, Write: everything, Sessions: true},
	}})
	logger, logs := logged()
	may, mayNot := dial(t, server, Config{ACLToken: "may"}), dial(t, server, Config{ACLToken: "may not", Logger: logger})
	external, err := may.OpenSession(t.Context(), time.Minute)
	require.NoError(t, err)
	bound, err := mayNot.OpenSession(t.Context(), time.Minute)
	require.NoError(t, err)
	again, err := mayNot.OpenSession(t.Context(), time.Minute)
	require.NoError(t, err)
	info, _, err := may.consul.Session().Info(external.ID(), nil)
	require.NoError(t, err)
	require.Equal(t, SessionNode, info.Node)
	require.Equal(t, []string{"sessions belong to the Consul agent that is asked, and end when it leaves: the node for them can't be registered"},
		messages(logs), "once")

	info, _, err = may.consul.Session().Info(bound.ID(), nil)
	require.NoError(t, err)
	_, err = may.consul.Catalog().Deregister(&api.CatalogDeregistration{Node: info.Node}, nil)
	require.NoError(t, err)
	for _, sess := range []cluster.Session{bound, again} {
		select {
		case <-sess.Done():
		case <-time.After(patience):
			t.Fatal("a session goes on though Consul has ended it")
		}
	}
	left := time.Now()
	require.Eventually(t, func() bool { return external.LastRenewed().After(left) }, patience, 10*time.Millisecond)
}

func TestTTLsAreRoundedUpToWhatConsulAccepts(t *testing.T) {
	server := serve(t, consultest.Options{})
	s, err := Dial(Config{Host: server.Address()})
	require.NoError(t, err)
	defer s.Close()
	for ttl, want := range map[time.Duration]string{
		time.Nanosecond: "10s", 10 * time.Second: "10s", 10*time.Second + 1: "11s", time.Hour: "1h0m0s",
	} {
		sess, err := s.OpenSession(t.Context(), ttl)
		require.NoError(t, err)
		info, _, err := s.consul.Session().Info(sess.ID(), nil)
		require.NoError(t, err)
		require.Equal(t, want, info.TTL)
		require.Zero(t, info.LockDelay)
		require.Equal(t, "delete", info.Behavior)
		require.Empty(t, info.NodeChecks)
	}
	_, err = s.OpenSession(t.Context(), 25*time.Hour)
	require.ErrorContains(t, err, "must be between")
}
