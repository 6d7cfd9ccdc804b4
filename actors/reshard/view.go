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

// Owners answers who should run a unit. It is an immutable value: the same unit gets the same
// answer for the life of a View.
type Owners interface {
	// Owner names the node that should run the unit; with NotOwned it may be empty, if no node can.
	Owner(messages.Unit) (node string, ownership Ownership)
}

// Alone is the ring of one member: it owns everything.
type Alone struct{}

// Owner implements Owners.
func (Alone) Owner(messages.Unit) (string, Ownership) { return "", Owned }

// View is everything a decision depends on.
type View struct {
	Now time.Time
	// About is the units that are to be decided about, nil for all. Documents and Instances need
	// not have anything of others.
	About map[messages.Unit]bool
	// Stopping: the whole tree has been told to end.
	Stopping bool
	// Owners is the ring. Nil is a ring that nothing is known of.
	Owners Owners
	// Cluster is what the nodes tell each other through the store. Nil: this node is alone, and
	// needs no claims.
	Cluster *Cluster
	// Complete: the store has been listed successfully at least once, so that a config which is not
	// in Documents does not exist. True if there is no store.
	Complete bool
	// Holds is the configs that a person holds, by name. A config of the main file is run all the same.
	Holds map[string]messages.ConfigHold
	// Documents is the known configs by name.
	Documents map[string]Document
	// Instances is the units with a live generation or with a memory of failures.
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
	// Hides: the store has one of that name too, which other nodes run.
	Hides bool
	// Vanished: the last listing lacked it, and that is not believed yet.
	Vanished bool
	// Orphaned: it is known from a store that was replaced since by one that lacks it, which says
	// nothing about a deletion.
	Orphaned bool
	// Slices is how many slices the valid version has, 0 as 1.
	Slices int
	// Redivided is when that is in force; before, targets are divided otherwise. Zero: it is.
	Redivided time.Time
	// Valid is the newest version that could be decoded and validated; zero if there is none, or
	// not yet.
	Valid Version
	// Problem says why a version newer than Valid is not valid; empty if it is, or if it has not
	// been looked at yet.
	Problem string
}

// Instance is what is known of one unit on this node.
type Instance struct {
	// Generation numbers the newest start attempt, 0 before the first; it is live until its phase
	// is stopped.
	Generation uint64
	Phase      messages.Phase
	// Local: what it runs came from the main file.
	Local bool
	// Ordered is the digest of the last config it was told to run.
	Ordered messages.Digest
	// Asked is the reason of the last StopInstance it was sent.
	Asked messages.StopReason
	// Prepared: it has all it needs to scrape.
	Prepared bool
	// Epoch is that of the claim it may scrape with; 0 if it may not.
	Epoch int64
	// Quiet: it has stopped scraping, and Handover is for who scrapes next. It goes with the claim
	// of revision HandoverOf, in the present session, and with no other: after a restore of the
	// store there may be older ones, by which others have scraped since.
	Quiet      bool
	Handover   messages.Handover
	HandoverOf int64
	// ReleaseBy is when the claim of a quiet instance is released although not everything has been
	// sent.
	ReleaseBy time.Time
	// Contested: it has not scraped for a while, for lack of permission, and others may have run
	// the unit meanwhile.
	Contested bool
	// Leftover: there is a log with samples that were not sent. Drains: the generation is there to
	// send them.
	Leftover, Drains bool
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
func Units(name string, slices, replicas int) []messages.Unit {
	units := make([]messages.Unit, 0, max(slices, 1)*max(replicas, 1))
	for slice := range max(slices, 1) {
		for replica := range max(replicas, 1) {
			units = append(units, messages.Unit{Config: name, Slice: slice, Replica: replica})
		}
	}
	return units
}

// Cluster is what is known of the claims and intents of all nodes.
type Cluster struct {
	// Node is this node, Incarnation the process, Session what it writes by. Without a session
	// nothing can be written.
	Node, Incarnation, Session string
	// Replicas is how many nodes run each config, 0 as 1.
	Replicas int
	// Known: the registry was listed, so a claim that is not in it does not exist.
	Known bool
	// Recalled: the registry has not been listed since a restart. What is known is what this node had
	// before; nobody knows what others have claimed, and which configs are held.
	Recalled bool
	// TakeFrom is when this node, which has lost a session, may take what nobody has claimed:
	// others may have lost theirs too, and learn it later.
	TakeFrom time.Time
	// Leaving: what stops is released for others; otherwise a shutdown keeps the claims for this
	// node's next process.
	Leaving bool
	Claims  map[messages.Unit]messages.Claim
	Intents map[messages.Unit]messages.Intent
	// Answers: the store has answered just now, see Plan.Ask. Away: a question has waited for its
	// answer for so long that the store counts as away.
	Answers, Away bool
	// GivenUp is the revisions of claims that this node has tried to release or to remove. It runs
	// by none of them any more, since that may have happened, or may yet; to run, it claims anew. So
	// are claims that a restore of the store has brought back: others may run by later ones, which
	// the store has forgotten.
	GivenUp map[messages.Unit]int64
	// Writing is the records that are being written.
	Writing map[Record]bool
}

// Record names a unit's claim, or its intent.
type Record = messages.Record

// mine reports whether this node may run by the claim.
func (c *Cluster) mine(claim messages.Claim) bool {
	return claim.Held() && c.wrote(claim) && c.Session != "" && claim.Session == c.Session && claim.Revision != c.GivenUp[claim.Unit]
}

// wrote reports whether the claim is this process's, maybe from an earlier session: then nobody
// runs by it any more. A claim of another process of this name is another's: that one may be alive.
func (c *Cluster) wrote(claim messages.Claim) bool {
	return claim.Problem == "" && claim.Node == c.Node && claim.Incarnation == c.Incarnation
}

// none reports whether there is no claim as far as this node can know: a claim of its own session
// before has ended with that, whether that was heard or not, and one that was given up says nothing.
func (c *Cluster) none(claim messages.Claim) bool {
	return claim.Revision == 0 || claim.Held() && c.wrote(claim) || claim.Revision == c.GivenUp[claim.Unit]
}

// anothers reports whether another node may be running by the claim.
func (c *Cluster) anothers(claim messages.Claim) bool { return claim.Held() && !c.wrote(claim) }

// taken reports whether another node has claimed the unit. A claim that can't be read says so only
// if it lives with a session, and not with this node's.
func (c *Cluster) taken(claim messages.Claim) bool {
	return c.anothers(claim) && (claim.Problem == "" || claim.Session != "" && claim.Session != c.Session)
}
