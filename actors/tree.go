package actors

import (
	"errors"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors/async"
	"github.com/ringmaster-agent/ringmaster/actors/ringactor"
)

// PanicError is a panic that was recovered.
type PanicError = async.PanicError

// Runtime is where a tree gets time and concurrency from. The zero value is the real thing; a
// simulation brings its own.
type Runtime = async.Runtime

// Timer is something that will happen.
type Timer = async.Timer

// Props are how to spawn a supervisor. Spawn it under any actor, or as a root; several spawned from
// the same Props share its registerer and its Directory, so give each its own. The parent's
// supervision strategy is never asked: a supervisor that panics stops.
func Props(o Options) *actor.Props {
	o = o.withDefaults()
	guard := guardRoot(o.Logger)
	return props(who{kind: kindSupervisor}, func() actor.Actor { return newSupervisor(o) }, guard, o)
}

// props is the one place where the props of all actors of the tree are made.
func props(w who, produce func() actor.Actor, guard actor.ReceiverMiddleware, o Options) *actor.Props {
	middleware := []actor.ReceiverMiddleware{guard}
	var options []actor.PropsOption
	if o.Faults != nil {
		f := newFaulty(w, o)
		middleware = append(middleware, f.receiver)
		options = append(options, actor.WithSenderMiddleware(f.sender))
	}
	options = append(options, actor.WithReceiverMiddleware(append(middleware, o.Middleware...)...))
	if o.Runtime.Dispatcher != nil {
		options = append(options, actor.WithDispatcher(o.Runtime.Dispatcher))
	}
	return actor.PropsFromProducer(produce, options...)
}

// tree is what all actors under one supervisor share. It does not change once the supervisor has
// started.
type tree struct {
	Options
	root       *actor.RootContext
	supervisor *actor.PID
	metrics    *metrics
	// permits says whether this node may scrape.
	permits *ringactor.Permits
	// opening holds one token per pipeline that is being opened.
	opening chan struct{}
}

func newTree(o Options) *tree {
	permits := ringactor.NewPermits(o.Runtime)
	return &tree{Options: o, metrics: newMetrics(o, permits), permits: permits, opening: make(chan struct{}, o.ConcurrentOpens)}
}

// do runs f in a goroutine and then sends what message makes of the outcome; see async.Sender.
func (t *tree) do(to *actor.PID, f func() error, message func(error) any) {
	t.sender().Do(to, f, message)
}

// after sends the message when the time has passed, unless the timer is stopped first.
func (t *tree) after(d time.Duration, to *actor.PID, message any) Timer {
	return t.sender().After(d, to, message)
}

// every sends the message again and again; see async.Sender.
func (t *tree) every(d time.Duration, to *actor.PID, message any) Timer {
	return t.sender().Every(d, to, message)
}

func (t *tree) sender() async.Sender { return async.Sender{Root: t.root, Runtime: t.Runtime} }

// protect calls f and returns its panic as a *PanicError.
func protect(f func() error) error { return async.Protect(f) }

// guardChild is the outermost middleware of a child. In the lifecycle messages it swallows a panic,
// since protoactor would restart an actor that panics while stopping, and leave the parent of one
// that panics when stopped waiting for ever. Elsewhere it adds the stack to the panic, for the
// supervisor, whose directive is stop.
func guardChild(logger *zap.Logger) actor.ReceiverMiddleware {
	return func(next actor.ReceiverFunc) actor.ReceiverFunc {
		return func(c actor.ReceiverContext, envelope *actor.MessageEnvelope) {
			err := protect(func() error { next(c, envelope); return nil })
			if err == nil {
				return
			}
			if ending(envelope.Message) {
				logPanic(logger, err, c, envelope.Message)
				return
			}
			panic(err)
		}
	}
}

// guardRoot is the outermost middleware of the supervisor. A panic stops the supervisor, whatever
// its parent's strategy is: a restarted one would start instances whose predecessors are still
// being released.
func guardRoot(logger *zap.Logger) actor.ReceiverMiddleware {
	return func(next actor.ReceiverFunc) actor.ReceiverFunc {
		return func(c actor.ReceiverContext, envelope *actor.MessageEnvelope) {
			err := protect(func() error { next(c, envelope); return nil })
			if err == nil {
				return
			}
			logPanic(logger, err, c, envelope.Message)
			if !ending(envelope.Message) {
				c.ActorSystem().Root.Stop(c.Self())
			}
		}
	}
}

func ending(message any) bool {
	switch message.(type) {
	case *actor.Stopping, *actor.Stopped, *actor.Restarting:
		return true
	default:
		return false
	}
}

func logPanic(logger *zap.Logger, err error, c actor.ReceiverContext, message any) {
	logger.Error("actor panicked", zap.Error(err), stackOf(err),
		zap.String("actor", c.Self().Id), zap.String("message", fmt.Sprintf("%T", message)))
}

// stackOf is where the error's panic came from, as a field of a log line; no field if it was no panic.
func stackOf(err error) zap.Field {
	var p *PanicError
	if !errors.As(err, &p) {
		return zap.Skip()
	}
	return zap.ByteString("stack", p.Stack)
}

// now is the time.
func (t *tree) now() time.Time { return t.Runtime.Now() }
