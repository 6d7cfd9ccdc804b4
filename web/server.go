package web

import (
	"context"
	"fmt"
	"net/http"
	"net/http/pprof"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/web/pages"
)

// maxConcurrentWrites bounds how many remote-write requests are decoded at once, and with it their
// memory.
const maxConcurrentWrites = 8

// Server answers an agent's HTTP requests. It is an http.Handler for any number of goroutines.
type Server struct {
	opts    Options
	log     *zap.Logger
	metrics *metrics
	pages   *pages.Pages
	started time.Time
	handler http.Handler

	// reloading lets one reload run at a time; bundling one support bundle.
	reloading, bundling sync.Mutex
	writes              chan struct{}
	bodies              bodies
	uploads             *uploads
	revisions           revisions
	live                *following
	// redacted is Options.Instances, as it may be shown.
	redacted redactedInstances
	// scraping has a place for each target that is asked for a person.
	scraping chan struct{}
	// peers asks other nodes.
	peers *http.Client
}

// New makes a Server. It registers its counters with o.Registerer and panics, as prometheus'
// MustRegister does, if they are registered there already: that is two servers on one registerer.
func New(o Options) *Server {
	o = o.withDefaults()
	s := &Server{
		redacted: redactedInstances{o.Instances},
		opts:     o,
		log:      o.Logger,
		metrics:  newMetrics(o.Registerer),
		pages:    pages.New(o.Now),
		started:  o.Now(),
		writes:   make(chan struct{}, maxConcurrentWrites),
		bodies:   bodies{most: maxBodyBytes},
		uploads:  newUploads(o.Uploads, o.Now),
		scraping: make(chan struct{}, maxScrapesNow),
		peers:    newPeerClient(o.PeerClient),
	}
	s.opts.Instances = s.redacted
	s.live = newFollowing(s.liveRoutes())
	// A page that a browser shows from elsewhere must not be able to reload, upload or forget here.
	// Clients that are not browsers send neither of the headers this looks at.
	crossOrigin := http.NewCrossOriginProtection()
	crossOrigin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		because(w, refusedOrigin)
		refuse(w, r, http.StatusForbidden, "cross-origin request refused")
	}))
	s.handler = s.observe(redirectUnder(s.guardHost(crossOrigin.Handler(s.guardCostly(newRouter(s.routes()))))))
	return s
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.handler.ServeHTTP(w, remember(r))
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Instances == nil {
		o.Instances = noInstances{}
	}
	if o.Inspector == nil {
		o.Inspector = noInspector{}
	}
	o.Inspector = redactedInspector{o.Inspector}
	if o.Cluster != nil {
		o.Cluster = redactedCluster{o.Cluster}
	}
	if o.Ring != nil {
		o.Ring = redactedRing{o.Ring}
	}
	if o.Gatherer != nil {
		o.Gatherer = redactedGatherer{o.Gatherer}
	}
	if o.InstanceOptions == nil {
		o.InstanceOptions = func(string) config.InstanceOptions { return config.InstanceOptions{} }
	}
	if o.Rates == nil {
		o.Rates = func(string, string, *Endpoint, time.Time) (Rates, bool) { return Rates{}, false }
	}
	if o.Journal == nil {
		o.Journal = func(string) []Happened { return nil }
	}
	o.Journal = redactedJournal(o.Journal)
	if o.Ready == nil {
		o.Ready = func() []string { return nil }
	}
	o.Ready = redactedReady(o.Ready)
	if o.Late == nil {
		o.Late = o.Ready
	}
	o.Late = redactedReady(o.Late)
	if o.MaxConfigBytes <= 0 {
		o.MaxConfigBytes = DefaultMaxConfigBytes
	}
	if o.MaxWriteBytes <= 0 {
		o.MaxWriteBytes = DefaultMaxWriteBytes
	}
	if o.StoreTimeout <= 0 {
		o.StoreTimeout = DefaultStoreTimeout
	}
	if o.PeerTimeout <= 0 {
		o.PeerTimeout = DefaultPeerTimeout
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Refusals == nil {
		o.Refusals = NewRefusals(o.Registerer)
	}
	return o
}

// The parts of the API that nodes ask of each other.
const (
	api         = "/agent/api/v1"
	clusterAPI  = api + "/cluster"
	instanceAPI = api + "/metrics/instance"
)

