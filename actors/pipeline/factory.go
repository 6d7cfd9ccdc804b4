package pipeline

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/actors/fault"
	"github.com/ringmaster-agent/ringmaster/actors/fault/around"
	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
	"github.com/ringmaster-agent/ringmaster/redact"
	"github.com/ringmaster-agent/ringmaster/remotewrite"
	"github.com/ringmaster-agent/ringmaster/scrape"
	"github.com/ringmaster-agent/ringmaster/wal"
)

// syncInterval is what a loss of power can cost.
const syncInterval = time.Second

// Options of a Factory. WALDirectory is required; the zero value of everything else works.
type Options struct {
	// WALDirectory holds one directory per instance.
	WALDirectory string
	// WALMaxBytes caps each instance's log. 0: no cap but the config's max_wal_time.
	WALMaxBytes int64
	// OrphanAge is how long the log of a config that is gone is kept; see Upkeep. 0: DefaultOrphanAge.
	OrphanAge time.Duration
	// FS is where the logs are. nil: the operating system's.
	FS wal.FS
	// Host is this host's name for host_filter.
	Host string
	// Seed is part of when in its interval a target is scraped. All nodes of a cluster have the
	// same, or ticks are missed and taken twice when a unit moves.
	Seed uint64
	// ReplicaLabels returns the labels that a replica, counted from 0, adds to everything it sends:
	// the external ones of its config, and those by which receivers tell replicas apart. nil: the
	// external ones.
	ReplicaLabels func(external labels.Labels, replica int) labels.Labels
	// HTTPDisableKeepAlives and HTTPIdleConnTimeout are about the connections to targets.
	HTTPDisableKeepAlives bool
	HTTPIdleConnTimeout   time.Duration
	// DialContext connects to targets. nil: the operating system's network.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	// WrapReceivers is put around the transport of requests to receivers. nil: nothing is.
	WrapReceivers func(http.RoundTripper) http.RoundTripper
	// Faults break disk, scrapes, discovery and remote write on purpose. nil: nothing does.
	Faults *fault.Registry
	// Tracer makes spans of scrapes, commits and requests to receivers, without the secrets of
	// their configs. nil: there are none.
	Tracer trace.Tracer
	// Features are those of all scrapes.
	Features scrape.Features
	// UserAgent is what targets and receivers are told. Empty: what Prometheus says to targets, and
	// Ringmaster to receivers.
	UserAgent string
	// MemoryLimit is how many bytes the process may use. Near it, the scrapes of the heaviest
	// instances are skipped. 0: not known.
	MemoryLimit int64
	// Logger gets what pipelines have to say. nil: nothing is logged.
	Logger *zap.Logger
	// FullMetrics exposes everything that Prometheus has about each job and endpoint, some 50
	// series for a config instead of 20.
	FullMetrics bool
	// Registerer gets the metrics of all pipelines. nil: there are none.
	Registerer prometheus.Registerer
}

// Factory makes the pipelines of one process, and holds what they share. Its methods may be called
// by any goroutine.
type Factory struct {
	options Options
	syncer  *wal.Syncer
	clients *remotewrite.Clients
	sending *remotewrite.Metrics
	scrapes *scrape.Metrics
	scraped *scrape.Shared
	logs    *liveLogs
	cleaner *cleanerMetrics
	// live is how many pipelines are being opened, are open, or are being closed.
	live atomic.Int32
	// looking is held while a log is opened only to see what is in it, and for reading while a
	// pipeline opens one, which must not find it in use.
	looking sync.RWMutex
}

// NewFactory makes a factory. Close it after the last pipeline was closed.
func NewFactory(o Options) (*Factory, error) {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.ReplicaLabels == nil {
		o.ReplicaLabels = func(external labels.Labels, _ int) labels.Labels { return external }
	}
	if o.OrphanAge <= 0 {
		o.OrphanAge = DefaultOrphanAge
	}
	scrapes, err := scrape.NewMetrics(scrape.MetricsDetail(o.FullMetrics))
	if err != nil {
		return nil, fmt.Errorf("create pipelines: %w", err)
	}
	syncer := wal.NewSyncer(syncInterval)
	clients := remotewrite.NewClients()
	scraped := scrape.NewSharedWithin(scrape.Memory{Limit: o.MemoryLimit, Logger: o.Logger})
	clients.Wrap = wrapAll(o.WrapReceivers, around.Receivers(o.Faults))
	scraped.Intercept(around.Discovery(o.Faults))
	f := &Factory{
		options: o,
		syncer:  syncer,
		clients: clients,
		sending: remotewrite.NewMetrics(remotewrite.MetricsDetail(o.FullMetrics)),
		scrapes: scrapes,
		scraped: scraped,
		logs:    newLiveLogs(syncer, o.FullMetrics),
		cleaner: newCleanerMetrics(),
	}
	f.clients.UserAgent = o.UserAgent
	if o.Registerer == nil {
		return f, nil
	}
	var problems []error
	for _, c := range f.collectors() {
		problems = append(problems, o.Registerer.Register(c))
	}
	if err := errors.Join(problems...); err != nil {
		f.Close()
		return nil, fmt.Errorf("create pipelines: %w", err)
	}
	return f, nil
}

// collectors are the metrics of all pipelines.
func (f *Factory) collectors() []prometheus.Collector {
	return append(f.cleaner.all(), f.sending, f.scrapes, f.logs, f.clients.Latency())
}

