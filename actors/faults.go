package actors

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/ringmaster-agent/ringmaster/actors/fault"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// The kinds of actors, as fault.Rule.Actors matches them.
const (
	kindSupervisor = "supervisor"
	kindInstance   = "instance"
	kindConfigs    = "configs"
	kindRegistry   = "registry"
	kindRing       = "ring"
	// kindOutcome is no actor: it sends what goroutines and timers have to say to the actors that
	// started them.
	kindOutcome = "outcome"
)

// stallLook is how often an actor that stands still looks whether it may go on.
const stallLook = 250 * time.Millisecond

// who is what is known of an actor before it is spawned.
type who struct{ kind, unit string }

// faulty does to the messages of an actor what the rules say. It waits for nothing: what is late
// comes by a timer.
type faulty struct {
	who
	rules   *fault.Registry
	runtime Runtime

	// keeping is how many messages are in kept and held.
	keeping atomic.Int32
	mu      sync.Mutex
	// kept are the messages of actors that stand still, in order, by actor; held are those that the
	// next one overtakes.
	kept map[string][]*actor.MessageEnvelope
	held map[string]*actor.MessageEnvelope
}

// spared is a message that was held back. No rule applies to it again.
type spared struct{ message any }

func newFaulty(w who, o Options) *faulty {
	return &faulty{who: w, rules: o.Faults, runtime: o.Runtime, kept: map[string][]*actor.MessageEnvelope{}, held: map[string]*actor.MessageEnvelope{}}
}

func (f *faulty) event(p fault.Point, message any) fault.Event {
	e := fault.Event{Point: p, Actor: f.kind, Unit: f.unit, Message: fault.Kind(message)}
	if e.Unit == "" {
		e.Unit = unitOf(message)
	}
	return e
}

// unitOf is the unit that a message is about; empty if it is about none, or several.
func unitOf(message any) string {
	switch m := message.(type) {
	case messages.InstanceEvent:
		u, _ := m.Subject()
		return u.String()
	case messages.StartInstance:
		return m.Unit.String()
	case messages.RunInstance:
		return m.Unit.String()
	case messages.ReloadInstance:
		return m.Unit.String()
	case messages.StopInstance:
		return m.Unit.String()
	case messages.CheckInstance:
		return m.Unit.String()
	case messages.ConfigPut:
		return m.Document.Name
	case messages.ConfigDeleted:
		return m.Name
	case messages.ClaimPut:
		return m.Claim.Unit.String()
	case messages.ClaimGone:
		return m.Unit.String()
	default:
		return ""
	}
}

// receiver stands before an actor.
func (f *faulty) receiver(next actor.ReceiverFunc) actor.ReceiverFunc {
	return func(c actor.ReceiverContext, envelope *actor.MessageEnvelope) {
		if s, ok := envelope.Message.(spared); ok {
			next(c, &actor.MessageEnvelope{Header: envelope.Header, Message: s.message, Sender: envelope.Sender})
			return
		}
		switch {
		case f.keeping.Load() == 0 && !f.rules.Watches(fault.ActorReceive) && !f.rules.Watches(fault.ActorSpawn):
			next(c, envelope)
		case isLifecycle(envelope.Message):
			f.lifecycle(c, envelope.Message)
			next(c, envelope)
		case f.standsStill(c.Self(), envelope):
		default:
			before := f.takeHeld(c.Self())
			f.befall(c, envelope, next)
			if before != nil {
				next(c, before)
			}
		}
	}
}

// isLifecycle reports whether a message is protoactor's own.
func isLifecycle(message any) bool {
	switch message.(type) {
	case actor.AutoReceiveMessage, actor.SystemMessage, *actor.Started, *actor.Stopping, *actor.Stopped, *actor.Restarting, *actor.Terminated,
		*actor.DeadLetterResponse, *actor.ReceiveTimeout:
		return true
	default:
		return false
	}
}

