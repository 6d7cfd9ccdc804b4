package reshard

import (
	"time"

	"github.com/ringmaster-agent/ringmaster/messages"
)

// Ownership is what is known of who should run a unit. The zero value is Unknown.
type Ownership uint8

// The ownerships.
const (
	// Unknown: the ring is not settled, or could not be asked. Nothing starts and nothing stops.
	Unknown Ownership = iota
	// Owned: this node should run the unit.
	Owned
	// NotOwned: another node should.
	NotOwned
)

// Owners answers who should run a unit. It is an immutable value: the same unit gets the same answer for the life of a View.
type Owners interface {
	Ownership(messages.Unit) Ownership
}

// Alone is the ring of one member: it owns everything.
type Alone struct{}

// Ownership implements Owners.
func (Alone) Ownership(messages.Unit) Ownership { return Owned }

// View is everything a decision depends on.
type View struct {
	Now time.Time
	// Stopping: the whole tree has been told to end.
	Stopping bool
	// Owners is the ring. Nil is a ring that nothing is known of.
	Owners Owners
	// Complete: the store has been listed successfully at least once, so that a config which is not in Documents does not
	// exist. True if there is no store.
	Complete bool
	// Documents is every known config by name.
	Documents map[string]Document
	// Instances is every unit with a live generation or with a memory of failures.
	Instances map[messages.Unit]Instance
}

// Version is one state of a document.
type Version struct {
	Revision int64
	Digest   messages.Digest
}

// Document is what is known of one config.
type Document struct {
	// Local: it comes from the main file and not from a store.
	Local bool
	// Vanished: the last listing lacked it, and that is not believed yet.
	Vanished bool
	// Valid is the newest version that could be decoded and validated; zero if there is none, or not yet.
	Valid Version
	// Problem says why a version newer than Valid is not valid; empty if it is, or if it has not been looked at yet.
	Problem string
}

// Instance is what is known of one unit on this node.
type Instance struct {
	// Generation numbers the newest start attempt, 0 before the first; it is live until its phase is stopped.
	Generation uint64
	Phase      messages.Phase
	// Local: what it runs came from the main file.
	Local bool
	// Ordered is the digest of the last config it was told to run.
	Ordered messages.Digest
	// Asked is the reason of the last StopInstance it was sent.
	Asked messages.StopReason
	// FailedDigest is the config that the next two fields are about. They don't hold back another one.
	FailedDigest messages.Digest
	NotBefore    time.Time
	Quarantined  bool
}

// Live reports whether the instance's generation has not released everything yet.
func (i Instance) Live() bool {
	switch i.Phase {
	case messages.PhaseNew, messages.PhasePreparing, messages.PhaseRunning, messages.PhaseDraining, messages.PhaseFailed:
		return i.Generation > 0
	default:
		return false
	}
}

// ending reports whether the generation can only stop any more.
func (i Instance) ending() bool {
	return i.Asked != messages.NotStopping || i.Phase == messages.PhaseDraining || i.Phase == messages.PhaseFailed
}

// Units are the units of a config.
func Units(name string) []messages.Unit { return []messages.Unit{messages.WholeConfig(name)} }
