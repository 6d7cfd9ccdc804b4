package sim

import (
	"strings"
	"time"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// lateBy is how much later than its cause a stop may come: events may be late, and listings make up for lost ones.
const lateBy = 2 * time.Minute

// ledger is what is known of everything that was scraped, and of what could be a reason to stop.
type ledger struct {
	units map[string]*record
	// commands counts what supervisors ordered.
	commands int
	// nothing is when the store last lost everything; 0 if it never did.
	nothing time.Duration
}

// record is what there is to know of one unit, or of a config.
type record struct {
	// taken is who has committed each tick; first and newest are the ends of that.
	taken         map[int64]string
	first, newest int64
	// wanted and claimed are when nodes last wrote their intent and their claim.
	wanted, claimed map[string]time.Duration
	epoch           int64
	// changed and deleted are when the config was written and deleted last; -1: never.
	changed, deleted time.Duration
}

func (l *ledger) of(unit messages.Unit) *record { return l.at(unit.Key()) }

func (l *ledger) at(key string) *record {
	r, ok := l.units[key]
	if !ok {
		r = &record{taken: map[int64]string{}, wanted: map[string]time.Duration{}, claimed: map[string]time.Duration{}, changed: -lateBy, deleted: -lateBy}
		l.units[key] = r
	}
	return r
}

// written is called for each key that is written.
func (w *World) written(e cluster.Entry, record messages.RegistryEvent) {
	switch event := record.(type) {
	case messages.ClaimPut:
		r := w.ledger.of(event.Claim.Unit)
		if e.Revision <= r.epoch {
			w.fail("the epoch of %v went from %d to %d", event.Claim.Unit, r.epoch, e.Revision)
		}
		r.epoch = e.Revision
		r.claimed[event.Claim.Node] = w.now
	case messages.IntentPut:
		w.ledger.of(event.Intent.Unit).wanted[event.Intent.Node] = w.now
	default:
		if name, ok := strings.CutPrefix(e.Key, configsPrefix); ok {
			w.ledger.at(name).changed = w.now
		}
	}
}

// removed is called for each key that is deleted.
func (w *World) removed(key string) {
	if name, ok := strings.CutPrefix(key, configsPrefix); ok {
		w.ledger.at(name).deleted = w.now
	}
}

// emptied is called when the store loses everything.
func (w *World) emptied() {
	w.ledger.nothing = w.now
	for _, r := range w.ledger.units {
		r.epoch = 0
	}
}

// commanded is called for each command that reaches an instance.
func (w *World) commanded(n *node, command messages.InstanceCommand) {
	w.ledger.commands++
	w.trace.mix(uint64(w.ledger.commands))
	if start, ok := command.(messages.StartInstance); ok {
		if before := n.generations[start.Unit]; start.Generation <= before {
			w.fail("%s starts generation %d of %v after generation %d", n.name, start.Generation, start.Unit, before)
		}
		n.generations[start.Unit] = start.Generation
	}
}

// takes is called when a scrape begins and when it is committed, both with a permit: no other node may have one.
func (w *World) takes(p *pipeline, what string) {
	for _, other := range w.nodes {
		if other == p.node || other.dead {
			continue
		}
		q := other.pipelines[p.unit]
		if q != nil && q.scraping && q.spec.Permit() && !q.node.alone && !p.node.alone {
			w.fail("%s %s tick %d of %v, and %s may scrape it too", p.node.name, what, p.next, p.unit, other.name)
		}
	}
}

// commit is called when a scrape is committed.
func (w *World) commit(p *pipeline) {
	r := w.ledger.of(p.unit)
	if by, ok := r.taken[p.next]; ok && !p.node.alone && !w.alone(by) {
		w.fail("%s commits tick %d of %v, and %s has", p.node.name, p.next, p.unit, by)
	}
	if len(r.taken) == 0 {
		r.first = p.next
	}
	r.taken[p.next] = p.node.name
	r.newest = max(r.newest, p.next)
	w.trace.mix(uint64(p.next))
}

// alone reports whether the node of that name goes on as one that is alone.
func (w *World) alone(name string) bool {
	n := w.node(name)
	return n != nil && n.alone
}

// stops is called when an instance that scrapes is told to end: there has to be a reason in the world.
func (w *World) stops(p *pipeline, reason messages.StopReason) {
	r, since := w.ledger.of(p.unit), p.opened-lateBy
	ofConfig := w.ledger.at(p.unit.Config)
	lost := w.ledger.nothing > 0 && w.ledger.nothing >= since
	good := false
	switch reason {
	case messages.Deleted:
		good = ofConfig.deleted > since || lost
	case messages.Moved:
		good = another(r.wanted, p.node.name, since) || p.unit.Slice > 0 && ofConfig.changed > since
	case messages.Fenced:
		good = another(r.claimed, p.node.name, since) || p.node.lost > p.sessions || len(w.processesOf(p.node.name)) > 1
	case messages.Shutdown:
		good = p.node.stopping
	}
	if p.scraping && !good {
		w.fail("%s stops scraping %v for no reason that there is: %v", p.node.name, p.unit, reason)
	}
}

// another reports whether any node but this one did something since.
func another(when map[string]time.Duration, node string, since time.Duration) bool {
	for name, at := range when {
		if name != node && at >= since {
			return true
		}
	}
	return false
}

// processesOf are the processes of that name there have been.
func (w *World) processesOf(name string) []*node {
	var out []*node
	for _, n := range w.nodes {
		if n.name == name {
			out = append(out, n)
		}
	}
	return out
}
