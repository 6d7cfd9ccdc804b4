package sim

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestANodeWhoseRecordWasRestoredAsItWasBeforeItJoinedJoinsAgain(t *testing.T) {
	w := NewWorld(NewSystem(), Options{})
	defer w.Close()
	w.store.put(configsPrefix+"app-0", Config("app-0", 1, 1))
	w.Host("a").Start(NodeOptions{})
	w.Run(startWithin)
	w.Host("b").Start(NodeOptions{JoinAfter: 2 * time.Second})
	w.Run(time.Second)
	joining := w.store.save()
	w.Run(startWithin)
	w.store.restore(joining)
	w.Run(settleWithin)
	w.checkSettled()
	require.Empty(t, w.failure)
}
