package remotewrite

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/prompb"
	"github.com/stretchr/testify/require"
)

func status(code int) func(http.ResponseWriter, *http.Request, *prompb.WriteRequest) int {
	return func(http.ResponseWriter, *http.Request, *prompb.WriteRequest) int { return code }
}

func TestCommittedSamplesArriveOnceAndInOrder(t *testing.T) {
	for name, cfg := range map[string][]func(*promconfig.RemoteWriteConfig){
		"one lane":               nil,
		"small batches":          {perSend(7)},
		"many lanes":             {perSend(16), withLanes(8, 8)},
		"growing lanes":          {perSend(5), withLanes(1, 20)},
		"less capacity than max": {func(c *promconfig.RemoteWriteConfig) { c.QueueConfig.Capacity = 3 }},
	} {
		t.Run(name, func(t *testing.T) {
			log, r := newMemlog(), newReceiver(t)
			q := start(t, log, writeConfig(t, r.url, cfg...))
			for n := range 40 {
				log.scrape(25, n+1)
				q.Notify()
			}
			requireDrained(t, q)
			r.requireOnce(25, 40)
			requireBalance(t, q, 1000)
			require.EqualValues(t, 1000, q.Endpoints()[0].Sent)
			require.Equal(t, Place{Position: log.end()}, log.cursors["a"])
		})
	}
}

func TestDeadlineSendsWhatIsLessThanABatch(t *testing.T) {
	log, r := newMemlog(), newReceiver(t)
	q := start(t, log, writeConfig(t, r.url))
	for n := 1; n <= 3; n++ {
		log.scrape(5, n)
		q.Notify()
		require.Eventually(t, func() bool { return q.Pending() == 0 }, 5*time.Second, time.Millisecond)
		r.requireOnce(5, n)
	}
}

func TestRequestsCarryPrometheusHeaders(t *testing.T) {
	log, r := newMemlog(), newReceiver(t)
	cfg := writeConfig(t, r.url, func(c *promconfig.RemoteWriteConfig) {
		c.Headers = map[string]string{"X-Scope-OrgID": "tenant"}
		c.HTTPClientConfig.BasicAuth = &config.BasicAuth{Username: "u", Password: "p"}
	})
	failing := true
	r.setAnswer(func(http.ResponseWriter, *http.Request, *prompb.WriteRequest) int {
		if failing {
			failing = false
			return 503
		}
		return 0
	})
	q := start(t, log, cfg)
	log.scrape(1, 1)
	requireDrained(t, q)
	h := r.headers[1]
	require.Equal(t, "snappy", h.Get("Content-Encoding"))
	require.Equal(t, "application/x-protobuf", h.Get("Content-Type"))
	require.Equal(t, "0.1.0", h.Get("X-Prometheus-Remote-Write-Version"))
	require.Regexp(t, `^Ringmaster/[0-9.]+`, h.Get("User-Agent"))
	require.Equal(t, "tenant", h.Get("X-Scope-OrgID"))
	require.Equal(t, "Basic dTpw", h.Get("Authorization"))
	require.Equal(t, "1", h.Get("Retry-Attempt"))
	require.Empty(t, r.headers[0].Get("Retry-Attempt"))
}

func TestTheUserAgentHasANumberWhateverTheBuildKnows(t *testing.T) {
	for version, want := range map[string]string{
		"1.2.3": "Ringmaster/1.2.3", "v1.2.3-rc1": "Ringmaster/1.2.3-rc1", "(devel)": "Ringmaster/0.0.0-devel", "": "Ringmaster/0.0.0-unknown",
		"unknown": "Ringmaster/0.0.0-unknown",
	} {
		require.Equal(t, want, UserAgent(version))
	}
}

