package scrape

import (
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// changing is a target whose body can be set.
type changing struct {
	body   atomic.Value
	before func() // called before each answer, if set
}

func (c *changing) serve(w http.ResponseWriter, _ *http.Request) {
	if c.before != nil {
		c.before()
	}
	w.Header().Set("Content-Type", textFormat)
	_, _ = w.Write([]byte(c.body.Load().(string)))
}

// markers counts the staleness markers of a series, and says whether the last of its samples is one.
func markers(m *memory, name string, pairs ...string) (n int, last bool) {
	for _, s := range m.find(name, pairs...) {
		if last = s.stale(); last {
			n++
		}
	}
	return n, last
}

func requireEnded(t *testing.T, m *memory, name string, pairs ...string) {
	t.Helper()
	n, last := markers(m, name, pairs...)
	require.True(t, last, "%s %v is open", name, pairs)
	require.Equal(t, 1, n, "%s %v has ended once", name, pairs)
}

func TestASeriesThatEndsInAVetoedScrapeGetsItsMarkerFromTheNext(t *testing.T) {
	var permitted, arm atomic.Bool
	permitted.Store(true)
	target := &changing{}
	target.before = func() {
		if arm.CompareAndSwap(true, false) { // begun with a permit, without one at the commit
			permitted.Store(false)
			time.AfterFunc(20*time.Millisecond, func() { permitted.Store(true) })
		}
	}
	target.body.Store("a 1\nb 1\n")
	inBubble(t, target.serve, func(t *testing.T, dial func(*Options)) {
		m := newMemory()
		s := newScraper(t, m, dial, func(o *Options) { o.Permit = permitted.Load })
		run(t, s, configure(t, `[{job_name: a, scrape_interval: 10s, scrape_timeout: 9s, static_configs: [{targets: ["one:80"]}]}]`))
		<-time.After(25 * time.Second)
		target.body.Store("a 1\n")
		arm.Store(true)
		<-time.After(100 * time.Second)
		synctest.Wait()
		requireEnded(t, m, "b")
		n, _ := markers(m, "a")
		require.Zero(t, n)
		require.NoError(t, s.Stop(over(), KeepSeries))
	})
}

func TestASeriesThatEndsAfterAVetoedScrapeGetsItsMarker(t *testing.T) {
	var permitted, arm atomic.Bool
	permitted.Store(true)
	target := &changing{}
	target.before = func() {
		if arm.CompareAndSwap(true, false) { // for longer than the scrape is tried again
			permitted.Store(false)
			time.AfterFunc(8*time.Second, func() { permitted.Store(true) })
		}
	}
	target.body.Store("a 1\nb 1\n")
	inBubble(t, target.serve, func(t *testing.T, dial func(*Options)) {
		m := newMemory()
		s := newScraper(t, m, dial, func(o *Options) { o.Permit = permitted.Load })
		run(t, s, configure(t, oneTarget))
		<-time.After(25 * time.Second)
		before := len(m.find("b"))
		arm.Store(true)
		<-time.After(10 * time.Second)
		require.Len(t, m.find("b"), before, "the scrape was vetoed")
		target.body.Store("a 1\n")
		<-time.After(20 * time.Second)
		synctest.Wait()
		requireEnded(t, m, "b")
		requireOpen(t, m, "a")
		require.NoError(t, s.Stop(over(), KeepSeries))
	})
}

// flipping lets a test take the permit away.
func flipping(o *Options) *atomic.Bool {
	var permitted atomic.Bool
	permitted.Store(true)
	o.Permit = permitted.Load
	return &permitted
}

func TestTheSeriesOfARemovedJobEndOnceThereIsAPermitAgain(t *testing.T) {
	inBubble(t, oneMetric, func(t *testing.T, dial func(*Options)) {
		m := newMemory()
		var permitted *atomic.Bool
		s := newScraper(t, m, dial, func(o *Options) { permitted = flipping(o) })
		run(t, s, configure(t, `[{job_name: a, scrape_interval: 10s, static_configs: [{targets: ["one:80"]}]}, {job_name: b, scrape_interval: 10s, static_configs: [{targets: ["two:80"]}]}]`))
		<-time.After(25 * time.Second)
		permitted.Store(false)
		require.NoError(t, s.Apply(t.Context(), configure(t, `[{job_name: a, scrape_interval: 10s, static_configs: [{targets: ["one:80"]}]}]`)))
		<-time.After(time.Second)
		n, _ := markers(m, "up", "instance", "two:80")
		require.Zero(t, n, "nothing is written without a permit")
		permitted.Store(true)
		<-time.After(longestOwedPause + time.Second)
		synctest.Wait()
		requireEnded(t, m, "up", "instance", "two:80")
		require.NoError(t, s.Stop(over(), EndSeries))
		requireEnded(t, m, "up", "instance", "two:80")
		requireEnded(t, m, "up", "instance", "one:80")
	})
}

func TestTheSeriesOfARemovedTargetEndOnceThereIsAPermitAgain(t *testing.T) {
	inBubble(t, oneMetric, func(t *testing.T, dial func(*Options)) {
		m := newMemory()
		var permitted *atomic.Bool
		s := newScraper(t, m, dial, func(o *Options) { permitted = flipping(o) })
		run(t, s, configure(t, `[{job_name: b, scrape_interval: 10s, static_configs: [{targets: ["two:80", "three:80"]}]}]`))
		<-time.After(25 * time.Second)
		require.NoError(t, s.Apply(t.Context(), configure(t, `[{job_name: b, scrape_interval: 10s, static_configs: [{targets: ["two:80"]}]}]`)))
		<-time.After(9 * time.Second)
		permitted.Store(false)
		<-time.After(15 * time.Second) // the markers are due after two intervals
		permitted.Store(true)
		<-time.After(longestOwedPause + time.Second)
		synctest.Wait()
		requireEnded(t, m, "up", "instance", "three:80")
		requireEnded(t, m, "metric", "instance", "three:80")
	})
}

func TestWhatAStopInterruptsEndsWithTheStop(t *testing.T) {
	for name, how := range map[string]StopMode{"handover": HandOver, "restart": KeepSeries, "deletion": EndSeries} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, oneMetric, func(t *testing.T, dial func(*Options)) {
				m := newMemory()
				var permitted *atomic.Bool
				a := newScraper(t, m, dial, func(o *Options) { permitted = flipping(o) })
				one := configure(t, `[{job_name: b, scrape_interval: 10s, static_configs: [{targets: ["two:80"]}]}]`)
				run(t, a, configure(t, `[{job_name: b, scrape_interval: 10s, static_configs: [{targets: ["two:80", "three:80"]}]}, {job_name: c, scrape_interval: 10s, static_configs: [{targets: ["four:80"]}]}]`))
				<-time.After(25 * time.Second)
				permitted.Store(false)
				require.NoError(t, a.Apply(t.Context(), one))
				<-time.After(3 * time.Second)
				permitted.Store(true)
				require.NoError(t, a.Stop(t.Context(), how))
				requireEnded(t, m, "up", "instance", "three:80")
				requireEnded(t, m, "up", "instance", "four:80")
				n, _ := markers(m, "up", "instance", "two:80")
				require.Equal(t, how == EndSeries, n == 1)
			})
		})
	}
}

