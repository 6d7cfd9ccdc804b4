package messages

import "time"

// Notice is what a supervisor tells the subscriber of its embedder, and the event stream of its
// actor system: what has happened, in the order in which it happened to the supervisor, which is
// its sender. Nothing answers a notice, and nothing follows from one that is lost: DescribeTree
// tells the present state at any time.
type Notice interface{ notice() }

// UnitStarted says that a unit is scraped by this node from now on. It is sent by the supervisor
// when its instance runs, also after a failure.
type UnitStarted struct {
	Unit       Unit
	Generation uint64
	Revision   int64
}

// UnitStopped says that this node does not run a unit any more, and that everything is released.
// Another generation may follow.
type UnitStopped struct {
	Unit       Unit
	Generation uint64
	// Reason is NotStopping if it failed.
	Reason StopReason
	// Pending is the number of samples that it left on disk.
	Pending uint64
}

// UnitFailed says that an attempt to run a unit failed. The next one comes at NextAttempt.
type UnitFailed struct {
	Unit        Unit
	Generation  uint64
	Reason      string
	NextAttempt time.Time
}

// UnitQuarantined says that a unit has failed too often: it is tried once an hour, until its config
// changes or RetryInstance comes.
type UnitQuarantined struct {
	Unit   Unit
	Reason string
}

// UnitMoved says that another node than before has claimed a unit, this one or a peer. Every node
// of the cluster sends it.
type UnitMoved struct{ Move Move }

// NodeFenced says that this node has lost its session: it stops what others may run, until NodeJoined.
type NodeFenced struct{ Node string }

// NodeJoined says by which session this node claims from now on.
type NodeJoined struct{ Node, Session string }

// MemberJoined says that a node is on the ring, this one or a peer: units move to it.
type MemberJoined struct{ Node string }

// MemberLeft says that a node is not on the ring any more: others take its units.
type MemberLeft struct{ Node string }

// FaultInjected says that a fault on purpose has hit something for the first time. It is sent when
// a rule of fault.Registry does so.
type FaultInjected struct {
	// Rule is its name, Point and Action are where and what.
	Rule, Point, Action string
	// Unit and Actor are what was hit, Message the kind of a message, or the other side; empty
	// where the point does not know.
	Unit, Actor, Message string
}

func (UnitStarted) notice()     {}
func (UnitStopped) notice()     {}
func (UnitFailed) notice()      {}
func (UnitQuarantined) notice() {}
func (UnitMoved) notice()       {}
func (NodeFenced) notice()      {}
func (NodeJoined) notice()      {}
func (MemberJoined) notice()    {}
func (MemberLeft) notice()      {}
func (FaultInjected) notice()   {}
