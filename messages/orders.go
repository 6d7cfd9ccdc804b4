package messages

import (
	"fmt"
	"time"
)

// Order is what a person, or a larger system, wants of the cluster until it is taken back: that a
// config is not run, or that a node takes no more units. The supervisor of any node takes orders,
// writes them to the store, where every node reads them, and answers with OrderTaken. An order that
// is lost, or not answered, may be sent again: each says how things should be.
type Order interface {
	ControlCommand
	RingCommand
	order()
}

// HoldConfig stops a stored config on all nodes until it is released. What its logs hold goes on
// being sent. Configs of a main file can't be held.
type HoldConfig struct {
	Config string
	// Reason and By are shown to people.
	Reason, By string
}

// ReleaseConfig ends the hold of a config.
type ReleaseConfig struct{ Config string }

// CordonNode keeps a member of the cluster from taking units that it does not run. If all members
// are cordoned, they share the units as if none were.
type CordonNode struct {
	Node string
	// Drain: it gives its units to the others, too, each as soon as another node is ready for it.
	Drain bool
	// Force: also if the others are too few to take them. Units that no other node can run stay. A
	// cordon without a drain: also if another member runs another version, which may not know cordons.
	Force bool
	// Reason and By are shown to people.
	Reason, By string
}

// UncordonNode ends what CordonNode began.
type UncordonNode struct{ Node string }

// OrderTaken answers an Order.
type OrderTaken struct {
	// Known is false if there is no such config or node, or nothing to take back; nothing was done
	// then.
	Known bool
	// Problem says why nothing was done; empty: the store has the order. Refused: sending it again
	// won't help.
	Problem string
	Refused bool
}

func (HoldConfig) controlCommand()    {}
func (ReleaseConfig) controlCommand() {}
func (CordonNode) controlCommand()    {}
func (UncordonNode) controlCommand()  {}

func (HoldConfig) ringCommand()    {}
func (ReleaseConfig) ringCommand() {}
func (CordonNode) ringCommand()    {}
func (UncordonNode) ringCommand()  {}

func (HoldConfig) order()    {}
func (ReleaseConfig) order() {}
func (CordonNode) order()    {}
func (UncordonNode) order()  {}

// ConfigHold is the store's record that a config is held. That it exists holds the config, even if
// it can't be read.
type ConfigHold struct {
	Config string
	// Reason and By are as in HoldConfig. Since is when the order was taken, by the clock of the
	// node that took it.
	Reason, By string
	Since      time.Time
	Revision   int64
	// Problem says why the record can't be read; Reason, By and Since are empty then.
	Problem string
}

// String is the hold in words.
func (h ConfigHold) String() string { return inWords("held", h.By, h.Since, h.Reason, h.Problem) }

// NodeCordon is the store's record that a node is cordoned. That it exists cordons the node, even
// if it can't be read.
type NodeCordon struct {
	Node  string
	Drain bool
	// Reason, By and Since are as in ConfigHold.
	Reason, By string
	Since      time.Time
	Revision   int64
	// Problem says why the record can't be read; what it says is empty then.
	Problem string
}

// String is the cordon in words.
func (c NodeCordon) String() string {
	what := "cordoned"
	if c.Drain {
		what = "drained"
	}
	return inWords(what, c.By, c.Since, c.Reason, c.Problem)
}

func inWords(what, by string, since time.Time, reason, problem string) string {
	if problem != "" {
		return what + "; " + problem
	}
	if by != "" {
		what += " by " + by
	}
	what = fmt.Sprintf("%s since %s", what, since.UTC().Format(time.RFC3339))
	if reason != "" {
		what += ": " + reason
	}
	return what
}

// HoldPut says that a config was held, HoldGone that it was released.
type (
	HoldPut  struct{ Hold ConfigHold }
	HoldGone struct {
		Config   string
		Revision int64
	}
)

// CordonPut says that a node was cordoned, CordonGone that it was uncordoned.
type (
	CordonPut  struct{ Cordon NodeCordon }
	CordonGone struct {
		Node     string
		Revision int64
	}
)

func (HoldPut) registryEvent()    {}
func (HoldGone) registryEvent()   {}
func (CordonPut) registryEvent()  {}
func (CordonGone) registryEvent() {}
