package messages

import "time"

// MemberState is where a node stands in its ring.
type MemberState uint8

// The states of a member, in order of life.
const (
	// Joining: it has registered and is not ready to own anything.
	Joining MemberState = iota
	// Active: it owns its part of the ring.
	Active
	// Leaving: it owns nothing any more and hands over what it runs.
	Leaving
)

// String is the state as the API and the ring page of Grafana Agent show it.
func (s MemberState) String() string {
	switch s {
	case Joining:
		return "JOINING"
	case Active:
		return "ACTIVE"
	case Leaving:
		return "LEAVING"
	default:
		return "UNKNOWN"
	}
}

// MarshalText makes the state readable in JSON.
func (s MemberState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Member is one node of the cluster as its record in the store has it.
type Member struct {
	// Node is the node's name, unique in the cluster.
	Node string
	// Incarnation is the process: random, so that two processes of one name are two. Empty in
	// records of versions before it.
	Incarnation string
	// Address is where its HTTP API answers, host:port. Gossip is where its gossip does, empty if
	// it has none.
	Address, Gossip string
	// Scheme is http or https.
	Scheme string
	Zone   string
	State  MemberState
	// Tokens is its places on the ring.
	Tokens List[uint32]
	// Settings is a digest of what all members must agree about.
	Settings string
	Version  string
	// Unfit says why the node can't run anything at the moment, as with a full disk; empty: it can.
	Unfit string
	// Declines is the names of the configs that it leaves to others: since they fail on it, or
	// since its main file has one of that name.
	Declines List[string]
	// Cordoned: it takes no units that it does not run; see CordonNode.
	Cordoned bool
	// Since is when the node registered, by its own clock.
	Since time.Time
	// Session is the store's session that the record is bound to.
	Session string
	// Revision is the store's revision of the record.
	Revision int64
	// Problem says why the record could not be read; everything but Node, Session and Revision is
	// empty then.
	Problem string
}

// Claim is the store's record that a node runs a unit, or has run it and left it to whoever takes
// it next.
type Claim struct {
	Unit Unit
	// Node and Incarnation are the process that wrote it; see Member.
	Node, Incarnation string
	// Session is the store's session that the claim is bound to. The claim ends with it.
	Session string
	// Revision is the store's revision of the record: the claim's epoch.
	Revision int64
	// Since is when the node claimed or released the unit, by its own clock.
	Since time.Time
	// Released: the node has stopped scraping; anybody may claim.
	Released bool
	// Handover goes with Released.
	Handover Handover
	// Problem says why the record could not be read. Such a claim holds until its session ends or
	// somebody deletes it.
	Problem string
}

// Held reports whether somebody may be running the unit.
func (c Claim) Held() bool { return c.Revision != 0 && !c.Released }

// Intent is the store's record that a node is prepared to run a unit.
type Intent struct {
	Unit Unit
	// Node and Incarnation are the process that wrote it; see Member.
	Node, Incarnation string
	Session           string
	Revision          int64
	Since             time.Time
}

// RegistryEvent is what is heard of the cluster's members, claims, intents, holds and cordons in the
// store. Like WatcherEvents they are hints, which a listing makes good.
type RegistryEvent interface{ registryEvent() }

// RegistryListed is everything as of one revision.
type RegistryListed struct {
	Members  List[Member]
	Claims   List[Claim]
	Intents  List[Intent]
	Holds    List[ConfigHold]
	Cordons  List[NodeCordon]
	Revision int64
	Era      Era
	// Afresh: the store is not the one it was (emptied, restored), so revisions known before mean
	// nothing.
	Afresh bool
}

// MemberPut says that a member's record was written, MemberGone that it went, by a deletion or with
// its session.
type (
	MemberPut  struct{ Member Member }
	MemberGone struct {
		Node     string
		Revision int64
	}
)

// ClaimPut says that a claim was written, ClaimGone that it went.
type (
	ClaimPut  struct{ Claim Claim }
	ClaimGone struct {
		Unit     Unit
		Revision int64
	}
)

// IntentPut says that an intent was written, IntentGone that it went.
type (
	IntentPut  struct{ Intent Intent }
	IntentGone struct {
		Unit     Unit
		Revision int64
	}
)

func (RegistryListed) registryEvent() {}
func (MemberPut) registryEvent()      {}
func (MemberGone) registryEvent()     {}
func (ClaimPut) registryEvent()       {}
func (ClaimGone) registryEvent()      {}
func (IntentPut) registryEvent()      {}
func (IntentGone) registryEvent()     {}
