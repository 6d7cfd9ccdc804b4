package fencing

import "time"

const (
	// Fresh is the age at which evidence is none any more.
	Fresh = 2500 * time.Millisecond
	// Idle is how long a session must not have been renewed before another node ends it.
	Idle = 3 * time.Second
	// grantWithoutEvidence is how long a permission holds that needs no evidence: so long that a
	// process which is starved for a moment keeps it.
	grantWithoutEvidence = 2 * time.Second
	// minAwake is how long a node must have been awake to give its session up: the store has had
	// its time to renew it.
	minAwake = 2 * time.Second
	// grace is how long others may reach the store before a node that goes on without it counts as
	// cut off: when a store comes back, it does not come back for all nodes at once, and nobody can
	// have taken over from those who are a little later.
	grace = 4 * time.Second
	// hearsay is how long a node that is without the store waits for word of its peers before it
	// believes that it alone is cut off: one that has lost the store too says so only when its own
	// evidence is over.
	hearsay = time.Second
	// isolationDelay is how long a node looks, without having been paused itself, before it
	// believes that it is isolated.
	isolationDelay = 10 * time.Second
)

// MinTTL is the shortest time to live of a session: a node that is cut off stops when half of it is
// over, and evidence is good for Fresh.
const MinTTL = 2 * Fresh

// View is everything a decision depends on.
type View struct {
	Now time.Time
	// TTL is the session's time to live.
	TTL time.Duration
	// Renewed is the newest proof that the session was alive; zero if there is none. It may be of
	// an earlier process, which is a lapse.
	Renewed time.Time
	// NoGossip: this node has no gossip, so others know nothing of it by which they could end its
	// session early.
	NoGossip bool
	// Contact is the moment since when more than half of the members, this node included, have
	// answered that they hold it alive: the time at which the last of that many was asked. Zero if
	// there never were so many.
	Contact time.Time
	// Reaching is how many of the peers that answer say that they reach the store.
	Reaching int
	// Away is how many of the peers that answer say that they don't reach the store.
	Away int
	// Unseen is how many members neither answer nor are known to be gone. What they do is not known.
	Unseen int
	// ReachingSince is since when some have said so without interruption; zero if none does.
	ReachingSince time.Time
	// Survived: those who reach it do so by the sessions they had before; so this node's can't have
	// run out either. Otherwise it may have.
	Survived bool
	// AwaySince is since when at the latest the store has not answered any of the peers; zero if
	// that is not known, or if the clock of one of them may be behind.
	AwaySince time.Time
	// Leaving: this node leaves, so others may not count it any more.
	Leaving bool
	// Others is how many other members there were before the fault.
	Others int
	// Lapsed: since the session was last renewed there was a time without evidence, in which others
	// may have taken over.
	Lapsed bool
	// WentOn: since the session was last renewed the node went on although it was isolated, as it
	// was told to. Others may have taken over.
	WentOn bool
	// AwakeSince is since when the node has been looking without a pause.
	AwakeSince time.Time
	// StopWhenIsolated: a node that sees neither the store nor a peer stops. Otherwise it goes on:
	// duplicates are safer than gaps.
	StopWhenIsolated bool
}

// Verdict is what the node may do.
type Verdict struct {
	// Until is when the permission to scrape ends, unless the session is renewed; zero: it has none.
	Until time.Time
	// Fenced: the node has to give up its session by itself, and to say so. It may never scrape by
	// it again.
	Fenced bool
	// Isolated: the permission is given to a node that can't know whether others have taken over.
	Isolated bool
	// Reason says why, in words.
	Reason string
}

// Decide says whether the node may scrape.
func Decide(v View) Verdict {
	stale := v.Now.Sub(v.Renewed)
	switch {
	case !v.Renewed.IsZero() && stale < Fresh:
		return Verdict{Until: v.whileRenewed(), Reason: "the store renews the session"}
	case v.Others == 0:
		return Verdict{Until: v.Now.Add(grantWithoutEvidence), Reason: "the store is away, and there is no other node"}
	case v.inContact():
		return amongPeers(v, stale)
	case v.Lapsed && v.Now.Sub(v.AwakeSince) < isolationDelay:
		return Verdict{Reason: "the node was paused, and the store has not renewed its session since"}
	case v.NoGossip && !v.Renewed.IsZero() && stale < v.TTL-Fresh:
		return Verdict{Until: v.Renewed.Add(v.TTL - Fresh), Reason: "the store is away, and there is no gossip; the session can't have run out yet"}
	case v.Reaching > 0:
		fenced := v.cutOff(stale) && !v.Renewed.IsZero() && v.Now.Sub(v.AwakeSince) >= minAwake
		return Verdict{Fenced: fenced, Reason: "other nodes reach the store and this one does not"}
	case min(v.Now.Sub(v.AwakeSince), stale, v.Now.Sub(v.Contact)) < isolationDelay:
		return Verdict{Reason: "neither the store nor enough peers answer"}
	default:
		return v.isolated("neither the store nor enough peers answer")
	}
}

