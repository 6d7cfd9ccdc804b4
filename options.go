package ringmaster

import (
	"errors"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/actors/fault"
	"github.com/ringmaster-agent/ringmaster/actors/pipeline"
	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/cluster/gossip"
	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
	"github.com/ringmaster-agent/ringmaster/web"
)

// The prefixes of keys in the store, where Options has none. They are those of the daemon.
const (
	DefaultConfigsPrefix  = "configurations/"
	DefaultRegistryPrefix = "collectors/"
)

// Options is everything an embedded supervisor touches. Only Directory has to be set.
type Options struct {
	// Directory holds the write-ahead logs and, in .ring, what the node keeps of its cluster. It is
	// made if it is not there. One process at a time has it.
	Directory string
	// Node is this node's name, unique in its cluster, and shown to users. Empty: "embedded".
	Node string
	// Version is shown to users.
	Version string

	// Configs are configs of this process alone, by name, as YAML.
	Configs map[string]string
	// Store holds configs that can change while the supervisor runs, under ConfigsPrefix. It
	// outlives the supervisor: close it after Released. Nil: there are only Configs.
	Store         cluster.Store
	ConfigsPrefix string
	// Parse validates a document. Nil: config.ParseInstance with InstanceOptions; Configs may read
	// files.
	Parse func(messages.Document) (*config.Instance, error)
	// Outline validates a document that other nodes run, as Parse does; see actors.Options. Nil:
	// config.OutlineInstance if Parse is nil, else Parse.
	Outline func(messages.Document) (*config.Instance, error)
	// InstanceOptions are the rules for stored configs of this name. Nil: the defaults, and no files.
	InstanceOptions func(name string) config.InstanceOptions

	// Cluster makes the supervisor one of several that share the configs of Store. What it lacks of
	// Node, Registry, Sessions, Tokens, Settings, Predecessor and Gossip is made; its Address is
	// where others reach the Handler. Nil: it runs everything.
	Cluster        *actors.Cluster
	RegistryPrefix string
	// Gossip is how it gossips with the others. What it lacks of Node, Logger and Registerer is
	// taken from here. Nil: it doesn't, and goes by the store alone.
	Gossip *gossip.Options

	// Pipeline is how configs are scraped and sent: file system, dialer, transport of remote write,
	// features. What it lacks of WALDirectory, Logger, Registerer and Faults is taken from here.
	Pipeline pipeline.Options
	// ReshardInterval, RestartBackoff and FlushDeadline are those of actors.Options.
	ReshardInterval, RestartBackoff, FlushDeadline time.Duration
	// Memory keeps what the node knew of its store for a restart while the store is away; see
	// actors.Options. Nil: nothing does.
	Memory actors.Memory
	// Runtime is time and concurrency of the actors; its zero value is the real thing.
	Runtime actors.Runtime
	// Middleware is put around every Receive of every actor.
	Middleware []actor.ReceiverMiddleware

	// Scheme and Address are where the Handler is reached, for users; those of Cluster if it has
	// them. MinReady is how long everything has to have been ready before the readiness probe says
	// so. Nil: not at all.
	Scheme, Address string
	MinReady        func() time.Duration
	// StoreProblem says why the store takes no configs, for the readiness probe; empty if it does.
	// Nil: it is not asked.
	StoreProblem func() string
	// Web is the HTTP API. What it lacks is taken from here. Its Registerer should be nil.
	Web web.Options
	// Logger gets everything there is to say. Nil: silent.
	Logger *zap.Logger
	// Registerer gets the metrics, and gives them up again. Gatherer is what GET /metrics of the
	// Handler shows. Nil: there are none.
	Registerer prometheus.Registerer
	Gatherer   prometheus.Gatherer
	// Faults break the supervisor on purpose. Nil: nothing does.
	Faults *fault.Registry

	// KeepUntilClose: after the actor has ended, everything stays until Close is called, so that
	// the Handler and the metrics still answer.
	KeepUntilClose bool

	// Subscriber is told what happens, as messages.Notice. Nil: nobody is. Publish tells the actor
	// system's event stream as well.
	Subscriber *actor.PID
	Publish    bool
}

// withDefaults returns the options with what is not set, or what is wrong with them.
func (o Options) withDefaults() (Options, error) {
	if o.Directory == "" {
		return o, errors.New("embed a supervisor: Options.Directory is empty; give each supervisor a directory of its own")
	}
	if o.Node == "" && o.Cluster != nil {
		o.Node = o.Cluster.Node
	}
	if o.Node == "" {
		o.Node = "embedded"
	}
	if o.Cluster != nil && o.Store == nil && (o.Cluster.Registry == nil || o.Cluster.Sessions == nil) {
		return o, fmt.Errorf("embed supervisor %q: Options.Cluster needs Options.Store", o.Node)
	}
	if o.Scheme == "" {
		o.Scheme = "http"
	}
	if o.MinReady == nil {
		o.MinReady = func() time.Duration { return 0 }
	}
	if o.ConfigsPrefix == "" {
		o.ConfigsPrefix = DefaultConfigsPrefix
	}
	if o.RegistryPrefix == "" {
		o.RegistryPrefix = DefaultRegistryPrefix
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.InstanceOptions == nil {
		o.InstanceOptions = func(string) config.InstanceOptions { return config.InstanceOptions{} }
	}
	if o.Parse == nil {
		rules := func(d messages.Document) config.InstanceOptions {
			r := o.InstanceOptions(d.Name)
			r.AllowFiles, r.AllowAmbient = r.AllowFiles || d.Local, r.AllowAmbient || d.Local
			return r
		}
		o.Parse = func(d messages.Document) (*config.Instance, error) {
			return config.ParseInstance(d.Name, string(d.Text), rules(d))
		}
		o.Outline = func(d messages.Document) (*config.Instance, error) {
			return config.OutlineInstance(d.Name, string(d.Text), rules(d))
		}
	}
	return o, nil
}
