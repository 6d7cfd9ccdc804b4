package messages

import "time"

// Question is what the outside asks the supervisor. A question may be asked at any time and changes
// nothing; one that is lost is answered by nobody, so ask with a deadline.
type Question interface{ question() }

// DescribeTree is answered by TreeDescription. The zero value asks for everything, which takes a
// large supervisor some milliseconds, in which it does nothing else.
type DescribeTree struct {
	// Config asks for the units of this config only. Empty: for all.
	Config string
	// Own asks for the units only that the node runs or should run, and those of which no member is
	// known that does either. Unused with Config.
	Own bool
	// Brief asks for no units, whatever else is asked for.
	Brief bool
}

// DescribeUnit is answered by UnitAnswer.
type DescribeUnit struct {
	Unit Unit
}

func (DescribeTree) question() {}
func (DescribeUnit) question() {}

// TreeDescription is the state of everything under one supervisor.
type TreeDescription struct {
	// Complete is true once the store has been listed successfully (at once if there is no store).
	Complete bool
	// Settled is true when Complete, and every known document was looked at, and no instance is
	// still on its way to running: what the readiness probe wants to know.
	Settled bool
	// Stopping is true after StopTree.
	Stopping bool
	// StoreProblem is the newest error of the store; empty when it answered last time.
	StoreProblem string
	// Doubt says why part of the last listing is not believed; empty if all of it is.
	Doubt string
	// Cluster is what the node knows of the others; its Node is empty if there are none to know of.
	Cluster ClusterDescription
	// Units is every unit that is wanted or still here, ordered by Unit.Compare, as far as it was
	// asked for.
	Units List[UnitDescription]
}

// UnitAnswer answers DescribeUnit.
type UnitAnswer struct {
	// Known is false if there is no such unit here.
	Known bool
	Unit  UnitDescription
}

// UnitDescription is the state of one unit.
type UnitDescription struct {
	Unit  Unit
	Phase Phase
	// Since is when the phase began.
	Since time.Time
	// Local is true for a config of the main file.
	Local bool
	// New: the node has heard of the config only now, so nobody can be expected to run it yet.
	New bool
	// Generation numbers the newest start attempt. It grows with every attempt of any unit, so no
	// two share one; 0 before the first.
	Generation uint64
	// RunningRevision and RunningDigest are those in force; zero if nothing runs.
	RunningRevision int64
	RunningDigest   Digest
	// WantedRevision and WantedDigest are those of the newest valid document; zero if there is none.
	WantedRevision int64
	WantedDigest   Digest
	// Hold says in words why what is wanted is not being done; empty if nothing is held.
	Hold string
	// LastError is the newest failure of the unit, also after it recovered; empty if it never failed.
	LastError string
	// Failures counts the failures in a row; it starts again after a quiet time, a change or a retry.
	Failures int
	// Restarts counts the generations after the first.
	Restarts int
	// NextAttempt is when the backoff is over, or the quarantine lifted for an attempt; zero if
	// there is neither.
	NextAttempt time.Time
	// QuarantineReason says why the unit is quarantined; empty if it is not.
	QuarantineReason string
	// InvalidReason says what is wrong with the newest document; empty if it is valid.
	InvalidReason string
	// Pending is the number of samples that the last generation left on disk.
	Pending uint64
	// Owner is the node that should run the unit, empty if that is not known; Owned: it is this one.
	Owner string
	Owned bool
	// ClaimedBy is the node that runs it, since when, by that node's clock, and at which epoch;
	// empty if nobody does.
	ClaimedBy    string
	ClaimedSince time.Time
	Epoch        int64
}

// ClusterDescription is what a node knows of its cluster.
type ClusterDescription struct {
	// Node is this node's name, Session what its claims are bound to; empty if it has none at the
	// moment.
	Node, Session string
	// Settled: there is a ring. Permitted: this node may scrape by its claims.
	Settled, Permitted bool
	// Problem says why the node can't take its place, in words; empty if it can.
	Problem string
	// Members are the records of all nodes, by name.
	Members List[MemberDescription]
	// Holds and Cordons are what people have ordered, by name.
	Holds   List[ConfigHold]
	Cordons List[NodeCordon]
	// Unowned is how many units nobody runs, and nobody holds; 0 as long as the store has not told
	// who runs what, and where not everything was asked for.
	Unowned int
	// Moves are the newest moves, oldest first.
	Moves List[Move]
}

// MemberDescription is a member and its part of the ring.
type MemberDescription struct {
	Member Member
	// Share is the part of all keys, from 0 to 1.
	Share float64
}

// MoveReason says how a unit came to the node that runs it.
type MoveReason uint8

// The reasons of a move.
const (
	// MoveFirst: nobody is known to have run it before.
	MoveFirst MoveReason = iota
	// MoveHandedOver: the node before stopped, and left it.
	MoveHandedOver
	// MoveTakenOver: the claim of the node before ended with its session: it crashed, was cut off,
	// or left in a hurry.
	MoveTakenOver
	// MoveReclaimed: the claim was written over: the node before had the same name, or its claim
	// could not be read.
	MoveReclaimed
)

// String is the reason in words.
func (r MoveReason) String() string {
	switch r {
	case MoveFirst:
		return "first claimed"
	case MoveHandedOver:
		return "handed over"
	case MoveTakenOver:
		return "taken over after its session ended"
	case MoveReclaimed:
		return "claimed again"
	default:
		return "unknown"
	}
}

// MarshalText makes the reason readable in JSON.
func (r MoveReason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// Move is one change of who runs a unit.
type Move struct {
	Unit Unit
	// From is empty with MoveFirst.
	From, To string
	At       time.Time
	Epoch    int64
	Reason   MoveReason
}
