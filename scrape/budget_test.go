package scrape

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/series"
)

// heldBook is a memory whose references are those of a book, held until the end.
type heldBook struct {
	*memory
	book *series.Book
}

type heldAppender struct {
	storage.AppenderV2
	heldBook
	acquired []series.Ref
	batch    []sample
}

func (b heldBook) AppenderV2(context.Context) storage.AppenderV2 { return &heldAppender{heldBook: b} }

func (a *heldAppender) Append(ref storage.SeriesRef, ls labels.Labels, _, t int64, v float64, _ *histogram.Histogram,
	_ *histogram.FloatHistogram, _ storage.AOptions) (storage.SeriesRef, error) {
	if ls.IsEmpty() {
		var b labels.ScratchBuilder
		ls = a.book.Labels(series.Ref(ref), &b)
	}
	r, err := a.book.Acquire(ls)
	if err != nil {
		return 0, err
	}
	a.acquired = append(a.acquired, r)
	a.batch = append(a.batch, sample{labels: ls, t: t, v: v})
	return storage.SeriesRef(r), nil
}

func (a *heldAppender) Commit() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.committed = append(a.committed, a.batch...)
	return nil
}

func (a *heldAppender) Rollback() error {
	a.book.Release(a.acquired...)
	return nil
}

// bookedScraper is one whose series are in a book.
func bookedScraper(t *testing.T, change ...func(*Options)) (*Scraper, *memory) {
	b := heldBook{newMemory(), series.New()}
	return newScraper(t, b.memory, append(change, func(o *Options) { o.Appendable, o.Book = b, b.book })...), b.memory
}

func refusalOf(s *Scraper, limit string) Refusal {
	for _, r := range s.Refusals() {
		if r.Limit == limit {
			return r
		}
	}
	return Refusal{}
}

func sum(samples []sample) (total float64) {
	for _, s := range samples {
		total += s.v
	}
	return total
}

// many is a target with n series whose names begin with prefix.
func many(prefix string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%s{n=\"%d\"} 1\n", prefix, i)
	}
	return b.String()
}

func TestAnInstanceTakesNoMoreSamplesThanItsBudget(t *testing.T) {
	handler := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", textFormat)
		_, _ = io.WriteString(w, many("metric", 100))
	}
	inBubble(t, handler, func(t *testing.T, dial func(*Options)) {
		shared := NewShared()
		with := func(o *Options) { dial(o); o.Shared = shared }
		greedy, modest := newMemory(), newMemory()
		first, second := newScraper(t, greedy, with), newScraper(t, modest, with)
		config := func(budget uint) *Config {
			c := configure(t, `[{job_name: a, scrape_interval: 1s, scrape_timeout: 1s, static_configs: [{targets: ["x:80"]}]}]`)
			c.Budget.SamplesPerSecond = budget
			return c
		}
		run(t, first, config(10))
		run(t, second, config(0))
		<-time.After(10*time.Minute + time.Second/2)

		taken := len(greedy.find("metric")) // staleness markers included
		require.InDelta(t, 600+10*600, taken, 250, "a minute's worth at once, then the average")
		ups := greedy.find("up")
		require.InDelta(t, 600, len(ups), 1, "up tells of every tick")
		refused := refusalOf(first, overSamples)
		require.EqualValues(t, len(ups)-int(sum(ups)), refused.Count)
		require.Contains(t, refused.Message, "samples_per_second exceeded: 10 are allowed")
		require.Equal(t, sum(modest.find("up")), float64(len(modest.find("up"))), "the other instance goes on")
		require.Empty(t, second.Refusals())

		require.NoError(t, first.Apply(t.Context(), config(1000)), "a changed limit is in force with a reload")
		before := len(greedy.find("metric"))
		<-time.After(10 * time.Second)
		require.InDelta(t, before+1000, len(greedy.find("metric")), 101)
	})
}

