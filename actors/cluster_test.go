package actors_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/cluster/lastknown"
	"github.com/ringmaster-agent/ringmaster/cluster/memstore"
	"github.com/ringmaster-agent/ringmaster/cluster/ring"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// ringWorld is several nodes on one store, in a bubble of virtual time.
type ringWorld struct {
	*testing.T
	server  *memstore.Server
	configs *cluster.Configs
	admin   *memstore.Client
	nodes   map[string]*node
	// away: the store can't be reached by nodes that join.
	away bool
}

type node struct {
	*world
	name  string
	store *memstore.Client
}

func inRing(t *testing.T, play func(*ringWorld)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server := memstore.NewServer(nil)
		w := &ringWorld{T: t, server: server, admin: server.Connect(), nodes: map[string]*node{}}
		w.configs = cluster.NewConfigs(w.admin, "configurations/")
		defer func() {
			for _, n := range w.nodes {
				n.abort()
				require.NoError(t, n.store.Close())
			}
			require.NoError(t, w.admin.Close())
			w.pass(2 * time.Second) // see world.abort
		}()
		play(w)
	})
}

// join adds a node. Its tokens depend on its name only.
func (w *ringWorld) join(name string, change func(*actors.Options)) *node {
	w.Helper()
	store := w.server.Connect()
	store.SetUnreachable(w.away)
	state := ring.Key(name)
	n := &node{name: name, store: store}
	n.world = newWorld(w.T, nil, func(o *actors.Options) {
		o.Configs = cluster.NewConfigs(store, "configurations/")
		o.Cluster = &actors.Cluster{
			Node: name, Address: name + ":80", Registry: cluster.NewRegistry(store, "collectors/"), Sessions: store,
			Tokens: ring.NewTokens(128, nil, func() uint32 { state = ring.Key(fmt.Sprint(name, state)); return state }),
		}
		if change != nil {
			change(o)
		}
	})
	w.nodes[name] = n
	return n
}

func (w *ringWorld) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (w *ringWorld) put(n int) {
	w.Helper()
	for i := range n {
		_, err := w.configs.Put(context.Background(), fmt.Sprintf("app-%02d", i), valid(1), cluster.Condition{})
		require.NoError(w, err)
	}
}

// runners says which node scrapes each config; it is an error if two do.
func (w *ringWorld) runners() map[string]string {
	w.Helper()
	runners := map[string]string{}
	for name, n := range w.nodes {
		for _, config := range n.directory.Names() {
			if n.pipelines.Newest(config).Permitted() {
				require.Empty(w, runners[config], "%s is scraped by %s and by %s", config, runners[config], name)
				runners[config] = name
			}
		}
	}
	return runners
}

func (w *ringWorld) count(n int) map[string]int {
	w.Helper()
	count := map[string]int{}
	for _, node := range w.runners() {
		count[node]++
	}
	total := 0
	for _, c := range count {
		total += c
	}
	require.Equal(w, n, total, "%v", count)
	return count
}

func (w *ringWorld) leave(name string) {
	w.Helper()
	n := w.nodes[name]
	n.stop(30 * time.Second)
	n.settle()
	require.Empty(w, n.pipelines.Violations())
	require.Zero(w, n.pipelines.Open())
	require.NoError(w, n.store.Close())
	delete(w.nodes, name)
}

func TestNodesShareTheConfigs(t *testing.T) {
	inRing(t, func(w *ringWorld) {
		w.put(30)
		w.join("a", nil)
		w.join("b", nil)
		w.join("c", nil)
		w.pass(5 * time.Second)
		count := w.count(30)
		require.Len(t, count, 3, "%v", count)
		for name := range w.nodes {
			w.leave(name)
		}
	})
}

