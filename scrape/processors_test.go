package scrape

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
)

// slowProcessors has each piece of work take as long as it is told.
func slowProcessors(s *Shared, cores int, piece *atomic.Int64) *processors {
	var calls, now atomic.Int64
	p := s.memory.processors
	p.cores, p.places = cores, max(cores-1, 1)
	p.clock = func() time.Duration {
		calls.Add(1)
		return time.Duration(now.Add(piece.Load()))
	}
	return p
}

func meterOf(s *Shared, t *testing.T, used time.Duration) *meter {
	metrics, err := NewMetrics(BasicMetrics)
	require.NoError(t, err)
	m := newMeter(s, metrics.loops, nil)
	s.memory.add(m)
	m.charge(used, time.Now())
	return m
}

func TestHeavyInstancesWaitForEachOtherAndLightOnesForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewShared()
		p := slowProcessors(s, 2, new(atomic.Int64))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var order []string
		begin := func(name string, m *meter) (*turn, chan error) {
			work, begun := &turn{meter: m, ctx: ctx}, make(chan error, 1)
			go func() {
				err := work.begin()
				if err == nil {
					order = append(order, name) // one has a place at a time
				}
				begun <- err
				if err == nil {
					<-ctx.Done() // the thread is the goroutine's
				}
			}()
			synctest.Wait()
			return work, begun
		}
		heaviest, heavy, light := meterOf(s, t, 100*time.Second), meterOf(s, t, 90*time.Second), meterOf(s, t, 0)
		for range 7 {
			meterOf(s, t, 0)
		}
		first, begun := begin("first", heaviest)
		require.NoError(t, <-begun)
		_, second := begin("heaviest", heaviest)
		_, third := begin("heavy", heavy)
		require.Len(t, p.queue, 2)

		quick := &turn{meter: light, ctx: ctx}
		require.NoError(t, quick.begin(), "a light one needs no place")
		require.False(t, quick.placed)
		quick.end()

		first.placed = false
		p.leave()
		require.NoError(t, <-third, "who has used less is next, though it came later")
		require.Equal(t, []string{"first", "heavy"}, order)
		synctest.Wait()
		cancel()
		require.ErrorContains(t, <-second, "process_cpu exceeded: the agent's processors are busy")
		synctest.Wait()
		require.Empty(t, p.queue)
		require.Equal(t, 1, p.taken, "who was not let in holds no place")
	})
}

func TestALongScrapeLetsOthersInBetween(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewShared()
		var piece atomic.Int64
		p := slowProcessors(s, 2, &piece)
		long := &turn{meter: meterOf(s, t, 0), ctx: t.Context()}
		require.NoError(t, long.begin())
		require.False(t, long.placed)
		piece.Store(int64(grace))
		require.NoError(t, long.check())
		require.False(t, long.placed, "within its grace it needs none")
		require.NoError(t, long.check())
		require.True(t, long.placed, "now it has taken long")

		p.places = 1
		waiting := make(chan struct{})
		go func() {
			if p.enter(t.Context(), 0) {
				close(waiting)
				p.leave()
			}
		}()
		synctest.Wait()
		piece.Store(int64(yieldAfter) + 1)
		require.NoError(t, long.check())
		<-waiting
		require.True(t, long.placed, "and then it goes on")
		long.end()
		require.Zero(t, p.taken)
		require.Positive(t, long.meter.use(time.Now()))
	})
}

