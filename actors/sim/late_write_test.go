package sim

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Two nodes write that they are ACTIVE just as the store's disk hangs. They give the write up, and the
// store does it after all. They then know their records, and can say later that they leave.
func TestAWriteOfTheMemberRecordThatWasGivenUpAndDoneIsKnown(t *testing.T) {
	w := NewWorld(NewSystem(), Options{Reshard: 15 * time.Second})
	defer w.Close()
	w.store.put(configsPrefix+"app-0", Config("app-0", 1, 1))
	for _, name := range []string{"a", "b"} {
		w.Host(name).Start(NodeOptions{JoinAfter: 2 * time.Second})
	}
	w.Run(2 * time.Second)
	w.store.hangs = w.now + 5400*time.Millisecond
	w.Run(settleWithin)
	w.checkSettled()
	require.Empty(t, w.failure, w.Trace(60))
	w.node("a").Stop(30 * time.Second)
	w.Run(10 * time.Second)
	require.Nil(t, w.node("a"), "it hands over what it has, and ends")
	w.checkSettled()
	require.Empty(t, w.failure, w.Trace(60))
}
