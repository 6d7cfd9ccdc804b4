package remotewrite

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
)

// Options are what a Queue is built from. The zero value is usable.
type Options struct {
	// Instance is the value of the metric label instance_name.
	Instance string
	// Logger names the instance already. It is nil for no logs.
	Logger *zap.Logger
	// Clients are shared by all queues of the process; nil gives the queue its own.
	Clients *Clients
	// Metrics collects the accounts of all queues of the process; may be nil.
	Metrics *Metrics
	// Metadata returns the metadata of the active targets, for protocol 1.0. nil sends none. Any
	// goroutine may call it.
	Metadata func() []Metadata
	// Relabelling measures the work of write_relabel_configs; nil: nobody does.
	Relabelling Stopwatch
	// Tracer makes a span of each request. nil: there are none.
	Tracer trace.Tracer
	// OnPanic is told of a panic in one of the queue's goroutines, with its stack, from a goroutine
	// of its own. nil logs it.
	OnPanic func(error)
}

// Stopwatch measures the processor time of a goroutine's work. Any goroutine may use it.
type Stopwatch interface {
	// BeginWork begins a piece of work, which waits for nothing, and EndWork ends it on the same
	// goroutine. from is what BeginWork has returned.
	BeginWork() (from time.Duration)
	EndWork(from time.Duration)
}

// EndpointConfig is one remote_write block and its place in the log.
type EndpointConfig struct {
	// Config must not be changed any more.
	Config *promconfig.RemoteWriteConfig
	// StrictSpec makes the endpoint give up what the protocol's letter says must not be sent again:
	// requests that were answered with a 4xx other than 429.
	StrictSpec bool
	// RecentFirst makes the endpoint send what is scraped after an outage before the backlog. The
	// receiver has to take samples out of order.
	RecentFirst bool
	// ExternalLabels are added to series that don't have them.
	ExternalLabels labels.Labels
	// CursorID is the endpoint's identity across reloads and restarts; see CursorIDs.
	CursorID string
	// Open returns the log at this endpoint's cursor, and the place that was saved there: Next goes
	// on from its position. It is called when the endpoint starts, and again when it is reloaded in
	// place, after the earlier Source was closed.
	Open func() (Source, Place, error)
}

// Queue is the remote write of one instance.
type Queue struct {
	options Options

	// applying makes Apply and Close exclude each other.
	applying sync.Mutex
	closed   bool
	live     atomic.Pointer[[]*endpoint]
}

// New returns a queue without endpoints. It starts nothing.
func New(o Options) *Queue {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Clients == nil {
		o.Clients = NewClients()
	}
	if o.OnPanic == nil {
		logger := o.Logger
		o.OnPanic = func(err error) { logger.Error("remote write panicked", zap.Error(err)) }
	}
	q := &Queue{options: o}
	q.live.Store(&[]*endpoint{})
	return q
}

// Apply makes the queue have exactly these endpoints. Those whose configuration is unchanged keep
// running; those with a known CursorID are restarted on their cursor and keep their account; those
// not listed any more are closed. It fails before anything changed if a configuration is not
// usable, and after it if a log can't be opened; the endpoint is missing then, and a repeated Apply
// tries again.
func (q *Queue) Apply(endpoints []EndpointConfig) error {
	q.applying.Lock()
	defer q.applying.Unlock()
	if q.closed {
		return errors.New("apply remote_write: the queue is closed")
	}
	present := map[string]*endpoint{}
	for _, e := range *q.live.Load() {
		present[e.id] = e
	}
	next, starting, err := q.plan(endpoints, present)
	if err != nil {
		return err
	}
	q.show(next, func(i int) bool { return !starting[i] })
	closeAll(present)
	var problems []error
	for i, e := range next {
		if !starting[i] {
			continue
		}
		e.ledger.configure(q.options.Instance, e.cfg, e.id, e.sender.losses)
		q.options.Metrics.add(e.ledger)
		if err := e.start(endpoints[i].Open); err != nil {
			problems = append(problems, err)
			q.options.Metrics.remove(e.ledger)
			e.sender.destination.release()
			next[i] = nil
		}
	}
	started := q.show(next, func(i int) bool { return next[i] != nil })
	// What was committed while an endpoint was not listed has not been announced to it.
	q.Notify()
	for _, e := range present {
		if !has(started, e.ledger) {
			q.options.Metrics.remove(e.ledger)
		}
	}
	return errors.Join(problems...)
}

// show makes those of the endpoints that are wanted the ones that Notify and the rest see.
// Endpoints that aren't started must not be seen: they have no log yet.
func (q *Queue) show(endpoints []*endpoint, wanted func(int) bool) []*endpoint {
	shown := make([]*endpoint, 0, len(endpoints))
	for i, e := range endpoints {
		if wanted(i) {
			shown = append(shown, e)
		}
	}
	q.live.Store(&shown)
	return shown
}

