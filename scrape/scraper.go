package scrape

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	config_util "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	promscrape "github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/storage"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
)

// stopGrace is how long Stop waits, once it has cut all connections, for loops that are still busy.
const stopGrace = 5 * time.Second

// Options are what a Scraper needs. Appendable is required; the zero value of everything else works.
type Options struct {
	Logger *zap.Logger // nil: silence. Prometheus' own messages go there too
	// Metrics is shared by all scrapers of a process. nil: the scraper's metrics are not exposed.
	Metrics *Metrics
	// Appendable receives the samples: one appender per scrape, report samples (up, scrape_*) included. It is called from the
	// scrape loops' goroutines.
	Appendable storage.AppendableV2
	// OnPanic is told, with the stack, that the appendable (once) or a discovery panicked. The scraper scrapes nothing more after
	// a panic of the appendable and has to be stopped. Any goroutine may call it; it must not call back. nil: not reported.
	OnPanic func(error)

	HTTPDisableKeepAlives bool          // a new connection for each scrape
	HTTPIdleConnTimeout   time.Duration // 0: Prometheus' default, 5 minutes

	ParseStartTimestamps bool // take start timestamps from the scrape formats; OpenMetrics' _created series vanish
	TypeAndUnitLabels    bool // Prometheus' feature type-and-unit-labels
	OpenMetrics2         bool // Prometheus' feature openmetrics2
	ZstdScrape           bool // Prometheus' feature zstd-scrape
	ScrapeOnShutdown     bool // one more scrape of every target, outside its schedule, during Stop
}

// StopMode says what becomes of the series of a scraper that stops.
type StopMode int

const (
	// KeepSeries leaves them as they are: someone else goes on with them, or they continue after a restart.
	KeepSeries StopMode = iota
	// EndSeries writes a staleness marker for each: nobody goes on with them.
	EndSeries
)

// Scraper discovers and scrapes the targets of one instance. Its life is New, Apply, Start, more Applies, Stop; these may be
// called by one goroutine at a time. The other methods are for any goroutine at any time.
type Scraper struct {
	options     Options
	log         *slog.Logger
	gate        *gate
	connections *connections
	collectors  *collectors
	discoveries *discoveries
	manager     *promscrape.Manager
	groups      *groupFeed
	failureLogs failureLogs

	life    sync.Mutex // one of Apply, Start and Stop at a time
	config  *Config    // last that came into force; nil before the first Apply
	settled bool       // and nothing else was tried since
	started atomic.Bool
	stopped bool

	applying sync.Mutex // an Apply whose caller gave up goes on
	wanted   atomic.Pointer[Config]

	// busy is held for writing while the manager may hold its own lock for long; snapshot is what was shown before.
	busy     sync.RWMutex
	snapshot atomic.Pointer[description]
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
	if o.Metrics == nil {
		var err error
		if o.Metrics, err = NewMetrics(); err != nil {
			return nil, fmt.Errorf("create scraper: %w", err)
		}
	}
	s := &Scraper{
		options:     o,
		log:         bridge(o.Logger),
		gate:        newGate(o.Appendable, o.OnPanic),
		connections: newConnections(),
		collectors:  &collectors{},
	}
	s.snapshot.Store(&description{})
	s.discoveries = newDiscoveries(s.log, o.Metrics, o.OnPanic)
	registerer := managerRegisterer{collectors: s.collectors, busy: &s.busy}
	manager, err := promscrape.NewManager(s.managerOptions(), s.log, s.failureLogs.open, nil, s.gate, registerer)
	if err != nil {
		return nil, fmt.Errorf("create scraper: %w", err)
	}
	s.manager = manager
	s.groups = &groupFeed{manager: manager, onPanic: o.OnPanic}
	s.collectors.MustRegister(s.discoveries)
	o.Metrics.add(s.collectors)
	return s, nil
}

// bridge gives Prometheus' packages a logger that writes to ours. Stacks are left out: an error there is a target's.
func bridge(logger *zap.Logger) *slog.Logger {
	const never = slog.Level(1 << 10)
	return slog.New(zapslog.NewHandler(logger.Core(), zapslog.AddStacktraceAt(never)))
}

