package daemon

import (
	"testing"

	"go.uber.org/goleak"
)

// protoactor counts letters to actors that have ended in a goroutine that lives for a second, and
// can't be told to end sooner.
const deadLetterThrottle = "github.com/asynkron/protoactor-go/actor.NewDeadLetter.NewThrottle.func4.1"

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction(deadLetterThrottle), goleak.IgnoreAnyFunction(consulRetry))
}

// consulRetry is Prometheus': after a failure it sleeps 15 s, and a discovery that is stopped
// meanwhile ends afterwards.
const consulRetry = "github.com/prometheus/prometheus/discovery/consul.(*Discovery).initialize"