// isolated is about a node, or a group of nodes, that can't know whether others take over: the
// setting decides.
func (v View) isolated(why string) Verdict {
	if v.StopWhenIsolated {
		return Verdict{Fenced: true, Reason: why + ": isolated, and told to stop then"}
	}
	return Verdict{Until: v.Now.Add(grantWithoutEvidence), Isolated: true, Reason: why + ": isolated, and told to go on then"}
}

// whileRenewed is until when a node may scrape whose session is being renewed. It holds beyond the
// session's own evidence, if there will be other, so that there is no gap between the two.
func (v View) whileRenewed() time.Time {
	until := v.Renewed.Add(Fresh)
	switch {
	case v.NoGossip:
		return later(until, v.Renewed.Add(v.TTL-Fresh))
	case v.inContact():
		return later(until, earlier(v.Contact.Add(Fresh), v.Renewed.Add(v.TTL/2)))
	default:
		return until
	}
}

// amongPeers is about a node that peers answer and the store does not.
func amongPeers(v View, stale time.Duration) Verdict {
	limit := v.TTL / 2
	nobodyCan := v.Reaching == 0 && v.Unseen == 0
	switch {
	case nobodyCan && v.frozen():
		return Verdict{Until: v.Now.Add(grantWithoutEvidence), Reason: "no node reaches the store"}
	case v.Lapsed || v.Renewed.IsZero():
		fenced := v.cutOff(stale) && v.Reaching > 0 && !v.Renewed.IsZero() && v.Now.Sub(v.AwakeSince) >= minAwake
		return Verdict{Fenced: fenced, Reason: "peers answer, but others may have taken over before"}
	case nobodyCan && !v.WentOn:
		return Verdict{Until: v.Now.Add(grantWithoutEvidence), Reason: "no node reaches the store"}
	case stale < limit:
		return Verdict{Until: earlier(v.Contact.Add(Fresh), v.Renewed.Add(limit)), Reason: "the store is away, and peers answer"}
	case v.Reaching == 0:
		// One of those that don't answer may have the store, and take over when the sessions run out.
		return v.isolated("the store is away, and not every node answers")
	case v.Now.Sub(v.ReachingSince) < grace && v.WentOn:
		return Verdict{Reason: "the store has come back for other nodes, and some may have taken over before"}
	case v.Now.Sub(v.ReachingSince) < grace && !v.Survived:
		return Verdict{Reason: "the store has come back for other nodes, and their sessions had run out"}
	case v.Now.Sub(v.ReachingSince) < grace:
		return Verdict{Until: earlier(v.Contact.Add(Fresh), v.ReachingSince.Add(grace)), Reason: "the store has come back for other nodes"}
	case !v.cutOff(stale):
		return Verdict{Reason: "the store is away, and it is not known yet whether for every node"}
	default:
		return Verdict{Fenced: true, Reason: "other nodes reach the store and this one does not"}
	}
}

// cutOff reports whether it is time to believe that this node has lost the store and those who say
// that they reach it have not. When the store goes away for all, no two nodes notice it at the same
// time, and for a moment each sees others that seem to reach it. A node that gives its session up
// then has nothing to scrape by until the store is back. So it takes longer if a peer has lost the
// store too. Nor does it come back for all at once, and who joins then may be the first to reach it:
// until others have reached it for grace, this node waits for it to answer here too.
func (v View) cutOff(stale time.Duration) bool {
	wait := hearsay
	if v.Away > 0 {
		wait = Fresh
	}
	return stale >= v.TTL/2+wait && v.Now.Sub(v.ReachingSince) >= grace
}

// inContact reports whether peers' answers are evidence: those of more than half of the members are
// recent.
func (v View) inContact() bool {
	return !v.Contact.IsZero() && v.Now.Sub(v.Contact) < Fresh
}

// frozen reports whether nobody can have taken over, whatever this node did meanwhile: the store
// went away for all before the session could have been ended. The clocks of the nodes have to agree
// to within a second or so for that; two instants that are far apart say that they don't.
func (v View) frozen() bool {
	apart := v.AwaySince.Sub(v.Renewed)
	return !v.AwaySince.IsZero() && !v.Renewed.IsZero() && -Idle < apart && apart < Idle
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
