package sim

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The ring actor of one node panics, and the store goes away for everybody before the next one has
// registered. The other nodes see each other and that one, and scrape on.
func TestAPanicOfARingActorJustBeforeAnOutageStopsNoOtherNode(t *testing.T) {
	w := NewWorld(NewSystem(), Options{Reshard: 15 * time.Second})
	defer w.Close()
	for i := range 8 {
		name := fmt.Sprintf("app-%d", i)
		w.store.put(configsPrefix+name, Config(name, 1, 1))
	}
	for _, name := range []string{"a", "b", "c"} {
		w.Host(name).Start(NodeOptions{})
	}
	w.Run(startWithin + 15*time.Second)
	a := w.node("a")
	a.unplanned, a.mishap = true, &mishap{kind: panicked, who: "ring/"}
	for a.panicked == 0 {
		w.Run(5 * time.Millisecond)
	}
	w.store.down = true
	w.store.notify()
	w.Run(30 * time.Second)
	for _, name := range []string{"b", "c"} {
		require.False(t, w.node(name).gossip.status.Fenced, "%s\n%s", name, w.Trace(60))
	}
	require.Empty(t, w.failure, w.Trace(60))
}
