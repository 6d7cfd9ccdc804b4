package actors

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/ringmaster-agent/ringmaster/actors/fencing"
	"github.com/ringmaster-agent/ringmaster/cluster"
)

// permit says whether the node may scrape by its claims of one session. Scrape loops ask it before each scrape and before each commit, so
// it costs a few comparisons and waits for nobody. A nil permit allows nothing.
type permit struct {
	now     func() time.Time
	session cluster.Session
	// renewed is the newest renewal of the session that is believed; see belief.
	renewed atomic.Pointer[time.Time]
	// void: the session is given up for good, whatever the store says.
	void atomic.Bool
	// until is what fencing.Decide allowed beyond the session's own evidence.
	until atomic.Pointer[time.Time]
}

func (p *permit) allowed() bool {
	if p == nil || p.void.Load() || p.ended() {
		return false
	}
	now := p.now()
	until := p.until.Load()
	return until != nil && now.Before(*until) || now.Sub(p.lastRenewed()) < fencing.Fresh
}

// lastRenewed is when the request of the newest believed renewal was sent; zero if there was none.
func (p *permit) lastRenewed() time.Time {
	if t := p.renewed.Load(); t != nil {
		return *t
	}
	return time.Time{}
}

// storeAway reports whether the session has not been renewed for so long that nothing can be written by it.
func (p *permit) storeAway() bool {
	return p == nil || p.now().Sub(p.session.LastRenewed()) >= fencing.Idle
}

// belief is which renewals count as evidence. Another node that has seen the session idle may be about to end it, and a renewal that comes
// between the two does not keep it from doing so. After a pause in which others can have seen it idle, the first renewal therefore counts for
// nothing; the second was sent when whoever had seen the session idle had no time left to end it (revokeTimeout).
type belief struct{ doubted time.Time }

// believe takes note of the session's newest renewal. It is called several times between two renewals.
func (b *belief) believe(p *permit, now time.Time) {
	newest, before := p.session.LastRenewed(), p.lastRenewed()
	if newest.IsZero() || newest.Equal(before) || newest.Equal(b.doubted) {
		return
	}
	last := before
	if !b.doubted.IsZero() {
		last = b.doubted
	}
	if !last.IsZero() && now.Sub(last) >= fencing.Idle {
		b.doubted = newest
		return
	}
	b.doubted = time.Time{}
	p.renewed.Store(&newest)
}

// ended reports whether the store has said that the session is over.
func (p *permit) ended() bool {
	select {
	case <-p.session.Done():
		return true
	default:
		return false
	}
}

// unitPermit is whether one unit may be scraped: never before its claim, and by the permit of the claim's session. In a tree
// without a cluster it is free.
type unitPermit struct {
	free    bool
	current atomic.Pointer[permit]
}

func (u *unitPermit) allowed() bool { return u.free || u.current.Load().allowed() }

// earlierSession is the session of a process that has ended. Nothing is known of it any more but its name.
type earlierSession struct{ id string }

// ID implements cluster.Session.
func (s earlierSession) ID() string { return s.id }

// Done implements cluster.Session: nobody will tell.
func (earlierSession) Done() <-chan struct{} { return nil }

// LastRenewed implements cluster.Session: nobody renews it.
func (earlierSession) LastRenewed() time.Time { return time.Time{} }

// Close implements cluster.Session. The session runs out by itself.
func (earlierSession) Close(context.Context) error { return nil }
