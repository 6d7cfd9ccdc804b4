package remotewrite

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/ringmaster-agent/ringmaster/remotewrite/receivertest"
)

// strict starts a receiver that behaves like Prometheus'.
func strict(t *testing.T) (*receivertest.Receiver, string) {
	r := &receivertest.Receiver{}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	return r, server.URL
}

// bothProtocols runs a test with each version.
func bothProtocols(t *testing.T, test func(t *testing.T, speak func(*promconfig.RemoteWriteConfig))) {
	t.Run("1.0", func(t *testing.T) { test(t, func(*promconfig.RemoteWriteConfig) {}) })
	t.Run("2.0", func(t *testing.T) { test(t, version2) })
}

// poisonOf makes every n-th series poison.
func poisonOf(every int) func(labels.Labels) bool {
	return func(ls labels.Labels) bool {
		var i int
		_, _ = fmt.Sscanf(ls.Get(model.MetricNameLabel), "s%d", &i)
		return i%every == every/2
	}
}

func TestOnePoisonSeriesTakesNoGoodSampleWithItWhateverTheBacklog(t *testing.T) {
	bothProtocols(t, func(t *testing.T, speak func(*promconfig.RemoteWriteConfig)) {
		for _, scrapes := range []int{1, 20, 240, 960} {
			t.Run(fmt.Sprint(scrapes, " scrapes"), func(t *testing.T) {
				r, url := strict(t)
				r.Poison = poisonOf(100)
				log := newMemlog()
				for n := range scrapes {
					log.scrape(100, n+1)
				}
				q := start(t, log, writeConfig(t, url, speak, withLanes(1, 1)))
				requireDrained(t, q)
				requireBalance(t, q, 100*scrapes)
				require.Equal(t, 99*scrapes, r.Samples())
				require.Equal(t, map[Reason]uint64{Rejected: uint64(scrapes)}, q.Endpoints()[0].Dropped)
				batches := (100*scrapes + 1999) / 2000
				require.LessOrEqual(t, r.Requests(), 2*batches+1+2*bits.Len(2000), "two requests per halving, once")
			})
		}
	})
}

func TestTwentyPoisonSeriesAmongTwoThousandTakeNoOtherWithThem(t *testing.T) {
	bothProtocols(t, func(t *testing.T, speak func(*promconfig.RemoteWriteConfig)) {
		r, url := strict(t)
		r.Poison = poisonOf(100)
		log := newMemlog()
		q := start(t, log, writeConfig(t, url, speak, withLanes(1, 1)))
		const scrapes = 20
		for n := range scrapes {
			log.scrape(2000, n+1)
			requireDrained(t, q)
		}
		require.Equal(t, 1980*scrapes, r.Samples())
		requireBalance(t, q, 2000*scrapes)
		require.LessOrEqual(t, r.Requests(), 20*2*bits.Len(2000)+scrapes*4)
	})
}

func TestASeriesThatIsAcceptedAgainIsNoSuspectAnyMore(t *testing.T) {
	r, url := strict(t)
	r.Poison = poisonOf(10)
	log := newMemlog()
	q := start(t, log, writeConfig(t, url, withLanes(1, 1)))
	for n := range 3 {
		log.scrape(10, n+1)
		requireDrained(t, q)
	}
	require.Equal(t, 27, r.Samples())
	r.Set(func(r *receivertest.Receiver) { r.Poison = nil })
	for n := 3; n < 6; n++ {
		log.scrape(10, n+1)
		requireDrained(t, q)
	}
	require.Equal(t, 27+30, r.Samples())
	requireBalance(t, q, 60)
}

func TestSamplesThatAreTooLateTakeNoLaterOnesWithThem(t *testing.T) {
	bothProtocols(t, func(t *testing.T, speak func(*promconfig.RemoteWriteConfig)) {
		r, url := strict(t)
		log := newMemlog()
		for n := range 20 {
			log.scrape(100, n+1)
		}
		// Another node has sent some series up to the seventh scrape.
		for i := range 10 {
			r.Newest(labels.FromStrings(model.MetricNameLabel, fmt.Sprintf("s%d", i*7), "job", "test"), epoch+1)
		}
		q := start(t, log, writeConfig(t, url, speak, withLanes(1, 1)))
		requireDrained(t, q)
		requireBalance(t, q, 2000)
		require.EqualValues(t, 1990, q.Endpoints()[0].Sent)
		require.Equal(t, map[Reason]uint64{Rejected: 10}, q.Endpoints()[0].Dropped)
	})
}

// cut is a way to end an endpoint in the middle of its work.
type cut struct {
	name string
	// kill: the log is left as it was at the moment.
	kill bool
}