func (s *Server) routes() []route {
	get := func(h http.HandlerFunc) methods { return methods{http.MethodGet: h} }
	routes := []route{
		{"/", get(s.frontPage)},
		{api + "/configs", get(s.service(s.listConfigs))},
		{api + "/configs/{name}", get(s.service(s.getConfig))},
		{api + "/config/{name}", methods{
			http.MethodPut:    s.service(s.putConfig),
			http.MethodPost:   s.service(s.putConfig),
			http.MethodDelete: s.service(s.deleteConfig),
		}},
		{api + "/metrics/instances", get(s.listInstances)},
		{api + "/instances", get(s.listInstances)},
		{api + "/metrics/instances/status", get(s.instanceStatus)},
		{api + "/metrics/targets", get(s.listTargets)},
		{api + "/targets", get(s.listTargets)},
		{instanceAPI + "/{name}/write", methods{http.MethodPost: s.writeSamples}},
		{instanceAPI + "/{name}/retry", methods{http.MethodPost: s.clustered(s.retryInstance)}},
		{clusterAPI, get(s.clustered(s.showCluster))},
		{clusterAPI + "/units", get(s.clustered(s.listUnits))},
		{clusterAPI + "/instances", get(s.clustered(gather(s, s.instances())))},
		{clusterAPI + "/targets", get(s.clustered(gather(s, s.targets())))},
		{clusterAPI + "/plan", get(s.clustered(s.planChange))},
		{"/configs", get(s.configsPage)},
		{"/configs/{name}", methods{http.MethodGet: s.configPage, http.MethodPost: s.clustered(s.actOnConfig)}},
		{"/upload", methods{http.MethodGet: s.service(s.uploadPage), http.MethodPost: s.service(s.uploadPage)}},
		{"/targets", get(s.targetsPage)},
		{"/target", methods{http.MethodGet: s.targetPage, http.MethodPost: s.targetPage}},
		{"/receivers", get(s.receiversPage)},
		{"/flow", get(s.flowPage)},
		{"/receivers/destinations", get(s.listDestinations)},
		{"/cluster", methods{http.MethodGet: s.clustered(s.clusterPage), http.MethodPost: s.clustered(s.actOnNode)}},
		{"/discovery", get(s.discoveryPage)},
		{"/relabel", methods{http.MethodGet: s.relabelPage, http.MethodPost: s.relabelPage}},
		{"/status", get(s.statusPage)},
		{livePath, methods{http.MethodGet: s.follow, http.MethodHead: nil}},
		{pages.AssetPath, get(s.asset)},
		{"/debug/cluster", get(http.RedirectHandler("/cluster", http.StatusFound).ServeHTTP)},
		{"/debug/ring", methods{http.MethodGet: s.showRing, http.MethodPost: s.forgetMember}},
		{"/-/healthy", methods{http.MethodGet: s.healthy, http.MethodPost: s.healthy}},
		{"/-/ready", methods{http.MethodGet: s.ready, http.MethodPost: s.ready}},
		{"/-/config", get(s.agentConfig)},
		{"/-/support", get(s.supportBundle)},
		// GET reloads too, as it did in Grafana Agent; a HEAD must not.
		{"/-/reload", methods{http.MethodPost: s.reload, http.MethodGet: s.reload, http.MethodHead: nil}},
		{"/-/store/replace/{name}", methods{http.MethodPost: s.replaceStoreMember}},
		{"/debug/pprof", get(http.RedirectHandler("/debug/pprof/", http.StatusMovedPermanently).ServeHTTP)},
		{"/debug/pprof/", get(pprof.Index)},
		{"/debug/pprof/cmdline", get(pprof.Cmdline)},
		{"/debug/pprof/profile", get(pprof.Profile)},
		{"/debug/pprof/symbol", methods{http.MethodGet: pprof.Symbol, http.MethodPost: pprof.Symbol}},
		{"/debug/pprof/trace", get(pprof.Trace)},
		{"/debug/pprof/{name}", get(pprof.Index)},
	}
	if s.opts.LogLevels != nil {
		routes = append(routes, route{api + "/log-levels", methods{http.MethodGet: s.showLogLevels, http.MethodPut: s.setLogLevels}})
	}
	routes = append(routes, s.orderRoutes()...)
	routes = append(routes, s.chaosRoutes()...)
	if s.opts.Gatherer != nil {
		h := promhttp.HandlerFor(s.opts.Gatherer, promhttp.HandlerOpts{
			EnableOpenMetrics: true,
			// One collector that fails must not hide the others' metrics.
			ErrorHandling: promhttp.ContinueOnError,
			ErrorLog:      gatherLog{s.log},
		})
		routes = append(routes, route{"/metrics", get(h.ServeHTTP)})
	}
	return routes
}

// gatherLog takes what promhttp has to complain about.
type gatherLog struct{ log *zap.Logger }

func (g gatherLog) Println(v ...any) {
	g.log.Warn("gather metrics", zap.String("err", fmt.Sprint(v...)))
}

// storeContext bounds what a request waits for the store.
func (s *Server) storeContext(r *http.Request) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(r.Context(), s.opts.StoreTimeout, errStoreTimeout)
}
