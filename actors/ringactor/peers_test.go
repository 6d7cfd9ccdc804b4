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

// Members that leave may be on the other side of a cut, where nobody has heard that they do. So they
// count as members of whom nothing is heard: the rest is no majority without them.
func TestMembersThatLeaveStillCountAmongAll(t *testing.T) {
	inWorld(t, func(w *world) {
		peers := func(cut bool) (all []ringactor.Peer) {
			for _, node := range []string{"dead", "d", "e", "third"} {
				all = append(all, ringactor.Peer{Node: node, Alive: !cut || node == "third"})
			}
			return all
		}
		w.gossip.peers = peers(false)
		sessions := map[string]cluster.Session{}
		for _, peer := range w.gossip.peers {
			sessions[peer.Node] = w.join(peer.Node, peer.Node+".1", cluster.Condition{Absent: true})
		}
		w.pass(10 * time.Second) // newcomers help nobody
		sessions["dead"].Abandon()
		for _, node := range []string{"d", "e"} {
			leaves := w.member(node)
			leaves.State = messages.Leaving
			_, err := w.registry.PutMember(t.Context(), leaves, sessions[node], cluster.Condition{Revision: leaves.Revision})
			require.NoError(t, err)
		}
		w.list()
		w.pass(4 * time.Second)
		w.gossip.peers = peers(true)
		w.pass(250 * time.Millisecond)
		require.Contains(t, w.forget("dead").Problem, "only 2 of 5 members are with this node")
		w.pass(2 * time.Second)
		require.Equal(t, sessions["dead"].ID(), w.member("dead").Session, "nor does the actor end it by itself")
	})
}

// A peer that answered before this node had the store again was with it on a side without the store,
// and may be on another such side by now, with the member that seems dead.
func TestAnAnswerOfBeforeTheStoreWasBackMakesNoMajority(t *testing.T) {
	for name, answers := range map[string]bool{"answered before": false, "answers": true} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.gossip.peers = []ringactor.Peer{{Node: "other", Alive: true}, {Node: "third", Alive: true}}
				other := w.join("other", "o.1", cluster.Condition{Absent: true})
				w.join("third", "t.1", cluster.Condition{Absent: true})
				w.pass(10 * time.Second) // newcomers help nobody
				other.Abandon()
				w.store.SetUnreachable(true)
				w.pass(2500 * time.Millisecond)
				require.False(t, w.gossip.status.AwaySince.IsZero())
				third := ringactor.Peer{Node: "third", Alive: true}
				if !answers {
					third.Answered = time.Now()
				}
				w.gossip.peers = []ringactor.Peer{{Node: "other"}, third}
				w.store.SetUnreachable(false)
				w.pass(1900 * time.Millisecond) // the answer still counts by its age
				_, err := w.registry.GetMember(t.Context(), "other")
				if answers {
					require.ErrorIs(t, err, cluster.ErrNotFound)
				} else {
					require.NoError(t, err)
				}
			})
		})
	}
}
