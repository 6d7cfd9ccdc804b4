package web

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/storage"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors/fault"
	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/config"
)

// Bounds that hold where Options says nothing.
const (
	// DefaultMaxConfigBytes caps an uploaded config. etcd refuses requests above 1.5 MiB, so that a
	// config which was accepted here can be stored however badly it compresses.
	DefaultMaxConfigBytes = 1 << 20
	// DefaultMaxWriteBytes caps a remote-write request, before and after decompression. A sender
	// with Prometheus' defaults (2,000 samples) stays below 1 MiB.
	DefaultMaxWriteBytes = 16 << 20
	// DefaultStoreTimeout bounds what one request waits for the store.
	DefaultStoreTimeout = 10 * time.Second
	// DefaultPeerTimeout bounds what one request waits for all other nodes together.
	DefaultPeerTimeout = 5 * time.Second
)

// Options is everything a Server touches. The zero value serves health, pages and profiles only.
type Options struct {
	// Logger gets one line per changed config, per failed store call and per panic; requests at
	// debug level. Nil: none.
	Logger *zap.Logger
	// LogLevels can be read and changed through the API. Nil: 404.
	LogLevels LogLevels
	// Registerer gets the counters agent_metrics_ha_configs_*_total. Nil: they are counted and not
	// shown.
	Registerer prometheus.Registerer
	// Refusals counts requests that are refused. nil: the server makes its own, with Registerer.
	Refusals *Refusals
	// Gatherer is what GET /metrics shows. Nil: 404.
	Gatherer prometheus.Gatherer
	// Node is this node's name in the cluster. It and Version are shown on the pages and in the
	// support bundle.
	Node, Version string

	// Secured: this node is reached over TLS, and believes no other that is not.
	Secured bool
	// Hosts are names that requests may be for, beside addresses, names without a dot and those of
	// private domains; a * at the beginning stands for anything. Nil: any name. Empty: none.
	Hosts []string

	// Configs is the repository of configs. Nil (the interface, not a nil pointer in it): the
	// scraping service is off and the configs API answers 404.
	Configs Configs
	// InstanceOptions tells how an upload of this name is validated; it is asked at each upload, so
	// that a reload of the agent's config takes effect. The server sets the name and the origin
	// itself. Nil: the defaults, no file reading.
	InstanceOptions func(name string) config.InstanceOptions
	// Checked is called with each valid upload that is about to be stored, and with the options by
	// which it was validated, so that nobody has to do so again. If it is not stored, forget is
	// called. Nil: nobody wants to know.
	Checked func(instance *config.Instance, by config.InstanceOptions) (forget func())
	// Uploads are what one client may upload; asked each time. Nil: no limit.
	Uploads func() UploadLimits
	// ReadAPI allows the contents of configs to be read back (GET of one config, /-/config), with
	// secrets masked.
	ReadAPI bool
	// Instances is what runs in this process. Nil: nothing does.
	Instances Instances
	// Inspector looks at what runs more closely. Nil: nothing can be inspected.
	Inspector Inspector
	// Ring is who shares the work. Nil: /debug/ring answers 404.
	Ring Ring
	// Cluster is what all nodes do. Nil: the cluster's API and page answer 404.
	Cluster Cluster
	// Faults are the rules by which this process is broken on purpose. Nil: it can't be, and the
	// API of chaos answers 403.
	Faults *fault.Registry
	// PeerClient asks other nodes; its TLS settings say which of them are believed. It follows no
	// redirects, whatever it would do by itself. Nil: one that trusts the system's roots and keeps
	// no connections.
	PeerClient *http.Client

	// Ready lists what the node still waits for; empty is ready. Nil: always ready. Must not block.
	Ready func() []string
	// Warnings are sentences that every page shows on top. Nil: there are none. Must not block.
	Warnings func() []string
	// Late lists what is late on a node that may be ready all the same. Nil: what Ready lists. Must
	// not block.
	Late func() []string
	// History is what the node has done in the last hour, oldest first. Nil: nobody keeps it.
	History func() []Point
	// Rates is what an endpoint of a unit does in a second, if that is known. Nil: it is not.
	Rates func(config, unit string, e *Endpoint, now time.Time) (rates Rates, known bool)
	// Journal is what has happened to a config on this node, oldest first. Nil: nobody keeps it.
	Journal func(config string) []Happened
	// Flags are the process' command line, as it may be shown.
	Flags []Setting
	// Reload reads the agent's config file again and applies it; its error goes to the caller with
	// 400. It is called for one request at a time, with a context that outlives a client which
	// hangs up. Nil: 404.
	Reload func(ctx context.Context) error
	// ReplaceStoreMember lets a member of the embedded stores' quorum in again that has lost its
	// data. Nil: 404.
	ReplaceStoreMember func(ctx context.Context, name string) error
	// AgentConfig is the running agent config as YAML with every secret masked. Nil: 404.
	AgentConfig func() (string, error)

	// MaxConfigBytes, MaxWriteBytes, StoreTimeout and PeerTimeout replace the defaults when greater
	// than 0.
	MaxConfigBytes, MaxWriteBytes int64
	StoreTimeout, PeerTimeout     time.Duration
	// Now is the clock of the pages. Nil: time.Now.
	Now func() time.Time
}