// wrapAll puts one wrapper around what another has wrapped; nil if there are none.
func wrapAll(inner, outer func(http.RoundTripper) http.RoundTripper) func(http.RoundTripper) http.RoundTripper {
	if inner == nil || outer == nil {
		if inner == nil {
			return outer
		}
		return inner
	}
	return func(t http.RoundTripper) http.RoundTripper { return outer(inner(t)) }
}

// AwaitIdle returns true once no pipeline is open, and false if some still are after so long.
func (f *Factory) AwaitIdle(patience time.Duration) bool {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for f.live.Load() > 0 {
		select {
		case <-deadline.C:
			return false
		case <-look.C:
		}
	}
	return true
}

// Close ends what the pipelines shared and takes the metrics away.
func (f *Factory) Close() {
	f.syncer.Close()
	if r := f.options.Registerer; r != nil {
		for _, c := range f.collectors() {
			r.Unregister(c)
		}
	}
}

// New opens a pipeline: its log, its endpoints, its discoveries, which it gives some seconds to
// find the targets if another node scrapes meanwhile. It scrapes nothing yet, but sends what an
// earlier process left in the log. It is an actors.NewPipeline.
func (f *Factory) New(ctx context.Context, spec actors.PipelineSpec) (actors.Pipeline, error) {
	f.live.Add(1)
	p := &Pipeline{
		factory: f,
		given:   given{unit: spec.Unit, name: spec.Unit.Key(), permit: spec.Permit},
		config:  spec.Config,
	}
	p.scrub.use(p.config)
	if spec.Failed != nil {
		p.failed = func(err error) { spec.Failed(p.scrub.error(err)) }
	}
	p.logger = f.options.Logger.With(zap.String("instance", p.name)).WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return redact.Core(core, p.scrub.text)
	}))
	p.flusher.send = func(ctx context.Context) { _, _ = p.queue.Drain(ctx) } // what it could not send is sent later
	if err := p.open(ctx, spec.Warm); err != nil {
		return nil, p.scrub.error(errors.Join(fmt.Errorf("open pipeline: %w", err), p.Close(false)))
	}
	f.logs.add(p)
	return p, nil
}

func (f *Factory) directory(unit string) string {
	return filepath.Join(f.options.WALDirectory, config.DirectoryName(unit))
}

func (f *Factory) logOptions(p *Pipeline) wal.Options {
	keep := f.retention(p.config)
	return wal.Options{
		FS:         around.Disk(f.options.FS, f.options.Faults, p.unit.String()),
		Syncer:     f.syncer,
		SegmentAge: keep.SegmentAge,
		MaxAge:     keep.MaxAge,
		MaxBytes:   keep.MaxBytes,
		Logger:     p.logger,
		OnCommit:   p.committed,
	}
}

func (f *Factory) retention(c *config.Instance) wal.Retention {
	most := f.options.WALMaxBytes
	if c.WALMaxSize > 0 && (most == 0 || most > c.WALMaxSize) {
		most = c.WALMaxSize
	}
	return wal.Retention{SegmentAge: c.WALTruncateFrequency, MaxAge: c.MaxWALTime, MaxBytes: most}
}

func (f *Factory) scrapeOptions(p *Pipeline) scrape.Options {
	return scrape.Options{
		Logger:                p.logger,
		Instance:              p.name,
		Metrics:               f.scrapes,
		Shared:                f.scraped,
		Seed:                  f.options.Seed,
		Permit:                p.permit,
		Appendable:            p.log,
		Book:                  p.log.Book(),
		OnPanic:               p.failed,
		OnLeft:                p.flusher.flush,
		Tracer:                f.tracer(p),
		DialContext:           f.options.DialContext,
		Wrap:                  around.Targets(f.options.Faults, p.unit.String()),
		LocalSockets:          p.config.Ambient,
		MinInterval:           p.config.MinInterval(),
		HTTPDisableKeepAlives: f.options.HTTPDisableKeepAlives,
		HTTPIdleConnTimeout:   f.options.HTTPIdleConnTimeout,
		UserAgent:             f.options.UserAgent,
		Features:              f.options.Features,
	}
}

func budgetOf(c *config.Instance) scrape.Budget {
	l := c.Limits()
	return scrape.Budget{
		SamplesPerSecond:  l.SamplesPerSecond,
		Series:            l.Series,
		LabelBytes:        int64(l.LabelBytes),
		BodyBytes:         int64(l.BodyBytesInFlight),
		DiscoveryBytes:    int64(l.DiscoveryBytes),
		DiscoveredBytes:   int64(l.DiscoveredBytes),
		DiscoveredTargets: l.DiscoveredTargets,
		CPU:               l.CPU,
	}
}

func (f *Factory) scrapeConfig(u messages.Unit, c *config.Instance) *scrape.Config {
	applied := &scrape.Config{Jobs: c.ScrapeConfigs, Slice: u.Slice, Slices: c.Slices, Origin: c.Name,
		LabelsAsWritten: c.Compatibility == config.AgentSeries, Budget: budgetOf(c)}
	for _, d := range c.Earlier {
		applied.Earlier = append(applied.Earlier, scrape.Division(d))
	}
	if c.HostFilter {
		applied.HostFilter = &scrape.HostFilter{Host: f.options.Host, Relabel: c.HostFilterRelabelConfigs}
	}
	return applied
}
