package ringactor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// maxOrderText bounds what an order may say of its reason and of who gives it, in bytes.
const maxOrderText = 1 << 10

// ordered is the outcome of writing an order.
type ordered struct {
	asker  *actor.PID
	order  messages.Order
	answer messages.OrderTaken
	err    error
}

// orders takes what people want of configs and nodes, and writes it to the store.
type orders struct {
	*base
	peers *peerHealth
}

// order writes an order to the store, unless it should not be.
func (o *orders) order(c actor.Context, order messages.Order) {
	out := ordered{asker: c.Sender(), order: order, answer: o.admit(order)}
	if !out.answer.Known || out.answer.Problem != "" {
		o.ordered(c, out)
		return
	}
	now := o.now()
	o.begin(c, storeTimeout, func(ctx context.Context) error { return o.Registry.Order(ctx, now, order) },
		func(err error) any { out.err = err; return out })
}

// admit says whether an order may be written.
func (o *orders) admit(order messages.Order) messages.OrderTaken {
	refused := func(problem string) messages.OrderTaken {
		return messages.OrderTaken{Known: true, Problem: problem, Refused: true}
	}
	switch m := order.(type) {
	case messages.HoldConfig:
		if len(m.Reason)+len(m.By) > maxOrderText {
			return refused(fmt.Sprintf("reason and by are longer than %d bytes together", maxOrderText))
		}
	case messages.CordonNode:
		_, member := o.registry.Members()[m.Node]
		switch {
		case len(m.Reason)+len(m.By) > maxOrderText:
			return refused(fmt.Sprintf("reason and by are longer than %d bytes together", maxOrderText))
		case !o.registry.Listed():
			return messages.OrderTaken{Known: true, Problem: "the store has not told yet which nodes there are"}
		case !member:
			return messages.OrderTaken{}
		}
		if able := o.ableBeside(m.Node); m.Drain && !m.Force && able < o.Replicas {
			return refused(fmt.Sprintf("too few other nodes can take its units: %d, and it takes %d; forced, it keeps what they can't take", able, o.Replicas))
		}
		if other, differs := o.otherVersion(); differs && !m.Drain && !m.Force {
			return refused(fmt.Sprintf("node %s has version %q, this one %q: one of them may not know cordons, and they would disagree about who runs what; "+
				"drain the node, or force the cordon", other.Node, other.Version, o.Version))
		}
	}
	return messages.OrderTaken{Known: true}
}

// otherVersion returns the first member that runs another version than this node.
func (o *orders) otherVersion() (messages.Member, bool) {
	members := o.registry.Members()
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if m := members[name]; m.Problem == "" && m.Version != o.Version {
			return m, true
		}
	}
	return messages.Member{}, false
}

// ableBeside is how many other nodes could take the units of a node.
func (o *orders) ableBeside(node string) (able int) {
	for name, m := range o.registry.Members() {
		_, cordoned := o.registry.Cordons()[name]
		if name != node && m.State == messages.Active && m.Problem == "" && m.Unfit == "" && !cordoned && (o.Gossip == nil || o.peers.alive(name)) {
			able++
		}
	}
	return able
}

// ordered answers who asked.
func (o *orders) ordered(c actor.Context, m ordered) {
	switch {
	case errors.Is(m.err, cluster.ErrNotFound):
		m.answer.Known = false
	case m.err != nil:
		m.answer.Problem = m.err.Error()
	}
	taken := m.answer.Known && m.answer.Problem == ""
	o.Logger.Info("operator request", zap.String("order", fmt.Sprintf("%T", m.order)), zap.Any("about", m.order), zap.Bool("taken", taken), zap.String("problem", m.answer.Problem))
	if m.asker != nil {
		c.Send(m.asker, m.answer)
	}
}

// unfit is what the member record is to say of why others should run the node's units: that it
// can't, or that it is drained.
func (r *ringActor) unfit() string {
	if order := r.registry.Cordons()[r.Node]; r.told.unfit == "" && order.Drain {
		return order.String()
	}
	return r.told.unfit
}

// cordoned reports whether the node takes nothing new.
func (b *base) cordoned() bool {
	_, cordoned := b.registry.Cordons()[b.Node]
	return cordoned
}