// Configs is the repository of configs; *cluster.Configs is the one there is.
type Configs interface {
	// Get reads one config: cluster.ErrNotFound if there is none; StoredConfig.Err if its value
	// can't be decoded.
	Get(ctx context.Context, name string) (cluster.StoredConfig, error)
	// List reads them all, undecodable ones included, and the store revision the answer is of.
	List(ctx context.Context) (configs []cluster.StoredConfig, at cluster.Point, err error)
	// PutDocument returns once the config is durable: cluster.ErrConflict if cond does not hold.
	PutDocument(ctx context.Context, name string, d cluster.Document, cond cluster.Condition) (cluster.PutResult, error)
	// Delete: cluster.ErrNotFound if there is none, cluster.ErrConflict if cond does not hold.
	Delete(ctx context.Context, name string, cond cluster.Condition) error
}

// Instances is what runs in this process. All methods must answer promptly: they serve pages and
// load balancers.
type Instances interface {
	// Instances describes every instance this process knows of, or those of one config if one is
	// named, in any phase and any order. The slice is the caller's.
	Instances(ctx context.Context, config string) ([]Instance, error)
	// Targets lists the active targets of the units that are wanted, in any order. It asks wanted
	// about every unit that runs; counting targets costs little, and describing them does not. Nil:
	// all are wanted.
	Targets(ctx context.Context, wanted func(UnitTargets) bool) ([]Target, error)
	// Appendable is the way into a running instance's log; ok is false if no instance of that name
	// takes samples. It is valid for the request that asked for it: appenders of an instance that
	// stops meanwhile fail.
	Appendable(name string) (a storage.AppendableV2, ok bool)
}

// Inspector looks at what runs in this process more closely than Instances does, because a person
// wants to see it.
type Inspector interface {
	// Scrape asks a target that Targets has listed, as a scrape would, and stores nothing of what
	// it answers. The error says that it could not be asked; what is wrong with its answer is in
	// the answer.
	Scrape(ctx context.Context, t Target) (Answer, error)
	// Discovered lists what the discoveries of all instances have found by job, or those of one
	// config if one is named; in detail, with each target.
	Discovered(ctx context.Context, config string, detail bool) ([]DiscoveredJob, error)
}

// Ring is who shares the work.
type Ring interface {
	// Members lists every member this node knows of, in any order.
	Members(ctx context.Context) ([]Member, error)
	// Forget removes what a dead member has left in the store: cluster.ErrNotFound if there is no
	// record of that ID, ErrForgetSelf for this node, ErrMemberStays with the reason for one that
	// may be alive.
	Forget(ctx context.Context, id string) error
}

// Cluster is what this node knows of all nodes and of what they run. It is asked for pages, so it
// must answer promptly and without asking other nodes: that is this package's part.
type Cluster interface {
	// State is a snapshot of everything, or of what is asked for. Its units are the caller's.
	State(ctx context.Context, of Scope) (ClusterState, error)
	// Plan says what a change of members would move: cluster.ErrNotFound if the node that leaves is
	// no member, ErrUnsettled if there is no ring to begin with.
	Plan(ctx context.Context, change Change) (Plan, error)
	// Retry lifts the backoff or the quarantine of all of a config's instances on this node, and
	// reports whether there are any.
	Retry(ctx context.Context, config string) (known bool, err error)
	// Order returns once all nodes will go by the order: cluster.ErrNotFound if there is no such
	// config or node, or nothing to take back; ErrOrderRefused with the reason.
	Order(ctx context.Context, o Order) error
}

// NewHTTPServer gives an http.Server for h whose timeouts keep slow clients from holding
// connections for ever. Reading a request may take one minute, answering it two, so that a CPU
// profile may run for up to 119 seconds.
func NewHTTPServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		WriteTimeout:      2 * time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
}