func TestAJoinMovesUnitsOnlyToTheJoinerAndEachIsHandedOver(t *testing.T) {
	inRing(t, func(w *ringWorld) {
		w.put(30)
		w.join("a", nil)
		w.join("b", nil)
		w.pass(5 * time.Second)
		before := w.runners()
		w.join("c", nil)
		w.pass(5 * time.Second)
		moved := 0
		for config, runner := range w.runners() {
			if runner == before[config] {
				continue
			}
			require.Equal(t, "c", runner)
			require.Equal(t, messages.Handover(config+" handed over"), w.nodes["c"].pipelines.Newest(config).Resumed())
			require.Contains(t, w.nodes[before[config]].pipelines.Calls(config), "stop scraping moved")
			moved++
		}
		require.Equal(t, moved, w.count(30)["c"])
		require.Positive(t, moved)
		tree := w.nodes["a"].describe()
		require.Zero(t, tree.Cluster.Unowned)
		require.Equal(t, 3, tree.Cluster.Members.Len())
		handedOver := 0
		for move := range tree.Cluster.Moves.All() {
			if move.Reason == messages.MoveHandedOver {
				handedOver++
			}
		}
		require.Equal(t, moved, handedOver)
	})
}

func TestANodeThatLeavesHandsEverythingOver(t *testing.T) {
	inRing(t, func(w *ringWorld) {
		w.put(30)
		for _, name := range []string{"a", "b", "c"} {
			w.join(name, nil)
		}
		w.pass(5 * time.Second)
		before := w.runners()
		w.leave("c")
		w.pass(time.Second)
		for config, runner := range w.runners() {
			if before[config] == "c" {
				require.Equal(t, messages.Handover(config+" handed over"), w.nodes[runner].pipelines.Newest(config).Resumed())
			} else {
				require.Equal(t, before[config], runner, "only what was the leaver's moves")
			}
		}
		w.count(30)
		for _, n := range w.nodes {
			require.Equal(t, 2, n.describe().Cluster.Members.Len())
		}
	})
}

func TestANodeThatIsCutOffFromTheStoreIsSucceededWhenItsSessionHasRunOutAndScrapesNothingThen(t *testing.T) {
	inRing(t, func(w *ringWorld) {
		w.put(30)
		for _, name := range []string{"a", "b", "c"} {
			w.join(name, func(o *actors.Options) { o.Cluster.StopWhenIsolated = true })
		}
		w.pass(5 * time.Second)
		w.nodes["c"].store.SetUnreachable(true)
		for range 200 {
			w.pass(100 * time.Millisecond)
			w.runners()
		}
		count := w.count(30)
		require.Zero(t, count["c"])
		w.nodes["c"].store.SetUnreachable(false)
		for range 100 {
			w.pass(100 * time.Millisecond)
			w.runners()
		}
		require.Len(t, w.count(30), 3)
	})
}

func TestADeletedConfigLeavesNoClaim(t *testing.T) {
	inRing(t, func(w *ringWorld) {
		w.put(3)
		w.join("a", nil)
		w.join("b", nil)
		w.pass(5 * time.Second)
		w.count(3)
		require.NoError(t, w.configs.Delete(context.Background(), "app-01", cluster.Condition{}))
		w.pass(5 * time.Second)
		w.count(2)
		listing, err := w.admin.List(context.Background(), "collectors/claims/")
		require.NoError(t, err)
		require.Len(t, listing.Entries, 2)
		listing, err = w.admin.List(context.Background(), "collectors/intents/")
		require.NoError(t, err)
		require.Empty(t, listing.Entries)
	})
}

// rememberedConfigs is an actors.Memory that outlives its node.
type rememberedConfigs struct {
	documents map[string]messages.Document
	cluster   lastknown.Cluster
}

func (m *rememberedConfigs) Load() ([]messages.Document, lastknown.Cluster, error) {
	return slices.Collect(maps.Values(m.documents)), m.cluster, nil
}

func (m *rememberedConfigs) Save(c lastknown.Change) error {
	for _, d := range c.Written {
		m.documents[d.Name] = d
	}
	for _, name := range c.Gone {
		delete(m.documents, name)
	}
	if c.Cluster != nil {
		m.cluster = *c.Cluster
	}
	return nil
}

