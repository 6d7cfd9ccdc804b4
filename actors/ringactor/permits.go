package ringactor

import (
	"sync/atomic"
	"time"

	"github.com/ringmaster-agent/ringmaster/actors/async"
	"github.com/ringmaster-agent/ringmaster/actors/fencing"
	"github.com/ringmaster-agent/ringmaster/cluster"
)

// Permits says whether the node may scrape by the claims of a session. The ring actor keeps it up
// to date. Scrape loops ask it before each scrape and before each commit, so it costs a few
// comparisons and waits for nobody. Any goroutine may ask.
type Permits struct {
	runtime async.Runtime
	current atomic.Pointer[permit]
}

// permit is that of one session.
type permit struct {
	id string
	// session is nil if it is that of an earlier process, of which nothing is known but its name.
	session cluster.Session
	// void: the session is given up for good, whatever the store says.
	void atomic.Bool
	// granted is what fencing allowed last.
	granted atomic.Pointer[grant]
}

// grant is a permission until a time, given at a reading of the clocks. Renewed is the newest
// renewal that was believed.
type grant struct {
	until, renewed time.Time
	at             fencing.Reading
}

// NewPermits returns permits of a node without a session.
func NewPermits(runtime async.Runtime) *Permits { return &Permits{runtime: runtime} }

// Allowed reports whether the node may scrape now by what it has claimed in the session.
func (p *Permits) Allowed(session string) bool {
	current := p.current.Load()
	return current != nil && session != "" && current.id == session && p.allows(current)
}

// Permitted reports whether the node may scrape now by its present session.
func (p *Permits) Permitted() bool {
	current := p.current.Load()
	return current != nil && p.allows(current)
}

// StoreAway reports whether the session has not been renewed for so long that nothing can be
// written by it.
func (p *Permits) StoreAway() bool {
	current := p.current.Load()
	return current == nil || current.session == nil || p.runtime.Now().Sub(current.session.LastRenewed()) >= fencing.Idle
}

func (p *Permits) allows(current *permit) bool {
	g := current.granted.Load()
	if g == nil || current.void.Load() || current.ended() {
		return false
	}
	now := p.reading()
	return (now.Now.Before(g.until) || now.Now.Sub(g.renewed) < fencing.Fresh) && fencing.Skipped(g.at, now) == 0
}

// reading looks at the clocks.
func (p *Permits) reading() fencing.Reading {
	return fencing.Reading{Now: p.runtime.Now(), Boot: p.runtime.SinceBoot()}
}

// install makes a session the present one. It allows nothing yet.
func (p *Permits) install(id string, session cluster.Session) {
	p.current.Store(&permit{id: id, session: session})
}

// grant allows the present session to be used until a time, and as long as the renewal is fresh.
func (p *Permits) grant(g grant) {
	if current := p.current.Load(); current != nil {
		current.granted.Store(&g)
	}
}

// giveUp makes sure that the present session allows nothing any more.
func (p *Permits) giveUp() {
	if current := p.current.Load(); current != nil {
		current.void.Store(true)
	}
}

// clear makes the node one without a session.
func (p *Permits) clear() {
	p.giveUp()
	p.current.Store(nil)
}

// ended reports whether the store has said that the session is over.
func (p *permit) ended() bool {
	if p.session == nil {
		return false
	}
	select {
	case <-p.session.Done():
		return true
	default:
		return false
	}
}