func TestWhatWasInFlightAtACutCostsNoNewSample(t *testing.T) {
	bothProtocols(t, func(t *testing.T, speak func(*promconfig.RemoteWriteConfig)) {
		for _, c := range []cut{{"a reload", false}, {"a kill", true}} {
			for _, lanes := range []int{1, 4, 8} {
				t.Run(fmt.Sprint(c.name, " with ", lanes, " lanes"), func(t *testing.T) {
					r, url := strict(t)
					log := newMemlog()
					var once sync.Once
					taken := make(chan struct{})
					hold := make(chan struct{})
					r.After = func(*receivertest.Request) int {
						once.Do(func() { close(taken) })
						<-hold
						panic(http.ErrAbortHandler) // the answer is lost
					}
					scrape := 0
					for range 30 {
						scrape++
						log.scrape(100, scrape)
					}
					cfg := func(version string) *promconfig.RemoteWriteConfig {
						return writeConfig(t, url, speak, withLanes(lanes, lanes), perSend(500), func(c *promconfig.RemoteWriteConfig) {
							c.Headers = map[string]string{"X-Version": version}
						})
					}
					q := newQueue(t)
					require.NoError(t, q.Apply([]EndpointConfig{{Config: cfg("a"), CursorID: "a", Open: log.open("a")}}))
					<-taken
					r.Set(func(r *receivertest.Receiver) { r.After = nil })
					for range 10 {
						scrape++
						log.scrape(100, scrape)
					}
					if c.kill {
						// A process that is dead sends nothing more.
						r.Set(func(r *receivertest.Receiver) {
							r.Before = func(req *receivertest.Request) int {
								if req.Header.Get("X-Version") == "a" {
									panic(http.ErrAbortHandler)
								}
								return 0
							}
						})
						dead := log.killed()
						close(hold)
						q.Close()
						log = dead
						q = newQueue(t)
					} else {
						close(hold)
					}
					require.NoError(t, q.Apply([]EndpointConfig{{Config: cfg("b"), CursorID: "a", Open: log.open("a")}}))
					requireDrained(t, q)
					require.Equal(t, 100*scrape, r.Samples(), "every sample arrived")
					for _, s := range r.Stored() {
						require.Len(t, s.Samples, scrape)
					}
					s := q.Endpoints()[0]
					require.Empty(t, s.Dropped, "a delivered sample is not booked as rejected")
					require.LessOrEqual(t, r.Refused(), lanes*(1+2*hopelessInDoubt*bits.Len(500)))
				})
			}
		}
	})
}

func TestReloadsWhileLanesCatchUpLoseNothing(t *testing.T) {
	bothProtocols(t, func(t *testing.T, speak func(*promconfig.RemoteWriteConfig)) {
		r, url := strict(t)
		rnd := rand.New(rand.NewPCG(1, 2))
		log := newMemlog()
		const series, scrapes = 200, 200
		for n := range scrapes {
			log.scrape(series, n+1)
		}
		q := newQueue(t)
		for i := range 40 {
			cfg := writeConfig(t, url, speak, withLanes(4, 50), perSend(100), func(c *promconfig.RemoteWriteConfig) {
				c.Headers = map[string]string{"X-Version": fmt.Sprint(i)}
			})
			require.NoError(t, q.Apply([]EndpointConfig{{Config: cfg, CursorID: "a", Open: log.open("a")}}))
			<-time.After(time.Duration(rnd.IntN(4)) * time.Millisecond)
		}
		requireDrained(t, q)
		require.Equal(t, series*scrapes, r.Samples())
		require.Zero(t, r.Refused(), "the requests in flight may end")
		requireBalance(t, q, series*scrapes)
		require.EqualValues(t, series*scrapes, q.Endpoints()[0].Sent)
	})
}

func TestARedirectToALoginPageDeliversNothing(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			r := &receivertest.Receiver{}
			mux := http.NewServeMux()
			mux.HandleFunc("GET /elsewhere", func(http.ResponseWriter, *http.Request) {})
			mux.Handle("POST /elsewhere", r)
			mux.HandleFunc("/write", func(w http.ResponseWriter, hr *http.Request) { http.Redirect(w, hr, "/elsewhere", status) })
			server := httptest.NewServer(mux)
			defer server.Close()
			log := newMemlog()
			log.scrape(10, 1)
			q := start(t, log, writeConfig(t, server.URL+"/write"))
			q.Notify()
			if status >= 307 {
				requireDrained(t, q)
				require.Equal(t, 10, r.Samples())
				return
			}
			require.Eventually(t, func() bool { return q.Endpoints()[0].Failing }, 5*time.Second, time.Millisecond)
			s := q.Endpoints()[0]
			require.EqualValues(t, 10, s.Pending)
			require.Zero(t, s.Sent)
			require.Contains(t, s.LastError, fmt.Sprint(status))
		})
	}
}

