package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/storage"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
	"github.com/ringmaster-agent/ringmaster/redact"
	"github.com/ringmaster-agent/ringmaster/remotewrite"
	"github.com/ringmaster-agent/ringmaster/scrape"
	"github.com/ringmaster-agent/ringmaster/wal"
)

var _ actors.Pipeline = (*Pipeline)(nil)

// warmTime bounds how long a new pipeline waits for discoveries while another node scrapes. Some
// never report, because they find nothing.
const warmTime = 5 * time.Second

// Pipeline is the data path of one instance.
type Pipeline struct {
	factory *Factory
	given
	config *config.Instance
	logger *zap.Logger
	scrub  scrubber

	log     *wal.Log
	queue   *remotewrite.Queue
	scraper *scrape.Scraper
	flusher flusher
	cursors cursors
	ended   sync.Once
	agent   atomic.Bool // its series are those of Grafana Agent
}

// given is what the actors say of the instance, once.
type given struct {
	unit   messages.Unit
	name   string // the unit's key
	failed func(error)
	permit func() bool
}

// open opens the log first, then the endpoints, so that every endpoint has its cursor before the
// first sample is committed. The scraper is made before the endpoints, which ask it for metadata,
// and given its config after them.
func (p *Pipeline) open(ctx context.Context, warm bool) (err error) {
	p.queue = remotewrite.New(remotewrite.Options{
		Instance:    p.name,
		Logger:      p.logger,
		Clients:     p.factory.clients,
		Metrics:     p.factory.sending,
		Metadata:    p.metadata,
		Relabelling: charged{p},
		Tracer:      p.factory.tracer(p),
		OnPanic:     p.failed,
	})
	if p.log, err = p.openLog(); err != nil {
		return err
	}
	p.cursors.opened = time.Now()
	if p.scraper, err = scrape.New(p.factory.scrapeOptions(p)); err != nil {
		return err
	}
	if err := p.applyEndpoints(p.config); err != nil {
		return err
	}
	if err := p.scraper.Apply(ctx, p.factory.scrapeConfig(p.unit, p.config)); err != nil {
		return err
	}
	p.agent.Store(p.config.Compatibility == config.AgentSeries)
	if warm {
		p.warm(ctx)
	}
	return nil
}

func (p *Pipeline) openLog() (*wal.Log, error) {
	p.factory.looking.RLock()
	defer p.factory.looking.RUnlock()
	return wal.Open(p.factory.directory(p.name), p.factory.logOptions(p))
}

// warm waits until the targets are known, so that none misses a tick after a move.
func (p *Pipeline) warm(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, warmTime)
	defer cancel()
	if err := p.scraper.Warm(ctx); err != nil {
		p.logger.Info("starting the instance before all its targets are discovered", zap.Error(err))
	}
}

// charged charges the relabelling of remote write to the instance's budget. The scraper is there
// before the first endpoint.
type charged struct{ *Pipeline }

// BeginWork implements remotewrite.Stopwatch.
func (p charged) BeginWork() time.Duration { return p.scraper.BeginWork() }

// EndWork implements remotewrite.Stopwatch.
func (p charged) EndWork(from time.Duration) { p.scraper.EndWork(from) }

// committed is called by the log after each commit.
func (p *Pipeline) committed() { p.queue.Notify() }

// metadata hands what the targets say about their metrics to remote write 1.0.
func (p *Pipeline) metadata() []remotewrite.Metadata {
	found := p.scraper.Metadata()
	converted := make([]remotewrite.Metadata, len(found))
	for i, m := range found {
		converted[i] = remotewrite.Metadata(m)
	}
	return converted
}

// cursorIDs are the identities of the endpoints that have a place in the log.
func (p *Pipeline) cursorIDs() (ids []string) {
	for _, c := range p.log.Cursors() {
		ids = append(ids, c.ID)
	}
	return ids
}

// applyEndpoints makes the queue serve just the endpoints of c.
func (p *Pipeline) applyEndpoints(c *config.Instance) error {
	p.cursors.mu.Lock()
	defer p.cursors.mu.Unlock()
	ids := remotewrite.CursorIDs(c.Name, c.RemoteWrite)
	p.cursors.configured = ids
	former := remotewrite.Inherit(c.Name, c.RemoteWrite, p.cursorIDs())
	endpoints := make([]remotewrite.EndpointConfig, len(ids))
	for i, id := range ids {
		endpoints[i] = remotewrite.EndpointConfig{
			Config:         c.RemoteWrite[i],
			StrictSpec:     c.Endpoints[i].StrictSpec,
			RecentFirst:    c.Endpoints[i].RecentFirst,
			ExternalLabels: p.factory.options.ReplicaLabels(c.ExternalLabels, p.unit.Replica),
			CursorID:       id,
			Open:           func() (remotewrite.Source, remotewrite.Place, error) { return openSource(p.log, id, former[id]) },
		}
	}
	return p.queue.Apply(endpoints)
}

// Start implements actors.Pipeline.
func (p *Pipeline) Start(_ context.Context, resume messages.Handover) error {
	if err := p.scraper.Resume(string(resume)); err != nil {
		p.logger.Warn("handover ignored; a scrape may be missed or repeated", zap.Error(err))
	}
	return p.scraper.Start()
}