func TestMarkersThatCanNotBeCommittedAreTriedAgain(t *testing.T) {
	inBubble(t, oneMetric, func(t *testing.T, dial func(*Options)) {
		m := newMemory()
		s := newScraper(t, m, dial)
		run(t, s, configure(t, `[{job_name: a, scrape_interval: 10s, static_configs: [{targets: ["one:80"]}]}, {job_name: b, scrape_interval: 10s, static_configs: [{targets: ["two:80"]}]}]`))
		<-time.After(25 * time.Second)
		m.broken.Store(true)
		require.NoError(t, s.Apply(t.Context(), configure(t, `[{job_name: a, scrape_interval: 10s, static_configs: [{targets: ["one:80"]}]}]`)))
		<-time.After(time.Second)
		m.broken.Store(false)
		<-time.After(longestOwedPause)
		synctest.Wait()
		requireEnded(t, m, "up", "instance", "two:80")
	})
}

func TestASeriesThatEndsWhileNothingCanBeCommittedGetsItsMarker(t *testing.T) {
	target := &changing{}
	target.body.Store("a 1\nb 1\n")
	inBubble(t, target.serve, func(t *testing.T, dial func(*Options)) {
		m := newMemory()
		s := newScraper(t, m, dial)
		run(t, s, configure(t, `[{job_name: a, scrape_interval: 10s, scrape_timeout: 9s, static_configs: [{targets: ["one:80"]}]}]`))
		<-time.After(25 * time.Second)
		m.broken.Store(true)
		target.body.Store("a 1\nc 1\n")
		<-time.After(20 * time.Second)
		target.body.Store("a 1\n") // nobody has seen a sample of c
		m.broken.Store(false)
		<-time.After(30 * time.Second)
		synctest.Wait()
		requireEnded(t, m, "b")
		require.Empty(t, m.find("c"))
	})
}
