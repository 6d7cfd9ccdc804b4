package gossip

import (
	"time"

	"github.com/hashicorp/memberlist"
)

// delegate receives memberlist's callbacks. None of them blocks or calls memberlist: most come
// under its lock.
type delegate struct{ g *Gossip }

var (
	_ memberlist.Delegate         = delegate{}
	_ memberlist.EventDelegate    = delegate{}
	_ memberlist.ConflictDelegate = delegate{}
	_ memberlist.AliveDelegate    = delegate{}
)

func (d delegate) NodeMeta(int) []byte { return d.g.saying.Load().meta }

func (d delegate) NotifyMsg(text []byte) {
	m, err := decodeMessage(text)
	if err != nil {
		return // of a newer version, which does not need an answer from us
	}
	select {
	case d.g.inbox <- m:
	default: // as good as lost on the way
	}
}

func (d delegate) GetBroadcasts(int, int) [][]byte { return nil }
func (d delegate) LocalState(bool) []byte          { return nil }
func (d delegate) MergeRemoteState([]byte, bool)   {}
func (d delegate) NotifyJoin(n *memberlist.Node)   { d.g.table.seen(n) }
func (d delegate) NotifyUpdate(n *memberlist.Node) { d.g.table.seen(n) }

func (d delegate) NotifyLeave(n *memberlist.Node) {
	d.g.table.gone(n)
	hint(d.g.wake) // it may be back at another address already
}

// NotifyAlive refuses names that the store does not know; see admission.
func (d delegate) NotifyAlive(n *memberlist.Node) error {
	return d.g.admission.admit(n.Name, time.Now())
}

func (d delegate) NotifyConflict(existing, other *memberlist.Node) {
	d.g.clashes.suspect(existing.Name, existing.Address(), other.Address())
}
