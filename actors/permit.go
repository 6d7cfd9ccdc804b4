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
	if now.Sub(p.session.LastRenewed()) < fencing.Fresh {
		return true
	}
	until := p.until.Load()
	return until != nil && now.Before(*until)
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

// earlierSession is the session of a process that has ended. Nothing is known of it but its name.
type earlierSession string

// ID implements cluster.Session.
func (s earlierSession) ID() string { return string(s) }

// Done implements cluster.Session: nobody will tell.
func (earlierSession) Done() <-chan struct{} { return nil }

// LastRenewed implements cluster.Session: nobody knows.
func (earlierSession) LastRenewed() time.Time { return time.Time{} }

// Close implements cluster.Session. The session runs out by itself.
func (earlierSession) Close(context.Context) error { return nil }
