package ringactor

import (
	"context"
	"crypto/rand"
	"iter"
	"time"

	"github.com/ringmaster-agent/ringmaster/actors/fencing"
	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// Cluster makes the node one of several that share the stored configs. Node, Registry and Sessions
// have to be set.
type Cluster struct {
	// Node is the node's name, unique in the cluster.
	Node string
	// Incarnation is this process, another one at each start: two processes of one name are two.
	// Empty: random.
	Incarnation string
	// Predecessor returns the session that this process remembers as that of the process before, if
	// it can be sure that that one has ended, since it holds what only one process at a time can
	// hold; empty if it remembers none. Nil: it remembers none.
	Predecessor func() string
	// Address is where others reach this node's HTTP API, host:port, by Scheme (http or https).
	Address, Scheme string
	// Zone is where the node is, for replicas; see ZoneAware.
	Zone string
	// Version is the program's, shown to users.
	Version string
	// Settings is a digest of what all nodes must agree about. A node whose settings differ from
	// those of the active members does not join.
	Settings string
	// Tokens are the node's places on the ring.
	Tokens []uint32
	// Registry is where members, claims and intents are.
	Registry Registry
	// Sessions are the store's. If it can tell how long a session has not been renewed
	// (cluster.IdleSessions), the sessions of dead nodes are ended early.
	Sessions Sessions
	// Gossip tells who is alive. Nil: the sessions alone do.
	Gossip Gossip
	// SessionTTL is how long the node may be away from the store before its claims are free. 0: 10
	// s. Less than fencing.MinTTL is that.
	SessionTTL time.Duration
	// JoinAfter is how long the node is seen as joining, and owns nothing, once it is ready. 0: not
	// at all.
	JoinAfter time.Duration
	// Settle is how long the members must not have changed before a joiner gets its part. 0: 1 s.
	Settle time.Duration
	// Replicas is how many nodes run each config. 0: 1.
	Replicas int
	// ZoneAware: replicas go to different zones first.
	ZoneAware bool
	// StopWhenIsolated: a node that reaches neither the store nor a peer stops scraping. Otherwise
	// it goes on.
	StopWhenIsolated bool
	// KeepClaims: the end of the tree is the beginning of a restart, for which the claims are kept
	// until the session runs out. Otherwise everything is handed over first.
	KeepClaims bool
}

// Registry is the part of cluster.Registry that the tree uses.
type Registry interface {
	List(ctx context.Context) (messages.RegistryListed, error)
	Watch(ctx context.Context, after int64) iter.Seq[cluster.RegistryChange]
	GetMember(ctx context.Context, node string) (messages.Member, error)
	PutMember(ctx context.Context, m messages.Member, s cluster.Session, cond cluster.Condition) (int64, error)
	RemoveMember(ctx context.Context, node string, cond cluster.Condition) error
	Order(ctx context.Context, now time.Time, o messages.Order) error
	Write(ctx context.Context, by cluster.Author, s cluster.Session, now time.Time, writes []messages.RecordWrite) ([]messages.RecordWritten, error)
}

// Sessions is the part of cluster.Store that the tree uses.
type Sessions interface {
	OpenSession(ctx context.Context, ttl time.Duration) (cluster.Session, error)
	EndSession(ctx context.Context, id string) error
}

// Gossip is what the tree hears from its peers. No method blocks.
type Gossip interface {
	// Address is where others find this node's gossip, host:port.
	Address() string
	// SetStatus is what this node says of itself.
	SetStatus(PeerStatus)
	// SetPeers names the nodes to gossip with, and the addresses of their gossip.
	SetPeers(map[string]string)
	// Peers are the others.
	Peers() []Peer
	// Conflict names the parties if there are two nodes with one name; empty if there are not.
	Conflict() string
}

// PeerStatus is what a node says of itself.
type PeerStatus struct {
	// Session is the one its claims are bound to.
	Session string
	// ReachesStore: the store renews the session.
	ReachesStore bool
	// Fenced: the node has given its session up; whoever reads this may end it.
	Fenced bool
	// AwaySince is, to the millisecond, since when at the latest the store has not answered the
	// node; zero if it does, or never has.
	AwaySince time.Time
}

// Peer is another node as gossip sees it.
type Peer struct {
	Node  string
	Alive bool
	// Assured is when this node last told the peer that it holds it alive, which the peer may take
	// as evidence; zero if never.
	Assured time.Time
	// Answered is when this node asked the question that the peer answered last, saying that it
	// holds this node alive; zero if never.
	Answered time.Time
	// ClockAhead is how far the peer's clock is ahead of this node's; 0 if that is not known.
	ClockAhead time.Duration
	Status     PeerStatus
}

// WithDefaults returns the cluster with what is not set; nil if it is nil.
func (c *Cluster) WithDefaults() *Cluster {
	if c == nil {
		return nil
	}
	out := *c
	if out.SessionTTL <= 0 {
		out.SessionTTL = 10 * time.Second
	}
	if out.Settle <= 0 {
		out.Settle = time.Second
	}
	if out.Incarnation == "" {
		out.Incarnation = rand.Text()
	}
	out.SessionTTL = max(out.SessionTTL, fencing.MinTTL)
	out.Replicas = max(c.Replicas, 1)
	return &out
}