// lifecycle has a spawn fail, and forgets an actor that is gone.
func (f *faulty) lifecycle(c actor.ReceiverContext, message any) {
	switch message.(type) {
	case *actor.Started:
		if v := f.rules.Decide(fault.Event{Point: fault.ActorSpawn, Actor: f.kind, Unit: f.unit}); v.Hits() {
			panic(v.Err)
		}
	case *actor.Stopped:
		f.takeHeld(c.Self())
		f.takeKept(c.Self())
	}
}

// befall does what the rules say.
func (f *faulty) befall(c actor.ReceiverContext, envelope *actor.MessageEnvelope, next actor.ReceiverFunc) {
	v := f.rules.Decide(f.event(fault.ActorReceive, envelope.Message))
	self, root := c.Self(), c.ActorSystem().Root
	again := func(envelope *actor.MessageEnvelope) {
		root.RequestWithCustomSender(self, spared{envelope.Message}, envelope.Sender)
	}
	switch v.Action {
	case fault.Panic:
		panic(v.Err)
	case fault.Drop:
	case fault.Stop:
		root.Stop(self)
	case fault.Delay:
		f.runtime.AfterFunc(v.Delay, func() { again(envelope) })
	case fault.Reorder:
		f.hold(self, envelope)
		f.runtime.AfterFunc(v.Delay, func() {
			if late := f.takeHeld(self); late != nil {
				again(late)
			}
		})
	case fault.Stall:
		f.keep(self, envelope)
		f.release(self, v, again)
	case fault.Duplicate:
		next(c, envelope)
		next(c, envelope)
	default:
		next(c, envelope)
	}
}

// release has the actor go on once the rule is over.
func (f *faulty) release(self *actor.PID, v fault.Verdict, again func(*actor.MessageEnvelope)) {
	f.runtime.AfterFunc(stallLook, func() {
		select {
		case <-v.Over:
			for _, envelope := range f.takeKept(self) {
				again(envelope)
			}
		default:
			f.release(self, v, again)
		}
	})
}

// standsStill keeps the message if its actor stands still.
func (f *faulty) standsStill(self *actor.PID, envelope *actor.MessageEnvelope) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.kept[self.Id]) == 0 {
		return false
	}
	f.kept[self.Id] = append(f.kept[self.Id], envelope)
	f.keeping.Add(1)
	return true
}

func (f *faulty) keep(self *actor.PID, envelope *actor.MessageEnvelope) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kept[self.Id] = append(f.kept[self.Id], envelope)
	f.keeping.Add(1)
}

func (f *faulty) takeKept(self *actor.PID) []*actor.MessageEnvelope {
	f.mu.Lock()
	defer f.mu.Unlock()
	kept := f.kept[self.Id]
	delete(f.kept, self.Id)
	f.keeping.Add(-int32(len(kept)))
	return kept
}

// hold keeps one message back; one that is held already is taken before.
func (f *faulty) hold(self *actor.PID, envelope *actor.MessageEnvelope) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held[self.Id] = envelope
	f.keeping.Add(1)
}

func (f *faulty) takeHeld(self *actor.PID) *actor.MessageEnvelope {
	f.mu.Lock()
	defer f.mu.Unlock()
	envelope, ok := f.held[self.Id]
	if ok {
		delete(f.held, self.Id)
		f.keeping.Add(-1)
	}
	return envelope
}

// sender stands behind an actor.
func (f *faulty) sender(next actor.SenderFunc) actor.SenderFunc {
	return func(c actor.SenderContext, target *actor.PID, envelope *actor.MessageEnvelope) {
		if !f.rules.Watches(fault.ActorSend) || isLifecycle(envelope.Message) {
			next(c, target, envelope)
			return
		}
		v := f.rules.Decide(f.event(fault.ActorSend, envelope.Message))
		switch v.Action {
		case fault.Drop:
		case fault.Delay:
			root := c.ActorSystem().Root
			f.runtime.AfterFunc(v.Delay, func() { root.RequestWithCustomSender(target, envelope.Message, envelope.Sender) })
		case fault.Duplicate:
			next(c, target, envelope)
			next(c, target, envelope)
		default:
			next(c, target, envelope)
		}
	}
}
