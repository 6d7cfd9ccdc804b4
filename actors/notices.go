package actors

import (
	"cmp"

	"github.com/ringmaster-agent/ringmaster/actors/fault"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// notify tells the embedder what has happened.
func (t *tree) notify(n messages.Notice) {
	if t.Subscriber != nil {
		t.root.RequestWithCustomSender(t.Subscriber, n, t.supervisor)
	}
	if t.Notify != nil {
		t.Notify(n)
	}
	if t.Publish {
		t.root.ActorSystem().EventStream.Publish(n)
	}
}

// notifyOfFaults tells of faults on purpose until the supervisor stops. It returns how to end that.
func (t *tree) notifyOfFaults() (stop func()) {
	return t.Faults.OnHit(func(r fault.Rule, e fault.Event) {
		t.notify(messages.FaultInjected{
			Rule: r.Name, Point: string(r.Point), Action: string(r.Action), Unit: e.Unit, Actor: e.Actor, Message: cmp.Or(e.Message, e.Peer),
		})
	})
}