func TestANodeThatIsRestartedWhileTheStoreIsAwayGoesOnWithWhatItHad(t *testing.T) {
	inRing(t, func(w *ringWorld) {
		w.put(30)
		memory := &rememberedConfigs{documents: map[string]messages.Document{}}
		remembering := func(o *actors.Options) { o.Memory, o.Cluster.KeepClaims = memory, true }
		w.join("a", nil)
		w.join("b", remembering)
		w.pass(5 * time.Second)
		before := w.runners()
		require.Len(t, memory.documents, 30)
		require.NoError(t, w.configs.Delete(context.Background(), "app-00", cluster.Condition{}))
		w.pass(5 * time.Second)
		require.Len(t, memory.documents, 29)

		for _, n := range w.nodes {
			n.store.SetUnreachable(true)
		}
		w.leave("b")
		w.away = true
		w.join("b", remembering)
		w.pass(20 * time.Second)
		for config, runner := range before {
			if config != "app-00" {
				require.Equal(t, runner, w.runners()[config], config)
			}
		}
		require.Zero(t, w.nodes["b"].describe().Cluster.Unowned, "what is not known is not unowned")
		require.Zero(t, w.nodes["b"].metric("agent_cluster_units_unowned"))
		for _, n := range w.nodes {
			n.store.SetUnreachable(false)
		}
		w.pass(20 * time.Second)
		require.Len(t, w.count(29), 2)
	})
}

// The ring actor panics long after the node was restarted by memory, with the store away again. The
// session of the process before has ended long ago.
func TestANodeThatHasHadASessionOfItsOwnNeverGoesBackToTheOneBefore(t *testing.T) {
	inRing(t, func(w *ringWorld) {
		var panics atomic.Bool
		memory := &rememberedConfigs{documents: map[string]messages.Document{}}
		remembering := func(o *actors.Options) {
			o.Memory, o.Cluster.KeepClaims = memory, true
			o.Middleware = append(o.Middleware, func(next actor.ReceiverFunc) actor.ReceiverFunc {
				return func(c actor.ReceiverContext, envelope *actor.MessageEnvelope) {
					if _, ok := envelope.Message.(messages.TakePlace); ok && panics.CompareAndSwap(true, false) {
						w.nodes["b"].store.SetUnreachable(true)
						panic("on purpose")
					}
					next(c, envelope)
				}
			})
		}
		w.put(8)
		w.join("b", remembering)
		w.pass(10 * time.Second)
		first := w.nodes["b"].describe().Cluster.Session
		w.nodes["b"].store.SetUnreachable(true)
		w.leave("b")
		w.away = true
		b := w.join("b", remembering)
		w.pass(10 * time.Second)
		require.Equal(t, first, b.describe().Cluster.Session)
		b.store.SetUnreachable(false)
		w.pass(time.Minute)
		require.NotEqual(t, first, b.describe().Cluster.Session)
		w.count(8)

		panics.Store(true)
		for range 600 {
			w.pass(time.Second)
			if !panics.Load() {
				break
			}
		}
		require.False(t, panics.Load())
		w.pass(3 * time.Second)
		require.NotEqual(t, first, b.describe().Cluster.Session)
		b.store.SetUnreachable(false)
	})
}

func TestALogThatWasLeftBehindIsSentAndTheUnitStaysWhereItRuns(t *testing.T) {
	inRing(t, func(w *ringWorld) {
		w.put(8)
		w.join("a", nil)
		w.join("b", nil)
		w.pass(5 * time.Second)
		before := w.runners()
		left := map[messages.Unit]bool{}
		for i := range 8 {
			left[messages.WholeConfig(fmt.Sprintf("app-%02d", i))] = true
		}
		w.leave("b")
		w.pass(time.Second)
		b := w.join("b", func(o *actors.Options) {
			o.Leftovers = func(asked []messages.Unit, _ map[string]int) (found []messages.Unit) {
				for _, u := range asked {
					if left[u] {
						found = append(found, u)
						delete(left, u)
					}
				}
				return found
			}
		})
		w.pass(5 * time.Second)
		require.Equal(t, before, w.runners())
		sent := 0
		for config, runner := range before {
			if runner == "a" {
				require.Equal(t, []string{"open", "drain", "close and remove"}, b.pipelines.Calls(config))
				sent++
			}
		}
		require.Positive(t, sent)
	})
}

