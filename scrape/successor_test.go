package scrape

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/series"
)

// booked is a node's way into a receiver: references are those of a book, with something added, as
// a log has them.
type booked struct {
	*memory
	book *series.Book
}

func (b booked) AppenderV2(ctx context.Context) storage.AppenderV2 {
	return bookedAppender{b.memory.AppenderV2(ctx), b.book}
}

type bookedAppender struct {
	storage.AppenderV2
	book *series.Book
}

func (a bookedAppender) Append(ref storage.SeriesRef, ls labels.Labels, st, t int64, v float64, h *histogram.Histogram,
	fh *histogram.FloatHistogram, o storage.AOptions) (storage.SeriesRef, error) {
	own := series.Ref(ref)
	if ls.IsEmpty() {
		builder := labels.NewScratchBuilder(0)
		ls = a.book.Labels(own, &builder)
	} else {
		var err error
		if own, err = a.book.Acquire(ls); err != nil { // held for ever
			return 0, err
		}
	}
	_, err := a.AppenderV2.Append(0, ls, st, t, v, h, fh, o)
	return storage.SeriesRef(own) | 7<<32, err
}

// onNode makes a scraper of a node that writes to m.
func onNode(t *testing.T, m *memory, change ...func(*Options)) *Scraper {
	t.Helper()
	book := series.New()
	return newScraper(t, m, append(change, func(o *Options) {
		o.Appendable, o.Book, o.Seed = booked{m, book}, book, 42
	})...)
}

// succeed stops a scraper and starts one on another node.
func succeed(t *testing.T, m *memory, from *Scraper, how StopMode, c *Config, change ...func(*Options)) *Scraper {
	t.Helper()
	require.NoError(t, from.Stop(t.Context(), how))
	to := onNode(t, m, change...)
	require.NoError(t, to.Apply(t.Context(), c))
	require.NoError(t, to.Resume(from.Handover()))
	require.NoError(t, to.Start())
	return to
}

// requireOpen asks that a series has had no marker.
func requireOpen(t *testing.T, m *memory, name string, pairs ...string) {
	t.Helper()
	n, _ := markers(m, name, pairs...)
	require.Zero(t, n, "%s %v has ended", name, pairs)
	require.NotEmpty(t, m.find(name, pairs...))
}

const oneTarget = `[{job_name: a, scrape_interval: 10s, scrape_timeout: 9s, static_configs: [{targets: ["one:80"]}]}]`

func TestASeriesThatEndsDuringAMoveGetsItsMarkerFromTheSuccessor(t *testing.T) {
	for _, how := range []StopMode{HandOver, KeepSeries} {
		for _, moves := range []int{1, 3} {
			t.Run(fmt.Sprint(how, " ", moves), func(t *testing.T) {
				target := &changing{}
				target.body.Store("a 1\nb 1\nup 1\n")
				inBubble(t, target.serve, func(t *testing.T, dial func(*Options)) {
					m, c := newMemory(), configure(t, oneTarget)
					s := onNode(t, m, dial)
					run(t, s, c)
					<-time.After(25 * time.Second)
					target.body.Store("a 1\nc 1\n")
					for range moves { // the next ones have not scraped yet
						s = succeed(t, m, s, how, c, dial)
					}
					<-time.After(15 * time.Second)
					synctest.Wait()
					requireEnded(t, m, "b")
					requireOpen(t, m, "a")
					requireOpen(t, m, "up")
					requireOpen(t, m, "scrape_samples_scraped")
					<-time.After(time.Minute)
					requireEnded(t, m, "b")
					require.NoError(t, s.Stop(t.Context(), EndSeries))
					requireEnded(t, m, "a")
					requireEnded(t, m, "up")
				})
			})
		}
	}
}

