package scrape

import (
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

var (
	// Both are shown as the last error of a target.
	errAppenderPanicked = errors.New("append samples: the appender panicked, the instance has to be restarted")
	errScrapePanicked   = errors.New("scrape panicked")
)

// gate stands between the scrapes and what they commit to, so that a stop can shut it.
type gate struct {
	dropping atomic.Bool // what is not committed yet never will be
	panicked atomic.Bool

	// committing is held for reading during a commit, so that close can wait for it.
	committing sync.RWMutex
}

// closed reports whether nothing will be committed any more.
func (g *gate) closed() bool { return g.dropping.Load() }

// drop makes all scrapes roll back instead of committing. It does not wait.
func (g *gate) drop() { g.dropping.Store(true) }

// close drops, and returns when no commit is running any more.
func (g *gate) close() {
	g.drop()
	g.committing.Lock()
	defer g.committing.Unlock()
}

// commit ends the ingester's transaction: with a commit if nothing and nobody is against it. An
// error comes from the commit.
func (g *gate) commit(in *ingester, r *attempt, permitted func() bool) (committed bool, err error) {
	g.committing.RLock()
	defer g.committing.RUnlock()
	end := in.app.Commit
	dropped := g.closed() || r.loop.aborted.Load()
	if !dropped {
		r.vetoed = !permitted()
	}
	if dropped || r.vetoed {
		end = in.app.Rollback
	}
	in.inside = true
	err = end()
	in.inside = false
	return err == nil && !dropped && !r.vetoed, err
}

// panicError describes a recovered panic together with the stack it happened on.
func panicError(doing string, v any) error {
	return fmt.Errorf("%s: panic: %v\n%s", doing, v, debug.Stack())
}