func TestAnInstanceHasNoMoreSeriesThanItsBudget(t *testing.T) {
	for _, c := range []struct {
		limit  string
		budget Budget
	}{
		{overSeries, Budget{Series: 110}},
		{overLabels, Budget{LabelBytes: 8 << 10}},
	} {
		t.Run(c.limit, func(t *testing.T) {
			first, second := serve(t, textFormat, many("first", 70)), serve(t, textFormat, many("second", 70))
			s, m := bookedScraper(t)
			config := configure(t, `[{job_name: a, static_configs: [{targets: [ADDR0]}]}]`, first)
			config.Budget = c.budget
			run(t, s, config)
			eventually(t, func() bool { return inState(s, 0, StateUp) }, "the first target is within the budget")

			both := configure(t, `[{job_name: a, static_configs: [{targets: [ADDR0, ADDR1]}]}]`, first, second)
			both.Budget = c.budget
			require.NoError(t, s.Apply(t.Context(), both))
			eventually(t, func() bool { return refusalOf(s, c.limit).Count > 2 }, "the second has no room")
			require.Empty(t, m.find("second"), "of a scrape that fails nothing is left")
			require.Zero(t, sum(m.find("up", "instance", address(second))))
			for _, up := range m.find("up", "instance", address(first)) {
				require.Equal(t, 1.0, up.v, "who was there before goes on")
			}
			require.NoError(t, s.Apply(t.Context(), configure(t, `[{job_name: a, static_configs: [{targets: [ADDR0, ADDR1]}]}]`, first, second)))
			eventually(t, func() bool { return len(m.find("second")) > 0 }, "without the limit it is scraped")
		})
	}
}

// stalling is a target that sends n bytes, which become much more, and then nothing until the test
// is over.
func stalling(t *testing.T, n int) (handler http.HandlerFunc, connected *atomic.Int32) {
	stop := make(chan struct{})
	t.Cleanup(sync.OnceFunc(func() { close(stop) }))
	connected = new(atomic.Int32)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write([]byte(strings.Repeat("#", n)))
	require.NoError(t, z.Flush())
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", textFormat)
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(zipped.Bytes())
		w.(http.Flusher).Flush()
		connected.Add(1)
		select {
		case <-stop:
		case <-r.Context().Done():
		}
	}, connected
}

func TestTheAnswersOfOneInstanceAreBoundedTogether(t *testing.T) {
	handler, stalled := stalling(t, 3<<20)
	s := newScraper(t, newMemory())
	var jobs []string
	for i := range 5 {
		jobs = append(jobs, fmt.Sprintf("- {job_name: j%d, scrape_interval: 3s, scrape_timeout: 3s, static_configs: [{targets: [ADDR0]}]}", i))
	}
	c := configure(t, strings.Join(jobs, "\n"), serveFunc(t, handler))
	c.Budget.BodyBytes = 10 << 20
	run(t, s, c)
	eventually(t, func() bool { return refusalOf(s, overBodies).Count > 2 }, "two fit, the others are refused")
	require.Positive(t, stalled.Load())
	require.LessOrEqual(t, heldBytes(s), int64(10<<20))
	require.NoError(t, s.Stop(over(), KeepSeries))
	require.Zero(t, heldBytes(s), "what was reserved is given back")
}

func heldBytes(s *Scraper) int64 {
	p := s.meter.memory
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held
}

func TestWhoHoldsTheMostIsCutOffWhenTheProcessHasNoBytesLeft(t *testing.T) {
	handler, stalled := stalling(t, 3<<20)
	shared := NewSharedWithin(Memory{Bodies: 9 << 20})
	with := func(o *Options) { o.Shared = shared }
	hostile, neighbour := newScraper(t, newMemory(), with), newScraper(t, newMemory(), with)
	run(t, hostile, configure(t, `
- {job_name: a, scrape_interval: 5s, scrape_timeout: 5s, static_configs: [{targets: [ADDR0]}]}
- {job_name: b, scrape_interval: 5s, scrape_timeout: 5s, static_configs: [{targets: [ADDR0]}]}
- {job_name: c, scrape_interval: 5s, scrape_timeout: 5s, static_configs: [{targets: [ADDR0]}]}`, serveFunc(t, handler)))
	eventually(t, func() bool { return stalled.Load() > 2 && heldBytes(hostile) > 7<<20 }, "the hostile instance has nearly all")
	run(t, neighbour, configure(t, `[{job_name: n, scrape_interval: 1s, scrape_timeout: 1s, static_configs: [{targets: [ADDR0]}]}]`,
		serve(t, textFormat, "#"+strings.Repeat("x", 1<<20)+"\nmetric 1\n")))
	eventually(t, func() bool { return inState(neighbour, 0, StateUp) }, "the neighbour is scraped at once")
	eventually(t, func() bool { return refusalOf(hostile, overProcess).Count > 0 }, "the hostile one knows why it is down")
	require.Empty(t, neighbour.Refusals())
}