func TestATargetThatIsDownAfterAMoveEndsTheSeriesOfBefore(t *testing.T) {
	var down atomic.Bool
	inBubble(t, func(w http.ResponseWriter, r *http.Request) {
		if down.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		oneMetric(w, r)
	}, func(t *testing.T, dial func(*Options)) {
		m, c := newMemory(), configure(t, oneTarget)
		s := onNode(t, m, dial)
		run(t, s, c)
		<-time.After(25 * time.Second)
		down.Store(true)
		succeed(t, m, s, HandOver, c, dial)
		<-time.After(30 * time.Second)
		synctest.Wait()
		requireEnded(t, m, "metric")
		requireOpen(t, m, "up")
	})
}

func TestADeletionRightAfterAMoveEndsWhatNobodyHasScrapedSince(t *testing.T) {
	inBubble(t, oneMetric, func(t *testing.T, dial func(*Options)) {
		m, c := newMemory(), configure(t, oneTarget)
		s := onNode(t, m, dial)
		run(t, s, c)
		<-time.After(25 * time.Second)
		s = succeed(t, m, s, HandOver, c, dial)
		require.NoError(t, s.Stop(t.Context(), EndSeries))
		requireEnded(t, m, "metric")
		requireEnded(t, m, "up")
	})
}

func TestTargetsThatAreGoneAfterAMoveEndAndThoseWithAnotherIntervalGoOn(t *testing.T) {
	inBubble(t, oneMetric, func(t *testing.T, dial func(*Options)) {
		m := newMemory()
		s := onNode(t, m, dial)
		run(t, s, configure(t, `[{job_name: a, scrape_interval: 10s, scrape_timeout: 9s, static_configs: [{targets: ["one:80", "two:80"]}]}, {job_name: b, scrape_interval: 10s, static_configs: [{targets: ["three:80"]}]}]`))
		<-time.After(25 * time.Second)
		s = succeed(t, m, s, HandOver, configure(t, `[{job_name: a, scrape_interval: 20s, scrape_timeout: 9s, static_configs: [{targets: ["one:80"]}]}]`), dial)
		<-time.After(2 * time.Minute)
		synctest.Wait()
		for _, gone := range []string{"two:80", "three:80"} {
			requireEnded(t, m, "metric", "instance", gone)
			requireEnded(t, m, "up", "instance", gone)
		}
		requireOpen(t, m, "metric", "instance", "one:80")
		requireOpen(t, m, "up", "instance", "one:80")
		require.Empty(t, s.left)
	})
}

func TestMarkersThatAreOwedAtAMoveAreWrittenByTheSuccessor(t *testing.T) {
	inBubble(t, oneMetric, func(t *testing.T, dial func(*Options)) {
		m := newMemory()
		var permitted *atomic.Bool
		s := onNode(t, m, dial, func(o *Options) { permitted = flipping(o) })
		run(t, s, configure(t, `[{job_name: a, scrape_interval: 10s, scrape_timeout: 9s, static_configs: [{targets: ["one:80", "two:80"]}]}, {job_name: b, scrape_interval: 10s, static_configs: [{targets: ["three:80"]}]}]`))
		<-time.After(25 * time.Second)
		permitted.Store(false)
		c := configure(t, oneTarget)
		require.NoError(t, s.Apply(t.Context(), c))
		ctx, done := context.WithTimeout(t.Context(), 100*time.Millisecond)
		require.NoError(t, s.Stop(ctx, HandOver))
		done()
		next := onNode(t, m, dial)
		require.NoError(t, next.Apply(t.Context(), c))
		require.NoError(t, next.Resume(s.Handover()))
		require.NoError(t, next.Start())
		<-time.After(time.Minute)
		synctest.Wait()
		for _, gone := range []string{"two:80", "three:80"} {
			requireEnded(t, m, "metric", "instance", gone)
			requireEnded(t, m, "up", "instance", gone)
		}
		requireOpen(t, m, "metric", "instance", "one:80")
	})
}

