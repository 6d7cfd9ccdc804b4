package reshard_test

import (
	"fmt"
	"time"

	"github.com/ringmaster-agent/ringmaster/actors/knowledge"
	. "github.com/ringmaster-agent/ringmaster/actors/reshard"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// modelNode is one process: what it has heard, and what it runs.
type modelNode struct {
	model    *model
	name     string
	dead     bool
	session  string // as far as it knows
	registry *knowledge.Records
	complete bool
	docs     map[string]Document
	units    map[messages.Unit]*modelInstance
	pending  []*modelWrite
	// heard, read and ring are how far it has come in the store's histories.
	heard, read, ring int
	// blind: its ring is not settled. stays: it does not hear of new rings.
	blind, stays      bool
	leaving, stopping bool
	// asleep is for how many more steps it is stopped, or cut off.
	asleep int
}

// modelWrite is a write under way: not done yet, or done and not answered yet.
type modelWrite struct {
	write   Write
	session string
	done    bool
	event   messages.RegistryEvent
	lost    bool
}

// modelInstance is what the supervisor knows of an instance, and how it really is.
type modelInstance struct {
	Instance
	session                                    string // that of the claim it may scrape by
	prepared, scraping, quiet, failed, stopped bool
	drained                                    time.Time
}

func (m *model) start(name string) *modelNode {
	n := &modelNode{
		model: m, name: name, registry: knowledge.NewRecords(), docs: map[string]Document{}, units: map[messages.Unit]*modelInstance{},
		ring: len(m.store.rings) - 1, heard: len(m.store.log), read: len(m.store.docLog),
	}
	m.nodes = append(m.nodes, n)
	return n
}

// permitted reports whether the instance takes the ticks that are due now: only with a claim whose
// session lives.
func (n *modelNode) permitted(i *modelInstance) bool {
	return !n.dead && i.scraping && i.Epoch != 0 && n.model.store.sessions[i.session]
}

// hear takes in up to so many events of the registry. The first time, and now and then, it is a
// listing instead.
func (n *modelNode) hear(events int) bool {
	s := n.model.store
	if !n.registry.Listed() || events > 3 && n.model.rnd.IntN(8) == 0 {
		n.heard = len(s.log)
		return n.registry.Fold(s.listing())
	}
	changed := false
	for ; events > 0 && n.heard < len(s.log); events-- {
		changed = n.registry.Fold(s.log[n.heard].event) || changed
		n.heard++
	}
	return changed
}

func (n *modelNode) hearDocs(events int) bool {
	s := n.model.store
	if !n.complete {
		n.complete, n.read = true, len(s.docLog)
		for name, doc := range s.docs {
			n.learn(name, doc)
		}
		return true
	}
	began := n.read
	for ; events > 0 && n.read < len(s.docLog); events-- {
		if d := s.docLog[n.read]; d.deleted {
			delete(n.docs, d.name)
		} else {
			n.learn(d.name, d.doc)
		}
		n.read++
	}
	return n.read > began
}

// learn keeps the version that was valid if the new one is not.
func (n *modelNode) learn(name string, doc Document) {
	if doc.Problem != "" {
		doc.Valid, doc.Slices, doc.Redivided = n.docs[name].Valid, n.docs[name].Slices, n.docs[name].Redivided
	}
	n.docs[name] = doc
}

func (n *modelNode) hearRing(rings int) bool {
	began := n.ring
	if !n.stays {
		n.ring = min(n.ring+rings, len(n.model.store.rings)-1)
	}
	return n.ring > began
}

// renew learns that the session has ended, or opens another.
func (n *modelNode) renew() bool {
	s := n.model.store
	switch {
	case n.session != "" && !s.sessions[n.session]:
		n.session = ""
	case n.session == "" && n.registry.Listed():
		s.opened++
		n.session = fmt.Sprintf("session-%d", s.opened)
		s.sessions[n.session] = true
		if !n.leaving && !n.stopping {
			s.members[n.name] = n.session
			s.reshape()
		}
	default:
		return false
	}
	return true
}

func (n *modelNode) view() View {
	v := View{
		Now: n.model.now, Stopping: n.stopping, Complete: n.complete, Documents: n.docs, Instances: map[messages.Unit]Instance{},
		Cluster: &Cluster{
			Answers: true,
			Node:    n.name, Session: n.session, Replicas: n.model.replicas, Known: n.registry.Listed(), Leaving: n.leaving,
			Claims: n.registry.Claims(), Intents: n.registry.Intents(), GivenUp: n.registry.GivenUp(), Writing: map[Record]bool{},
		},
	}
	if !n.blind {
		v.Owners = modelOwners{modelRing: n.model.store.rings[n.ring], node: n.name}
	}
	for unit, i := range n.units {
		v.Instances[unit] = i.Instance
	}
	for _, w := range n.pending {
		v.Cluster.Writing[w.write.Record()] = true
	}
	return v
}

// decide performs a plan. It reports whether there was anything in it.
func (n *modelNode) decide() bool {
	v := n.view()
	p := n.model.decide(n.model, v)
	if n.model.decisions++; n.model.decisions%16 == 0 {
		n.model.checkOneByOne(n, v)
	}
	for _, s := range p.Stop {
		n.model.checkStop(n, v, s)
		n.units[s.Unit].Asked = s.Reason
	}
	for _, r := range p.Reload {
		n.units[r.Unit].Ordered = r.Version.Digest
	}
	for _, s := range p.Start {
		n.startInstance(s)
	}
	for _, r := range p.Run {
		i := n.units[r.Unit]
		i.Epoch, i.session = r.Epoch, n.registry.Claims()[r.Unit].Session
	}
	for _, w := range p.Write {
		if v.Cluster.Writing[w.Record()] {
			n.model.fail("%s writes two things at once: %v of %v", n.name, w.Kind, w.Unit)
		}
		v.Cluster.Writing[w.Record()] = true
		if w.Kind == ReleaseUnit || w.Kind == RemoveClaim {
			n.registry.GiveUp(w.Unit, w.Revision)
		}
		n.pending = append(n.pending, &modelWrite{write: w, session: n.session})
	}
	return !p.Quiet()
}

func (n *modelNode) startInstance(s Start) {
	i, ok := n.units[s.Unit]
	if ok && i.Live() {
		n.model.fail("%s starts %v, which lives", n.name, s.Unit)
	}
	if !s.Hold {
		n.model.fail("%s starts %v without waiting for its claim", n.name, s.Unit)
	}
	fresh := &modelInstance{Instance: Instance{Generation: 1, Ordered: s.Version.Digest}}
	if ok {
		fresh.Generation, fresh.FailedDigest, fresh.NotBefore = i.Generation+1, i.FailedDigest, i.NotBefore
	}
	n.units[s.Unit] = fresh
}

// doWrite takes the write one step further. What became of it may be told otherwise than it was.
func (n *modelNode) doWrite(at int, answered bool) {
	w := n.pending[at]
	if !w.done {
		w.event, w.lost = n.model.store.write(n.name, w.session, w.write)
		w.done = true
		return
	}
	n.pending = append(n.pending[:at:at], n.pending[at+1:]...)
	switch {
	case !answered:
	case w.lost && w.session == n.session:
		n.session = ""
	case w.event != nil:
		n.registry.Fold(w.event)
	}
}

// advance takes an instance one step further, and tells the supervisor, or does not yet.
func (n *modelNode) advance(i *modelInstance, told bool) bool {
	moved := true
	switch {
	case i.stopped:
		moved = false
	case i.failed:
		i.stopped = true
	case i.Asked != messages.NotStopping && !i.quiet:
		i.scraping, i.quiet = false, true
		i.drained = n.model.now.Add(time.Duration(n.model.rnd.IntN(5)) * time.Second)
	case i.quiet && i.Asked == messages.Shutdown, i.quiet && !n.model.now.Before(i.drained):
		i.stopped = true
	case i.quiet:
		moved = false
	case !i.prepared:
		i.prepared = true
	case i.Epoch != 0 && !i.scraping:
		i.scraping = true
	default:
		moved = false
	}
	return told && n.tell(i) || moved
}

// tell lets the supervisor know how the instance is.
func (n *modelNode) tell(i *modelInstance) bool {
	before := i.Instance
	i.Prepared = i.prepared
	switch {
	case i.stopped:
		i.Phase = messages.PhaseStopped
	case i.failed:
		i.Phase, i.FailedDigest = messages.PhaseFailed, i.Ordered
		i.NotBefore = n.model.now.Add(2 * time.Second)
	case i.quiet && !i.Quiet:
		i.Phase, i.Quiet, i.Handover, i.HandoverOf = messages.PhaseDraining, true, messages.Handover(n.name), i.Epoch
		i.ReleaseBy = n.model.now.Add(time.Second)
	case i.quiet:
	case i.scraping:
		i.Phase = messages.PhaseRunning
	default:
		i.Phase = messages.PhasePreparing
	}
	return i.Instance != before
}

// crash ends the process. Its session goes on until somebody notices.
func (n *modelNode) crash() {
	for len(n.pending) > 0 && n.model.rnd.IntN(2) == 0 {
		n.doWrite(0, false)
	}
	n.dead, n.pending = true, nil
}

// end ends a process that has been told to, once it may.
func (n *modelNode) end() bool {
	if n.dead || !n.stopping || len(n.pending) > 0 {
		return false
	}
	for _, i := range n.units {
		if i.Live() {
			return false
		}
	}
	for _, c := range n.registry.Claims() {
		if n.leaving && c.Held() && c.Node == n.name && c.Session == n.session {
			return false
		}
	}
	n.dead = true
	if n.leaving {
		n.model.store.end(n.session)
	}
	return true
}
