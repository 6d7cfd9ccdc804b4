package remotewrite

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/prompb"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/ringmaster-agent/ringmaster/remotewrite/receivertest"
)

// poisoned answers 400 to every request that contains one of the series.
func poisoned(names ...string) func(http.ResponseWriter, *http.Request, *prompb.WriteRequest) int {
	return func(_ http.ResponseWriter, _ *http.Request, req *prompb.WriteRequest) int {
		for _, ts := range req.Timeseries {
			for _, name := range names {
				if nameOf(ts) == name {
					return 400
				}
			}
		}
		return 0
	}
}

func TestPoisonSeriesIsDroppedAloneAndNamed(t *testing.T) {
	log, r := newMemlog(), newReceiver(t)
	r.setAnswer(poisoned("s17"))
	core, logs := observer.New(zapcore.WarnLevel)
	q := New(Options{Logger: zap.New(core)})
	t.Cleanup(q.Close)
	require.NoError(t, q.Apply([]EndpointConfig{{CursorID: "a", Open: log.open("a"), Config: writeConfig(t, r.url)}}))
	log.scrape(500, 1)
	requireDrained(t, q)
	r.requireOnce(499, 1)
	requireBalance(t, q, 500)
	s := q.Endpoints()[0]
	require.Equal(t, map[Reason]uint64{Rejected: 1}, s.Dropped)
	require.LessOrEqual(t, r.requestCount(), 20, "one poison sample among 500 costs two requests per halving")
	lines := logs.FilterMessageSnippet("dropped").All()
	require.Len(t, lines, 1)
	require.Equal(t, `{__name__="s17", job="test"}`, lines[0].ContextMap()["series"])
}

func TestHalvesOfABatchAreSentInOrder(t *testing.T) {
	log, r := newMemlog(), newReceiver(t)
	r.setAnswer(poisoned("s1"))
	q := start(t, log, writeConfig(t, r.url, withLanes(1, 1)))
	for n := range 8 {
		log.scrape(2, n+1)
	}
	requireDrained(t, q)
	r.requireOnce(1, 8)
	require.Equal(t, map[Reason]uint64{Rejected: 8}, q.Endpoints()[0].Dropped)
}

func TestABodyThatTheTransportStillReadsIsNotReused(t *testing.T) {
	b := &batch{protocol: protocol1()}
	b.seal([]byte("a body"), 0, nil)
	body := b.body
	before := string(body)
	reader := b.open(body)
	b.reset()
	b.seal([]byte("b body"), 0, nil)
	require.Equal(t, before, string(body))
	require.NoError(t, reader.Close())
	require.NoError(t, reader.Close(), "the transport may close twice")
	reused := &b.body[0]
	b.reset()
	b.seal([]byte("c body"), 0, nil)
	require.Same(t, reused, &b.body[0])
}

func TestAReceiverThatRefusesEverythingCostsABoundedNumberOfRequests(t *testing.T) {
	log, r := newMemlog(), newReceiver(t)
	r.setAnswer(status(400))
	q := start(t, log, writeConfig(t, r.url, perSend(100), withLanes(1, 1)))
	for n := range 20 {
		log.scrape(100, n+1)
	}
	requireDrained(t, q)
	requireBalance(t, q, 2000)
	require.Equal(t, map[Reason]uint64{Rejected: 2000}, q.Endpoints()[0].Dropped)
	require.Less(t, r.requestCount(), 20+128+32+8+2+10)
}

func TestTooLargeBatchesAreHalvedAndTheSizeIsLearned(t *testing.T) {
	log, r := newMemlog(), newReceiver(t)
	tooLarge := func(limit int) func(http.ResponseWriter, *http.Request, *prompb.WriteRequest) int {
		return func(_ http.ResponseWriter, _ *http.Request, req *prompb.WriteRequest) int {
			if req.Size() > limit {
				return 413
			}
			return 0
		}
	}
	r.setAnswer(tooLarge(40_000))
	q := start(t, log, writeConfig(t, r.url, withLanes(1, 1)))
	for n := range 3 {
		log.scrape(1900, n+1)
	}
	requireDrained(t, q)
	r.requireOnce(1900, 3)
	before := r.requestCount()
	log.scrape(1900, 4)
	requireDrained(t, q)
	r.requireOnce(1900, 4)
	require.LessOrEqual(t, r.requestCount()-before, 5, "the next batches are cut to size before they are sent")

	requireBalance(t, q, 4*1900)
}

