package actors

import (
	"slices"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/ringmaster-agent/ringmaster/actors/reshard"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// Private messages of the supervisor to itself.
type (
	// respawnMembership comes when the backoff of the ring actor, or of its watcher, is over.
	respawnMembership struct{}
	// writeAgain comes when records whose writing failed may be written again.
	writeAgain struct{ records []reshard.Record }
)

// coordination is the supervisor's part in the cluster. It tells the ring actor what the node wants to
// be, has it write claims and intents, and takes in what is heard of members and of both.
type coordination struct {
	*desk
	children   *children
	documents  *documents
	units      *units
	membership *membership // nil without a cluster
	memory     *memory
	leftovers  *leftovers
	stopping   *stopping
}

// spawn spawns what this node needs to be one of several, if it is missing.
func (k *coordination) spawn(c actor.Context) {
	if k.membership == nil || k.stopping.begun && (!k.stopping.leaving || k.children.ring == nil) {
		return // a node that leaves needs the registry to hand over, but no new ring actor
	}
	if k.children.spawnCluster(c) {
		k.membership.asked, k.membership.heard = 0, 0
	}
	if k.children.registry != nil {
		k.takePlace(c)
	}
}

// foldRegistry takes in what is heard of members, claims and intents.
func (k *coordination) foldRegistry(c actor.Context, event messages.RegistryEvent) {
	m := k.membership
	if move, ok := m.moves.note(m.registry.Claims(), event, k.now()); ok {
		k.metrics.cluster.moves.WithLabelValues(move.Reason.String()).Inc()
		k.notify(messages.UnitMoved{Move: move})
	}
	if !m.fold(event, k.now()) {
		return
	}
	if put, ok := event.(messages.ClaimPut); ok {
		k.units.heardOf(put.Claim, k.Cluster.Node)
	}
	k.agenda.addRegistered(event)
	k.reconcileSoon(c)
}

func (k *coordination) sessionChanged(c actor.Context, e messages.SessionChanged) {
	if !k.membership.sessionChanged(e, k.now()) {
		return
	}
	if e.Session == "" {
		k.notify(messages.NodeFenced{Node: k.Cluster.Node})
	} else {
		k.notify(messages.NodeJoined{Node: k.Cluster.Node, Session: e.Session})
	}
	if e.Session == "" {
		// A store that has lost its data, and has written more since than it had, shows it by
		// nothing but sessions that are gone.
		k.children.relist(c, true)
	}
	if e.OthersMayHaveRun {
		k.units.othersMayHaveRun()
	}
	k.lookAtEverything(c)
}

func (k *coordination) ringChanged(c actor.Context, e messages.RingChanged) {
	first := k.membership.owners == nil
	if !k.membership.ringChanged(e, k.Cluster) {
		return
	}
	k.notifyOfMembers(e)
	if first {
		k.leftovers.find(c, k.stopping.begun)
	}
	k.lookAtEverything(c)
}

// lookAtEverything is what follows when the node's place is another.
func (k *coordination) lookAtEverything(c actor.Context) {
	k.memory.remember(c)
	k.agenda.addEverything()
	k.reconcileSoon(c)
}

// takePlace tells the ring actor what this node wants to be, and what was heard of it. It is called
// whenever that changes, and by every tick, which makes good whatever was lost between the two.
func (k *coordination) takePlace(c actor.Context) {
	if k.children.ring != nil {
		c.Send(k.children.ring, k.membership.takePlace(k.wantedPlace()))
	}
}

// wantedPlace is what this node wants to be, and what it can't run.
func (k *coordination) wantedPlace() messages.TakePlace {
	return messages.TakePlace{
		Place: k.stopping.place(k.documents.complete()), Unfit: k.units.health.Unfit, Declines: declines(k.documents.hiding, k.units.quarantined(k.now())),
	}
}

// write has claims and intents written.
func (k *coordination) write(c actor.Context, writes []reshard.Write) {
	m := k.membership
	if len(writes) == 0 || k.children.ring == nil {
		return
	}
	for _, w := range writes {
		if w.Kind == reshard.ClaimUnit {
			k.units.claiming(w.Unit, m.registry.Claims()[w.Unit])
		}
	}
	m.begin(writes)
	c.Send(k.children.ring, messages.WriteRecords{Writes: messages.NewList(writes...)})
}

func (k *coordination) recordsWritten(c actor.Context, w messages.RecordsWritten) {
	k.memory.remember(c)
	out := k.membership.ended(w)
	for _, record := range out.refused {
		if k.units.refused(record, k.membership.session) {
			k.agenda.add(record.Unit)
		}
	}
	for _, event := range out.events {
		if put, ok := event.(messages.ClaimPut); ok {
			k.units.claimed(put.Claim)
		}
		k.foldRegistry(c, event)
	}
	switch {
	case len(out.unknown) > 0:
		// Whether they were written will show; until then, and for a while, nothing is tried.
		k.after(writePause, c.Self(), writeAgain{records: out.unknown})
	case len(out.refused) > 0:
		// Somebody has written them; the watch will say what.
		k.after(k.membership.refused(), c.Self(), writeAgain{records: out.refused})
	}
	k.writeAgain(c, out.done)
}

// writeAgain lets these records be written again.
func (k *coordination) writeAgain(c actor.Context, records []reshard.Record) {
	for _, record := range records {
		k.membership.free(record)
		k.agenda.add(record.Unit)
	}
	k.reconcileSoon(c)
}

// forgetMember has the ring actor forget a member; it answers who asked.
func (k *coordination) forgetMember(c actor.Context, m messages.ForgetMember) {
	if k.children.ring == nil {
		respond(c, messages.MemberForgotten{Known: k.membership != nil, Problem: "this node has no part in a cluster at the moment"})
		return
	}
	c.RequestWithCustomSender(k.children.ring, m, c.Sender())
}

// notifyOfMembers tells which nodes came and went with a ring.
func (k *coordination) notifyOfMembers(e messages.RingChanged) {
	var now []string
	for m := range e.Members.All() {
		now = append(now, m.Node)
	}
	before := k.membership.onRing
	k.membership.onRing = now
	for _, node := range now {
		if !slices.Contains(before, node) {
			k.notify(messages.MemberJoined{Node: node})
		}
	}
	for _, node := range before {
		if !slices.Contains(now, node) {
			k.notify(messages.MemberLeft{Node: node})
		}
	}
}

// order has the ring actor write an order to the store; it answers who asked.
func (k *coordination) order(c actor.Context, o messages.Order) {
	if k.children.ring == nil {
		respond(c, messages.OrderTaken{Known: true, Problem: "this node has no part in a cluster at the moment"})
		return
	}
	if m, holds := o.(messages.HoldConfig); holds {
		switch _, _, stored := k.documents.stored.Get(m.Config); {
		case stored:
		case !k.documents.complete():
			respond(c, messages.OrderTaken{Known: true, Problem: "the store has not told yet which configs there are"})
			return
		default:
			_, local := k.documents.known[m.Config]
			out := messages.OrderTaken{Known: local, Refused: true}
			if local {
				out.Problem = "the config comes from the main file of this node, and only that ends it"
			}
			respond(c, out)
			return
		}
	}
	c.RequestWithCustomSender(k.children.ring, o, c.Sender())
}