func TestAnInstanceUsesNoMoreProcessorTimeThanItsBudget(t *testing.T) {
	handler := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", textFormat)
		_, _ = io.WriteString(w, many("metric", 10))
	}
	inBubble(t, handler, func(t *testing.T, dial func(*Options)) {
		shared := NewShared()
		var piece atomic.Int64
		slowProcessors(shared, 4, &piece)
		piece.Store(int64(100 * time.Millisecond)) // each scrape is one piece
		with := func(o *Options) { dial(o); o.Shared = shared }
		greedy, modest := newMemory(), newMemory()
		first, second := newScraper(t, greedy, with), newScraper(t, modest, with)
		config := func(host string, cpu float64) *Config { // their ticks are at different times
			c := configure(t, `[{job_name: a, scrape_interval: 1s, scrape_timeout: 1s, static_configs: [{targets: ["`+host+`"]}]}]`)
			c.Budget.CPU = cpu
			return c
		}
		run(t, first, config("x:80", 0.01))
		run(t, second, config("y:80", 0))
		<-time.After(10*time.Minute + time.Second/2)

		ups := greedy.find("up")
		require.InDelta(t, 600, len(ups), 1, "up tells of every tick")
		require.InDelta(t, 6+60, sum(ups), 5, "a minute's worth at once, then the average")
		refused := refusalOf(first, overCPU)
		require.EqualValues(t, len(ups)-int(sum(ups)), refused.Count)
		require.Contains(t, refused.Message, "cpu exceeded: 0.01 of a processor are allowed")
		require.Equal(t, sum(modest.find("up")), float64(len(modest.find("up"))), "the other instance goes on")
		require.Empty(t, second.Refusals())
	})
}

func TestAScrapeThatUsesUpTheBudgetEndsThereAndLeavesNothing(t *testing.T) {
	s, m := bookedScraper(t)
	var piece atomic.Int64
	slowProcessors(&Shared{memory: s.meter.memory}, 4, &piece)
	piece.Store(int64(time.Second))
	c := configure(t, `[{job_name: a, static_configs: [{targets: [ADDR0]}]}]`, serve(t, textFormat, many("metric", 1000)))
	c.Budget.CPU = 0.1 // six seconds at once
	run(t, s, c)
	eventually(t, func() bool { return refusalOf(s, overCPU).Count > 0 }, "1000 series are 62 pieces")
	for _, one := range m.find("metric") { // the next failed scrape ends them, as Prometheus does
		require.True(t, one.stale(), "nothing of the scrape is committed")
	}
	require.Zero(t, sum(m.find("up")))
	require.Contains(t, lastError(s, 0), "cpu exceeded")
}

// answering is a transport that answers everything alike.
type answering string

func (a answering) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(string(a)))}, nil
}

func TestAnswersOfDiscoveriesCostProcessorTime(t *testing.T) {
	m := meterOf(NewShared(), t, 0)
	m.adopt(Budget{CPU: 0.0001}, time.Now()) // six milliseconds at once
	transport := &boundTransport{next: answering(strings.Repeat("x", 1<<20)), payer: func() *meter { return m }}
	request := &http.Request{URL: &url.URL{Scheme: "http", Host: "x"}}
	answer, err := transport.RoundTrip(request)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, answer.Body)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	_, err = transport.RoundTrip(request)
	require.ErrorContains(t, err, "cpu exceeded")
	d := newDiscoveries(nil, "", nil, nil, nil)
	d.meter = m
	require.Greater(t, d.nextDelay(time.Now()), maxUpdateGap, "nor are targets made of what it said")
	require.Equal(t, fmt.Sprint(overCPU), (&Scraper{meter: m}).Refusals()[0].Limit)
}

func TestAnInstanceALittleAboveItsBudgetLosesWhatIsAboveIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewShared()
		var piece atomic.Int64
		slowProcessors(s, 4, &piece)
		piece.Store(int64(100 * time.Millisecond))
		m := meterOf(s, t, 0)
		m.adopt(Budget{CPU: 0.1}, time.Now())
		scrape := func() error { // it takes 1.2 seconds of each ten
			if err := m.admit(time.Now()); err != nil {
				return err
			}
			work := &turn{meter: m, ctx: t.Context()}
			defer work.end()
			err := work.begin()
			for n := 0; n < 10 && err == nil; n++ { // two more pieces are in getting a place and in the end
				err = work.check()
			}
			return err
		}
		done := 0
		for n := range 360 {
			<-time.After(10 * time.Second)
			if err := scrape(); err == nil && n >= 60 {
				done++
			}
		}
		require.InDelta(t, 300/1.2, done, 10)
	})
}

