package web

import (
	"errors"
	"time"
)

// Errors of Ring and Cluster that have a status of their own.
var (
	// ErrMemberStays says that a member can't be forgotten, since it may be alive.
	ErrMemberStays = errors.New("only a dead member can be forgotten")
	// ErrForgetSelf says that a node was asked to forget itself.
	ErrForgetSelf = errors.New("a node can't forget itself: stop it instead")
	// ErrUnsettled says that the ring is not known yet.
	ErrUnsettled = errors.New("the ring has not settled yet")
)

// StateActive is the state of a member that owns its part of the ring; other states are shown as
// they are.
const StateActive = "ACTIVE"

// Member is one agent in the ring.
type Member struct {
	// ID is the node's name.
	ID string
	// State is ACTIVE, JOINING, LEAVING or UNHEALTHY.
	State string
	// Scheme and Address (host:port) are where the node's API is reached. An empty Scheme is http.
	Scheme, Address string
	// Seen is when the member last gave a sign of life, Registered when it joined; zero if not known.
	Seen, Registered time.Time
	// Zone is the availability zone, if any.
	Zone string
	// Version is the program's.
	Version string
	// Tokens are the member's places on the ring, in any order.
	Tokens []uint32
	// Share is the part of all keys that the member owns, from 0 to 1.
	Share float64
	// Alive is what gossip says. Nil: it says nothing.
	Alive *bool
	// ClockAhead is how far the node's clock is ahead of this node's. 0: not far, or not known.
	ClockAhead time.Duration
	// Problem says why the member's record can't be read. Empty: it can.
	Problem string
	// Unfit says why the member can't run anything at the moment, or may not since it is drained, so
	// that others do. Empty: it runs its part.
	Unfit string
	// Cordon is that it is cordoned or drained. Nil: it is not.
	Cordon *Standing
}

// Scope says of which units a state is wanted. The zero value: of all, which costs as much as there
// are configs.
type Scope struct {
	// Config: of this config only. Empty: of all.
	Config string
	// Own: of those only that this node runs or should, and those of which no member is known that
	// does either. Unused with Config.
	Own bool
	// Members: of none; only who shares the work is wanted.
	Members bool
}

// ClusterState is what a node knows of its cluster.
type ClusterState struct {
	// Session is what this node's claims are bound to. Empty: it has none at the moment, or needs none.
	Session string
	// Settled: there is a ring. Permitted: this node may scrape by its claims.
	Settled, Permitted bool
	// Problem says why this node can't take its place. Empty: it can.
	Problem string
	// Members are in any order, this node among them.
	Members []Member
	// Units is every unit in the scope that somebody should run or runs, in any order.
	Units []Unit
	// Held are the configs that people hold, by name.
	Held []Standing
	// Cordons are the nodes that are cordoned or drained, by name, whether they are members or not.
	Cordons []Standing
	// Unowned is how many of them nobody runs, and nobody holds, if all were asked for.
	Unowned int
	// Moves are the newest ones, newest first.
	Moves []Move
}

// Unit is a config, or a slice or a replica of one, and who runs it. Its JSON is an item of GET
// /agent/api/v1/cluster/units.
type Unit struct {
	Config string `json:"config"`
	// Name tells the slice and the replica, for people. Empty: the config's first, and mostly only,
	// unit.
	Name    string `json:"unit,omitempty"`
	Slice   int    `json:"slice"`
	Replica int    `json:"replica"`
	// State is derived by this package; see the states.
	State string `json:"state"`
	// Owner is the node that should run it. Empty: not known.
	Owner string `json:"owner"`
	// ClaimedBy is the node that runs it, since when by that node's clock, and at which epoch.
	// Empty: nobody.
	ClaimedBy    string    `json:"claimed_by"`
	ClaimedSince time.Time `json:"since,omitzero"`
	Epoch        int64     `json:"epoch,omitempty"`
	// Held: a person holds its config.
	Held bool `json:"-"`
	// Local: the unit is of a config that only this node has.
	Local bool `json:"-"`
	// New: its config came a moment ago, so nobody can be expected to run it yet.
	New bool `json:"-"`
	// Phase and Hold are those on this node.
	Phase string `json:"phase"`
	Hold  string `json:"hold,omitempty"`
}

// The states of a Unit.
const (
	// UnitClaimed: the node that should run it does, as far as is known.
	UnitClaimed = "claimed"
	// UnitMoving: another node than the one that should runs it.
	UnitMoving = "moving"
	// UnitUnclaimed: nobody runs it.
	UnitUnclaimed = "unclaimed"
	// UnitHeld: nobody runs it, since a person holds its config.
	UnitHeld = "held"
	// UnitLocal: it is of this node's own file, and not shared.
	UnitLocal = "local"
)

// isUnclaimed says that the store has no claim for it.
func (u Unit) isUnclaimed() bool { return !u.Local && u.ClaimedBy == "" && u.Epoch == 0 }

func (u Unit) state() string {
	switch {
	case u.Local:
		return UnitLocal
	case u.ClaimedBy == "" && u.Epoch == 0 && u.Held:
		return UnitHeld
	case u.ClaimedBy == "" && u.Epoch == 0:
		return UnitUnclaimed
	case u.Owner == "" || u.Owner == u.ClaimedBy:
		return UnitClaimed
	default:
		return UnitMoving
	}
}

// Move is one change of who runs a unit. Its JSON is an item of GET /agent/api/v1/cluster.
type Move struct {
	Config string `json:"config"`
	// Name is as in Unit.
	Name string `json:"unit,omitempty"`
	// From is empty if nobody is known to have run it before.
	From string    `json:"from,omitempty"`
	To   string    `json:"to"`
	At   time.Time `json:"at"`
	// Epoch is the store revision of the claim.
	Epoch  int64  `json:"epoch"`
	Reason string `json:"reason"`
}

// Change is a change of members to plan: either Leave or Join is set.
type Change struct {
	// Leave names a member.
	Leave string
	// Join is how many new members there would be, and Seed what their tokens are drawn with.
	Join int
	Seed uint64
}

// Plan says what a Change would move.
type Plan struct {
	// Units is how many units there are; Moved how many of them would get another owner, for a join
	// on average over Draws.
	Units, Moved int
	// Draws is how often tokens were drawn for members that are not there yet; the result is an
	// estimate, between Least and Most in all of these draws. 0: the result is exact.
	Draws, Least, Most int
	// Nodes are the members before and after, by name.
	Nodes []PlannedNode
	// Moves is what would move, in any order; empty for an estimate.
	Moves []PlannedMove
}

// PlannedNode is how many units a member owns before and after a Change, for an estimate on average.
type PlannedNode struct {
	Node   string `json:"node"`
	Before int    `json:"before"`
	After  int    `json:"after"`
}

// PlannedMove is one unit that would move. To is empty if nobody would be left.
type PlannedMove struct {
	Config  string `json:"config"`
	Name    string `json:"unit,omitempty"`
	Slice   int    `json:"slice"`
	Replica int    `json:"replica"`
	From    string `json:"from"`
	To      string `json:"to"`
}
