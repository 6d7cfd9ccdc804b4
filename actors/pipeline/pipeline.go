package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/prometheus/storage"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
	"github.com/ringmaster-agent/ringmaster/remotewrite"
	"github.com/ringmaster-agent/ringmaster/scrape"
	"github.com/ringmaster-agent/ringmaster/wal"
)

var _ actors.Pipeline = (*Pipeline)(nil)

// warmTime bounds how long a new pipeline waits for discoveries. Some never report, because they find nothing.
const warmTime = 5 * time.Second

// Pipeline is the data path of one instance.
type Pipeline struct {
	factory *Factory
	unit    messages.Unit
	name    string // the unit's key
	config  *config.Instance
	failed  func(error)
	permit  func() bool
	logger  *zap.Logger

	log     *wal.Log
	queue   *remotewrite.Queue
	scraper *scrape.Scraper
	haste   haste
}

// open opens the log first, then the endpoints, so that every endpoint has its cursor before the first sample is committed. The
// scraper is made before the endpoints, which ask it for metadata, and given its config after them.
func (p *Pipeline) open(ctx context.Context) (err error) {
	p.queue = remotewrite.New(remotewrite.Options{
		Instance: p.name,
		Logger:   p.logger,
		Clients:  p.factory.clients,
		Metrics:  p.factory.sending,
		Metadata: p.metadata,
		OnPanic:  p.failed,
	})
	if p.log, err = p.openLog(); err != nil {
		return err
	}
	if p.scraper, err = scrape.New(p.factory.scrapeOptions(p)); err != nil {
		return err
	}
	if err := p.applyEndpoints(p.config); err != nil {
		return err
	}
	if err := p.forgetOtherCursors(p.config); err != nil {
		return err
	}
	if err := p.scraper.Apply(ctx, p.factory.scrapeConfig(p.unit, p.config)); err != nil {
		return err
	}
	p.warm(ctx)
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
		p.logger.Info("instance is opened before all of its targets are known", zap.Error(err))
	}
}

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

// applyEndpoints makes the queue serve just the endpoints of c.
func (p *Pipeline) applyEndpoints(c *config.Instance) error {
	ids := remotewrite.CursorIDs(c.Name, c.RemoteWrite)
	endpoints := make([]remotewrite.EndpointConfig, len(ids))
	for i, id := range ids {
		endpoints[i] = remotewrite.EndpointConfig{
			Config:         c.RemoteWrite[i],
			ExternalLabels: p.factory.options.ReplicaLabels(c.ExternalLabels, p.unit.Replica),
			CursorID:       id,
			Open:           func() (remotewrite.Source, remotewrite.Position, error) { return openSource(p.log, id) },
		}
	}
	return p.queue.Apply(endpoints)
}

// forgetOtherCursors lets the log go on without the endpoints that c lacks: what only they had not sent yet is given up with them.
func (p *Pipeline) forgetOtherCursors(c *config.Instance) error {
	ids := remotewrite.CursorIDs(c.Name, c.RemoteWrite)
	for _, cursor := range p.log.Cursors() {
		if slices.Contains(ids, cursor.ID) {
			continue
		}
		if err := p.log.RemoveCursor(cursor.ID); err != nil {
			return err
		}
	}
	return nil
}

// Start implements actors.Pipeline.
func (p *Pipeline) Start(_ context.Context, resume messages.Handover) error {
	if err := p.scraper.Resume(string(resume)); err != nil {
		p.logger.Warn("handover is not used, so that a tick may be missed or taken twice", zap.Error(err))
	}
	return p.scraper.Start()
}

// Reload implements actors.Pipeline. Endpoints go first: if the new config adds one, it gets the samples of the new jobs too.
func (p *Pipeline) Reload(ctx context.Context, c *config.Instance) error {
	err := p.applyEndpoints(c)
	if err == nil {
		err = p.scraper.Apply(ctx, p.factory.scrapeConfig(p.unit, c))
	}
	if err != nil {
		// The cursors of endpoints that only c has would hold data back for nobody.
		return errors.Join(fmt.Errorf("reload pipeline: %w", err), p.applyEndpoints(p.config), p.forgetOtherCursors(p.config))
	}
	p.config = c
	p.log.SetRetention(p.factory.retention(c))
	if err := p.forgetOtherCursors(c); err != nil {
		p.logger.Warn("cursor of a removed endpoint stays and holds its data back until the log's cap", zap.Error(err))
	}
	return nil
}

// StopScraping implements actors.Pipeline. For messages.Moved it takes up to the shortest scrape interval, 5 s at most.
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
	case reason == messages.Deleted, reason == messages.Shutdown && p.config.WriteStaleOnShutdown:
		return scrape.EndSeries
	default:
		return scrape.KeepSeries
	}
}

// NextTick returns when the next tick of any target is due; after StopScraping, when the first one that was not taken is, which is for
// the next node. The zero time: there are no targets. Any goroutine may call it.
func (p *Pipeline) NextTick() time.Time { return p.scraper.NextTick() }

// Drain implements actors.Pipeline.
func (p *Pipeline) Drain(ctx context.Context) (uint64, error) { return p.queue.Drain(ctx) }

// Close implements actors.Pipeline. A log that still has unsent samples is kept whatever remove says.
func (p *Pipeline) Close(remove bool) error {
	p.factory.logs.remove(p)
	var err error
	if p.scraper != nil {
		err = p.scraper.Stop(alreadyOver(), scrape.KeepSeries)
	}
	p.haste.end()
	pending := p.queue.Pending()
	p.queue.Close()
	if p.log == nil {
		return err
	}
	if remove && pending == 0 {
		return errors.Join(err, p.log.Remove())
	}
	return errors.Join(err, p.log.Close())
}

// alreadyOver is a context that grants no time.
func alreadyOver() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// Targets are the targets that the instance has found. Any goroutine may call it.
func (p *Pipeline) Targets() []scrape.Target { return p.scraper.Targets() }

// Appendable is the way into the instance's log for samples that were not scraped. Any goroutine may call it.
func (p *Pipeline) Appendable() storage.AppendableV2 { return p.log }

// Endpoints describes the remote_write endpoints. Any goroutine may call it.
func (p *Pipeline) Endpoints() []remotewrite.EndpointStatus { return p.queue.Endpoints() }
