package ringactor_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/actors/ringactor"
	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// othersMayHaveRun is what the actor said of that with its newest session, by which it claims.
func (w *world) othersMayHaveRun(session string) bool {
	w.Helper()
	for i := len(w.events) - 1; i >= 0; i-- {
		if changed, ok := w.events[i].(messages.SessionChanged); ok && changed.Session == session {
			return changed.OthersMayHaveRun
		}
	}
	require.Fail(w, "there is no such session", session)
	return false
}

func TestWhoWentOnAloneSaysThatOthersMayHaveRun(t *testing.T) {
	for name, alone := range map[string]bool{"another node has lost the store too": false, "it hears nobody": true} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.join("b", "b.1", cluster.Condition{Absent: true})
				b := ringactor.Peer{Node: "b", Alive: true, Status: ringactor.PeerStatus{ReachesStore: true}}
				w.gossip.peers = []ringactor.Peer{b}
				w.pass(5 * time.Second)
				before := w.member("a").Session

				w.store.SetUnreachable(true)
				b.Alive, b.Status = !alone, ringactor.PeerStatus{AwaySince: time.Now()}
				if alone {
					b.Answered = time.Now()
				}
				w.gossip.peers = []ringactor.Peer{b}
				w.pass(15 * time.Second)
				require.True(t, w.permits.Permitted(), "it goes on")
				w.store.SetUnreachable(false)
				w.list()
				w.pass(3 * time.Second)
				require.True(t, w.permits.Permitted())
				session := w.member("a").Session
				require.NotEqual(t, before, session)
				require.Equal(t, alone, w.othersMayHaveRun(session))
			})
		})
	}
}

// silentWrites gives the first batch no answer.
type silentWrites struct {
	ringactor.Registry
	batches atomic.Int32
}

func (r *silentWrites) Write(ctx context.Context, by cluster.Author, s cluster.Session, at time.Time, batch []messages.RecordWrite) ([]messages.RecordWritten, error) {
	if r.batches.Add(1) == 1 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return r.Registry.Write(ctx, by, s, at, batch)
}

// The second batch waits for the first. What was right to claim by the session that ends may be wrong
// by the next.
func TestWhatWaitsToBeWrittenEndsWithTheSessionItWasOrderedBy(t *testing.T) {
	silent := func(o *ringactor.Options) { o.Registry = &silentWrites{Registry: o.Registry} }
	inWorldWith(t, silent, func(w *world) {
		claims := func(config string) (stored int) {
			w.system.Root.Send(w.pid, messages.WriteRecords{Writes: messages.NewList(messages.RecordWrite{Kind: messages.ClaimUnit, Unit: messages.WholeConfig(config)})})
			w.pass(time.Second)
			listed, err := w.registry.List(t.Context())
			require.NoError(t, err)
			return listed.Claims.Len()
		}
		require.Zero(t, claims("app-1"))
		require.Zero(t, claims("app-2"))
		before := w.member("a").Session
		require.NoError(t, w.admin.EndSession(t.Context(), before))
		w.pass(10 * time.Second)
		require.NotEqual(t, before, w.member("a").Session)
		require.Equal(t, 1, claims("app-3"), "only what is ordered by the next")
	})
}