func TestAnEndpointThatAlwaysFailsDoesNotDelayAnother(t *testing.T) {
	log, good, bad := newMemlog(), newReceiver(t), newReceiver(t)
	bad.setAnswer(status(500))
	q := newQueue(t)
	require.NoError(t, q.Apply([]EndpointConfig{
		{Config: writeConfig(t, bad.url), CursorID: "bad", Open: log.open("bad")},
		{Config: writeConfig(t, good.url), CursorID: "good", Open: log.open("good")},
	}))
	for n := 1; n <= 20; n++ {
		log.scrape(10, n)
		q.Notify()
	}
	require.Eventually(t, func() bool { return q.Endpoints()[1].Pending == 0 }, 5*time.Second, time.Millisecond)
	good.requireOnce(10, 20)
	require.Eventually(t, func() bool { return q.Endpoints()[0].Failing }, 5*time.Second, time.Millisecond)
	require.EqualValues(t, 200, q.Endpoints()[0].Pending)
	requireBalance(t, q, 200)

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	pending, err := q.Drain(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.EqualValues(t, 200, pending)

	bad.setAnswer(nil)
	requireDrained(t, q)
	bad.requireOnce(10, 20)
	require.NotZero(t, q.Endpoints()[0].Retries)
	require.False(t, q.Endpoints()[0].Failing)
}

func TestClosedInTheMiddleNothingIsMissingAfterwards(t *testing.T) {
	log, r := newMemlog(), newReceiver(t)
	answered := 0
	r.setAnswer(func(http.ResponseWriter, *http.Request, *prompb.WriteRequest) int {
		if answered++; answered > 5 {
			return 500
		}
		return 0
	})
	first := start(t, log, writeConfig(t, r.url, perSend(6), withLanes(1, 1)))
	for n := 1; n <= 30; n++ {
		log.scrape(4, n)
		first.Notify()
	}
	require.Eventually(t, func() bool { return first.Endpoints()[0].Failing }, 5*time.Second, time.Millisecond)
	requireBalance(t, first, 120)
	first.Close()
	require.Empty(t, first.Endpoints())

	r.setAnswer(nil)
	second := start(t, log, writeConfig(t, r.url, perSend(6), withLanes(1, 1)))
	requireDrained(t, second)
	r.requireComplete(4, 30)
}

func TestReloadWithAnotherPasswordKeepsCursorAndAccount(t *testing.T) {
	log, r := newMemlog(), newReceiver(t)
	r.setAnswer(func(_ http.ResponseWriter, hr *http.Request, _ *prompb.WriteRequest) int {
		if _, password, _ := hr.BasicAuth(); password != "right" {
			return 401
		}
		return 0
	})
	configured := func(password string) []EndpointConfig {
		return []EndpointConfig{{CursorID: "a", Open: log.open("a"), Config: writeConfig(t, r.url, func(c *promconfig.RemoteWriteConfig) {
			c.HTTPClientConfig.BasicAuth = &config.BasicAuth{Username: "u", Password: config.Secret(password)}
		})}}
	}
	q := newQueue(t)
	require.NoError(t, q.Apply(configured("right")))
	log.scrape(3, 1)
	requireDrained(t, q)

	require.NoError(t, q.Apply(configured("wrong")))
	log.scrape(3, 2)
	q.Notify()
	require.Eventually(t, func() bool { return q.Endpoints()[0].Failing }, 5*time.Second, time.Millisecond)
	require.Contains(t, q.Endpoints()[0].LastError, "401")
	require.EqualValues(t, 3, q.Pending(), "a refused credential loses nothing")

	require.NoError(t, q.Apply(configured("right")))
	requireDrained(t, q)
	r.requireOnce(3, 2)
	requireBalance(t, q, 6)
	require.EqualValues(t, 6, q.Endpoints()[0].Sent, "the account goes on through a reload in place")
}

func TestReloadLeavesUnchangedEndpointsAlone(t *testing.T) {
	log, a, b := newMemlog(), newReceiver(t), newReceiver(t)
	opened := map[string]int{}
	endpoint := func(id, url string) EndpointConfig {
		return EndpointConfig{CursorID: id, Config: writeConfig(t, url), Open: func() (Source, Place, error) {
			opened[id]++
			return log.open(id)()
		}}
	}
	q := newQueue(t)
	require.NoError(t, q.Apply([]EndpointConfig{endpoint("a", a.url), endpoint("b", b.url)}))
	log.scrape(2, 1)
	requireDrained(t, q)
	kept := (*q.live.Load())[1]

	require.NoError(t, q.Apply([]EndpointConfig{endpoint("b", b.url)}))
	require.Same(t, kept, (*q.live.Load())[0])
	log.scrape(2, 2)
	requireDrained(t, q)
	a.requireOnce(2, 1)
	b.requireOnce(2, 2)
	require.Equal(t, map[string]int{"a": 1, "b": 1}, opened)
}

func TestApplyRefusesWhatItCannotDoAndChangesNothing(t *testing.T) {
	log, r := newMemlog(), newReceiver(t)
	q := start(t, log, writeConfig(t, r.url))
	kept := (*q.live.Load())[0]
	ok := EndpointConfig{Config: writeConfig(t, r.url), CursorID: "b", Open: log.open("b")}
	noFile := ok
	noFile.Config = writeConfig(t, r.url, func(c *promconfig.RemoteWriteConfig) { c.HTTPClientConfig.TLSConfig.CAFile = "/nonexistent" })
	require.ErrorContains(t, q.Apply([]EndpointConfig{ok, noFile}), "two endpoints have the cursor")
	noFile.CursorID = "c"
	require.ErrorContains(t, q.Apply([]EndpointConfig{ok, noFile}), "/nonexistent")
	require.Same(t, kept, (*q.live.Load())[0])
	require.Len(t, q.options.Clients.byDigest, 1, "clients of refused endpoints are released")
	q.Close()
	require.Empty(t, q.options.Clients.byDigest)
	require.Error(t, q.Apply(nil))
}

func TestEqualDestinationsShareAClient(t *testing.T) {
	clients := NewClients()
	shared := func(password config.Secret) *destination {
		c, err := clients.acquire(writeConfig(t, "http://localhost/", func(c *promconfig.RemoteWriteConfig) {
			c.HTTPClientConfig.BasicAuth = &config.BasicAuth{Username: "u", Password: password}
			c.QueueConfig.MaxShards = len(password)
		}))
		require.NoError(t, err)
		return c
	}
	a, b, other := shared("one"), shared("one"), shared("two")
	require.Same(t, a, b)
	require.NotSame(t, a, other, "another password is another client")
	a.release()
	require.Len(t, clients.byDigest, 2)
	b.release()
	other.release()
	require.Empty(t, clients.byDigest)
}

func TestALogThatCannotBeReadIsTriedAgainAndNothingIsDoubled(t *testing.T) {
	log, r := newMemlog(), newReceiver(t)
	log.scrape(5, 1)
	log.scrape(5, 2)
	log.scrape(5, 3)
	log.failAt = 2
	q := start(t, log, writeConfig(t, r.url))
	requireDrained(t, q)
	r.requireOnce(5, 3)
	requireBalance(t, q, 15)
}

func TestLostSamplesAreAccountedFor(t *testing.T) {
	log, r := newMemlog(), newReceiver(t)
	for n := 1; n <= 4; n++ {
		log.scrape(5, n)
	}
	log.damage(1)
	log.damage(3)
	q := start(t, log, writeConfig(t, r.url))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	pending, err := q.Drain(ctx)
	require.ErrorIs(t, err, errUnreadable, "what was lost at the end is only known with the next record")
	require.EqualValues(t, 5, pending)
	requireBalance(t, q, 20)

	log.scrape(5, 5)
	q.Notify()
	require.Eventually(t, func() bool { return q.Pending() == 0 }, 5*time.Second, time.Millisecond)
	requireBalance(t, q, 25)
	require.Equal(t, map[Reason]uint64{Damaged: 10}, q.Endpoints()[0].Dropped)
}

func TestAPanicIsReportedAndEndsNothingElse(t *testing.T) {
	log, good := newMemlog(), newReceiver(t)
	panics := make(chan error, 1)
	q := New(Options{OnPanic: func(err error) { panics <- err }})
	t.Cleanup(q.Close)
	require.NoError(t, q.Apply([]EndpointConfig{
		{Config: writeConfig(t, good.url), CursorID: "bad", Open: func() (Source, Place, error) {
			s, p, err := log.open("bad")()
			return panickingSource{s}, p, err
		}},
		{Config: writeConfig(t, good.url), CursorID: "good", Open: log.open("good")},
	}))
	log.scrape(3, 1)
	q.Notify()
	require.ErrorContains(t, <-panics, "injected")
	require.Eventually(t, func() bool { return q.Endpoints()[1].Pending == 0 }, 5*time.Second, time.Millisecond)
	_, err := q.Drain(t.Context())
	require.ErrorIs(t, err, errStopped)
}

func TestAPanickedEndpointIsStartedAgainByApply(t *testing.T) {
	log, r := newMemlog(), newReceiver(t)
	panics := make(chan error, 1)
	q := New(Options{OnPanic: func(err error) { panics <- err }})
	t.Cleanup(q.Close)
	healthy := false
	configured := []EndpointConfig{{Config: writeConfig(t, r.url), CursorID: "a", Open: func() (Source, Place, error) {
		s, p, err := log.open("a")()
		if healthy {
			return s, p, err
		}
		return panickingSource{s}, p, err
	}}}
	require.NoError(t, q.Apply(configured))
	log.scrape(3, 1)
	q.Notify()
	<-panics
	healthy = true
	require.NoError(t, q.Apply(configured))
	requireDrained(t, q)
	r.requireOnce(3, 1)
}

func TestReloadsWhileCommittingLoseNothing(t *testing.T) {
	log, r := newMemlog(), newReceiver(t)
	q := newQueue(t)
	var writer sync.WaitGroup
	writer.Go(func() {
		for n := range 300 {
			log.scrape(10, n+1)
			q.Notify()
		}
	})
	for i := range 40 {
		require.NoError(t, q.Apply([]EndpointConfig{{CursorID: "a", Open: log.open("a"), Config: writeConfig(t, r.url, perSend(20+i))}}))
		requireBalanced(t, q.Endpoints())
	}
	writer.Wait()
	require.Eventually(t, func() bool { return q.Pending() == 0 }, 10*time.Second, time.Millisecond, "no commit is left unnoticed")
	r.requireComplete(10, 300)
	requireBalance(t, q, 3000)
}

// requireBalanced is requireBalance while commits go on: the sum is a multiple of what one commit adds.
func requireBalanced(t *testing.T, endpoints []EndpointStatus) {
	t.Helper()
	for _, s := range endpoints {
		require.Zero(t, (s.Sent+s.Pending)%10)
	}
}

type panickingSource struct{ Source }

func (panickingSource) Next(Visitor) (Record, error) { panic("injected") }

func TestMetadataIsPushedOnATimer(t *testing.T) {
	r := newReceiver(t)
	q := New(Options{Metadata: func() []Metadata {
		m := Metadata{Family: "f", Help: "h", Unit: "seconds", Type: model.MetricTypeCounter}
		return []Metadata{m, m, {Family: "g", Type: model.MetricTypeGauge}}
	}})
	t.Cleanup(q.Close)
	failing := true
	r.setAnswer(func(http.ResponseWriter, *http.Request, *prompb.WriteRequest) int {
		if failing {
			failing = false
			return 500
		}
		return 0
	})
	require.NoError(t, q.Apply([]EndpointConfig{{CursorID: "a", Open: newMemlog().open("a"), Config: writeConfig(t, r.url,
		func(c *promconfig.RemoteWriteConfig) {
			c.MetadataConfig.SendInterval = model.Duration(time.Second)
			c.MetadataConfig.MaxSamplesPerSend = 1
		})}}))
	require.Eventually(t, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.metadata) >= 2
	}, 10*time.Second, 5*time.Millisecond)
	require.Equal(t, []prompb.MetricMetadata{
		{MetricFamilyName: "f", Help: "h", Unit: "seconds", Type: prompb.MetricMetadata_COUNTER},
		{MetricFamilyName: "g", Type: prompb.MetricMetadata_GAUGE},
	}, r.metadata[:2])
}
