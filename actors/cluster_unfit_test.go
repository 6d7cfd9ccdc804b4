package actors_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/actors/actorstest"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// full is a disk that may be.
type full struct{ atomic.Bool }

func (f *full) probe() error {
	if f.Load() {
		return errors.New("no space left on device")
	}
	return nil
}

func TestANodeWithAFullDiskLeavesItsUnitsToOthersAndTakesThemBack(t *testing.T) {
	inRing(t, func(w *ringWorld) {
		disks := map[string]*full{}
		for _, name := range []string{"a", "b"} {
			disks[name] = &full{}
			w.join(name, func(o *actors.Options) { o.Probe = disks[name].probe })
		}
		w.put(12)
		w.pass(5 * time.Second)
		before := w.runners()
		disks["a"].Store(true)
		w.pass(30 * time.Second)
		require.Equal(t, map[string]int{"b": 12}, w.count(12))
		for _, m := range w.members("b") {
			require.Equal(t, m.Node == "a", m.Unfit != "", "%+v", m)
		}
		require.NotEmpty(t, w.nodes["a"].logs.FilterMessage("this node cannot run configs; other nodes take over if they can").All())

		disks["b"].Store(true)
		w.pass(30 * time.Second)
		require.Equal(t, before, w.runners(), "if no node can run anything, each keeps its part")

		disks["a"].Store(false)
		disks["b"].Store(false)
		w.pass(2 * time.Minute)
		require.Equal(t, before, w.runners())
		for _, m := range w.members("b") {
			require.Empty(t, m.Unfit)
		}
	})
}

func TestFailuresOfANodeThatIsIllAreNoneOfItsConfigs(t *testing.T) {
	inRing(t, func(w *ringWorld) {
		disk := &full{}
		disk.Store(true)
		a := w.join("a", func(o *actors.Options) { o.Probe = disk.probe })
		a.pipelines.On("app-00", actorstest.Open, actorstest.Fail(errors.New("no space left on device")))
		w.put(1)
		w.pass(2 * time.Hour)
		u := a.unit("app-00")
		require.Empty(t, u.QuarantineReason)
		require.LessOrEqual(t, u.Failures, 1)
		a.pipelines.On("app-00", actorstest.Open, nil)
		disk.Store(false)
		w.pass(time.Minute)
		require.Equal(t, map[string]int{"a": 1}, w.count(1))
	})
}

func TestAConfigThatIsQuarantinedOnOneNodeIsTriedOnAnother(t *testing.T) {
	inRing(t, func(w *ringWorld) {
		nodes := map[string]*node{"a": w.join("a", nil), "b": w.join("b", nil)}
		w.put(1)
		w.pass(5 * time.Second)
		owner := w.runners()["app-00"]
		nodes[owner].pipelines.On("app-00", actorstest.Open, actorstest.Fail(errors.New("permission denied")))
		nodes[owner].pipelines.Newest("app-00").Break(errors.New("permission denied"))
		w.pass(40 * time.Minute)
		other := w.runners()["app-00"]
		require.NotEmpty(t, other)
		require.NotEqual(t, owner, other)
		w.pass(3 * time.Hour)
		require.Equal(t, other, w.runners()["app-00"], "each attempt of the first one fails, and the other goes on meanwhile")
		nodes[owner].pipelines.On("app-00", actorstest.Open, nil)
		w.pass(2 * time.Hour)
		require.Equal(t, owner, w.runners()["app-00"], "an attempt that works brings it back")
	})
}

func TestAConfigOfTheMainFileLeavesTheStoredOneItHidesToAnotherNode(t *testing.T) {
	inRing(t, func(w *ringWorld) {
		nodes := map[string]*node{"a": w.join("a", nil), "b": w.join("b", nil)}
		w.put(1)
		w.pass(5 * time.Second)
		owner := w.runners()["app-00"]
		nodes[owner].client.ReplaceLocal(messages.Document{Name: "app-00", Text: messages.Text(valid(7))})
		w.pass(10 * time.Second)
		for name, n := range nodes {
			u := n.unit("app-00")
			require.Equal(t, messages.PhaseRunning.String(), u.Phase.String(), "%s: %+v", name, u)
			require.Equal(t, name == owner, u.Local)
			require.Equal(t, name != owner, u.ClaimedBy == name, "%s: the claim is %s's", name, u.ClaimedBy)
		}
		nodes[owner].client.ReplaceLocal()
		w.pass(10 * time.Second)
		require.Equal(t, map[string]string{"app-00": owner}, w.runners(), "the stored one comes back, and is scraped once")
		require.False(t, nodes[owner].unit("app-00").Local)
	})
}

// members are the records as a node knows them.
func (w *ringWorld) members(node string) []messages.Member {
	w.Helper()
	var members []messages.Member
	tree := w.nodes[node].describe()
	for m := range tree.Cluster.Members.All() {
		members = append(members, m.Member)
	}
	require.NotEmpty(w, members, fmt.Sprint(node, " knows no member"))
	return members
}
