package ringactor_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/actors/ringactor"
	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// The actor is spawned anew, as after a panic, just as the store goes away. What the one before it
// said last in gossip is not true any more.
func TestWhoIsSpawnedAnewWithoutTheStoreDoesNotLetPeersBelieveThatItHasIt(t *testing.T) {
	inWorld(t, func(w *world) {
		require.True(t, w.gossip.status.ReachesStore)
		require.NoError(t, w.system.Root.StopFuture(w.pid).Wait())
		w.store.SetUnreachable(true)
		w.spawn()
		w.take(messages.PlaceActive)
		w.pass(3 * time.Second)
		require.False(t, w.gossip.status.ReachesStore)
	})
}

// Before the store was listed, gossip lets in whoever comes by; an empty list would be the store's
// word that there is nobody.
func TestGossipIsToldOfMembersOnceTheStoreWasListed(t *testing.T) {
	inWorld(t, func(w *world) {
		require.NoError(t, w.system.Root.StopFuture(w.pid).Wait())
		w.gossip.named = nil
		w.spawn()
		w.pass(2 * time.Second)
		require.Nil(t, w.gossip.named)
		w.list()
		w.pass(time.Second)
		require.NotNil(t, w.gossip.named)
	})
}

// The clock of the node is set forward in an outage. It waits for new evidence then, which is no
// answer of the store: a member that it parts from may still go by what it was told before.
func TestAClockThatIsSetForwardIsNoAnswerOfTheStore(t *testing.T) {
	for name, jump := range map[string]time.Duration{"in time": 0, "set forward": time.Second} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				session := w.join("b", "b.1", cluster.Condition{Absent: true})
				b := ringactor.Peer{Node: "b", Alive: true, Status: ringactor.PeerStatus{ReachesStore: true}}
				w.gossip.peers = []ringactor.Peer{b}
				w.pass(10 * time.Second)
				w.store.SetUnreachable(true)
				b.Status = ringactor.PeerStatus{AwaySince: time.Now()}
				w.gossip.peers = []ringactor.Peer{b}
				w.pass(3 * time.Second)
				require.False(t, w.gossip.status.AwaySince.IsZero())
				w.suspended.Add(int64(jump))
				w.pass(5500 * time.Millisecond)

				w.store.SetUnreachable(false)
				w.pass(500 * time.Millisecond)
				b.Alive = false
				w.gossip.peers = []ringactor.Peer{b}
				require.NoError(t, w.admin.EndSession(t.Context(), session.ID()))
				w.list()
				w.pass(3500 * time.Millisecond)
				require.Equal(t, []string{"a", "b"}, w.ring())
			})
		})
	}
}
