package actors

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// Runtime is where a tree gets time and concurrency from. The zero value is the real thing; a simulation brings its own.
type Runtime struct {
	// Now is the time, with a monotonic reading. Nil: time.Now.
	Now func() time.Time
	// AfterFunc calls f once d has passed, unless the timer is stopped before. Nil: time.AfterFunc.
	AfterFunc func(d time.Duration, f func()) Timer
	// Go runs f beside everything else. Nil: a goroutine.
	Go func(f func())
	// Dispatcher schedules the actors. Nil: protoactor's default.
	Dispatcher actor.Dispatcher
}

// Timer is something that will happen.
type Timer interface {
	// Stop keeps it from happening. It reports false if it has happened, or was stopped before.
	Stop() bool
}

func (r Runtime) withDefaults() Runtime {
	if r.Now == nil {
		r.Now = time.Now
	}
	if r.AfterFunc == nil {
		r.AfterFunc = func(d time.Duration, f func()) Timer { return time.AfterFunc(d, f) }
	}
	if r.Go == nil {
		r.Go = func(f func()) { go f() }
	}
	return r
}
