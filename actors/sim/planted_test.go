package sim

import (
	"sync/atomic"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/messages"
)

// claimsBeforeTheRelease makes each supervisor take the claims of others for released.
func claimsBeforeTheRelease(o *Options) {
	o.Middleware = func(node string) []actor.ReceiverMiddleware {
		return []actor.ReceiverMiddleware{func(next actor.ReceiverFunc) actor.ReceiverFunc {
			return func(c actor.ReceiverContext, envelope *actor.MessageEnvelope) {
				if put, ok := envelope.Message.(messages.ClaimPut); ok && put.Claim.Node != node {
					put.Claim.Released = true
					envelope = &actor.MessageEnvelope{Header: envelope.Header, Message: put, Sender: envelope.Sender}
				}
				next(c, envelope)
			}
		}}
	}
}

// forgetsToStop makes instances go on scraping when they are told to move.
func forgetsToStop(o *Options) {
	o.Middleware = func(string) []actor.ReceiverMiddleware {
		return []actor.ReceiverMiddleware{func(next actor.ReceiverFunc) actor.ReceiverFunc {
			return func(c actor.ReceiverContext, envelope *actor.MessageEnvelope) {
				if stop, ok := envelope.Message.(messages.StopInstance); ok && stop.Reason == messages.Moved {
					return
				}
				next(c, envelope)
			}
		}}
	}
}

func TestAPlantedBugIsFoundWithin1500Seeds(t *testing.T) {
	for what, plant := range map[string]Planted{
		"a claim is written before the release":       claimsBeforeTheRelease,
		"the store ignores the conditions of claims":  func(o *Options) { o.AnyClaim = true },
		"an instance that should move is not stopped": forgetsToStop,
	} {
		t.Run(what, func(t *testing.T) {
			var played atomic.Int64
			var found atomic.Pointer[Result]
			each(0, 1500, func(system System, seed uint64) bool {
				played.Add(1)
				r := Play(system, seed, plant)
				if r.Failure != "" {
					found.CompareAndSwap(nil, &r)
				}
				return r.Failure == ""
			})
			require.NotNil(t, found.Load(), "%d seeds have not found it", played.Load())
			t.Logf("found after %d seeds: %s", played.Load(), found.Load().Failure)
		})
	}
}
