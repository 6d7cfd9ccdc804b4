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
	"sync/atomic"
	"time"

	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	versioncollector "github.com/prometheus/client_golang/prometheus/collectors/version"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster"
	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/actors/fault"
	"github.com/ringmaster-agent/ringmaster/actors/fault/around"
	"github.com/ringmaster-agent/ringmaster/actors/pipeline"
	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/cluster/etcdstore"
	"github.com/ringmaster-agent/ringmaster/cmd/internal/logging"
	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/remotewrite"
	"github.com/ringmaster-agent/ringmaster/scrape"
	"github.com/ringmaster-agent/ringmaster/web"
)

// Options of an agent. Agent, ListenAddress and Logger are required.
type Options struct {
	// Agent is the config to start with.
	Agent *config.Agent
	// Reload reads the config again. nil: there is nothing to reload.
	Reload func() (*config.Agent, error)
	// ListenAddress is the HTTP API's, host:port; port 0 takes a free one.
	ListenAddress string
	// HTTP bounds what clients of the API may take.
	HTTP HTTPLimits
	// WebConfigFile is a Prometheus web config file for the listener, empty for none.
	WebConfigFile string
	// ReadAPI lets the API show configs, with secrets masked.
	ReadAPI bool
	// Hostname is this host's name, for host_filter and as the node's default name.
	Hostname string
	// Version is shown to users.
	Version string
	// Flags are the command line, for the page Status.
	Flags []web.Setting
	// Features are what scrapes do that is off by default.
	Features scrape.Features
	// ShutdownTimeout bounds an orderly end. 0: 30 s.
	ShutdownTimeout time.Duration
	Logger          *logging.Logger
	// MemoryLimit is how many bytes the process may use. 0: not known.
	MemoryLimit int64
	// Serving is called once the API answers. nil: nobody wants to know.
	Serving func(net.Addr)
	// Seal is called before the first config from outside is run, unless those may use the
	// machine's credentials: it takes from the process' environment what they must not find there.
	// nil: the environment stays as it is.
	Seal func()
	// ReloadRequests makes the agent reload for each signal. nil: only the API can.
	ReloadRequests <-chan os.Signal

	// Chaos lets the agent be broken on purpose over its API. Exit is called to end the process by
	// such a fault; nil: it is only logged.
	Chaos bool
	Exit  func()

	// sharedStore is for tests: a store that several agents share, in place of the config's. It is
	// closed in the end.
	sharedStore cluster.Store
}

// ErrTreeEnded says that the supervisor ended without being asked to: a bug. The process should
// end, and be started again.
var ErrTreeEnded = errors.New("the supervisor has ended unexpectedly")

