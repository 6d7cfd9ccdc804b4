package remotewrite

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	promconfig "github.com/prometheus/prometheus/config"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/ringmaster-agent/ringmaster/remotewrite/receivertest"
)

// inMemory is a transport to a receiver in the same process, which notes the version of each request.
type inMemory struct {
	handler http.Handler
	mu      sync.Mutex
	spoken  []string
}

func (m *inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	defer func() { _ = r.Body.Close() }()
	m.mu.Lock()
	m.spoken = append(m.spoken, r.Header.Get("X-Prometheus-Remote-Write-Version")+" "+r.Header.Get("Content-Type"))
	m.mu.Unlock()
	w := httptest.NewRecorder()
	m.handler.ServeHTTP(w, r)
	return w.Result(), nil
}

// since returns what was spoken after the first n requests.
func (m *inMemory) since(n int) (spoken []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.spoken[n:])
}

const (
	old   = "0.1.0 application/x-protobuf"
	newer = "2.0.0 application/x-protobuf;proto=io.prometheus.write.v2.Request"
)

// inMemoryClients gives all endpoints one connection to a receiver in the process.
func inMemoryClients(h http.Handler) (*Clients, *inMemory) {
	m, c := &inMemory{handler: h}, NewClients()
	c.connect = func(*promconfig.RemoteWriteConfig) (*http.Client, error) { return &http.Client{Transport: m}, nil }
	return c, m
}

func TestAReceiverThatDoesNotUnderstand2IsSpokenToIn1AndAskedAgainNowAndThen(t *testing.T) {
	old1 := func(r *receivertest.Receiver) http.Handler { r.Versions = "1"; return r }
	// Takes any body for one of protocol 1.0, as receivers did before there was another.
	careless := func(r *receivertest.Receiver) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
			if strings.Contains(hr.Header.Get("Content-Type"), "v2") {
				w.WriteHeader(http.StatusNoContent)
				return
			}
			r.ServeHTTP(w, hr)
		})
	}
	for name, receiver := range map[string]func(*receivertest.Receiver) http.Handler{"415": old1, "careless": careless} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &receivertest.Receiver{}
				clients, m := inMemoryClients(receiver(r))
				core, logs := observer.New(zapcore.WarnLevel)
				cfg := writeConfig(t, "http://receiver/", version2)
				var queues []*Queue
				var all []*memlog
				for i := range 2 {
					log, q := newMemlog(), New(Options{Clients: clients, Logger: zap.New(core)})
					require.NoError(t, q.Apply([]EndpointConfig{{CursorID: "a", Config: cfg, Open: log.open("a")}}))
					queues, all = append(queues, q), append(all, log)
					defer q.Close()
					all[i].scrape(3, 1+i)
					drainVirtually(t, q)
				}
				require.Equal(t, []string{newer, old, old}, m.since(0), "the second endpoint knows what the first has found out")
				<-time.After(askAgain)
				for i, q := range queues {
					all[i].scrape(3, 3+i)
					drainVirtually(t, q)
				}
				require.Equal(t, []string{newer, old, old}, m.since(3), "one of the endpoints asks again")
				require.Equal(t, 12, r.Samples())
				require.Len(t, logs.All(), 1)
				if name != "415" {
					return
				}
				r.Set(func(r *receivertest.Receiver) { r.Versions = "" })
				<-time.After(askAgain)
				all[0].scrape(3, 5)
				drainVirtually(t, queues[0])
				all[1].scrape(3, 6)
				drainVirtually(t, queues[1])
				require.Equal(t, []string{newer, newer}, m.since(6))
				require.Equal(t, 18, r.Samples())
			})
		})
	}
}

// The receiver stops to understand 2.0 while a batch is being searched.
func TestAChangeOfProtocolInTheMiddleOfASearchLosesNothing(t *testing.T) {
	for after := 1; after < 12; after++ {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &receivertest.Receiver{Poison: poisonOf(50)}
				clients, _ := inMemoryClients(r)
				log, q := newMemlog(), New(Options{Clients: clients})
				defer q.Close()
				r.Before = func(*receivertest.Request) int {
					if r.Requests() > after {
						r.Set(func(r *receivertest.Receiver) { r.Versions = "1" })
					}
					return 0
				}
				cfg := writeConfig(t, "http://receiver/", version2, withLanes(1, 1))
				require.NoError(t, q.Apply([]EndpointConfig{{CursorID: "a", Config: cfg, Open: log.open("a")}}))
				for n := range 3 {
					log.scrape(100, n+1)
				}
				drainVirtually(t, q)
				requireBalance(t, q, 300)
				require.Equal(t, 98*3, r.Samples())
			})
		})
	}
}

