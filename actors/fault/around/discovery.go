package around

import (
	"context"

	"github.com/ringmaster-agent/ringmaster/actors/fault"
)

// Discovery stands between service discoveries and who uses them; nil without rules. It is a
// scrape.Intercept. What a discovery says while a fault is in force is passed on when that is over.
func Discovery(rules *fault.Registry) func(ctx context.Context, kind string, pass func(empty bool)) {
	if rules == nil {
		return nil
	}
	return func(ctx context.Context, kind string, pass func(empty bool)) {
		v := rules.Decide(fault.Event{Point: fault.Discovery, Message: kind})
		switch v.Action {
		case fault.Error:
			_ = hang(ctx, v) // a discovery that fails says nothing
		case fault.Empty:
			pass(true)
			_ = hang(ctx, v)
		case fault.Delay:
			_ = delay(ctx, v, v.Delay)
		}
		if ctx.Err() == nil {
			pass(false)
		}
	}
}