// Reload implements actors.Pipeline. Endpoints go first: if the new config adds one, it gets the
// samples of the new jobs too.
func (p *Pipeline) Reload(ctx context.Context, c *config.Instance) error {
	p.scrub.use(c)
	err := p.applyEndpoints(c)
	if err == nil {
		err = p.scraper.Apply(ctx, p.factory.scrapeConfig(p.unit, c))
	}
	if err != nil {
		// The cursors of endpoints that only c has would hold data back for nobody.
		return p.scrub.error(errors.Join(fmt.Errorf("reload pipeline: %w", err), p.applyEndpoints(p.config), p.forgetCursors(c, p.config)))
	}
	before := p.config
	p.config = c
	p.agent.Store(c.Compatibility == config.AgentSeries)
	p.log.SetRetention(p.factory.retention(c))
	if err := p.forgetCursors(before, c); err != nil {
		p.logger.Warn("cannot remove the cursor of a removed endpoint; its samples stay in the WAL until the cap", zap.Error(err))
	}
	return nil
}

// StopScraping implements actors.Pipeline. For messages.Moved it takes up to the shortest scrape
// interval, 5 s at most.
func (p *Pipeline) StopScraping(ctx context.Context, reason messages.StopReason) (messages.Handover, error) {
	err := p.scraper.Stop(ctx, p.stopMode(reason))
	return messages.Handover(p.scraper.Handover()), err
}

func (p *Pipeline) stopMode(reason messages.StopReason) scrape.StopMode {
	switch {
	case reason == messages.Moved:
		return scrape.HandOver
	case reason == messages.Fenced:
		return scrape.Fence
	case reason == messages.Deleted, reason == messages.Held, reason == messages.Shutdown && p.config.WriteStaleOnShutdown:
		return scrape.EndSeries
	default:
		return scrape.KeepSeries
	}
}

// NextTick returns when the next tick of any target is due; after StopScraping, when the first one
// that was not taken is, which is for the next node. The zero time: there are no targets. Any
// goroutine may call it.
func (p *Pipeline) NextTick() time.Time { return p.scraper.NextTick() }

// Drain implements actors.Pipeline.
func (p *Pipeline) Drain(ctx context.Context) (uint64, error) { return p.queue.Drain(ctx) }

// Close implements actors.Pipeline. A log that still has unsent samples is kept whatever remove says.
func (p *Pipeline) Close(remove bool) error {
	defer p.ended.Do(func() { p.factory.live.Add(-1) })
	p.factory.logs.remove(p)
	var err error
	if p.scraper != nil {
		err = p.scraper.Stop(alreadyOver(), scrape.KeepSeries)
	}
	p.flusher.end()
	p.queue.Close()
	if p.log == nil {
		return err
	}
	return errors.Join(err, p.log.RemoveIf(func() bool { return remove && p.everythingSent() }))
}

// everythingSent says whether every endpoint is at the end of the log.
func (p *Pipeline) everythingSent() bool {
	p.cursors.mu.Lock()
	defer p.cursors.mu.Unlock()
	for _, id := range p.cursors.configured {
		if at, known, err := p.log.Cursor(id); err != nil || known && at.Seq < p.log.End().Seq {
			return false
		}
	}
	return true
}

// alreadyOver is a context that grants no time.
func alreadyOver() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// Targets are the targets that the instance has found, if they are wanted: counting them by state
// costs far less than describing them. Nil: they are. Any goroutine may call it.
func (p *Pipeline) Targets(wanted func(counts map[scrape.State]int) bool) []scrape.Target {
	if wanted != nil && !wanted(p.scraper.Counts()) {
		return nil
	}
	targets := p.scraper.Targets()
	for i := range targets {
		targets[i].LastError = p.scrub.text(targets[i].LastError)
		targets[i].Refused = p.scrub.text(targets[i].Refused)
	}
	return targets
}

// Appendable is the way into the instance's log for samples that were not scraped. Any goroutine
// may call it.
func (p *Pipeline) Appendable() storage.AppendableV2 { return p.scraper.Pushed() }

// Compatibility is whose series those of the instance are. Any goroutine may call it.
func (p *Pipeline) Compatibility() config.Compatibility {
	if p.agent.Load() {
		return config.AgentSeries
	}
	return config.PrometheusSeries
}

// Refusals are the limits that the instance has met. Any goroutine may call it.
func (p *Pipeline) Refusals() []scrape.Refusal { return p.scraper.Refusals() }

// Endpoints describes the remote_write endpoints. Any goroutine may call it.
func (p *Pipeline) Endpoints() []remotewrite.EndpointStatus {
	endpoints := p.queue.Endpoints()
	for i := range endpoints {
		endpoints[i].LastError, endpoints[i].URL = p.scrub.text(endpoints[i].LastError), redact.URLText(endpoints[i].URL)
	}
	return endpoints
}

// Discovered tells what the instance's discoveries have found, in detail with each target and the
// rule that dropped it. Any goroutine may call it.
func (p *Pipeline) Discovered(detail bool) []scrape.FoundJob {
	jobs := p.scraper.Discovered(detail)
	for _, job := range jobs {
		for i := range job.Targets {
			job.Targets[i].Err = p.scrub.error(job.Targets[i].Err)
		}
	}
	return jobs
}

// Glance asks one of the targets, and stores nothing of its answer. Any goroutine may call it.
func (p *Pipeline) Glance(ctx context.Context, job string, id uint64, most int) (scrape.Glance, error) {
	g, err := p.scraper.Glance(ctx, job, id, most)
	g.Err, g.Body = p.scrub.error(g.Err), []byte(p.scrub.text(string(g.Body)))
	for _, values := range g.Header {
		for i := range values {
			values[i] = p.scrub.text(values[i])
		}
	}
	return g, err
}
