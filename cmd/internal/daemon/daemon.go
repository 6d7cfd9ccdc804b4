package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	versioncollector "github.com/prometheus/client_golang/prometheus/collectors/version"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/actors/pipeline"
	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/cluster/etcdstore"
	"github.com/ringmaster-agent/ringmaster/cmd/internal/logging"
	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// Options of an agent. Agent, ListenAddress and Logger are required.
type Options struct {
	// Agent is the config to start with.
	Agent *config.Agent
	// Reload reads the config again. nil: there is nothing to reload.
	Reload func() (*config.Agent, error)
	// ListenAddress is the HTTP API's, host:port; port 0 takes a free one.
	ListenAddress string
	// WebConfigFile is a Prometheus web config file for the listener, empty for none.
	WebConfigFile string
	// ReadAPI lets the API show configs, with secrets masked.
	ReadAPI bool
	// Hostname is this host's name, for host_filter and as the node's default name.
	Hostname string
	// Version is shown to users.
	Version string
	// CreatedTimestamps and TypeAndUnitLabels turn on Prometheus' features of these names.
	CreatedTimestamps, TypeAndUnitLabels bool
	// ShutdownTimeout bounds an orderly end. 0: 30 s.
	ShutdownTimeout time.Duration
	Logger          *logging.Logger
	// Serving is called once the API answers. nil: nobody wants to know.
	Serving func(net.Addr)
	// ReloadRequests makes the agent reload for each signal. nil: only the API can.
	ReloadRequests <-chan os.Signal

	// sharedStore is for tests: a store that several agents share, in place of the config's. It is closed in the end.
	sharedStore cluster.Store
}

// ErrTreeEnded says that the supervisor ended without being asked to: a bug. The process should end, and be started again.
var ErrTreeEnded = errors.New("the supervisor has ended unexpectedly")

// daemon is one agent being run.
type daemon struct {
	Options
	settings *settings
	registry *prometheus.Registry
	loads    *loadMetrics
	configs  *cluster.Configs // nil without scraping service
	cluster  *actors.Cluster  // nil if the node runs everything itself
	quorum   *etcdstore.Store // nil unless the store is one of several that are embedded in agents
	memory   actors.Memory    // nil if nothing is kept for a start without the store
	factory  *pipeline.Factory
	listener net.Listener
	front    *front
	tree     *tree
	// reachable is the address by which other nodes reach this one; the zero value if it is not known, or there are none.
	reachable netip.Addr
	// secured says that the API is served over TLS.
	secured   bool
	reloading sync.Mutex
	ready     readiness
}

// Run runs an agent until ctx is over or a part of it fails. It returns nil after an orderly end.
func Run(ctx context.Context, o Options) error {
	if o.ShutdownTimeout <= 0 {
		o.ShutdownTimeout = 30 * time.Second
	}
	d := &daemon{Options: o, settings: newSettings(o.Agent), registry: prometheus.NewRegistry()}
	d.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		versioncollector.NewCollector("agent"))
	d.loads = newLoadMetrics(d.registry)
	d.loads.loaded(o.Agent)
	logWarnings(o.Logger.Logger, o.Agent)

	var started []func()
	defer func() {
		for i := len(started) - 1; i >= 0; i-- {
			started[i]()
		}
	}()
	for _, part := range []func(context.Context) (stop func(), err error){d.listen, d.openFront, d.openStore, d.openMemory, d.openGossip, d.openPipelines} {
		stop, err := part(ctx)
		if err != nil && ctx.Err() != nil {
			return nil // it was called off
		}
		if err != nil {
			return err
		}
		started = append(started, stop)
	}
	return d.run(ctx)
}

// run starts what works on its own, and waits. What is added first is stopped first.
func (d *daemon) run(ctx context.Context) error {
	d.tree = d.spawnTree()
	d.front.answerWith(d.api())

	var group run.Group
	stopRequested, stopWaiting := context.WithCancel(ctx)
	group.Add(func() error {
		<-stopRequested.Done()
		return nil
	}, func(error) { stopWaiting() })
	group.Add(d.tree.wait, func(error) {
		d.tree.stop()
		if ctx.Err() != nil {
			d.linger() // in which the API still answers
		}
	})
	group.Add(d.front.wait, func(error) { d.front.shut() })
	group.Add(func() error { return d.reloadOnRequest(stopRequested) }, func(error) { stopWaiting() })
	group.Add(func() error {
		d.factory.Upkeep(stopRequested, d.tree.knownUnits)
		return nil
	}, func(error) { stopWaiting() })

	d.announce()
	return group.Run()
}

