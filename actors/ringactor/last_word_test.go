package ringactor_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/actors/ringactor"
	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// ring is who was on the ring last.
func (w *world) ring() []string {
	var names []string
	for _, event := range w.events {
		if changed, ok := event.(messages.RingChanged); ok {
			names = nil
			for m := range changed.Members.All() {
				names = append(names, m.Node)
			}
		}
	}
	return names
}

// The other one has heard last that this node has lost the store, too, and goes on by that.
func TestWhoHasTheStoreAgainLeavesItsPlaceToAMemberThatMayNotHaveHeardOfIt(t *testing.T) {
	for name, test := range map[string]struct {
		away, fenced bool
		keeps        time.Duration // how long the other one keeps its place after its session has ended
	}{
		"the store was always there":                              {keeps: 0},
		"the store was away":                                      {away: true, keeps: 4 * time.Second},
		"the store was away, and the other one has fenced itself": {away: true, fenced: true, keeps: 0},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				session := w.join("b", "b.1", cluster.Condition{Absent: true})
				b := ringactor.Peer{Node: "b", Alive: true, Status: ringactor.PeerStatus{ReachesStore: true}}
				w.gossip.peers = []ringactor.Peer{b}
				w.pass(10 * time.Second)
				require.Equal(t, []string{"a", "b"}, w.ring())

				w.store.SetUnreachable(test.away)
				b.Status = ringactor.PeerStatus{AwaySince: time.Now()}
				w.gossip.peers = []ringactor.Peer{b}
				w.pass(4 * time.Second)
				w.store.SetUnreachable(false)
				w.pass(500 * time.Millisecond)
				b.Alive, b.Status.Fenced = false, test.fenced
				w.gossip.peers = []ringactor.Peer{b}
				require.NoError(t, w.admin.EndSession(t.Context(), session.ID()))
				w.list()
				if test.keeps > 0 {
					w.pass(test.keeps)
					require.Equal(t, []string{"a", "b"}, w.ring())
				}
				w.pass(time.Second)
				require.Equal(t, []string{"a"}, w.ring())
			})
		})
	}
}
