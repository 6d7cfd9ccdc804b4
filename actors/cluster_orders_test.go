package actors_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// order has an actor of a larger system order something of a node.
func (n *node) order(t *testing.T, o messages.Order) messages.OrderTaken {
	t.Helper()
	answers := make(chan messages.OrderTaken, 1)
	asker := n.system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		switch m := c.Message().(type) {
		case *actor.Started:
			c.Request(n.pid, o)
		case messages.OrderTaken:
			answers <- m
		}
	}))
	defer n.system.Root.Stop(asker)
	return <-answers
}

func TestAHeldConfigIsRunByNobodyUntilItIsReleased(t *testing.T) {
	inRing(t, func(w *ringWorld) {
		nodes := map[string]*node{"a": w.join("a", nil), "b": w.join("b", nil)}
		w.put(6)
		w.pass(5 * time.Second)
		before := w.runners()
		owner := nodes[before["app-00"]]
		require.Equal(t, messages.OrderTaken{Known: true}, nodes["a"].order(t, messages.HoldConfig{Config: "app-00", Reason: "it is too much", By: "ann"}))
		w.pass(5 * time.Second)
		require.NotContains(t, w.runners(), "app-00")
		require.Len(t, w.runners(), 5, "the others go on")
		require.Contains(t, owner.pipelines.Calls("app-00"), "stop scraping held", "its series end, and what is left is sent")
		for _, n := range nodes {
			u := n.unit("app-00")
			require.Regexp(t, "^held by ann since .*: it is too much$", u.Hold)
			require.Empty(t, u.ClaimedBy)
			tree := n.describe()
			require.Zero(t, tree.Cluster.Unowned, "what is held is not what nobody cares for")
			require.Equal(t, 1, tree.Cluster.Holds.Len())
		}
		_, err := w.configs.Put(context.Background(), "app-00", valid(2), cluster.Condition{})
		require.NoError(t, err)
		w.pass(3 * time.Minute)
		require.NotContains(t, w.runners(), "app-00", "a change does not release it")
		w.leave("b")
		w.pass(5 * time.Second)
		require.Len(t, w.runners(), 5, "nor does a node that leaves")

		require.False(t, nodes["a"].order(t, messages.HoldConfig{Config: "stranger"}).Known)
		require.False(t, nodes["a"].order(t, messages.ReleaseConfig{Config: "app-01"}).Known, "it is not held")
		require.Equal(t, messages.OrderTaken{Known: true}, nodes["a"].order(t, messages.ReleaseConfig{Config: "app-00"}))
		w.pass(5 * time.Second)
		require.Equal(t, map[string]int{"a": 6}, w.count(6))
		require.Empty(t, nodes["a"].unit("app-00").Hold)
	})
}

func TestTheConfigsOfAMainFileCannotBeHeld(t *testing.T) {
	inRing(t, func(w *ringWorld) {
		a := w.join("a", nil)
		w.put(1)
		a.client.ReplaceLocal(messages.Document{Name: "own", Text: messages.Text(valid(1))})
		w.pass(5 * time.Second)
		taken := a.order(t, messages.HoldConfig{Config: "own"})
		require.True(t, taken.Known && taken.Refused)
		require.Contains(t, taken.Problem, "main file")
		require.NoError(t, a.client.Order(context.Background(), messages.HoldConfig{Config: "app-00"}))
		w.pass(5 * time.Second)
		require.Empty(t, a.directory.Names()[1:], "only its own")
		a.client.ReplaceLocal(messages.Document{Name: "app-00", Text: messages.Text(valid(1))})
		w.pass(5 * time.Second)
		require.True(t, a.unit("app-00").Local)
		require.Equal(t, messages.PhaseRunning.String(), a.unit("app-00").Phase.String(), "what hides a held config is not held")
	})
}

func TestADrainedNodeIsGivenBackItsUnitsWhenItIsUncordonedAndTheLastOneIsNotDrained(t *testing.T) {
	inRing(t, func(w *ringWorld) {
		a, b := w.join("a", nil), w.join("b", nil)
		w.put(12)
		w.pass(5 * time.Second)
		before := w.runners()
		ctx := context.Background()
		require.ErrorIs(t, b.client.Order(ctx, messages.CordonNode{Node: "stranger"}), actors.ErrNoSubject)
		require.ErrorIs(t, b.client.Order(ctx, messages.UncordonNode{Node: "a"}), actors.ErrNoSubject)
		require.NoError(t, b.client.Order(ctx, messages.CordonNode{Node: "a", Drain: true, By: "ann"}))
		w.pass(10 * time.Second)
		require.Equal(t, map[string]int{"b": 12}, w.count(12))
		for _, m := range w.members("b") {
			require.Equal(t, m.Node == "a", m.Cordoned, "%+v", m)
			require.Equal(t, m.Node == "a", m.Unfit != "", "%+v", m)
		}
		err := a.client.Order(ctx, messages.CordonNode{Node: "b", Drain: true})
		require.ErrorIs(t, err, actors.ErrOrderRefused)
		require.ErrorContains(t, err, "too few other nodes can take its units: 0")
		require.NoError(t, a.client.Order(ctx, messages.CordonNode{Node: "b", Drain: true, Force: true}))
		w.pass(10 * time.Second)
		w.count(12)
		require.NoError(t, a.client.Order(ctx, messages.UncordonNode{Node: "a"}))
		w.pass(10 * time.Second)
		require.Equal(t, map[string]int{"a": 12}, w.count(12), "b is drained still")
		require.NoError(t, a.client.Order(ctx, messages.UncordonNode{Node: "b"}))
		w.pass(10 * time.Second)
		require.Equal(t, before, w.runners())
	})
}

