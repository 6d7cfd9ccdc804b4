package pipeline

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
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
	// Seed is part of when in its interval a target is scraped. All nodes of a cluster have the same, or ticks are missed and
	// taken twice when a unit moves.
	Seed uint64
	// ReplicaLabels returns the labels that a replica, counted from 0, adds to everything it sends: the external ones of its config,
	// and those by which receivers tell replicas apart. nil: the external ones.
	ReplicaLabels func(external labels.Labels, replica int) labels.Labels
	// HTTPDisableKeepAlives and HTTPIdleConnTimeout are about the connections to targets.
	HTTPDisableKeepAlives bool
	HTTPIdleConnTimeout   time.Duration
	// DialContext connects to targets. nil: the operating system's network.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	// ParseStartTimestamps and TypeAndUnitLabels are Prometheus' features of these names.
	ParseStartTimestamps, TypeAndUnitLabels bool
	// Logger gets what pipelines have to say. nil: nothing is logged.
	Logger *zap.Logger
	// Registerer gets the metrics of all pipelines. nil: there are none.
	Registerer prometheus.Registerer
}

// Factory makes the pipelines of one process, and holds what they share. Its methods may be called by any goroutine.
type Factory struct {
	options Options
	syncer  *wal.Syncer
	clients *remotewrite.Clients
	sending *remotewrite.Metrics
	scrapes *scrape.Metrics
	scraped *scrape.Shared
	logs    *liveLogs
	// looking is held while a log is opened only to see what is in it, and for reading while a pipeline opens one, which must not find it in use.
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
	scrapes, err := scrape.NewMetrics()
	if err != nil {
		return nil, fmt.Errorf("create pipelines: %w", err)
	}
	f := &Factory{
		options: o,
		syncer:  wal.NewSyncer(syncInterval),
		clients: remotewrite.NewClients(),
		sending: remotewrite.NewMetrics(),
		scrapes: scrapes,
		scraped: scrape.NewShared(),
		logs:    newLiveLogs(),
	}
	if o.Registerer == nil {
		return f, nil
	}
	if err := errors.Join(o.Registerer.Register(f.sending), o.Registerer.Register(f.scrapes), o.Registerer.Register(f.logs)); err != nil {
		f.Close()
		return nil, fmt.Errorf("create pipelines: %w", err)
	}
	return f, nil
}

// Close ends what the pipelines shared and takes the metrics away.
func (f *Factory) Close() {
	f.syncer.Close()
	if r := f.options.Registerer; r != nil {
		r.Unregister(f.sending)
		r.Unregister(f.scrapes)
		r.Unregister(f.logs)
	}
}

// New opens a pipeline: its log, its endpoints, its discoveries, which it gives some seconds to find the targets. It scrapes nothing
// yet, but sends what an earlier process left in the log. It is an actors.NewPipeline.
func (f *Factory) New(ctx context.Context, spec actors.PipelineSpec) (actors.Pipeline, error) {
	p := &Pipeline{
		factory: f,
		unit:    spec.Unit,
		name:    spec.Unit.Key(),
		config:  spec.Config,
		failed:  spec.Failed,
		permit:  spec.Permit,
		logger:  f.options.Logger.With(zap.String("instance", spec.Unit.Key())),
	}
	p.haste.send = func(ctx context.Context) { _, _ = p.queue.Drain(ctx) } // what it could not send is sent later
	if err := p.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open pipeline: %w", err), p.Close(false))
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
		FS:         f.options.FS,
		Syncer:     f.syncer,
		SegmentAge: keep.SegmentAge,
		MinAge:     keep.MinAge,
		MaxAge:     keep.MaxAge,
		MaxBytes:   keep.MaxBytes,
		Logger:     p.logger,
		OnCommit:   p.committed,
	}
}

func (f *Factory) retention(c *config.Instance) wal.Retention {
	return wal.Retention{SegmentAge: c.WALTruncateFrequency, MinAge: c.MinWALTime, MaxAge: c.MaxWALTime, MaxBytes: f.options.WALMaxBytes}
}

func (f *Factory) scrapeOptions(p *Pipeline) scrape.Options {
	return scrape.Options{
		Logger:                p.logger,
		Metrics:               f.scrapes,
		Shared:                f.scraped,
		Seed:                  f.options.Seed,
		Permit:                p.permit,
		Appendable:            p.log,
		OnPanic:               p.failed,
		OnLeft:                p.haste.make,
		DialContext:           f.options.DialContext,
		HTTPDisableKeepAlives: f.options.HTTPDisableKeepAlives,
		HTTPIdleConnTimeout:   f.options.HTTPIdleConnTimeout,
		ParseStartTimestamps:  f.options.ParseStartTimestamps,
		TypeAndUnitLabels:     f.options.TypeAndUnitLabels,
	}
}

func (f *Factory) scrapeConfig(u messages.Unit, c *config.Instance) *scrape.Config {
	applied := &scrape.Config{Jobs: c.ScrapeConfigs, Slice: u.Slice, Slices: c.Slices, Origin: c.Name}
	for _, d := range c.Earlier {
		applied.Earlier = append(applied.Earlier, scrape.Division(d))
	}
	if c.HostFilter {
		applied.HostFilter = &scrape.HostFilter{Host: f.options.Host, Relabel: c.HostFilterRelabelConfigs}
	}
	return applied
}
