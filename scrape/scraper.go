package scrape

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/storage"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"

	"github.com/ringmaster-agent/ringmaster/series"
)

// stopGrace is how long Stop waits, once it has cancelled all requests, for scrapes that are still
// busy.
const stopGrace = 5 * time.Second

// Options are what a Scraper needs. Appendable is required; the zero value of everything else works.
type Options struct {
	Logger *zap.Logger // nil: silence. Prometheus' own messages go there too
	// Instance is the name of the instance, a label of its jobs' metrics. Empty: the label is empty.
	Instance string
	// Metrics is shared by all scrapers of a process. nil: the scraper's metrics are not exposed.
	Metrics *Metrics
	// Shared is what scrapers of a process share to be cheap. nil: the scraper shares nothing.
	Shared *Shared
	// Seed is part of where in its interval a target is scraped; all nodes of a cluster have the same.
	Seed uint64
	// Permit is asked before each scrape begins and again before it is committed; if it says no,
	// the scrape leaves nothing behind. Any goroutine may call it, and it must be quick. nil:
	// always.
	Permit func() bool
	// Appendable receives the samples: one appender per scrape, report samples (up, scrape_*)
	// included. It is called from the scrape loops' goroutines.
	Appendable storage.AppendableV2
	// Book is the one whose references the Appendable gives out; the scraper holds those of the
	// series that its targets write. nil: the Appendable forgets no reference before its series has
	// long been gone.
	Book *series.Book
	// OnPanic is told, with the stack, that a scrape (once) or a discovery panicked. The scraper
	// commits nothing more after a panic of the appendable and has to be stopped. Any goroutine may
	// call it; it must not call back. nil: not reported.
	OnPanic func(error)
	// OnLeft is told that the last tick of a target was dealt with that goes to another slice; see
	// Config.Earlier. Any goroutine may call it; it must not block, nor call back. nil: nobody
	// wants to know.
	OnLeft func()

	// DialContext connects to targets. A scraper that has one shares nothing with others but the
	// account of memory. nil: the operating system's network.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)

	// Wrap is put around the transport of each request to a target. nil: nothing is.
	Wrap func(http.RoundTripper) http.RoundTripper

	// Tracer makes a span of each scrape, and one of its commit below. nil: there are none.
	Tracer trace.Tracer

	// MinInterval is the shortest interval that a target may have, whichever label says so. A
	// target with another fails. 0: any.
	MinInterval time.Duration
	// LocalSockets lets targets be behind unix sockets of this machine, whichever discovery or rule
	// names them.
	LocalSockets bool

	HTTPDisableKeepAlives bool          // a new connection for each scrape
	HTTPIdleConnTimeout   time.Duration // 0: Prometheus' default, 5 minutes

	UserAgent string // of requests; empty: Prometheus'
	Features
}

// Features are what can be turned on. The comments of those that are Prometheus' begin with its
// name of them.
type Features struct {
	ParseStartTimestamps      bool // st-storage: take start timestamps from the scrape formats; OpenMetrics' _created series vanish
	ProtobufFirst             bool // st-storage too: ask for protobuf first where a job leaves the protocols to the default
	SynthesizeStartTimestamps bool // st-synthesis: see synthesis.go
	TypeAndUnitLabels         bool // type-and-unit-labels
	ExtraScrapeMetrics        bool // extra-scrape-metrics: a job has extra_scrape_metrics where nobody says otherwise
	OpenMetrics2              bool // openmetrics2: take OpenMetrics 2.0 from targets that send it
	ZstdScrape                bool // zstd-scrape: ask for zstd too
	ScrapeOnShutdown          bool // one more scrape of every target, outside its schedule, during a Stop that hands over to nobody
}

// StopMode says what becomes of the series of a scraper that stops.
type StopMode int

const (
	// KeepSeries leaves them as they are: someone else goes on with them, or they continue after a
	// restart.
	KeepSeries StopMode = iota
	// EndSeries writes a staleness marker for each: nobody goes on with them.
	EndSeries
	// HandOver is KeepSeries for a successor that is waiting. The stop comes with a tick, so that
	// it has the longest time until the next one, and waits for that up to one interval, 5 s at
	// most. Running scrapes are cut off when another target's tick is due; the successor takes
	// theirs again.
	HandOver
	// Fence is for someone else who may be scraping already: what is running is cut off, and
	// nothing is committed from the call on but what is in its commit.
	Fence
)

