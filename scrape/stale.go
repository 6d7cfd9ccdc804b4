package scrape

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	promscrape "github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/storage"
)

// openSeries is a series whose last sample is not a staleness marker. labels is a string header: the bytes are those of the
// scrape loop's own cache, so that remembering a series costs 24 bytes.
type openSeries struct {
	ref    storage.SeriesRef
	labels labels.Labels
}

// loopSeries are the open series of one scrape cache: of one target, across the loops that inherit its cache. Only the loop
// writes it, in commits under the gate's mutex; elements are never changed in place.
type loopSeries struct {
	ctx    context.Context // the scrape pool's: over when its job was removed
	key    promscrape.MetricMetadataStore
	series []openSeries
	last   int64 // highest timestamp committed, milliseconds
}

// seriesBatch collects what one scrape appends. A scrape nearly always appends the series of the one before in the same order,
// so it only counts how many agree, and copies the list at the first difference.
type seriesBatch struct {
	same  int
	fresh []openSeries // nil while everything agreed
	last  int64
}

func (b *seriesBatch) add(loop *loopSeries, s openSeries, t int64, stale bool) {
	b.last = max(b.last, t)
	switch {
	case stale:
	case b.fresh != nil:
		b.fresh = append(b.fresh, s)
	case b.same < len(loop.series) && loop.series[b.same].ref == s.ref:
		b.same++
	default:
		b.fresh = make([]openSeries, b.same, max(len(loop.series), b.same+1))
		copy(b.fresh, loop.series)
		b.fresh = append(b.fresh, s)
	}
}

// loopOf finds the record of the scrape loop that ctx belongs to, nil if ctx comes from elsewhere.
func (g *gate) loopOf(ctx context.Context) *loopSeries {
	key, ok := promscrape.MetricMetadataStoreFromContext(ctx)
	if !ok {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	loop := g.loops[key]
	if loop == nil {
		loop = &loopSeries{ctx: ctx, key: key}
	}
	return loop
}

// remember makes the batch the loop's open series. A loop whose series have all ended is forgotten.
func (g *gate) remember(loop *loopSeries, b *seriesBatch) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if b.fresh != nil {
		loop.series = append([]openSeries(nil), b.fresh...) // without the spare capacity of growing
	} else {
		loop.series = loop.series[:b.same]
	}
	loop.last = max(loop.last, b.last)
	if len(loop.series) == 0 {
		delete(g.loops, loop.key)
	} else {
		g.loops[loop.key] = loop
	}
}

// endSeries writes a staleness marker at time now (milliseconds), or just after a series' last sample if that is later, for the
// open series of all loops. It passes the gate even when that is closed, so it must not be used before the loops have ended.
func (g *gate) endSeries(now int64) error {
	return g.end(g.takeLoops(func(*loopSeries) bool { return true }), now)
}

// endRemovedSeries does the same for the loops whose scrape pool is gone: Prometheus writes no markers when a job is removed.
func (g *gate) endRemovedSeries(now int64) error {
	removed := g.takeLoops(func(l *loopSeries) bool { return l.ctx.Err() != nil })
	if g.dropping.Load() {
		return nil
	}
	return g.end(removed, now)
}

func (g *gate) end(ended []*loopSeries, now int64) (err error) {
	if len(ended) == 0 {
		return nil
	}
	if g.panicked.Load() {
		return errAppenderPanicked
	}
	defer g.recoverPanic(&err)
	app := g.inner.AppenderV2(context.Background())
	for _, loop := range ended {
		if err := appendStale(app, loop, max(now, loop.last+1)); err != nil {
			return fmt.Errorf("append staleness markers: %w", errors.Join(err, app.Rollback()))
		}
	}
	if err = app.Commit(); err != nil {
		return fmt.Errorf("commit staleness markers: %w", err)
	}
	return nil
}

// takeLoops returns the chosen loops and forgets them.
func (g *gate) takeLoops(chosen func(*loopSeries) bool) []*loopSeries {
	g.mu.Lock()
	defer g.mu.Unlock()
	var taken []*loopSeries
	for key, loop := range g.loops {
		if chosen(loop) {
			taken = append(taken, loop)
			delete(g.loops, key)
		}
	}
	return taken
}

// appendStale ends each series of a loop. A series that has a newer sample, from another target or with a timestamp of its own,
// has not ended.
func appendStale(app storage.AppenderV2, loop *loopSeries, t int64) error {
	stale := math.Float64frombits(value.StaleNaN)
	for _, s := range loop.series {
		_, err := app.Append(s.ref, s.labels, 0, t, stale, nil, nil, storage.AOptions{RejectOutOfOrder: true})
		if err != nil && !errors.Is(err, storage.ErrOutOfOrderSample) && !errors.Is(err, storage.ErrDuplicateSampleForTimestamp) {
			return err
		}
	}
	return nil
}