func TestWhatASliceThatIsNoMoreHasLeftUnsentIsSent(t *testing.T) {
	inRing(t, func(w *ringWorld) {
		surplus := messages.Unit{Config: "app", Slice: 1}
		left := false
		a := w.join("a", func(o *actors.Options) {
			o.Leftovers = func(asked []messages.Unit, _ map[string]int) []messages.Unit {
				if left && slices.Contains(asked, surplus) {
					left = false
					return []messages.Unit{surplus}
				}
				return nil
			}
		})
		put := func(text string) {
			_, err := w.configs.Put(context.Background(), "app", text, cluster.Condition{})
			require.NoError(t, err)
		}
		put("slices: 2\n" + valid(1))
		w.pass(5 * time.Second)
		require.Len(t, a.directory.All(), 2)
		put(valid(1))
		w.pass(5 * time.Second)
		require.Len(t, a.directory.All(), 2, "its last ticks are to come")
		w.pass(10 * time.Second)
		require.Len(t, a.directory.All(), 1)
		calls := []string{"open", "start", "reload " + valid(1), "stop scraping moved", "drain", "close and remove"}
		require.Equal(t, calls, a.pipelines.Calls(surplus.Key()))
		left = true
		w.pass(2 * time.Minute)
		require.Equal(t, append(calls, "open", "drain", "close and remove"), a.pipelines.Calls(surplus.Key()))
	})
}

func TestASessionDoesNotOutliveItsTree(t *testing.T) {
	t.Run("a stop that keeps the claims, in a process that goes on", func(t *testing.T) {
		inRing(t, func(w *ringWorld) {
			w.put(8)
			w.join("a", nil)
			b := w.join("b", func(o *actors.Options) { o.Cluster.KeepClaims = true })
			w.pass(5 * time.Second)
			require.Len(t, w.count(8), 2)
			session := b.describe().Cluster.Session
			b.stop(30 * time.Second)
			delete(w.nodes, "b")
			_, err := w.admin.SessionIdle(context.Background(), session)
			require.NoError(t, err, "its next process would find the claims")
			w.pass(15 * time.Second)
			_, err = w.admin.SessionIdle(context.Background(), session)
			require.ErrorIs(t, err, cluster.ErrNotFound)
			require.Equal(t, map[string]int{"a": 8}, w.count(8))
			require.NoError(t, b.store.Close())
		})
	})
	t.Run("a panic of the ring actor", func(t *testing.T) {
		inRing(t, func(w *ringWorld) {
			var panics atomic.Bool
			w.put(8)
			w.join("a", nil)
			b := w.join("b", func(o *actors.Options) {
				o.Cluster.KeepClaims = true
				o.Middleware = append(o.Middleware, func(next actor.ReceiverFunc) actor.ReceiverFunc {
					return func(c actor.ReceiverContext, envelope *actor.MessageEnvelope) {
						if _, ok := envelope.Message.(messages.TakePlace); ok && panics.CompareAndSwap(true, false) {
							panic("on purpose")
						}
						next(c, envelope)
					}
				})
			})
			w.pass(5 * time.Second)
			session := b.describe().Cluster.Session
			panics.Store(true)
			w.pass(time.Minute + 5*time.Second)
			require.False(t, panics.Load())
			_, err := w.admin.SessionIdle(context.Background(), session)
			require.ErrorIs(t, err, cluster.ErrNotFound)
			require.NotEqual(t, session, b.describe().Cluster.Session)
			require.Len(t, w.count(8), 2)
		})
	})
}

func TestWhatASliceOfBeforeTheProcessHasLeftUnsentIsSent(t *testing.T) {
	inRing(t, func(w *ringWorld) {
		surplus := messages.Unit{Config: "app", Slice: 3}
		_, err := w.configs.Put(context.Background(), "app", "slices: 2\n"+valid(1), cluster.Condition{})
		require.NoError(t, err)
		left := true
		a := w.join("a", func(o *actors.Options) {
			o.Leftovers = func(_ []messages.Unit, slices map[string]int) []messages.Unit {
				if n, known := slices["app"]; left && known && surplus.Slice >= n {
					require.Equal(t, 2, n)
					left = false
					return []messages.Unit{surplus}
				}
				return nil
			}
		})
		w.pass(2 * time.Minute)
		require.Equal(t, []string{"open", "drain", "close and remove"}, a.pipelines.Calls(surplus.Key()))
		require.Len(t, a.directory.All(), 2)
	})
}