// announce says where everything is.
func (d *daemon) announce() {
	address := d.listener.Addr()
	base := d.scheme() + "://" + address.String()
	d.Logger.Info("agent started", zap.String("version", d.Version), zap.String("page", base+"/"), zap.String("api", base+"/agent/api/v1/configs"))
	notifyReady(d.Logger.Logger)
	if d.Serving != nil {
		d.Serving(address)
	}
}

func (d *daemon) listen(context.Context) (func(), error) {
	agent := d.settings.agent()
	secured, err := checkWebConfig(d.WebConfigFile, agent.Server)
	if err != nil {
		return nil, err
	}
	d.secured = secured
	listener, err := listen(d.ListenAddress, agent.Server)
	if err != nil {
		return nil, err
	}
	if err := checkAdvertised(listener.Addr(), agent.Metrics.ScrapingService.Lifecycler); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	d.listener = listener
	return func() { _ = listener.Close() }, nil
}

func (d *daemon) openStore(ctx context.Context) (func(), error) {
	service := d.settings.agent().Metrics.ScrapingService
	if !service.Enabled {
		d.Logger.Info("scraping service is off; running the configs of the main file", zap.Int("configs", len(d.settings.agent().Metrics.Configs)))
		return func() {}, nil
	}
	opened, err := d.configuredStore(ctx)
	if err != nil {
		return nil, err
	}
	closeStore := func() {
		if err := opened.store.Close(); err != nil {
			d.Logger.Warn("store was not closed cleanly", zap.Error(err))
		}
	}
	if len(service.KVStore.Embedded.Peers) > 0 {
		d.quorum, _ = opened.store.(*etcdstore.Store)
	}
	d.configs = cluster.NewConfigs(opened.store, service.KVStore.Prefix)
	d.Logger.Info("configs are in the store", zap.String("store", opened.where), zap.String("prefix", service.KVStore.Prefix))
	if opened.shared {
		if err := d.shareConfigs(opened.store); err != nil {
			closeStore()
			return nil, err
		}
	}
	return closeStore, nil
}

func (d *daemon) configuredStore(ctx context.Context) (opened, error) {
	if d.sharedStore != nil {
		return opened{d.sharedStore, "that of a test", true}, nil
	}
	service := d.settings.agent().Metrics.ScrapingService
	return openStore(ctx, service.KVStore, nodeName(service.Lifecycler, d.Hostname), d.Logger.Named("store"))
}

func (d *daemon) openPipelines(context.Context) (func(), error) {
	m := d.settings.agent().Metrics
	service := m.ScrapingService
	if err := os.MkdirAll(m.WALDirectory, 0o700); err != nil {
		return nil, fmt.Errorf("create metrics.wal_directory: %w; choose a directory that the agent may write to", err)
	}
	options := pipeline.Options{
		WALDirectory:          m.WALDirectory,
		WALMaxBytes:           m.WALMaxSize,
		OrphanAge:             m.WALCleanupAge,
		Host:                  d.Hostname,
		Seed:                  scheduleSeed(service),
		HTTPDisableKeepAlives: m.HTTPDisableKeepAlives,
		HTTPIdleConnTimeout:   m.HTTPIdleConnTimeout,
		ParseStartTimestamps:  d.CreatedTimestamps,
		TypeAndUnitLabels:     d.TypeAndUnitLabels,
		Logger:                d.Logger.Named("instance"),
		Registerer:            d.registry,
	}
	if d.cluster != nil {
		options.ReplicaLabels = service.WithReplicaLabels
	}
	factory, err := pipeline.NewFactory(options)
	if err != nil {
		return nil, err
	}
	d.factory = factory
	absolute, err := filepath.Abs(m.WALDirectory)
	if err != nil {
		absolute = m.WALDirectory
	}
	d.Logger.Info("write-ahead logs are in a directory", zap.String("directory", absolute))
	return factory.Close, nil
}

// actorOptions is what the supervisor touches.
func (d *daemon) actorOptions(directory *actors.Directory) actors.Options {
	m := d.settings.agent().Metrics
	o := actors.Options{
		Local:           messages.NewList(localDocuments(d.settings.agent())...),
		Parse:           d.settings.parse,
		NewPipeline:     d.factory.New,
		Leftovers:       d.factory.Leftovers,
		Directory:       directory,
		Logger:          d.Logger.Logger,
		Registerer:      d.registry,
		ReshardInterval: m.ScrapingService.ReshardInterval,
		RestartBackoff:  m.InstanceRestartBackoff,
		Cluster:         d.cluster,
		Memory:          d.memory,
	}
	if d.configs != nil {
		o.Configs = d.configs
	}
	return o
}
