package actors_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/actors/actorstest"
	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/messages"
)

func TestANodeThatLeavesNeedNotHandOverWhatIsDeletedMeanwhile(t *testing.T) {
	inRing(t, func(w *ringWorld) {
		a := w.join("a", nil)
		b := w.join("b", nil)
		w.put(6)
		w.pass(5 * time.Second)
		w.count(6)
		for i := range 6 {
			b.pipelines.On(fmt.Sprintf("app-%02d", i), actorstest.Open, actorstest.Hang) // so it never takes over
		}
		began := time.Now()
		stopped := make(chan time.Duration, 1)
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		go func() {
			_ = actors.Stop(ctx, a.system, a.pid)
			stopped <- time.Since(began)
		}()
		w.pass(3 * time.Second)
		require.Empty(t, stopped, "it hands over")
		for i := range 6 {
			require.NoError(t, w.configs.Delete(context.Background(), fmt.Sprintf("app-%02d", i), cluster.Condition{}))
		}
		w.pass(2 * time.Second)
		require.Len(t, stopped, 1)
		require.Less(t, <-stopped, 5*time.Second)
		a.stopped = true
	})
}

func TestSlicesThatAConfigHasNoLongerAreShownByNobody(t *testing.T) {
	inRing(t, func(w *ringWorld) {
		for _, name := range []string{"a", "b", "c"} {
			w.join(name, nil)
		}
		put := func(slices int) {
			_, err := w.configs.Put(context.Background(), "app", fmt.Sprintf("slices: %d\n%s", slices, valid(1)), cluster.Condition{})
			require.NoError(t, err)
		}
		put(8)
		w.pass(20 * time.Second)
		put(2)
		w.pass(time.Minute)
		want := []messages.Unit{{Config: "app"}, {Config: "app", Slice: 1}}
		for name, n := range w.nodes {
			var units []messages.Unit
			tree := n.describe()
			for u := range tree.Units.All() {
				units = append(units, u.Unit)
			}
			require.Equal(t, want, units, name)
			require.Zero(t, tree.Cluster.Unowned, name)
		}
	})
}