func TestATargetThatWasGoneForAMomentBeforeAMoveDoesNotEnd(t *testing.T) {
	inBubble(t, oneMetric, func(t *testing.T, dial func(*Options)) {
		m, c := newMemory(), configure(t, oneTarget)
		s := onNode(t, m, dial)
		run(t, s, c)
		<-time.After(25 * time.Second)
		require.NoError(t, s.Apply(t.Context(), configure(t, strings.ReplaceAll(oneTarget, "one", "two"))))
		<-time.After(time.Second)
		require.NoError(t, s.Apply(t.Context(), c))
		<-time.After(11 * time.Second)
		succeed(t, m, s, HandOver, c, dial)
		<-time.After(time.Minute)
		synctest.Wait()
		requireOpen(t, m, "metric", "instance", "one:80")
		requireOpen(t, m, "up", "instance", "one:80")
	})
}

func TestAHandoverOfVeryManySeriesIsBoundedAndSaysSo(t *testing.T) {
	var body strings.Builder
	for i := range 40_000 {
		fmt.Fprintf(&body, "metric_%d{path=%q} 1\n", i%100, fmt.Sprint("/", i*7919%100_003))
	}
	target := &changing{}
	target.body.Store(body.String())
	inBubble(t, target.serve, func(t *testing.T, dial func(*Options)) {
		metrics, err := NewMetrics(FullMetrics)
		require.NoError(t, err)
		m, c := newMemory(), configure(t, oneTarget)
		s := onNode(t, m, dial, func(o *Options) { o.Metrics = metrics })
		run(t, s, c)
		<-time.After(15 * time.Second)
		target.body.Store("a 1\n")
		succeed(t, m, s, HandOver, c, dial)
		require.Less(t, len(s.Handover()), 68<<10)
		<-time.After(15 * time.Second)
		synctest.Wait()
		ended := 0
		for _, found := range m.committed {
			if found.stale() {
				ended++
			}
		}
		require.Greater(t, ended, 2_000)
		require.EqualValues(t, 40_005, float64(ended)+testutil.ToFloat64(metrics.loops.notCarried), "the five reports of the scrape are left out")
		requireOpen(t, m, "up")
	})
}

func TestAProcessCarriesOnlySoMuchInAShortTime(t *testing.T) {
	a, now := &allowance{}, time.Unix(1_800_000_000, 0)
	handovers := 0
	for a.left(now) == maxCarried {
		a.spend(maxCarried)
		handovers++
	}
	require.InDelta(t, carriedBurst/maxCarried, handovers, 1)
	require.Less(t, a.left(now), maxCarried)
	require.Equal(t, maxCarried, a.left(now.Add(time.Second)))
	require.Equal(t, maxCarried, a.left(now.Add(-time.Hour)), "a clock that is set back takes nothing")
}

// found makes a config whose job has discoveries.
func found(t *testing.T, sd ...discovery.Config) *Config {
	c := configure(t, `[{job_name: a, scrape_interval: 5s, scrape_timeout: 4s, relabel_configs: [{source_labels: [__address__], regex: 't1:80', action: drop}, {source_labels: [__meta_x], target_label: x}]}]`)
	c.Jobs[0].ServiceDiscoveryConfigs = sd
	return c
}

func TestAMovedInstanceWhoseDiscoveryIsDownKeepsItsTargets(t *testing.T) {
	inBubble(t, oneMetric, func(t *testing.T, dial func(*Options)) {
		m := newMemory()
		s := onNode(t, m, dial)
		c := found(t, &slowDiscovery{"one", time.Second, numbered(20)})
		require.NoError(t, s.Apply(t.Context(), c))
		require.NoError(t, s.Warm(t.Context()))
		require.NoError(t, s.Start())
		<-time.After(30 * time.Second)
		c = found(t, &slowDiscovery{"one", -1, nil}) // from now on the server does not answer
		for range 3 {
			s = succeed(t, m, s, HandOver, c, dial)
			require.Len(t, s.Targets(), 19)
			<-time.After(30 * time.Second)
		}
		synctest.Wait()
		for _, a := range numbered(20) {
			up := m.find("up", "instance", a)
			require.Equal(t, a == "t1:80", len(up) == 0, a)
			for i := 1; i < len(up); i++ {
				require.Less(t, up[i].t-up[i-1].t, int64(5100), "no tick of %s is missed", a)
			}
		}
		changed := found(t, c.Jobs[0].ServiceDiscoveryConfigs...)
		changed.Jobs[0].RelabelConfigs = changed.Jobs[0].RelabelConfigs[1:]
		require.NoError(t, s.Apply(t.Context(), changed))
		require.Empty(t, s.Targets(), "they would have other labels now")
	})
}

