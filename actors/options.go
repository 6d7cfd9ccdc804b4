package actors

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors/fault"
	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// Options is everything a supervisor touches. Only NewPipeline has to be set.
type Options struct {
	// Configs is where the stored configs are. Nil: there are only local ones.
	Configs ConfigSource
	// Local is the documents of the main file to begin with; Client.ReplaceLocal replaces them
	// later. A local document hides a stored one of the same name.
	Local messages.List[messages.Document]
	// Parse validates a document. It runs in goroutines, several at a time, and sees
	// Document.Local. Nil: config.ParseInstance with the default globals, and files allowed for
	// local documents only.
	Parse func(messages.Document) (*config.Instance, error)
	// Outline validates a document as Parse does, for a node that does not run it; its result has at
	// least what config.Instance.Outline leaves. Nil: it is taken from what Parse returns.
	Outline func(messages.Document) (*config.Instance, error)
	// NewPipeline opens the data path of an instance.
	NewPipeline NewPipeline
	// Leftovers says which of the units have a log here in which something was not sent, and that
	// is not open. It is called in goroutines, one at a time, for units that other nodes run.
	// slices is how many slices each config has: logs of slices beyond that are nobody's, and count
	// too, whether this process has ever heard of them or not. Nil: there are none.
	Leftovers func(units []messages.Unit, slices map[string]int) []messages.Unit
	// Probe tries what every instance needs of the node, such as room on its disk, and returns what
	// is missing. It is called in a goroutine, every few seconds. While it fails, other nodes of
	// the cluster run what this one would. Nil: nothing is missing.
	Probe func() error
	// Directory is kept up to date with the running pipelines. Nil: nobody wants to know.
	Directory *Directory
	// Logger is for the tree's own log lines. Nil: silent.
	Logger *zap.Logger
	// Registerer gets the tree's metrics when it starts and gives them up when it stops. Nil: there
	// are none.
	Registerer prometheus.Registerer
	// ReshardInterval is how often everything is decided afresh and the store is listed again, in
	// case an event was lost. 0: one minute.
	ReshardInterval time.Duration
	// RestartBackoff is the wait after the first failure of an instance; see
	// lifecycle.DefaultPolicy. 0: five seconds.
	RestartBackoff time.Duration
	// FlushDeadline bounds the draining of an instance whose config has no remote_flush_deadline.
	// 0: one minute.
	FlushDeadline time.Duration
	// ConcurrentOpens bounds how many pipelines are being opened at a time. 0: twice GOMAXPROCS.
	ConcurrentOpens int
	// Jitter returns a number from 0 up to 1 that spreads retries; several goroutines may call it.
	// Nil: random.
	Jitter func() float64
	// Memory keeps what the node knew of its store for a restart while the store is away. Nil:
	// nothing does.
	Memory Memory
	// Runtime is time and concurrency; its zero value is the real thing.
	Runtime Runtime
	// Cluster makes the node one of several that share the configs. Nil: it runs everything.
	Cluster *Cluster
	// Subscriber is told what happens, as messages.Notice. Nil: nobody is. Publish tells the actor
	// system's event stream as well.
	Subscriber *actor.PID
	Publish    bool
	// Notify is called with the same, by whichever goroutine something happens in, so it must not
	// block. Nil: it is not.
	Notify func(messages.Notice)
	// Faults break messages and spawns on purpose. Nil: nothing does.
	Faults *fault.Registry
	// Middleware is put around every Receive of every actor of the tree, inside of the tree's own
	// guard, which sees its panics.
	Middleware []actor.ReceiverMiddleware
}

// ConfigSource is the part of cluster.Configs that the tree reads.
type ConfigSource interface {
	// List returns all configs as of one revision.
	List(ctx context.Context) (configs []cluster.StoredConfig, at cluster.Point, err error)
	// Watch delivers every change after the revision, in order, until ctx is over.
	Watch(ctx context.Context, after int64) iter.Seq[cluster.ConfigEvent]
}

