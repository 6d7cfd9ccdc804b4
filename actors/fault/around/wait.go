package around

import (
	"context"
	"time"

	"github.com/ringmaster-agent/ringmaster/actors/fault"
)

// delay waits for d, but not longer than the rule lasts or ctx does. The error is ctx's.
func delay(ctx context.Context, v fault.Verdict, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-v.Over:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// hang waits until the rule is over, which is an error too: whoever waited gets no answer. An error
// of ctx if that is over before.
func hang(ctx context.Context, v fault.Verdict) error {
	select {
	case <-v.Over:
		return v.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}
