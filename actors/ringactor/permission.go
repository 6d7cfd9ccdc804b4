package ringactor

import (
	"time"

	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors/fencing"
)

// pause is how much later than due a look must come for the process to have been paused.
const pause = time.Second

// clocks is what the looks have shown of time.
type clocks struct {
	last fencing.Reading
	// awakeSince is since when the node has been looking without a pause.
	awakeSince time.Time
	// trustFrom is when the machine last went on after it was suspended: the monotonic times of
	// before are too young by that.
	trustFrom time.Time
}

// permission is what fencing has said, and what it is asked about.
type permission struct {
	*base
	own    *own
	peers  *peerHealth
	clocks *clocks
	// verdict is the newest. lapsed: there was a time without permission since the store last
	// renewed the session.
	verdict fencing.Verdict
	lapsed  bool
	// wentOn: since then the node went on although it was isolated.
	wentOn bool
	// permitted is until when there was permission last.
	permitted time.Time
}

// wake notices that the process was paused, or the machine suspended. It returns for how long the
// machine was.
func (k *clocks) wake(now fencing.Reading) time.Duration {
	var skipped time.Duration
	if !k.last.Now.IsZero() {
		skipped = fencing.Skipped(k.last, now)
	}
	if k.last.Now.IsZero() || skipped > 0 || now.Now.Sub(k.last.Now) > lookInterval+pause {
		k.awakeSince = now.Now
	}
	if skipped > 0 {
		k.trustFrom = now.Now
	}
	k.last = now
	return skipped
}

// wake takes into account what the clocks show.
func (p *permission) wake() {
	skipped := p.clocks.wake(p.Permits.reading())
	if skipped == 0 {
		return
	}
	p.Logger.Warn("machine was suspended, or its clock was set forward; others may have taken over meanwhile", zap.Duration("duration", skipped))
	// Everything that was known is older than its monotonic time says.
	for _, t := range []*time.Time{&p.own.belief.Renewed, &p.own.belief.Doubted, &p.verdict.Until, &p.permitted} {
		if !t.IsZero() {
			*t = t.Add(-skipped)
		}
	}
}

// renewed is when the store last renewed this node's own session; zero if that is not known.
func (o *own) renewed(k *clocks) time.Time {
	if o.session == nil {
		return time.Time{}
	}
	if renewed := o.session.LastRenewed(); !renewed.Before(k.trustFrom) {
		return renewed
	}
	return time.Time{}
}

// decide asks fencing whether the node may scrape, and has the permits say so.
func (p *permission) decide() fencing.Verdict {
	if renewed := p.own.renewed(p.clocks); !renewed.IsZero() {
		p.own.belief = p.own.belief.Take(renewed, p.now())
	}
	v := p.view()
	verdict := fencing.Decide(v)
	p.say(verdict)
	p.verdict, p.lapsed, p.wentOn = verdict, v.Lapsed, v.WentOn || verdict.Isolated
	if verdict.Until.After(p.permitted) {
		p.permitted = verdict.Until
	}
	p.Permits.grant(grant{until: verdict.Until, renewed: p.own.belief.Renewed, at: p.clocks.last})
	return verdict
}

// view is what there is to decide on.
func (p *permission) view() fencing.View {
	now := p.now()
	renewed, peers := p.own.belief.Renewed, p.peers.survey()
	fresh := !renewed.IsZero() && now.Sub(renewed) < fencing.Fresh
	over := now.Sub(p.verdict.Until) >= fencing.Idle-fencing.Fresh // less is too short for others to have taken over
	v := fencing.View{
		Now: now, TTL: p.SessionTTL, Renewed: renewed, Others: len(peers), NoGossip: p.Gossip == nil,
		Lapsed: !fresh && (p.lapsed || p.own.session == nil || over), AwakeSince: p.clocks.awakeSince, StopWhenIsolated: p.StopWhenIsolated,
		WentOn: !fresh && p.wentOn, Leaving: p.own.leaves,
	}
	if p.Gossip == nil {
		return v
	}
	v.Survey(peers)
	v.Survived = p.peers.survived(fresh)
	switch {
	case v.Reaching == 0:
		p.peers.reachingSince = time.Time{}
	case p.peers.reachingSince.IsZero():
		p.peers.reachingSince = now
	}
	v.ReachingSince = p.peers.reachingSince
	return v
}

// say logs by what the node scrapes, or doesn't, when that has changed, and at the start if it is not
// a session of this process.
func (p *permission) say(v fencing.Verdict) {
	remembers := p.own.session == nil && !v.Until.IsZero()
	if before := p.verdict.Reason; v.Reason != before && (before != "" || remembers) {
		p.Logger.Info("scrape permission: evidence changed", zap.String("reason", v.Reason),
			zap.Bool("permitted", !v.Until.IsZero()), zap.Bool("fenced", v.Fenced))
	}
}