// plan builds the endpoints that are new or changed, and takes those that go on out of present, so
// that the ones left have to be closed.
func (q *Queue) plan(endpoints []EndpointConfig, present map[string]*endpoint) (next []*endpoint, starting []bool, err error) {
	seen := map[string]bool{}
	kept := map[string]bool{}
	defer func() {
		for i, e := range next {
			if err != nil && starting[i] {
				e.sender.destination.release()
			}
		}
	}()
	for _, c := range endpoints {
		if seen[c.CursorID] {
			return next, starting, fmt.Errorf("apply remote_write %q: two endpoints have the cursor %q", c.Config.Name, c.CursorID)
		}
		seen[c.CursorID] = true
		d := digestOf(c.Config, c.ExternalLabels.String(), c.StrictSpec, c.RecentFirst)
		old := present[c.CursorID]
		if old != nil && old.digest == d && !old.hasFailed() {
			kept[c.CursorID] = true
			next, starting = append(next, old), append(starting, false)
			continue
		}
		e, err := q.build(c, d, old)
		if err != nil {
			return next, starting, err
		}
		next, starting = append(next, e), append(starting, true)
	}
	for id := range kept {
		delete(present, id)
	}
	return next, starting, nil
}

// build makes an endpoint that is not started. old is the one it replaces, or nil.
func (q *Queue) build(c EndpointConfig, d digest, old *endpoint) (*endpoint, error) {
	p, err := protocolOf(c.Config.ProtobufMessage)
	if err != nil {
		return nil, fmt.Errorf("apply remote_write %q: %w", c.Config.Name, err)
	}
	destination, err := q.options.Clients.acquire(c.Config)
	if err != nil {
		return nil, err
	}
	e := &endpoint{
		cfg: c.Config, digest: d, id: c.CursorID, clients: q.options.Clients, protocol: p, older: protocol1(), ledger: &ledger{},
		cache: newSeriesCache(c.ExternalLabels, c.Config.WriteRelabelConfigs),
		// Lanes go by the labels that are sent, and a batch holds what is configured to be sent.
		mapping: digestOf(c.ExternalLabels.String(), c.Config.WriteRelabelConfigs, c.Config.SendExemplars, c.Config.SendNativeHistograms,
			c.Config.ProtobufMessage).short(),
		reading: reading{lanes: max(1, c.Config.QueueConfig.MinShards)}, recent: recent{first: c.RecentFirst},
		onPanic: q.options.OnPanic,
		logger:  q.options.Logger.With(zap.String("remote_name", c.Config.Name)),
		life:    life{turn: make(chan struct{})},
	}
	e.cache.stopwatch = q.options.Relabelling
	e.cache.keepsMetadata = p.confirms && c.Config.MetadataConfig.Send
	if old != nil {
		e.ledger = old.ledger
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.soft, e.expire = context.WithCancel(e.ctx)
	e.sender = newSender(c, destination, e.ledger, e.logger)
	e.sender.tracer, e.sender.instance = q.options.Tracer, q.options.Instance
	e.sender.patience = e.soft
	e.metadata = newMetadataPusher(e, q.options.Metadata)
	return e, nil
}

// closeAll closes endpoints side by side: each may wait for its receiver a little.
func closeAll(endpoints map[string]*endpoint) {
	var wg sync.WaitGroup
	for _, e := range endpoints {
		wg.Go(e.close)
	}
	wg.Wait()
}

// Notify says that something was committed. It never blocks, and costs a few nanoseconds while the
// endpoints run.
func (q *Queue) Notify() {
	for _, e := range *q.live.Load() {
		e.notify()
	}
}

// Drain sends everything that is committed, ignoring batch deadlines, and returns when nothing is
// left or ctx ends: the number of samples that still wait, over all endpoints, and why.
func (q *Queue) Drain(ctx context.Context) (pending uint64, err error) {
	endpoints := *q.live.Load()
	problems := make([]error, len(endpoints))
	var wg sync.WaitGroup
	for i, e := range endpoints {
		wg.Go(func() { problems[i] = e.drain(ctx) })
	}
	wg.Wait()
	return q.Pending(), errors.Join(problems...)
}

// Pending is the number of samples that wait, summed over the endpoints.
func (q *Queue) Pending() uint64 {
	var n uint64
	for _, e := range *q.live.Load() {
		n += e.ledger.pending()
	}
	return n
}

// Endpoints describes the endpoints, in the order of the configuration.
func (q *Queue) Endpoints() []EndpointStatus {
	endpoints := *q.live.Load()
	out := make([]EndpointStatus, 0, len(endpoints))
	for _, e := range endpoints {
		out = append(out, e.ledger.status())
	}
	return out
}

// Close stops at once, and waits until no goroutine of the queue is left. What is not acknowledged
// stays in the log.
func (q *Queue) Close() {
	q.applying.Lock()
	defer q.applying.Unlock()
	if q.closed {
		return
	}
	q.closed = true
	var wg sync.WaitGroup
	for _, e := range *q.live.Load() {
		wg.Go(func() {
			e.close()
			q.options.Metrics.remove(e.ledger)
		})
	}
	wg.Wait()
	q.live.Store(&[]*endpoint{})
}

func has(endpoints []*endpoint, l *ledger) bool {
	for _, e := range endpoints {
		if e.ledger == l {
			return true
		}
	}
	return false
}
