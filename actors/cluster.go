package actors

import (
	"sync/atomic"

	"github.com/ringmaster-agent/ringmaster/actors/ringactor"
)

// Cluster makes the node one of several that share the stored configs.
type Cluster = ringactor.Cluster

// What a Cluster is made of.
type (
	// Registry is the part of cluster.Registry that the tree uses.
	Registry = ringactor.Registry
	// Sessions is the part of cluster.Store that the tree uses.
	Sessions = ringactor.Sessions
	// Gossip is what the tree hears from its peers. No method blocks.
	Gossip = ringactor.Gossip
	// PeerStatus is what a node says of itself.
	PeerStatus = ringactor.PeerStatus
	// Peer is another node as gossip sees it.
	Peer = ringactor.Peer
)

// unitPermit is whether one unit may be scraped: never before its claim, and by the permit of the
// claim's session. In a tree without a cluster it is free.
type unitPermit struct {
	permits *ringactor.Permits
	free    bool
	claimed atomic.Pointer[string]
}

func (u *unitPermit) allowed() bool { return u.free || u.permits.Allowed(u.session()) }

// allow lets the unit be scraped by a claim of the session; of an empty one by none.
func (u *unitPermit) allow(session string) { u.claimed.Store(&session) }

// session is that of the claim; empty if there is none.
func (u *unitPermit) session() string {
	if id := u.claimed.Load(); id != nil {
		return *id
	}
	return ""
}