func TestADeliveryOfTargetsHoldsNoPlaceWhileOthersWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewShared()
		p := slowProcessors(s, 2, new(atomic.Int64))
		d := newDiscoveries(nil, "", nil, func(err error) { t.Error(err) }, nil)
		d.meter, d.ctx = meterOf(s, t, 100*time.Second), t.Context()
		meterOf(s, t, 0)
		delivered := make(chan int, 1)
		require.True(t, p.enter(t.Context(), 0))
		d.deliver = func([]jobTargets, bool) {
			p.mu.Lock()
			defer p.mu.Unlock()
			delivered <- p.taken
		}
		d.mu.Lock()
		d.schedule()
		d.mu.Unlock()
		<-time.After(time.Minute)
		require.Empty(t, delivered, "it waits for its turn")
		p.leave()
		require.Zero(t, <-delivered)
		synctest.Wait()
		require.Zero(t, p.taken)
	})
}

func TestAnAnswerThatCameLateIsIngestedToTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewShared()
		var piece atomic.Int64
		p := slowProcessors(s, 2, &piece)
		ctx, cancel := context.WithCancel(t.Context())
		late := &turn{meter: meterOf(s, t, 0), ctx: ctx, used: grace + 1}
		require.NoError(t, late.begin())
		require.True(t, late.placed)
		others, end := context.WithCancel(t.Context())
		defer end()
		go func() {
			if p.enter(others, 0) {
				<-others.Done() // it keeps its place
			}
		}()
		synctest.Wait()
		cancel()
		piece.Store(int64(yieldAfter) + 1)
		require.NoError(t, late.check())
		require.True(t, late.placed)
		late.end()
		synctest.Wait()
		require.Equal(t, 1, p.taken, "now the other has it")
	})
}

func TestWhyABodyCouldNotBeReadIsSaidThoughTheProcessorsAreBusy(t *testing.T) {
	s := NewShared()
	p := slowProcessors(s, 2, new(atomic.Int64))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.True(t, p.enter(t.Context(), 0))
	stalled := errors.New("the target has stalled")
	for _, last := range []string{"", "a few bytes"} {
		r := iotest.DataErrReader(io.MultiReader(strings.NewReader(last), iotest.ErrReader(stalled)))
		w := &worked{body: r, turn: &turn{meter: meterOf(s, t, 0), ctx: ctx, used: grace + 1}}
		_, err := w.Read(make([]byte, 100))
		require.ErrorIs(t, err, stalled)
	}
	w := &worked{body: strings.NewReader("x"), turn: &turn{meter: meterOf(s, t, 0), ctx: ctx, used: grace + 1}}
	_, err := w.Read(make([]byte, 100))
	require.ErrorContains(t, err, "process_cpu exceeded")
}

// countedReads counts the reads of a body, at each of which a scrape gives its place up.
type countedReads struct {
	io.Reader
	reads int
}

func (r *countedReads) Read(p []byte) (int, error) {
	r.reads++
	return r.Reader.Read(p)
}

func TestACompressedBodyIsReadInLargePieces(t *testing.T) {
	content := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(content) // it stays as long
	var gzipped, zstded bytes.Buffer
	g := gzip.NewWriter(&gzipped)
	z, err := zstd.NewWriter(&zstded)
	require.NoError(t, err)
	for _, w := range []io.WriteCloser{g, z} {
		_, err := w.Write(content)
		require.NoError(t, err)
		require.NoError(t, w.Close())
	}
	s := NewShared()
	for name, c := range map[string]struct {
		packed *bytes.Buffer
		unpack func(io.Reader, int, int64, *reservation) (*body, error)
	}{"gzip": {&gzipped, s.gunzip}, "zstd": {&zstded, s.unzstd}} {
		r := &countedReads{Reader: c.packed}
		b, err := c.unpack(r, 0, maxBody, &reservation{})
		require.NoError(t, err, name)
		require.Equal(t, content, b.bytes, name)
		require.Less(t, r.reads, 24, name)
	}
}