func TestManyEndpointsOfAnIllReceiverHoldNothingAndAskTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests, inFlight, most atomic.Int64
		ill := atomic.Bool{}
		ill.Store(true)
		clients := NewClients()
		clients.connect = func(*promconfig.RemoteWriteConfig) (*http.Client, error) {
			return &http.Client{Transport: transport(func(*http.Request) *http.Response {
				requests.Add(1)
				if n := inFlight.Add(1); n > most.Load() {
					most.Store(n)
				}
				<-time.After(100 * time.Millisecond)
				inFlight.Add(-1)
				if ill.Load() {
					return reply(503)
				}
				return reply(200)
			})}, nil
		}
		log := newMemlog()
		for n := range 40 {
			log.scrape(100, n+1)
		}
		const endpoints = 200
		var queues []*Queue
		for range endpoints {
			q := New(Options{Clients: clients})
			cfg := writeConfig(t, "http://receiver/", func(c *promconfig.RemoteWriteConfig) {
				c.QueueConfig.MinBackoff, c.QueueConfig.MaxBackoff = model.Duration(time.Second), model.Duration(5*time.Second)
			})
			require.NoError(t, q.Apply([]EndpointConfig{{Config: cfg, CursorID: "a", Open: log.open("a")}}))
			queues = append(queues, q)
		}
		heap := func() uint64 {
			runtime.GC()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before := heap()
		<-time.After(10 * time.Minute)
		require.LessOrEqual(t, most.Load(), int64(startRounds), "at the same time")
		require.Less(t, requests.Load(), int64(10*60+startRounds), "the pause is shared")
		require.Less(t, int64(heap()-before)/endpoints, int64(100<<10), "bytes per endpoint")

		ill.Store(false)
		<-time.After(5 * time.Minute)
		for _, q := range queues {
			require.Zero(t, q.Pending())
			q.Close()
		}
		require.LessOrEqual(t, most.Load(), int64(maxRoundsAtOnce))
	})
}

func TestADrainDoesNotWaitForARetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemlog()
		q, requests := virtual(t, log, func(n int) *http.Response {
			if n == 1 {
				return reply(503, "Retry-After", "300")
			}
			return reply(200)
		})
		log.scrape(3, 1)
		q.Notify()
		<-time.After(10 * time.Second)
		begin := time.Now()
		drainVirtually(t, q)
		require.Less(t, time.Since(begin), time.Second)
		require.Len(t, requests(), 2)
		q.Close()
	})
}

func TestEachReasonOfLossHasALineWithTheTrueCountAndAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zapcore.WarnLevel)
		l := newLossLog(zap.New(core))
		var list gaps
		for i := range 1100 {
			var account tally
			account.drop(Rejected, floatKind, 1, int64(1000+i))
			if i == 500 {
				account.drop(Truncated, floatKind, 7, 0)
			}
			l.book(&account)
			list.note(&account, time.Now())
		}
		<-time.After(time.Minute)
		sums := map[string]uint64{}
		for _, line := range logs.All() {
			sums[line.ContextMap()["reason"].(string)] += line.ContextMap()["dropped"].(uint64)
		}
		require.Equal(t, map[string]uint64{"rejected": 1100, "truncated": 7}, sums)
		require.Len(t, logs.All(), 3, "the first, the rest, and one of the other reason")
		require.Len(t, list, 2)
		require.Equal(t, Gap{From: 1000, To: 2099, Reason: Rejected, Samples: 1100, At: list[0].At}, list[0])
		for i := range 100 {
			<-time.After(2 * time.Minute)
			var account tally
			account.drop(Rejected, floatKind, 1, int64(i))
			list.note(&account, time.Now())
		}
		require.Len(t, list, maxGaps)
		l.close()
	})
}

func TestALostAnswerDuringASearchSaysNothingAboutTheOtherParts(t *testing.T) {
	for _, doubt := range []bool{false, true} {
		t.Run(fmt.Sprint("in doubt before: ", doubt), func(t *testing.T) {
			for range 30 {
				r, url := strict(t)
				r.Poison = poisonOf(100)
				var requests, stored atomic.Int32
				r.Before = func(*receivertest.Request) int {
					if doubt && requests.Add(1) == 1 {
						return 500
					}
					return 0
				}
				r.After = func(*receivertest.Request) int {
					if stored.Add(1) == 1 {
						return 504
					}
					return 0
				}
				log := newMemlog()
				for n := range 3 {
					log.scrape(100, n+1)
				}
				q := start(t, log, writeConfig(t, url, withLanes(1, 1)))
				requireDrained(t, q)
				requireBalance(t, q, 300)
				require.Equal(t, 3*99, r.Samples())
				q.Close()
			}
		})
	}
}
