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

// String is the state as the API and the retired service's ring page show it.
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
	// Address is where its HTTP API answers, host:port. Gossip is where its gossip does, empty if it has none.
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
	// Since is when the node registered, by its own clock.
	Since time.Time
	// Session is the store's session that the record is bound to.
	Session string
	// Revision is the store's revision of the record.
	Revision int64
	// Problem says why the record could not be read; everything but Node, Session and Revision is empty then.
	Problem string
}

// Claim is the store's record that a node runs a unit, or has run it and left it to whoever takes it next.
type Claim struct {
	Unit Unit
	Node string
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
	// Problem says why the record could not be read. Such a claim holds until its session ends or somebody deletes it.
	Problem string
}

// Held reports whether somebody may be running the unit.
func (c Claim) Held() bool { return c.Revision != 0 && !c.Released }

// Intent is the store's record that a node is prepared to run a unit.
type Intent struct {
	Unit     Unit
	Node     string
	Session  string
	Revision int64
	Since    time.Time
}

// RegistryEvent is what is heard of the cluster's members, claims and intents in the store. Like WatcherEvents they are hints,
// which a listing makes good.
type RegistryEvent interface{ registryEvent() }

// RegistryListed is everything as of one revision.
type RegistryListed struct {
	Members  List[Member]
	Claims   List[Claim]
	Intents  List[Intent]
	Revision int64
	// Afresh: the store is not the one it was (emptied, restored), so revisions known before mean nothing.
	Afresh bool
}

// MemberPut says that a member's record was written, MemberGone that it went, by a deletion or with its session.
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