// Some of a batch that was too large has arrived when the receiver stops to understand 2.0: the
// rest is no repetition.
func TestAChangeOfProtocolBetweenHalvesThatWereTooLargeLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receivertest.Receiver{}
		r.Before = func(req *receivertest.Request) int {
			if len(req.Series) > 1200 {
				return http.StatusRequestEntityTooLarge
			}
			return 0
		}
		r.After = func(*receivertest.Request) int {
			r.Set(func(r *receivertest.Receiver) { r.Versions = "1" })
			return 0
		}
		clients, _ := inMemoryClients(r)
		log, q := newMemlog(), New(Options{Clients: clients})
		defer q.Close()
		cfg := writeConfig(t, "http://receiver/", version2, withLanes(1, 1))
		require.NoError(t, q.Apply([]EndpointConfig{{CursorID: "a", Config: cfg, Open: log.open("a")}}))
		log.scrape(2000, 1)
		drainVirtually(t, q)
		requireBalance(t, q, 2000)
		require.Equal(t, 2000, r.Samples())
		require.Empty(t, q.Endpoints()[0].Dropped)
	})
}

func TestOneEndpointOfADestinationAsksWhetherTheReceiverHasLearned2(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &destination{}
		require.True(t, d.speaksNew())
		require.False(t, d.answeredNew(true), "no news")
		require.True(t, d.answeredNew(false))
		require.False(t, d.speaksNew())
		<-time.After(askAgain)
		require.True(t, d.speaksNew())
		require.False(t, d.speaksNew(), "the first one is on its way")
		require.True(t, d.refusesNew())
		require.True(t, d.answeredNew(true))
		require.False(t, d.refusesNew())
	})
}

func TestTheProtocolsLetterIsFollowedIfItIsWanted(t *testing.T) {
	for _, version := range []func(*promconfig.RemoteWriteConfig){func(*promconfig.RemoteWriteConfig) {}, version2} {
		for _, status := range []int{400, 401, 403, 404, 413, 422} {
			log := newMemlog()
			r := &receivertest.Receiver{Before: func(*receivertest.Request) int { return status }}
			clients, m := inMemoryClients(r)
			q := New(Options{Clients: clients})
			log.scrape(100, 1)
			require.NoError(t, q.Apply([]EndpointConfig{{
				CursorID: "a", Config: writeConfig(t, "http://receiver/", version, withLanes(1, 1)), Open: log.open("a"), StrictSpec: true,
			}}))
			requireDrained(t, q)
			require.Len(t, m.since(0), 1, "status %d: nothing is sent twice", status)
			require.Equal(t, map[Reason]uint64{Rejected: 100}, q.Endpoints()[0].Dropped)
			q.Close()
		}
	}
}

func TestMetadataGoesWithTheSamplesOrInRequestsOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receivertest.Receiver{}
		clients, m := inMemoryClients(r)
		log := newMemlog()
		q := New(Options{Clients: clients, Metadata: func() []Metadata { return []Metadata{{Family: "c", Type: "counter"}} }})
		defer q.Close()
		require.NoError(t, q.Apply([]EndpointConfig{{CursorID: "a", Config: writeConfig(t, "http://receiver/", version2), Open: log.open("a")}}))
		<-time.After(time.Hour)
		require.Empty(t, m.since(0), "no request of metadata alone in 2.0")
		r.Set(func(r *receivertest.Receiver) { r.Versions = "1" })
		log.scrape(1, 1)
		drainVirtually(t, q)
		<-time.After(5 * time.Minute)
		require.Greater(t, len(m.since(2)), 3, "but when 1.0 has to be spoken")
		require.NotContains(t, m.since(2), newer)
	})
}

func TestAnEndpointThatSendsNoMetadataKeepsNone(t *testing.T) {
	r, url := strict(t)
	log := newMemlog()
	committed := commit2(log, 3)
	q := start(t, log, writeConfig(t, url, version2, func(c *promconfig.RemoteWriteConfig) { c.MetadataConfig.Send = false }))
	requireDrained(t, q)
	requireBalance(t, q, committed)
	require.True(t, r.Stored()[`{__name__="c", job="test"}`].Metadata.IsEmpty())
}