func TestTheHeaviestIsSkippedWhileMemoryIsShort(t *testing.T) {
	inBubble(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", textFormat)
		_, _ = io.WriteString(w, many("metric", map[string]int{"heavy:80": 200, "light:80": 10}[r.Host]))
	}, func(t *testing.T, dial func(*Options)) {
		var used atomic.Int64
		shared := NewSharedWithin(Memory{Limit: 1 << 30, Used: used.Load})
		with := func(o *Options) { dial(o); o.Shared = shared }
		heavy, heavySamples := bookedScraper(t, with)
		light, lightSamples := bookedScraper(t, with)
		config := `[{job_name: a, scrape_interval: 1s, scrape_timeout: 1s, static_configs: [{targets: ["%s"]}]}]`
		run(t, heavy, configure(t, fmt.Sprintf(config, "heavy:80")))
		run(t, light, configure(t, fmt.Sprintf(config, "light:80")))
		<-time.After(10*time.Second + time.Second/2)
		require.Empty(t, heavy.Refusals())

		used.Store(950 << 20)
		<-time.After(30 * time.Second)
		require.InDelta(t, 30, float64(refusalOf(heavy, overMemory).Count), 2)
		require.Contains(t, lastError(heavy, 0), "process_memory exceeded: the agent is near its limit")
		require.Empty(t, light.Refusals())

		used.Store(500 << 20)
		<-time.After(2 * time.Minute)
		require.Empty(t, lastError(heavy, 0), "with memory to spare it is scraped again")
		ups := lightSamples.find("up")
		require.Equal(t, float64(len(ups)), sum(ups), "the light one has missed nothing")
		require.Less(t, sum(heavySamples.find("up")), float64(len(heavySamples.find("up"))))

		used.Store(950 << 20)
		<-time.After(30 * time.Second)
		require.NotEmpty(t, lastError(heavy, 0))
		used.Store(820 << 20) // as much as was aimed at
		<-time.After(2 * time.Minute)
		require.Empty(t, lastError(heavy, 0), "it is not skipped for ever where it has room")
	})
}

func TestPushedSamplesCountAgainstTheBudget(t *testing.T) {
	s, m := bookedScraper(t)
	c := configure(t, `[{job_name: a}]`)
	c.Budget = Budget{SamplesPerSecond: 1, Series: 50}
	run(t, s, c)
	push := func(name string) error {
		app := s.Pushed().AppenderV2(t.Context())
		if _, err := app.Append(0, labels.FromStrings("__name__", name), 0, 1, 1, nil, nil, storage.AOptions{}); err != nil {
			require.NoError(t, app.Rollback())
			return err
		}
		return app.Commit()
	}
	for i := range 50 {
		require.NoError(t, push(fmt.Sprint("s", i)))
	}
	require.ErrorContains(t, push("another"), "series exceeded")
	require.NoError(t, push("s1"), "a known series goes on")
	var err error
	taken := 51
	for ; err == nil && taken < 1000; taken++ {
		err = push("s0")
	}
	require.InDelta(t, 60, taken, 20)
	require.ErrorContains(t, err, "samples_per_second exceeded")
	var later interface{ RetryAfter() time.Duration }
	require.ErrorAs(t, err, &later)
	require.NotEmpty(t, m.find("s0"))
	require.EqualValues(t, 1, refusalOf(s, overSamples).Count)
}

func TestRoomIsNotGivenOutTwiceBeforeItShowsWhatItTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 1000
		var used atomic.Int64
		p := newAccount(Memory{Limit: limit, Used: used.Load})
		for range 3 {
			p.skipped[&meter{}] = skip{time.Now(), 60}
		}
		after := func(d time.Duration) int {
			for range d / lookEvery {
				<-time.After(lookEvery)
				p.look(time.Now())
			}
			return len(p.skipped)
		}
		used.Store(800) // there is room for 100
		require.Equal(t, 3, after(skipFor-lookEvery))
		require.Equal(t, 2, after(showsAfter), "two have no room")
		require.Equal(t, 1, after(showsAfter), "it took none of it")
		used.Store(500) // there is room for all
		require.Zero(t, after(2*lookEvery))
	})
}
