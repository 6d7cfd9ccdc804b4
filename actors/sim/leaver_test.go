package sim

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A node leaves, and its watcher of the registry panics before it has heard who wants its units. The
// next watcher hears it, and everything is handed over: no tick is missed.
func TestANodeThatLeavesHandsOverThoughItsWatcherOfTheRegistryPanics(t *testing.T) {
	w := NewWorld(NewSystem(), Options{Reshard: 15 * time.Second})
	defer w.Close()
	for i := range 8 {
		name := fmt.Sprintf("app-%d", i)
		w.store.put(configsPrefix+name, Config(name, 1, 1))
	}
	for _, name := range []string{"a", "b", "c"} {
		w.Host(name).Start(NodeOptions{})
	}
	w.Run(startWithin + 5*time.Second)
	n := w.node("a")
	require.NotEmpty(t, n.pipelines)
	from := w.now
	n.Stop(30 * time.Second)
	n.unplanned, n.mishap = true, &mishap{kind: panicked, who: "registry/", skip: 1}
	w.Run(5 * time.Second)
	require.NotZero(t, n.panicked)
	require.True(t, n.dead, "it waits for what it does not hear")
	for i := range 8 {
		gap, known := w.unscraped(fmt.Sprintf("app-%d", i), 0, from, w.now)
		require.True(t, known)
		require.Zero(t, gap, w.Trace(80))
	}
	w.Run(settleWithin)
	w.checkSettled()
	require.Empty(t, w.failure, w.Trace(60))
}
