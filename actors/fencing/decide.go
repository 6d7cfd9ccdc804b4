package fencing

import "time"

const (
	// Fresh is the age at which evidence is none any more.
	Fresh = 2500 * time.Millisecond
	// Idle is how long a session must not have been renewed before another node ends it.
	Idle = 3 * time.Second
	// carry is how long a permission holds that needs no evidence: so long that a process which is starved for a moment keeps it.
	carry = 2 * time.Second
	// composure is how long a node must have been awake to give its session up: the store has had its time to renew it.
	composure = 2 * time.Second
	// grace is how long others may reach the store before a node that goes on without it counts as cut off: when a store comes back, it
	// does not come back for all nodes at once, and nobody can have taken over from those who are a little later.
	grace = 4 * time.Second
	// patience is how long a node looks, without having been paused itself, before it believes that it is isolated.
	patience = 10 * time.Second
)

// View is everything a decision depends on.
type View struct {
	Now time.Time
	// TTL is the session's time to live.
	TTL time.Duration
	// Renewed is the newest proof that the session was alive; zero if there is none. It may be of an earlier process, which is a lapse.
	Renewed time.Time
	// NoGossip: this node has no gossip, so others know nothing of it by which they could end its session early.
	NoGossip bool
	// Contact is when the newest ping that a peer has answered was sent; zero if there was none.
	Contact time.Time
	// Alive is how many peers gossip sees alive, Reaching how many of them say that they reach the store.
	Alive, Reaching int
	// ReachingSince is since when some have said so without interruption; zero if none does.
	ReachingSince time.Time
	// Survived: those who reach it do so by the sessions they had before; so this node's can't have run out either. Otherwise it may have.
	Survived bool
	// AwaySince is since when at the latest the store has not answered any of the peers; zero if that is not known.
	AwaySince time.Time
	// Others is how many other members there were when the store last told.
	Others int
	// Lapsed: since the session was last renewed there was a time without evidence, in which others may have taken over.
	Lapsed bool
	// AwakeSince is since when the node has been looking without a pause.
	AwakeSince time.Time
	// StopWhenIsolated: a node that sees neither the store nor a peer stops. Otherwise it goes on: duplicates are safer than gaps.
	StopWhenIsolated bool
}

// Verdict is what the node may do.
type Verdict struct {
	// Until is when the permission to scrape ends, unless the session is renewed; zero: it has none.
	Until time.Time
	// Fenced: the node has to give up its session by itself, and to say so. It may never scrape by it again.
	Fenced bool
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
		return Verdict{Until: v.Now.Add(carry), Reason: "the store is away, and there is no other node"}
	case v.inContact():
		return amongPeers(v, stale)
	case v.Lapsed && v.Now.Sub(v.AwakeSince) < patience:
		return Verdict{Reason: "the node was paused, and the store has not renewed its session since"}
	case v.NoGossip && !v.Renewed.IsZero() && stale < v.TTL-Fresh:
		return Verdict{Until: v.Renewed.Add(v.TTL - Fresh), Reason: "the store is away, and there is no gossip; the session can't have run out yet"}
	case min(v.Now.Sub(v.AwakeSince), stale, v.Now.Sub(v.Contact)) < patience:
		return Verdict{Reason: "neither the store nor a peer answers"}
	case v.StopWhenIsolated:
		return Verdict{Fenced: true, Reason: "neither the store nor a peer answers: isolated, and told to stop then"}
	default:
		return Verdict{Until: v.Now.Add(carry), Reason: "neither the store nor a peer answers: isolated, and told to go on then"}
	}
}

// whileRenewed is until when a node may scrape whose session is being renewed. It holds beyond the session's own evidence, if there will be
// other, so that there is no gap between the two.
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
	switch {
	case v.Reaching == 0 && v.frozen():
		return Verdict{Until: v.Now.Add(carry), Reason: "no node reaches the store"}
	case v.Lapsed || v.Renewed.IsZero():
		fenced := stale >= limit && v.Reaching > 0 && !v.Renewed.IsZero() && v.Now.Sub(v.AwakeSince) >= composure
		return Verdict{Fenced: fenced, Reason: "peers answer, but others may have taken over before"}
	case v.Reaching == 0:
		return Verdict{Until: v.Now.Add(carry), Reason: "no node reaches the store"}
	case stale < limit:
		return Verdict{Until: earlier(v.Contact.Add(Fresh), v.Renewed.Add(limit)), Reason: "the store is away, and peers answer"}
	case v.Now.Sub(v.ReachingSince) < grace && !v.Survived:
		return Verdict{Reason: "the store has come back for other nodes, and their sessions had run out"}
	case v.Now.Sub(v.ReachingSince) < grace:
		return Verdict{Until: earlier(v.Contact.Add(Fresh), v.ReachingSince.Add(grace)), Reason: "the store has come back for other nodes"}
	default:
		return Verdict{Fenced: true, Reason: "other nodes reach the store and this one does not"}
	}
}

// inContact reports whether peers' answers are evidence: they are recent, and more than half of the nodes are together. Who ends another's session
// needs half of them, so the two can't be on different sides.
func (v View) inContact() bool {
	return !v.Contact.IsZero() && v.Now.Sub(v.Contact) < Fresh && 2*(v.Alive+1) > v.Others+1
}

// frozen reports whether nobody can have taken over, whatever this node did meanwhile: the store went away for all before the session could
// have been ended. The clocks of the nodes have to agree to within a second or so for that; two instants that are far apart say that they don't.
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
