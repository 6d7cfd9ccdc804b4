package sim

import (
	"fmt"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/messages"
)

// A unit is being handed over. Its instance does not hear that it is to stop, and a person deletes
// everything that nodes have written, so that the next node claims it at once.
func TestAUnitThatHasNotHeardOfItsStopDoesNotScrapeBesideItsSuccessor(t *testing.T) {
	var w *World
	var lost string
	drop := func(node string) []actor.ReceiverMiddleware {
		return []actor.ReceiverMiddleware{func(next actor.ReceiverFunc) actor.ReceiverFunc {
			return func(c actor.ReceiverContext, envelope *actor.MessageEnvelope) {
				if stop, ok := envelope.Message.(messages.StopInstance); ok && lost == "" {
					lost = stop.Unit.String()
					w.say(node, "the stop of %v is lost", stop.Unit)
					w.after(nil, 100*time.Millisecond, func() {
						w.ledger.meddled = w.now
						w.store.wipe(registryPrefix)
					})
					return
				}
				next(c, envelope)
			}
		}}
	}
	w = NewWorld(NewSystem(), Options{Reshard: time.Minute, Middleware: drop})
	defer w.Close()
	for i := range 8 {
		name := fmt.Sprintf("app-%d", i)
		w.store.put(configsPrefix+name, Config(name, 1, 1))
	}
	w.Host("a").Start(NodeOptions{})
	w.Run(startWithin)
	require.Empty(t, lost)
	w.Host("b").Start(NodeOptions{})
	w.Run(30 * time.Second)
	require.NotEmpty(t, lost)
	require.Empty(t, w.failure, w.Trace(60))
	w.Run(settleWithin)
	w.checkSettled()
	require.Empty(t, w.failure, w.Trace(60))
}
