package fencing

import (
	"fmt"
	"time"
)

// EndWithin bounds everything that is done to end the session of another node, from the question
// how long it has been idle to the end: less than the time between two renewals.
const EndWithin = 900 * time.Millisecond

// silence is how long a node must not have answered before its session is ended: so long that what
// others answered before the fault is no evidence any more, for it or against it. A fault may begin
// as long after the last answer as two questions are apart, half a second in small clusters.
// Without this, who is called dead too early is ended by what was a majority before the fault.
const silence = Fresh + 750*time.Millisecond

// Ending is what a node may do about the session of another one.
type Ending uint8

// The endings.
const (
	// LeaveIt: it ends by itself, or not at all.
	LeaveIt Ending = iota
	// AskStore: everything but the store says that the node is dead. How long the session has been
	// idle decides.
	AskStore
	// EndIt: the session may be ended.
	EndIt
)

// Evidence is what a node knows of another one whose session it might end.
type Evidence struct {
	Now time.Time
	// TTL is the session's time to live.
	TTL time.Duration
	// Fenced: the other one says in gossip that it has given up this very session.
	Fenced bool
	// Dead: gossip holds it dead. Assured is when this node last told it that it holds it alive;
	// zero if never.
	Dead    bool
	Assured time.Time
	// Answered is when this node asked the question that the other one answered last; zero if never.
	Answered time.Time
	// Together is how many members are with this node, itself included, of the Members there were
	// before the fault.
	Together, Members int
	// Renewed is when the store last renewed this node's own session, AwakeSince since when this
	// node looks without a pause.
	Renewed, AwakeSince time.Time
	// CanTell: the store can tell how long a session was not renewed. Idle is how long; negative:
	// it was not asked yet.
	CanTell bool
	Idle    time.Duration
	// Successor: this node is the next process of the other one's name and address book entry. It
	// has no word of gossip yet.
	Successor bool
	// NoGossip: the nodes of this cluster have none, so each goes on for almost as long as its session
	// may last.
	NoGossip bool
	// Remembers: this process has the memory of the other one, which only one process at a time can
	// have.
	Remembers bool
}

// MayEnd says whether the session may be ended, and why, or why not. It is the only authority about
// it: for nodes that seem dead, for those that a person wants to be forgotten, and for the process
// before of the same name.
func MayEnd(e Evidence) (Ending, string) {
	switch {
	case e.Remembers:
		return EndIt, "it is the session of the process before this one"
	case e.Fenced:
		return EndIt, "it has fenced itself"
	case !e.CanTell:
		return LeaveIt, "this store can't tell whether the session is still renewed; it runs out by itself"
	case e.Successor:
		return e.afterIdle(e.bound(), "the process before of this name is gone")
	case !e.Dead:
		return LeaveIt, "gossip does not say that the node is dead"
	case e.Now.Sub(e.Assured) < Fresh:
		return LeaveIt, "this node has told it a moment ago that it holds it alive"
	case e.Now.Sub(e.Answered) < silence:
		return LeaveIt, "it has answered this node a moment ago"
	case 2*e.Together < e.Members:
		return LeaveIt, fmt.Sprintf("only %d of %d members are with this node; the session runs out by itself", e.Together, e.Members)
	case e.Now.Sub(e.AwakeSince) < Idle:
		return LeaveIt, "this node was paused a moment ago"
	case e.Now.Sub(e.Renewed) >= Fresh:
		return LeaveIt, "the store does not renew this node's own session"
	default:
		return e.afterIdle(e.bound(), "gossip says that it is dead")
	}
}

// bound is how long the session must not have been renewed. Without the word of gossip it is as
// long as a node may go on that only peers answer, or that has no gossip.
func (e Evidence) bound() time.Duration {
	if e.Successor {
		return GoesOn(e.TTL, e.NoGossip)
	}
	return Idle
}

// GoesOn is how long after the last renewal of its session a node scrapes at most that has lost the
// store, if others have not and it is not told to go on when it is isolated.
func GoesOn(ttl time.Duration, noGossip bool) time.Duration {
	if noGossip {
		return max(Idle, ttl-Fresh)
	}
	return max(Idle, ttl/2)
}

// Wait is when the session may be ended at the earliest, once the store was asked.
func (e Evidence) Wait() time.Duration { return max(e.bound()-e.Idle, time.Second/10) }

// afterIdle lets the session be ended if it has been idle for so long.
func (e Evidence) afterIdle(bound time.Duration, why string) (Ending, string) {
	switch {
	case e.Idle < 0:
		return AskStore, why
	case e.Idle < bound:
		return LeaveIt, fmt.Sprintf("the session was renewed %s ago", e.Idle.Round(100*time.Millisecond))
	default:
		return EndIt, fmt.Sprintf("%s, and its session was not renewed for %s", why, e.Idle.Round(100*time.Millisecond))
	}
}