// daemon is one agent being run.
type daemon struct {
	Options
	settings   *settings
	registry   *prometheus.Registry
	loads      *loadMetrics
	store      cluster.Store    // nil without scraping service
	cluster    *actors.Cluster  // nil if the node runs everything itself
	embedded   *etcdstore.Store // nil unless the store is inside of this process
	quorum     *etcdstore.Store // nil unless the store is one of several that are embedded in agents
	memory     actors.Memory    // nil if nothing is kept for a start without the store
	supervisor *ringmaster.Supervisor
	faults     *fault.Registry // nil if nothing is broken on purpose
	tracer     trace.Tracer    // nil if nothing is traced
	listener   net.Listener
	front      *front
	tree       *tree
	// reachable is the address by which other nodes reach this one; the zero value if it is not
	// known, or there are none.
	reachable netip.Addr
	// secured says that the API is served over TLS.
	secured   bool
	reloading sync.Mutex
	// oldRing lists the members of Grafana Agent's ring; nil where nobody else reaches the store.
	oldRing func(context.Context) ([]cluster.Predecessor, error)
	// predecessors is nil until somebody has looked for them.
	predecessors atomic.Pointer[predecessors]
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
	for _, part := range []func(context.Context) (stop func(), err error){d.listen, d.openFront, d.openFaults, d.openTracing, d.openStore, d.openMemory, d.openSupervisor} {
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
	if service := d.settings.agent().Metrics.ScrapingService; service.Enabled && !service.AllowAmbientCredentials && d.Seal != nil {
		d.Seal()
	}
	d.tree = d.spawnTree()
	d.front.answerWith(d.supervisor.Handler())

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
	group.Add(func() error { return d.breakProcess(stopRequested) }, func(error) { stopWaiting() })
	watching, stopLooking := context.WithCancel(stopRequested)
	group.Add(func() error {
		d.watchPredecessors(watching)
		<-watching.Done()
		return nil
	}, func(error) { stopLooking() })

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
	listener, err := listen(d.ListenAddress, agent.Server, d.HTTP)
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
	if inside, ok := opened.store.(*etcdstore.Store); ok && inside.Metrics() != nil {
		d.embedded = inside
		d.registry.MustRegister(inside.Metrics())
	}
	opened.store = around.Store(opened.store, d.faults)
	d.store = opened.store
	d.Logger.Info("config store", zap.String("store", opened.where), zap.String("prefix", service.KVStore.Prefix))
	if opened.shared {
		if err := d.shareConfigs(ctx, opened.store); err != nil {
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
	prefixes := []string{service.KVStore.Prefix, service.Lifecycler.Ring.KVStore.Prefix}
	return openStore(ctx, service.KVStore, prefixes, nodeName(service.Lifecycler, d.Hostname), d.Logger.Named("store"))
}

// openSupervisor opens everything that scrapes and shares, but starts nothing.
func (d *daemon) openSupervisor(context.Context) (func(), error) {
	m := d.settings.agent().Metrics
	service := m.ScrapingService
	gossiping, err := d.gossipOptions()
	if err != nil {
		return nil, err
	}
	node := nodeName(service.Lifecycler, d.Hostname)
	if d.cluster != nil {
		node = d.cluster.Node // the second one of a host has another
	}
	o := ringmaster.Options{
		Directory:       m.WALDirectory,
		Node:            node,
		Version:         d.Version,
		Configs:         localTexts(d.settings.agent()),
		Store:           d.store,
		ConfigsPrefix:   service.KVStore.Prefix,
		Parse:           d.settings.parse,
		Outline:         d.settings.outline,
		InstanceOptions: d.settings.optionsOf,
		Cluster:         d.cluster,
		RegistryPrefix:  service.Lifecycler.Ring.KVStore.Prefix,
		Gossip:          gossiping,
		Pipeline:        d.pipelineOptions(),
		ReshardInterval: m.ScrapingService.ReshardInterval,
		RestartBackoff:  m.InstanceRestartBackoff,
		Memory:          d.memory,
		Web:             d.webOptions(),
		MinReady:        func() time.Duration { return d.settings.agent().Metrics.ScrapingService.Lifecycler.MinReadyDuration },
		Scheme:          d.scheme(),
		Address:         d.listener.Addr().String(),
		Logger:          d.Logger.Logger,
		Registerer:      d.registry,
		Gatherer:        d.registry,
		Faults:          d.faults,
		// The API answers for a while after the tree has ended, also about metrics.
		KeepUntilClose: true,
	}
	if d.embedded != nil {
		o.StoreProblem = d.storeProblem
	}
	supervisor, err := ringmaster.New(o)
	switch {
	case errors.Is(err, ringmaster.ErrGossip):
		return nil, fmt.Errorf("%w; see metrics.scraping_service.gossip, which can also be turned off (enabled: false)", err)
	case errors.Is(err, ringmaster.ErrDirectory):
		return nil, fmt.Errorf("metrics.wal_directory: %w", err)
	case err != nil:
		return nil, err
	}
	d.supervisor = supervisor
	absolute, err := filepath.Abs(m.WALDirectory)
	if err != nil {
		absolute = m.WALDirectory
	}
	d.Logger.Info("WAL directory", zap.String("directory", absolute))
	if m.Compatibility == config.AgentSeries {
		d.Logger.Info("series are named as Grafana Agent named them, unless a config says otherwise", zap.String("metrics.compatibility", string(m.Compatibility)))
	}
	return supervisor.Close, nil
}

func (d *daemon) pipelineOptions() pipeline.Options {
	m := d.settings.agent().Metrics
	service := m.ScrapingService
	options := pipeline.Options{
		WALMaxBytes:           m.WALMaxSize,
		OrphanAge:             m.WALCleanupAge,
		Host:                  d.Hostname,
		Seed:                  scheduleSeed(service),
		HTTPDisableKeepAlives: m.HTTPDisableKeepAlives,
		HTTPIdleConnTimeout:   m.HTTPIdleConnTimeout,
		Features:              d.Features,
		UserAgent:             remotewrite.UserAgent(d.Version),
		MemoryLimit:           d.MemoryLimit,
		FullMetrics:           m.Detail == config.DetailFull,
		Tracer:                d.tracer,
	}
	if d.cluster != nil {
		options.ReplicaLabels = service.WithReplicaLabels
	}
	return options
}