// Scraper discovers and scrapes the targets of one instance. Its life is New, Apply, Start, more
// Applies, Stop; these may be called by one goroutine at a time. The other methods are for any
// goroutine at any time.
type Scraper struct {
	options     Options
	log         *zap.Logger
	gate        gate
	discoveries *discoveries
	meter       *meter
	failures    failureLogs
	states      stateLog

	ctx    context.Context // of all requests
	cancel context.CancelFunc

	life    sync.Mutex   // one of Apply, Start and Stop at a time
	config  *Config      // in force; nil before the first Apply
	removed []endingLoop // of removed jobs, whose series have yet to end
	started atomic.Bool
	stopped bool

	mu        sync.Mutex
	ended     bool // no target is added any more
	slicing   *slicing
	pools     map[string]*pool
	ending    map[*loop]awaitingEnd // of targets that have gone
	owed      []endingLoop          // whose markers could not be written yet
	owedPause time.Duration         // before they are tried again
	retrying  bool                  // they will be
	resume    *handover             // of the scraper before; nil: nothing is known
	carried   *carried              // by it, until Start; nil: nothing
	left      map[uint64]leftSeries // open series of the scraper before, by target, that no loop has taken over
	leftEnd   *time.Timer           // when they end at the latest
	stoppedAt []Tick

	handedOver string    // what Handover tells
	nextTick   time.Time // of a stopped scraper
}