func TestAReceiverToWhichEverythingIsTooLargeIsAskedSlowlyAndLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemlog()
		healthy := false
		q, requests := virtual(t, log, func(int) *http.Response {
			if healthy {
				return reply(200)
			}
			return reply(413)
		}, withLanes(1, 1))
		log.scrape(1005, 1)
		q.Notify()
		<-time.After(time.Hour)
		require.Less(t, len(requests()), 2*60+30, "about one request a minute")
		require.EqualValues(t, 1005, q.Pending())
		healthy = true
		drainVirtually(t, q)
		before := len(requests())
		for n := 2; n <= 60; n++ {
			log.scrape(1005, n)
			drainVirtually(t, q)
		}
		last := len(requests())
		log.scrape(1005, 61)
		drainVirtually(t, q)
		require.Len(t, requests(), last+1, "the size has recovered")
		require.Less(t, len(requests())-before, 59+2*8*growSizeAfter)
		require.EqualValues(t, 61*1005, q.Endpoints()[0].Sent)
		q.Close()
	})
}

func TestRateLimitIsRetriedOrFinalAsConfigured(t *testing.T) {
	for _, retry := range []bool{true, false} {
		t.Run(fmt.Sprint("retry ", retry), func(t *testing.T) {
			log, r := newMemlog(), newReceiver(t)
			var limited atomic.Int32
			r.setAnswer(func(w http.ResponseWriter, _ *http.Request, _ *prompb.WriteRequest) int {
				if limited.Add(1) == 1 {
					return 429
				}
				return 0
			})
			q := start(t, log, writeConfig(t, r.url, func(c *promconfig.RemoteWriteConfig) { c.QueueConfig.RetryOnRateLimit = retry }))
			log.scrape(3, 1)
			requireDrained(t, q)
			requireBalance(t, q, 3)
			if retry {
				r.requireOnce(3, 1)
			} else {
				require.Equal(t, map[Reason]uint64{RateLimited: 3}, q.Endpoints()[0].Dropped)
			}
		})
	}
}

func TestBrokenConnectionsAndTimeoutsAreRetried(t *testing.T) {
	for name, fault := range map[string]func() int{
		"reset": func() int { panic(http.ErrAbortHandler) },
		"hang":  func() int { <-time.After(time.Second); return 500 },
		"500":   func() int { return 500 },
		"408":   func() int { return 408 },
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T) {
				f := newFleet(t, 1, func(c *promconfig.RemoteWriteConfig) { c.RemoteTimeout = model.Duration(100 * time.Millisecond) })
				var count atomic.Int32
				f.r.Before = func(*receivertest.Request) int {
					if count.Add(1) <= 2 {
						return fault()
					}
					return 0
				}
				f.scrape(0, 1)
				f.after(time.Minute)
				f.requireArrived(nil)
				require.EqualValues(t, 2, f.queues[0].Endpoints()[0].Retries)
				f.close()
			})
		})
	}
}

func TestCloseDoesNotWaitForAHangingReceiver(t *testing.T) {
	log, r := newMemlog(), newReceiver(t)
	reached := make(chan struct{}, 1)
	r.setAnswer(func(_ http.ResponseWriter, hr *http.Request, _ *prompb.WriteRequest) int {
		reached <- struct{}{}
		<-hr.Context().Done()
		return 500
	})
	q := start(t, log, writeConfig(t, r.url))
	log.scrape(1, 1)
	q.Notify()
	<-reached
	q.Close()
	require.Equal(t, Position{}, log.cursors["a"].Position)
}

// TestTheAccountIsExactAfterAnyFaults commits, breaks and reloads at random and checks the account
// at every step.
func TestTheAccountIsExactAfterAnyFaults(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			log, r := newMemlog(), newReceiver(t)
			var faults [8]int
			for i := range faults {
				faults[i] = []int{0, 0, 0, 500, 503, 400, 413, 429, 408}[rnd.IntN(9)]
			}
			var count atomic.Int32
			r.setAnswer(func(http.ResponseWriter, *http.Request, *prompb.WriteRequest) int {
				return faults[int(count.Add(1))%len(faults)]
			})
			change := func(c *promconfig.RemoteWriteConfig) {
				c.QueueConfig.MaxSamplesPerSend = 1 + rnd.IntN(60)
				c.QueueConfig.MaxShards = 1 + rnd.IntN(6)
			}
			q := start(t, log, writeConfig(t, r.url, change))
			committed := 0
			for n := range 60 {
				series := 1 + rnd.IntN(30)
				log.scrape(series, n+1)
				committed += series
				q.Notify()
				switch rnd.IntN(12) {
				case 0:
					require.NoError(t, q.Apply([]EndpointConfig{{CursorID: "a", Open: log.open("a"), Config: writeConfig(t, r.url, change)}}))
				case 1:
					log.damage(rnd.IntN(n + 1))
				}
				requireBalance(t, q, committed)
			}
			r.setAnswer(nil)
			log.scrape(1, 61)
			requireDrained(t, q)
			requireBalance(t, q, committed+1)
		})
	}
}