func TestCarriedTargetsEndWhenTheirDiscoveryReportsOrTheirTimeIsOver(t *testing.T) {
	inBubble(t, oneMetric, func(t *testing.T, dial func(*Options)) {
		m := newMemory()
		s := onNode(t, m, dial)
		run(t, s, found(t, &slowDiscovery{"one", 0, numbered(20)}))
		<-time.After(30 * time.Second)
		text := func() string {
			require.NoError(t, s.Stop(t.Context(), HandOver))
			return s.Handover()
		}()
		start := func(sd *slowDiscovery) *Scraper {
			next := onNode(t, m, dial)
			require.NoError(t, next.Apply(t.Context(), found(t, sd)))
			require.NoError(t, next.Resume(text))
			require.NoError(t, next.Start())
			return next
		}
		never := start(&slowDiscovery{"one", -1, nil})
		other := start(&slowDiscovery{"other", -1, numbered(20)})
		require.Len(t, never.Targets(), 19)
		require.Empty(t, other.Targets(), "another config may find others")
		slow := start(&slowDiscovery{"one", 10 * time.Second, numbered(3)})
		require.Len(t, slow.Targets(), 19)
		<-time.After(12 * time.Second)
		require.Len(t, slow.Targets(), 2)
		<-time.After(carriedTime - 30*time.Second)
		require.Len(t, never.Targets(), 19)
		<-time.After(time.Minute)
		require.Empty(t, never.Targets())
	})
}

func TestWhatIsCarriedSurvivesPacking(t *testing.T) {
	encoded := func(pairs ...string) []byte {
		b, err := series.Encode(nil, labels.FromStrings(pairs...))
		require.NoError(t, err)
		return b
	}
	target := labels.FromStrings("__address__", "a:80", "__scrape_interval__", "10s", "__scrape_timeout__", "9s", "instance", "a:80")
	c := &carried{
		found: []carriedTargets{{job: "j", config: 5, discovery: 1, until: time.UnixMilli(1_800_000_000_000), targets: []labels.Labels{target}}},
		series: []carriedSeries{{target: 9, last: time.UnixMilli(1_800_000_000_001), open: []carriedOne{
			{encoded("__name__", "a", "x", "1"), 0}, {encoded("__name__", "a", "x", "2"), 0}, {encoded("__name__", "up"), reportSeriesItself + 1}}}},
	}
	s := newScraper(t, newMemory())
	packed := s.pack(c)
	require.NotEmpty(t, packed)
	again, err := unpack(packed)
	require.NoError(t, err)
	require.Equal(t, c, again)

	h := newHandover(time.Unix(1_800_000_000, 0))
	h.behind[3], h.packed = struct{}{}, packed
	text, _ := h.encode()
	same, err := decodeHandover(text)
	require.NoError(t, err)
	require.Equal(t, h, same)
}

func FuzzUnpack(f *testing.F) {
	s, err := New(Options{Appendable: newMemory()})
	require.NoError(f, err)
	one, err := series.Encode(nil, labels.FromStrings("__name__", "a"))
	require.NoError(f, err)
	f.Add(s.pack(&carried{series: []carriedSeries{{target: 9, open: []carriedOne{{one, 0}, {one, 3}}}}}))
	f.Add(s.pack(&carried{found: []carriedTargets{{job: "j", targets: []labels.Labels{labels.FromStrings("__address__", "a")}}}}))
	f.Add(endOfPack)
	f.Fuzz(func(t *testing.T, packed []byte) {
		c, err := unpack(packed)
		if err != nil {
			return
		}
		again, err := unpack(s.pack(c))
		require.NoError(t, err)
		for _, f := range again.found {
			for _, ls := range f.targets {
				require.True(t, canBeTarget(ls))
			}
		}
	})
}
