package async

import (
	"context"
	"runtime"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// Runtime is where a tree gets time and concurrency from. The zero value is the real thing; a
// simulation brings its own.
type Runtime struct {
	// Now is the time, with a monotonic reading. Nil: time.Now.
	Now func() time.Time
	// SinceBoot is the time since the machine started, of which the time that it was suspended is
	// part. Nil: the system's.
	SinceBoot func() time.Duration
	// AfterFunc calls f once d has passed, unless the timer is stopped before. Nil: time.AfterFunc.
	AfterFunc func(d time.Duration, f func()) Timer
	// Go runs f beside everything else. Nil: a goroutine.
	Go func(f func())
	// Timeout derives a context that ends after d at the latest. Nil: context.WithTimeout.
	Timeout func(parent context.Context, d time.Duration) (context.Context, context.CancelFunc)
	// Wait returns once done is closed. It is only called by what Go runs. Nil: it receives.
	Wait func(done <-chan struct{})
	// Processors is how many at a time may be busy with parsing. 0: GOMAXPROCS.
	Processors int
	// Dispatcher schedules the actors. Nil: protoactor's default.
	Dispatcher actor.Dispatcher
	// Audit makes the tree check itself: whenever it has decided about what has changed, it also
	// looks at everything else, and calls Audit with what it should have decided about. That would
	// be a bug, which costs up to a reshard interval. Nil: it doesn't, since it is a lot of work.
	Audit func(missed string)
}

// Timer is something that will happen.
type Timer interface {
	// Stop keeps it from happening. It reports false if it has happened, or was stopped before.
	Stop() bool
}

// WithDefaults returns the runtime with the real thing wherever it has none.
func (r Runtime) WithDefaults() Runtime {
	if r.Now == nil {
		r.Now = time.Now
	}
	if r.SinceBoot == nil {
		r.SinceBoot = sinceBoot
	}
	if r.AfterFunc == nil {
		r.AfterFunc = func(d time.Duration, f func()) Timer { return time.AfterFunc(d, f) }
	}
	if r.Go == nil {
		r.Go = func(f func()) { go f() }
	}
	if r.Timeout == nil {
		r.Timeout = context.WithTimeout
	}
	if r.Wait == nil {
		r.Wait = func(done <-chan struct{}) { <-done }
	}
	if r.Processors <= 0 {
		r.Processors = runtime.GOMAXPROCS(0)
	}
	return r
}
