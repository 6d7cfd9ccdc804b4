package remotewrite

import (
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/stretchr/testify/require"
)

// transport answers requests in memory, so that waiting for it is waiting in virtual time.
type transport func(*http.Request) *http.Response

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) {
	_ = r.Body.Close()
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return f(r), nil
}

func reply(status int, header ...string) *http.Response {
	h := http.Header{}
	if len(header) == 2 {
		h.Set(header[0], header[1])
	}
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Header: h, Body: http.NoBody}
}

// virtual runs a queue on an in-memory receiver; requests are the times of the requests since the
// start.
func virtual(t *testing.T, log *memlog, answer func(n int) *http.Response, change ...func(*promconfig.RemoteWriteConfig)) (q *Queue, requests func() []time.Duration) {
	begin := time.Now()
	var mu sync.Mutex
	var at []time.Duration
	clients := NewClients()
	clients.connect = func(*promconfig.RemoteWriteConfig) (*http.Client, error) {
		return &http.Client{Transport: transport(func(*http.Request) *http.Response {
			mu.Lock()
			defer mu.Unlock()
			at = append(at, time.Since(begin))
			return answer(len(at))
		})}, nil
	}
	q = New(Options{Clients: clients})
	cfg := writeConfig(t, "http://receiver/", append([]func(*promconfig.RemoteWriteConfig){func(c *promconfig.RemoteWriteConfig) {
		c.QueueConfig.BatchSendDeadline = model.Duration(5 * time.Second)
		c.QueueConfig.MinBackoff = model.Duration(30 * time.Millisecond)
		c.QueueConfig.MaxBackoff = model.Duration(5 * time.Second)
	}}, change...)...)
	require.NoError(t, q.Apply([]EndpointConfig{{CursorID: "a", Config: cfg, Open: log.open("a")}}))
	return q, func() []time.Duration {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		return at
	}
}

func TestABatchWaitsForItsDeadlineFromTheFirstCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemlog()
		q, requests := virtual(t, log, func(int) *http.Response { return reply(200) })
		<-time.After(time.Minute)
		require.Empty(t, requests(), "nothing is sent while nothing is committed")
		log.scrape(3, 1)
		q.Notify()
		<-time.After(4 * time.Second)
		log.scrape(3, 2)
		q.Notify()
		require.Empty(t, requests())
		<-time.After(time.Second)
		require.Equal(t, []time.Duration{65 * time.Second}, requests())
		<-time.After(time.Hour)
		require.Len(t, requests(), 1)
		q.Close()
	})
}

func TestWhatIsCommittedDuringARequestWaitsForItsOwnDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemlog()
		var q *Queue
		q, requests := virtual(t, log, func(n int) *http.Response {
			if n == 1 {
				log.scrape(3, 2)
				q.Notify()
			}
			return reply(200)
		})
		log.scrape(3, 1)
		q.Notify()
		<-time.After(time.Minute)
		require.Equal(t, []time.Duration{5 * time.Second, 10 * time.Second}, requests())
		require.Zero(t, q.Pending())
		q.Close()
	})
}

func TestAFullBatchDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemlog()
		q, requests := virtual(t, log, func(int) *http.Response { return reply(200) }, perSend(10))
		log.scrape(4, 1)
		q.Notify()
		require.Empty(t, requests())
		log.scrape(6, 2)
		q.Notify()
		require.Equal(t, []time.Duration{0}, requests())
		q.Close()
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemlog()
		q, requests := virtual(t, log, func(n int) *http.Response {
			if n == 1 {
				return reply(429, "Retry-After", "60")
			}
			return reply(200)
		})
		log.scrape(1, 1)
		drainVirtually(t, q)
		at := requests()
		require.Len(t, at, 2)
		require.GreaterOrEqual(t, at[1]-at[0], 60*time.Second)
		require.LessOrEqual(t, at[1]-at[0], 66*time.Second)
		q.Close()
	})
}

func TestAWrongAddressIsRetriedSlowlyForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemlog()
		q, requests := virtual(t, log, func(int) *http.Response { return reply(404) })
		log.scrape(1, 1)
		q.Notify()
		<-time.After(24 * time.Hour)
		n := len(requests())
		require.Greater(t, n, 24*60)
		require.Less(t, n, 2*24*60+20)
		require.EqualValues(t, 1, q.Pending())
		q.Close()
	})
}

func TestWhatBecomesTooOldWhileItWaitsIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemlog()
		q, requests := virtual(t, log, func(n int) *http.Response {
			if n < 20 {
				return reply(503)
			}
			return reply(200)
		}, func(c *promconfig.RemoteWriteConfig) { c.QueueConfig.SampleAgeLimit = model.Duration(10 * time.Second) })
		now := time.Now().UnixMilli()
		one := func(ref uint64, age int64) memsample { return memsample{ref: ref, t: now - age, v: 1} }
		log.commit(one(1, 60_000), one(2, 3_000), one(3, -1_000_000))
		drainVirtually(t, q)
		require.Len(t, requests(), 20)
		s := q.Endpoints()[0]
		require.Equal(t, map[Reason]uint64{TooOld: 2}, s.Dropped)
		require.EqualValues(t, 1, s.Sent)
		q.Close()
	})
}

// drainVirtually drains without a deadline of its own, which would be virtual.
func drainVirtually(t *testing.T, q *Queue) {
	t.Helper()
	pending, err := q.Drain(t.Context())
	require.NoError(t, err)
	require.Zero(t, pending)
}