// New makes a scraper that does nothing yet.
func New(o Options) (*Scraper, error) {
	if o.Appendable == nil {
		return nil, errors.New("create scraper: no appendable")
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.OnPanic == nil {
		o.OnPanic = func(error) {}
	}
	if o.OnLeft == nil {
		o.OnLeft = func() {}
	}
	if o.Shared == nil || o.DialContext != nil {
		own := NewShared()
		own.dial = o.DialContext
		if o.Shared != nil {
			own.Intercept(o.Shared.discoverers.intercept)
			own.memory = o.Shared.memory
		}
		o.Shared = own
	}
	if o.Metrics == nil {
		var err error
		if o.Metrics, err = NewMetrics(BasicMetrics); err != nil {
			return nil, fmt.Errorf("create scraper: %w", err)
		}
	}
	s := &Scraper{options: o, log: o.Logger, slicing: &slicing{}, pools: map[string]*pool{}, ending: map[*loop]awaitingEnd{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.meter = newMeter(o.Shared, o.Metrics.loops, o.Book)
	s.discoveries = newDiscoveries(bridge(o.Logger), o.Instance, o.Metrics, o.OnPanic, &o.Shared.discoverers)
	s.discoveries.meter, s.discoveries.ctx = s.meter, s.ctx
	o.Shared.memory.add(s.meter)
	o.Metrics.add(s.discoveries)
	return s, nil
}

// bridge gives Prometheus' packages a logger that writes to ours. Stacks are left out: an error
// there is a target's.
func bridge(logger *zap.Logger) *slog.Logger {
	const never = slog.Level(1 << 10)
	return slog.New(zapslog.NewHandler(logger.Core(), zapslog.AddStacktraceAt(never)))
}

// Warm returns nil when every discovery of the applied config has reported at least once, and an
// error that names one which has not when ctx is over. Some discoveries report nothing when there
// is nothing, so bound ctx. Optional, before Start.
func (s *Scraper) Warm(ctx context.Context) error {
	return s.discoveries.warm(ctx)
}

// Start scrapes from now on. Each target's first scrape is at its next tick.
func (s *Scraper) Start() error {
	s.life.Lock()
	defer s.life.Unlock()
	switch {
	case s.stopped:
		return errStopped
	case s.config == nil:
		return errors.New("start scraping: no config was applied")
	case s.started.Load():
		return errors.New("start scraping: already started")
	}
	s.started.Store(true)
	s.takeOver()
	s.discoveries.startDelivery(s.sync)
	return nil
}

// Stop ends discovery and scraping. Running scrapes may end and be committed until ctx is over;
// what still runs then is cut off and commits nothing, which takes some milliseconds. After Stop
// nothing is appended. With EndSeries the staleness markers have been committed. Handover tells
// afterwards which ticks were taken. Stopping a stopped scraper does nothing.
//
// The error says that staleness markers could not be written, or that a scrape was still busy 5 s
// after ctx was over, in a commit; it will end without another one.
func (s *Scraper) Stop(ctx context.Context, how StopMode) error {
	s.life.Lock()
	defer s.life.Unlock()
	if s.stopped {
		return nil
	}
	s.stopped = true
	found := s.discoveries.forSuccessor(time.Now())
	s.discoveries.stop()
	defer s.options.Metrics.retire(s.discoveries)
	defer s.options.Shared.memory.remove(s.meter)
	switch how {
	case Fence:
		s.gate.drop()
		s.cancel()
	case HandOver:
		s.awaitMoment(ctx)
	}
	at := s.options.Shared.now()
	ending := s.endAll(how)
	switch {
	case how == HandOver:
		var done context.CancelFunc
		ctx, done = s.untilNextTick(ctx, ending, at)
		defer done()
	case how != Fence && s.options.ScrapeOnShutdown && s.started.Load():
		s.scrapeLast(ctx, ending)
	}
	if !s.awaitAll(ctx, ending) {
		if s.started.Load() {
			s.handOver(ending, at, nil)
		}
		return errors.New("stop scraping: a scrape has not ended in time")
	}
	s.gate.close()
	ending = append(ending, s.takeOwed()...)
	err := s.writeEnds(ctx, ending, how)
	if s.started.Load() {
		s.handOver(ending, at, s.carry(found, ending, how))
	}
	s.retireAll(ending)
	if err != nil {
		return fmt.Errorf("stop scraping: %w", err)
	}
	return nil
}

// endAll lets no scrape begin any more, and returns all loops that have series.
func (s *Scraper) endAll(how StopMode) []endingLoop {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	ending := append(s.removed, s.takeLeft()...)
	for l, awaiting := range s.ending {
		awaiting.timer.Stop()
		ending = append(ending, endingLoop{loop: l, running: l.end(), why: awaiting.why, at: earliest(awaiting.at, s.options.Shared.now())})
	}
	clear(s.ending)
	for _, p := range s.pools {
		for _, l := range p.loops {
			var running <-chan struct{}
			if how == HandOver {
				running = l.endWithTick(s.options.Shared.now())
			} else {
				running = l.end()
			}
			ending = append(ending, endingLoop{loop: l, running: running})
		}
	}
	return ending
}

// scrapeLast scrapes all targets once more, each after its running scrape. It does not wait: the
// loops are running afterwards.
func (s *Scraper) scrapeLast(ctx context.Context, ending []endingLoop) {
	for i, e := range ending {
		if e.why != stopping {
			continue
		}
		done := make(chan struct{})
		ending[i].running = done
		go func() {
			defer close(done)
			if await(ctx, e.running) {
				r := e.beginLast(s.options.Shared.now())
				s.perform(r)
				e.endLast(r)
			} else {
				<-e.running
			}
		}()
	}
}

// awaitAll reports whether the scrapes have ended, by themselves until ctx is over, by force
// afterwards.
func (s *Scraper) awaitAll(ctx context.Context, ending []endingLoop) bool {
	defer s.cancel()
	var grace context.Context
	for _, e := range ending {
		if await(ctx, e.running) {
			continue
		}
		if grace == nil {
			s.gate.drop()
			s.cancel()
			var over context.CancelFunc
			grace, over = context.WithTimeout(context.Background(), stopGrace)
			defer over()
		}
		if !await(grace, e.running) {
			return false
		}
	}
	return true
}

// retireAll gives back what the loops hold.
func (s *Scraper) retireAll(ending []endingLoop) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range ending {
		s.stoppedAt = appendTick(s.stoppedAt, e.loop)
		e.retire()
	}
	for _, p := range s.pools {
		p.job.metrics.targets.Sub(float64(len(p.loops)))
		p.job.release()
	}
	clear(s.pools)
	s.failures.replace(nil)
}
