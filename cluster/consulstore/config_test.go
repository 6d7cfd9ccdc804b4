package consulstore

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/cluster/consulstore/consultest"
)

func TestMistakesInTheConfigAreToldAtOnce(t *testing.T) {
	for _, test := range []struct {
		conf Config
		want string
	}{
		{Config{Host: "consul"}, "want host:port"},
		{Config{Host: ":8500"}, "want host:port"},
		{Config{Host: "http://consul"}, "want host:port"},
		{Config{Host: "unix:///run/consul"}, "want http:// or https://"},
		{Config{Host: "http://me:pw@consul:8500"}, "its own setting"},
		{Config{Host: "http://consul:8500?dc=x"}, "nothing behind it"},
		{Config{Host: "http://consul:8500\x00"}, "invalid control character"},
		{Config{HTTPClientTimeout: -1}, "timeout is negative"},
		{Config{CASRetryDelay: -1}, "cas retry delay is negative"},
		{Config{WatchRateLimit: -1}, "watch rate limit is negative"},
		{Config{Prefixes: []string{"ok/", "/x/"}}, `consul prefix "/x/": Consul could list it only by reading everything under ""`},
		{Config{Prefixes: []string{"a//b"}}, `everything under "a/"`},
		{Config{Prefixes: []string{"überall/"}}, `everything under ""`},
	} {
		_, err := Dial(test.conf)
		require.ErrorContains(t, err, test.want)
	}
}

func TestWhatIsLeftOpenHasDefaults(t *testing.T) {
	s, err := Dial(Config{})
	require.NoError(t, err)
	defer s.Close()
	require.Equal(t, "consul http://localhost:8500", s.where)
	require.Equal(t, 20*time.Second, s.config.HTTPClientTimeout)
	require.Equal(t, time.Second, s.config.CASRetryDelay)
	require.Equal(t, 1, s.config.WatchBurstSize)
	require.Equal(t, 10*time.Second, s.config.minTTL)
}

func TestTheHostMayBeAURLWithAPath(t *testing.T) {
	server := serve(t, consultest.Options{})
	proxy := httptest.NewUnstartedServer(http.StripPrefix("/consul", server))
	proxy.Config.ErrorLog = log.New(io.Discard, "", 0)
	proxy.StartTLS()
	defer proxy.Close()
	s, err := Dial(Config{Host: proxy.URL + "/consul/"})
	require.NoError(t, err)
	defer s.Close()
	_, err = s.Get(t.Context(), "k")
	require.ErrorContains(t, err, "certificate", "https it is, and nobody vouches for this one")

	plain := httptest.NewServer(http.StripPrefix("/consul", server))
	defer plain.Close()
	s, err = Dial(Config{Host: plain.URL + "/consul/"})
	require.NoError(t, err)
	defer s.Close()
	put(t, s, "k", "v")
	require.Positive(t, revisionOf(t, s, ""))
}

func TestTokenAndConsistencyReachConsul(t *testing.T) {
	server := serve(t, consultest.Options{MinTTL: time.Second})
	var requests, withToken, consistent int
	server.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		requests++
		if r.Header.Get("X-Consul-Token") == "secret" {
			withToken++
		}
		if r.URL.Query().Has("consistent") {
			consistent++
		}
		return false
	})
	s := dial(t, server, Config{ACLToken: "secret", ConsistentReads: true})
	_, err := s.Get(t.Context(), "k")
	require.Error(t, err)
	revisionOf(t, s, "p/")
	require.NoError(t, s.EndSession(t.Context(), "none"))
	server.Intercept(nil)
	require.Equal(t, 5, requests)
	require.Equal(t, 5, withToken)
	require.Equal(t, 4, consistent, "one key, the present index twice, and the listing")
}

func TestConditionsAreJudgedByConsistentReadsInAnyCase(t *testing.T) {
	server := serve(t, consultest.Options{})
	s := dial(t, server, Config{})
	put(t, s, "k", "v")
	var consistent []bool
	server.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		consistent = append(consistent, r.URL.Query().Has("consistent"))
		return false
	})
	_, err := s.Get(t.Context(), "k")
	require.NoError(t, err)
	_, err = s.Put(t.Context(), cluster.PutRequest{Key: "k", If: cluster.Condition{Absent: true}})
	require.ErrorIs(t, err, cluster.ErrConflict)
	server.Intercept(nil)
	require.Equal(t, []bool{false, true}, consistent)
}

func TestAPacerAllowsBurstsAndThenAnEvenPace(t *testing.T) {
	now := time.Unix(0, 0)
	p := newPacer(2, 3)
	var waits []time.Duration
	for range 5 {
		wait := p.next(now)
		waits = append(waits, wait)
		now = now.Add(wait)
	}
	half := 500 * time.Millisecond
	require.Equal(t, []time.Duration{0, 0, 0, half, half}, waits)
	now = now.Add(time.Hour)
	require.Zero(t, p.next(now)+p.next(now)+p.next(now))
	require.Equal(t, half, p.next(now), "a long pause is no more than one burst")

	p = newPacer(0, 1)
	require.Zero(t, p.next(now)+p.next(now)+p.next(now), "0 is no limit")
}
