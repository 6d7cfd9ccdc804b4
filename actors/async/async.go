package async

import (
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// PanicError is a panic that was recovered.
type PanicError struct {
	Value any
	Stack []byte
}

// Error implements error. It leaves the stack to the log.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Protect calls f and returns its panic as a *PanicError.
func Protect(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &PanicError{Value: r, Stack: debug.Stack()}
		}
	}()
	return f()
}

// Sender sends to actors what happens outside of them. Any goroutine may use it.
type Sender struct {
	Root    *actor.RootContext
	Runtime Runtime
}

// Do is the one way to do something that may take time: it runs f in a goroutine and then sends
// what message makes of the outcome. A panic of f is an outcome: the error is a *PanicError.
func (s Sender) Do(to *actor.PID, f func() error, message func(error) any) {
	s.Runtime.Go(func() { s.Root.Send(to, message(Protect(f))) })
}

// After sends the message when the time has passed, unless the timer is stopped first.
func (s Sender) After(d time.Duration, to *actor.PID, message any) Timer {
	return s.Runtime.AfterFunc(d, func() { s.Root.Send(to, message) })
}

// Every sends the message again and again, until the timer is stopped. It goes on whether the
// message is heard or not, unlike one that its receiver starts again.
func (s Sender) Every(d time.Duration, to *actor.PID, message any) Timer {
	r := &repeated{}
	var again func()
	again = func() {
		r.mu.Lock()
		if r.over {
			r.mu.Unlock()
			return
		}
		r.timer = s.Runtime.AfterFunc(d, again)
		r.mu.Unlock()
		s.Root.Send(to, message)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.timer = s.Runtime.AfterFunc(d, again)
	return r
}

// repeated is a timer that goes off again and again.
type repeated struct {
	mu    sync.Mutex
	timer Timer
	over  bool
}

// Stop implements Timer.
func (r *repeated) Stop() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.over
	r.over = true
	r.timer.Stop()
	return !before
}

// StopTimer stops a timer, if there is one.
func StopTimer(t Timer) {
	if t != nil {
		t.Stop()
	}
}