func TestReplicasStayWhereTheyAreWhenANodeIsCordoned(t *testing.T) {
	inRing(t, func(w *ringWorld) {
		two := func(o *actors.Options) { o.Cluster.Replicas = 2 }
		nodes := []*node{w.join("a", two), w.join("b", two), w.join("c", two)}
		w.put(6)
		w.pass(5 * time.Second)
		where := func() map[messages.Unit]string {
			out := map[messages.Unit]string{}
			tree := nodes[0].describe()
			for u := range tree.Units.All() {
				out[u.Unit] = u.ClaimedBy
			}
			return out
		}
		before := where()
		require.Len(t, before, 12)
		require.NoError(t, nodes[0].client.Order(context.Background(), messages.CordonNode{Node: "b"}))
		w.pass(10 * time.Second)
		require.Equal(t, before, where())
		_, err := w.configs.Put(context.Background(), "late-0", valid(1), cluster.Condition{})
		require.NoError(t, err)
		w.pass(10 * time.Second)
		after := where()
		for replica := range 2 {
			require.Contains(t, []string{"a", "c"}, after[messages.Unit{Config: "late-0", Replica: replica}])
		}
	})
}

func TestAHeldConfigIsNotStartedByANodeThatRestartsWhileTheStoreIsAway(t *testing.T) {
	inRing(t, func(w *ringWorld) {
		memory := &rememberedConfigs{documents: map[string]messages.Document{}}
		remembering := func(o *actors.Options) { o.Memory, o.Cluster.KeepClaims = memory, true }
		b := w.join("b", remembering)
		w.put(6)
		w.pass(5 * time.Second)
		require.NoError(t, b.client.Order(context.Background(), messages.HoldConfig{Config: "app-00"}))
		w.pass(5 * time.Second)
		w.count(5)

		b.store.SetUnreachable(true)
		w.leave("b")
		w.away = true
		b = w.join("b", remembering)
		w.pass(5 * time.Second)
		w.count(5)
		require.Equal(t, []string{"open"}, b.pipelines.Calls("app-00"), "what is remembered has no holds")
		b.store.SetUnreachable(false)
		w.pass(5 * time.Second)
		w.count(5)
		require.Contains(t, b.unit("app-00").Hold, "held since")
		require.NotContains(t, b.pipelines.Calls("app-00"), "start")
	})
}

func TestACordonIsRefusedWhileMembersRunDifferentVersions(t *testing.T) {
	inRing(t, func(w *ringWorld) {
		version := func(v string) func(*actors.Options) { return func(o *actors.Options) { o.Cluster.Version = v } }
		a := w.join("a", version("v2"))
		w.join("b", version("v2"))
		w.pass(5 * time.Second)
		ctx := context.Background()
		require.NoError(t, a.client.Order(ctx, messages.CordonNode{Node: "b"}))
		require.NoError(t, a.client.Order(ctx, messages.UncordonNode{Node: "b"}))
		w.join("c", version("v1"))
		w.pass(5 * time.Second)
		err := a.client.Order(ctx, messages.CordonNode{Node: "b"})
		require.ErrorIs(t, err, actors.ErrOrderRefused)
		require.ErrorContains(t, err, `node c has version "v1"`)
		require.NoError(t, a.client.Order(ctx, messages.CordonNode{Node: "b", Force: true}))
		require.NoError(t, a.client.Order(ctx, messages.CordonNode{Node: "b", Drain: true}), "all versions know that a node is unfit")
	})
}

// unlisted can't be listed.
type unlisted struct{ actors.ConfigSource }

func (unlisted) List(context.Context) ([]cluster.StoredConfig, cluster.Point, error) {
	return nil, cluster.Point{}, errors.New("not yet")
}

func TestNothingIsHeldBeforeItIsKnownWhichConfigsThereAre(t *testing.T) {
	inRing(t, func(w *ringWorld) {
		a := w.join("a", func(o *actors.Options) { o.Configs = unlisted{o.Configs} })
		b := w.join("b", nil)
		w.pass(5 * time.Second)
		taken := a.order(t, messages.HoldConfig{Config: "mistyped"})
		require.Equal(t, messages.OrderTaken{Known: true, Problem: "the store has not told yet which configs there are"}, taken)
		w.pass(5 * time.Second)
		require.Zero(t, b.describe().Cluster.Holds.Len())
	})
}

func TestHoldsAreLostWithTheDataOfTheStore(t *testing.T) {
	inRing(t, func(w *ringWorld) {
		a := w.join("a", nil)
		w.put(2)
		w.pass(5 * time.Second)
		require.NoError(t, a.client.Order(context.Background(), messages.HoldConfig{Config: "app-00"}))
		w.pass(5 * time.Second)
		w.count(1)
		w.server.Reset(1)
		w.pass(3 * time.Minute)
		w.count(2)
		require.NoError(t, a.client.Order(context.Background(), messages.HoldConfig{Config: "app-00"}), "before it is uploaded")
		w.pass(5 * time.Second)
		w.count(1)
		w.put(2)
		w.pass(5 * time.Second)
		w.count(1)
	})
}

func TestANodeThatIsGoneIsUncordoned(t *testing.T) {
	inRing(t, func(w *ringWorld) {
		a := w.join("a", nil)
		w.join("b", nil)
		w.pass(5 * time.Second)
		require.NoError(t, a.client.Order(context.Background(), messages.CordonNode{Node: "b"}))
		w.leave("b")
		w.pass(5 * time.Second)
		tree := a.describe()
		require.Equal(t, 1, tree.Cluster.Members.Len())
		require.Equal(t, "b", tree.Cluster.Cordons.At(0).Node)
		require.NoError(t, a.client.Order(context.Background(), messages.UncordonNode{Node: "b"}))
		w.pass(5 * time.Second)
		require.Zero(t, a.describe().Cluster.Cordons.Len())
	})
}