func (s *Scraper) managerOptions() *promscrape.Options {
	return &promscrape.Options{
		AppendMetadata:           true,
		PassMetadataInContext:    true, // tells the gate which loop an appender belongs to
		DiscoveryReloadInterval:  model.Duration(time.Second),
		DiscoveryReloadOnStartup: true,
		ParseST:                  s.options.ParseStartTimestamps,
		EnableTypeAndUnitLabels:  s.options.TypeAndUnitLabels,
		EnableOpenMetrics2:       s.options.OpenMetrics2,
		EnableZstdScrape:         s.options.ZstdScrape,
		ScrapeOnShutdown:         s.options.ScrapeOnShutdown,
		HTTPClientOptions:        s.clientOptions(),
	}
}

func (s *Scraper) clientOptions() []config_util.HTTPClientOption {
	options := []config_util.HTTPClientOption{config_util.WithDialContextFunc(s.connections.dial)}
	if s.options.HTTPDisableKeepAlives {
		options = append(options, config_util.WithKeepAlivesDisabled())
	}
	if s.options.HTTPIdleConnTimeout > 0 {
		options = append(options, config_util.WithIdleConnTimeout(s.options.HTTPIdleConnTimeout))
	}
	return options
}

// Warm returns nil when every discovery of the applied config has reported at least once, and an error that names one which has
// not when ctx is over. Some discoveries report nothing when there is nothing, so bound ctx. Optional, before Start.
func (s *Scraper) Warm(ctx context.Context) error {
	return s.discoveries.warm(ctx)
}

// Start scrapes from now on. Each target's first scrape is at its place in the scrape interval.
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
	s.groups.dynamic = s.discoveries.dynamic()
	s.discoveries.startDelivery(func(found []jobTargets) {
		s.connections.sockets.Store(findSockets(found))
		s.groups.send(found)
	})
	return nil
}

// Stop ends discovery and scraping. Running scrapes may end and be committed until ctx is over; what still runs then is cut off
// and commits nothing, which takes some milliseconds. After Stop nothing is appended. With EndSeries the staleness markers have
// been committed. Stopping a stopped scraper does nothing.
//
// The error says that staleness markers could not be written, or that a loop was still busy 5 s after ctx was over (in a commit,
// or in a look-up of this host's name); it will end without committing another sample.
func (s *Scraper) Stop(ctx context.Context, how StopMode) error {
	s.life.Lock()
	defer s.life.Unlock()
	if s.stopped {
		return nil
	}
	s.stopped = true
	s.discoveries.stop()

	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.endLoops()
	}()
	if !s.awaitLoops(ctx, ended) {
		return errors.New("stop scraping: a scrape loop has not ended in time")
	}
	s.gate.close()
	if how != EndSeries {
		return nil
	}
	if err := s.gate.endSeries(time.Now().UnixMilli()); err != nil {
		return fmt.Errorf("stop scraping: %w", err)
	}
	return nil
}

// awaitLoops reports whether the loops have ended, by themselves until ctx is over, by force afterwards.
func (s *Scraper) awaitLoops(ctx context.Context, ended <-chan struct{}) bool {
	defer s.connections.close()
	select {
	case <-ended:
		return true
	case <-ctx.Done():
	}
	s.gate.drop()
	s.connections.close()
	grace := time.NewTimer(stopGrace)
	defer grace.Stop()
	select {
	case <-ended:
		return true
	case <-grace.C:
		return false
	}
}

// endLoops stops the manager, which waits for running scrapes, and gives back what it holds.
func (s *Scraper) endLoops() {
	s.applying.Lock()
	defer s.applying.Unlock()
	s.keepBusy(func() {
		s.manager.Stop()
		s.failureLogs.close()
	})
	s.options.Metrics.retire(s.collectors)
	s.snapshot.Store(&description{})
}

// keepBusy calls f, during which the manager may hold its lock for as long as a scrape takes.
func (s *Scraper) keepBusy(f func()) {
	shown := s.describe()
	s.snapshot.Store(&shown)
	s.busy.Lock()
	defer s.busy.Unlock()
	f()
}
