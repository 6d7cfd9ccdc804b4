package scrape

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	promscrape "github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/storage"
)

// errAppenderPanicked makes a scrape fail, visibly in the list of targets, after the appender has panicked.
var errAppenderPanicked = errors.New("append samples: the appender panicked, the instance has to be restarted")

// gate stands between the scrape loops and the appendable. It lets a stop drop what an aborted scrape would commit (stale
// markers and up = 0), turns a panic of the appendable into a failed scrape and one report, and remembers the open series of
// each scrape loop for the staleness markers of a deleted config.
type gate struct {
	inner   storage.AppendableV2
	onPanic func(error) // reports the first panic; never nil

	dropping atomic.Bool // what is not committed yet never will be
	panicked atomic.Bool

	// committing is held for reading during a commit, so that close can wait for it.
	committing sync.RWMutex

	mu    sync.Mutex
	loops map[promscrape.MetricMetadataStore]*loopSeries
}

func newGate(inner storage.AppendableV2, onPanic func(error)) *gate {
	return &gate{inner: inner, onPanic: onPanic, loops: map[promscrape.MetricMetadataStore]*loopSeries{}}
}

// AppenderV2 implements storage.AppendableV2. ctx is the scrape loop's.
func (g *gate) AppenderV2(ctx context.Context) storage.AppenderV2 {
	a := &gateAppender{gate: g}
	if g.dropping.Load() || g.panicked.Load() {
		return a
	}
	var err error
	defer g.recoverPanic(&err) // a is without inner then, and says so
	a.inner = g.inner.AppenderV2(ctx)
	a.loop = g.loopOf(ctx)
	return a
}

// drop makes all open and future appenders roll back instead of committing. It does not wait.
func (g *gate) drop() { g.dropping.Store(true) }

// close drops, and returns when no commit is running any more.
func (g *gate) close() {
	g.drop()
	g.committing.Lock()
	defer g.committing.Unlock()
}

// recoverPanic is deferred around every call into the appendable. It makes a panic the error of that call.
func (g *gate) recoverPanic(err *error) {
	v := recover()
	if v == nil {
		return
	}
	*err = errAppenderPanicked
	if g.panicked.CompareAndSwap(false, true) {
		g.onPanic(panicError("append samples", v))
	}
}

// panicError describes a recovered panic together with the stack it happened on.
func panicError(doing string, v any) error {
	return fmt.Errorf("%s: panic: %v\n%s", doing, v, debug.Stack())
}

// gateAppender is the appender of one scrape. inner is nil when the gate was closed or the appendable had panicked before.
type gateAppender struct {
	gate  *gate
	inner storage.AppenderV2
	loop  *loopSeries
	batch seriesBatch
}

// Append implements storage.AppenderV2. While the gate drops, it pretends to accept, which keeps the loop from retrying and
// from logging an error that is none.
func (a *gateAppender) Append(ref storage.SeriesRef, ls labels.Labels, st, t int64, v float64, h *histogram.Histogram,
	fh *histogram.FloatHistogram, opts storage.AOptions) (_ storage.SeriesRef, err error) {
	switch {
	case a.gate.panicked.Load():
		return 0, errAppenderPanicked
	case a.inner == nil || a.gate.dropping.Load():
		return ref, nil
	}
	defer a.gate.recoverPanic(&err)
	ref, err = a.inner.Append(ref, ls, st, t, v, h, fh, opts)
	if a.loop != nil && ref != 0 && (err == nil || isPartial(err)) {
		a.batch.add(a.loop, openSeries{ref: ref, labels: ls}, t, isStale(v, h, fh))
	}
	return ref, err
}

// Commit implements storage.AppenderTransaction.
func (a *gateAppender) Commit() (err error) {
	if a.inner == nil {
		return nil
	}
	a.gate.committing.RLock()
	defer a.gate.committing.RUnlock()
	if a.gate.panicked.Load() {
		_ = a.Rollback()
		return errAppenderPanicked
	}
	if a.gate.dropping.Load() {
		return a.Rollback()
	}
	defer a.gate.recoverPanic(&err)
	if err = a.inner.Commit(); err == nil && a.loop != nil {
		a.gate.remember(a.loop, &a.batch)
	}
	return err
}

// Rollback implements storage.AppenderTransaction.
func (a *gateAppender) Rollback() (err error) {
	if a.inner == nil {
		return nil
	}
	defer a.gate.recoverPanic(&err)
	return a.inner.Rollback()
}

func isPartial(err error) bool {
	return errors.Is(err, (*storage.AppendPartialError)(nil))
}

func isStale(v float64, h *histogram.Histogram, fh *histogram.FloatHistogram) bool {
	switch {
	case fh != nil:
		return value.IsStaleNaN(fh.Sum)
	case h != nil:
		return value.IsStaleNaN(h.Sum)
	default:
		return value.IsStaleNaN(v)
	}
}