// PipelineSpec says which pipeline to open.
type PipelineSpec struct {
	Unit   messages.Unit
	Config *config.Instance
	// Failed reports that a goroutine of the pipeline panicked or ended for good. Any goroutine may
	// call it at any time, more than once, also after Close; it does not block.
	Failed func(error)
	// Permit is to be asked before each scrape and again before its commit; if it says no, the
	// scrape leaves nothing behind. It is quick, and any goroutine may call it. Never nil.
	Permit func() bool
	// Warm: another node scrapes the unit meanwhile, so the targets are to be found before the
	// pipeline is returned, if that takes only some seconds. Otherwise each job's scrapes begin
	// when its own discoveries have reported.
	Warm bool
}

// NewPipeline opens log and queue and starts discovery; it scrapes nothing yet, but what an earlier
// generation left in the log is being sent. If it returns an error, or panics, it has released
// everything. It should return soon after ctx is over.
type NewPipeline func(ctx context.Context, spec PipelineSpec) (Pipeline, error)

// Pipeline is the data path of one instance. Its methods may block; they are called one at a time,
// and should return soon after their ctx is over. A panic in any of them ends the generation.
type Pipeline interface {
	// Start begins scraping. Resume is what the node that ran the unit before has left.
	Start(ctx context.Context, resume messages.Handover) error
	// Reload puts another config in force, in place. If it returns an error, the config before is
	// still in force. It may be called before Start.
	Reload(ctx context.Context, c *config.Instance) error
	// StopScraping returns when nothing is appended any more, with what the node that scrapes next
	// has to know. For messages.Moved it may wait for a moment that leaves that node the most time;
	// for messages.Deleted and messages.Held it has written staleness markers; for messages.Fenced
	// it commits nothing from now on. It is called at most once, and only after Start.
	StopScraping(ctx context.Context, reason messages.StopReason) (messages.Handover, error)
	// Drain sends what is left. It returns when there is nothing left or ctx is over, with the
	// number of samples that are still unsent; that ctx is over is not an error.
	Drain(ctx context.Context) (pending uint64, err error)
	// Close releases everything, whatever was called before. Remove is only asked for after a Drain
	// that left nothing pending: then the log is deleted. Nothing else is called after it.
	Close(remove bool) error
}

func (o Options) withDefaults() Options {
	if o.Parse == nil {
		rules := func(d messages.Document) config.InstanceOptions {
			return config.InstanceOptions{AllowFiles: d.Local, AllowAmbient: d.Local}
		}
		o.Parse = func(d messages.Document) (*config.Instance, error) {
			return config.ParseInstance(d.Name, string(d.Text), rules(d))
		}
		o.Outline = func(d messages.Document) (*config.Instance, error) {
			return config.OutlineInstance(d.Name, string(d.Text), rules(d))
		}
	}
	if o.Outline == nil {
		o.Outline = o.Parse
	}
	if o.NewPipeline == nil {
		o.NewPipeline = func(context.Context, PipelineSpec) (Pipeline, error) {
			return nil, errors.New("no pipelines can be opened: Options.NewPipeline is not set")
		}
	}
	if o.Directory == nil {
		o.Directory = NewDirectory()
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Jitter == nil {
		o.Jitter = rand.Float64
	}
	o.Cluster = o.Cluster.WithDefaults()
	o.Runtime = o.Runtime.WithDefaults()
	o.ReshardInterval = orDefault(o.ReshardInterval, time.Minute)
	o.RestartBackoff = orDefault(o.RestartBackoff, 5*time.Second)
	o.FlushDeadline = orDefault(o.FlushDeadline, time.Minute)
	if o.ConcurrentOpens <= 0 {
		o.ConcurrentOpens = 2 * runtime.GOMAXPROCS(0)
	}
	return o
}

func orDefault(d, fallback time.Duration) time.Duration {
	if d <= 0 {
		return fallback
	}
	return d
}
