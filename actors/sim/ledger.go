package sim

import (
	"strings"
	"time"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// lateBy is how much later than its cause a stop may come: events may be late, and listings make up
// for lost ones.
const lateBy = 2 * time.Minute

// ledger is what is known of everything that was scraped, and of what could be a reason to stop.
type ledger struct {
	units map[string]*record
	// commands counts what supervisors ordered.
	commands int
	// nothing is when the store last lost everything; 0 if it never did.
	nothing time.Duration
	// meddled is when a person last deleted claims of living nodes. If their units are being handed
	// over, the successor claims at once, and the node before scrapes until it hears of it.
	meddled time.Duration
	// restored is when the store was last restored from a backup; 0 if it never was.
	restored time.Duration
	// limbo: as the store went away a unit's release was there that nobody had taken up, or was on
	// its way. That unit waits for the store; see docs/failure-model.md. away is how long that one
	// was away.
	limbo bool
	away  time.Duration
	// caught: a process went on just as its session was ended.
	caught bool
	// upset: a message was lost, doubled or late, so nodes may not know what they could.
	upset bool
}

// record is what there is to know of one unit, or of a config.
type record struct {
	// taken is who has committed each tick; first and newest are the ends of that.
	taken         map[int64]taker
	first, newest int64
	// wanted and claimed are when nodes last wrote their intent and their claim.
	wanted, claimed map[string]time.Duration
	epoch           int64
	// changed and deleted are when the config was written and deleted last, created when it was
	// written for the first time since it was deleted, or since it could not be read; -lateBy:
	// never.
	changed, deleted, created time.Duration
	// held is when somebody last held the config; -lateBy: never.
	held time.Duration
	// divided is when the config got another number of slices, slices how many it has.
	divided time.Duration
	slices  int
	// fewer: it has fewer since then.
	fewer bool
	// valid: what is stored is a valid config.
	valid bool
	// free is when its claim was last released or deleted.
	free time.Duration
	// deletedBy is when a person last deleted its claim; 0: never.
	deletedBy time.Duration
	// covered is which targets were scraped in each tick, of each replica.
	covered map[int]map[int64]targets
}

// taker is who has taken a tick, and whether it went on as one that is alone.
type taker struct {
	by    string
	alone bool
}

func (l *ledger) of(unit messages.Unit) *record { return l.at(unit.Key()) }

func (l *ledger) at(key string) *record {
	r, ok := l.units[key]
	if !ok {
		r = &record{
			taken: map[int64]taker{}, wanted: map[string]time.Duration{}, claimed: map[string]time.Duration{}, covered: map[int]map[int64]targets{},
			changed: -lateBy, deleted: -lateBy, created: -lateBy, divided: -lateBy, held: -lateBy,
		}
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
		if event.Claim.Released {
			r.free = w.now
			w.snared()
		}
	case messages.IntentPut:
		w.ledger.of(event.Intent.Unit).wanted[event.Intent.Node] = w.now
	case messages.HoldPut:
		w.ledger.at(event.Hold.Config).held = w.now
	default:
		if name, ok := strings.CutPrefix(e.Key, configsPrefix); ok {
			w.stored(w.ledger.at(name), e)
		}
	}
}

// removed is called for each key that is deleted.
func (w *World) removed(key string) {
	if name, ok := strings.CutPrefix(key, configsPrefix); ok {
		r := w.ledger.at(name)
		r.deleted, r.valid = w.now, false
	}
	if name, ok := strings.CutPrefix(key, claimsPrefix); ok {
		w.ledger.at(name).free = w.now
	}
	if name, ok := strings.CutPrefix(key, registryPrefix+"members/"); ok {
		w.ambushes(name)
		w.condemned(name)
	}
}

// condemned notes that the record of a member was taken away that stands still or has just gone on.
func (w *World) condemned(name string) {
	if n := w.node(name); n != nil && (n.stalled || w.now-n.woke < 2*gossipRound) {
		n.condemned = w.now
		if !n.stalled {
			w.ledger.caught = true
		}
	}
}

// goesOn notes that a process goes on just as its session is ended: some peers hear it again before
// they have heard that it is dead, and leave its units to it. It waits before it claims them.
func (w *World) goesOn(n *node) {
	if n.condemned > 0 && w.now-n.condemned < 2*gossipRound {
		w.ledger.caught = true
	}
}

// emptied is called when the store loses everything.
func (w *World) emptied() {
	w.ledger.nothing = w.now
	for _, r := range w.ledger.units {
		r.epoch, r.valid = 0, false
	}
}

// commanded is called for each command that reaches an instance.
func (w *World) commanded(n *node, command messages.InstanceCommand) {
	if _, ok := command.(messages.CheckInstance); ok {
		return // it says what was said before
	}
	w.ledger.commands++
	w.trace.mix(uint64(w.ledger.commands))
	if start, ok := command.(messages.StartInstance); ok {
		if before := n.generations[start.Unit]; start.Generation < before {
			w.fail("%s starts generation %d of %v after generation %d", n.name, start.Generation, start.Unit, before)
		}
		n.generations[start.Unit] = start.Generation
	}
}

// takes is called when a scrape begins and when it is committed, both with a permit: no other node
// may have one, and the node has not told others that they may take over.
func (w *World) takes(p *pipeline, what string) {
	if p.node.gossip.status.Fenced {
		w.fail("%s %s tick %d of %v, and says that it has fenced itself", p.node.name, what, p.next, p.unit)
	}
	for _, other := range w.nodes {
		if other == p.node || other.dead {
			continue
		}
		q := other.pipelines[p.unit]
		if q != nil && q.scraping && q.spec.Permit() && !q.excused() && !p.excused() && !w.meddled(p.unit) {
			w.fail("%s %s tick %d of %v, and %s may scrape it too", p.node.name, what, p.next, p.unit, other.name)
		}
	}
}

// freeFor is how long a node may scrape by a claim that is gone, while the store renews its
// session, and since it last went on after it stood still: until it hears of it.
const freeFor = 3 * time.Second

// restoredFor is how long a store that was restored may say other things of claims than nodes go
// by: what it has is believed once a second listing agrees.
const restoredFor = 30 * time.Second

// checkClaim asks whether there is a claim of the node that scrapes, if it can know.
func (w *World) checkClaim(p *pipeline) {
	n, r := p.node, p.record
	e := w.store.entries[p.claim]
	l := w.store.sessions[n.session]
	since := max(r.free, n.cutAt, n.woke, w.ledger.nothing, w.ledger.meddled)
	switch {
	case n.goesOnAlone(), w.now < n.host.deaf+freeFor, n.unlisted, n.writing > 0, w.store.down, w.options.Garble, w.ledger.upset, n.host.link.lag > 0, !n.reaches(), l == nil, w.now-l.renewed > 2*renewEvery:
	case w.ledger.restored > 0 && w.now-w.ledger.restored < restoredFor:
	case e.Session == n.session, w.now-since < freeFor, strings.Contains(string(e.Value), "99"):
	default:
		w.fail("%s scrapes %v, which it has not claimed for %v: the claim is %s of session %q, its session %s", n.name, p.unit, w.now-since, short(e.Value), e.Session, n.session)
	}
}

// commit is called when a scrape is committed.
func (w *World) commit(p *pipeline) {
	w.checkClaim(p)
	r := p.record
	if before, ok := r.taken[p.next]; ok && !p.excused() && !before.alone && !w.meddled(p.unit) {
		w.fail("%s commits tick %d of %v, and %s has", p.node.name, p.next, p.unit, before.by)
	}
	if len(r.taken) == 0 {
		r.first = p.next
	}
	w.cover(p)
	r.taken[p.next] = taker{p.node.name, p.excused()}
	r.newest = max(r.newest, p.next)
	w.trace.mix(uint64(p.next))
}

// stops is called when an instance that scrapes is told to end: there has to be a reason in the world.
func (w *World) stops(p *pipeline, reason messages.StopReason) {
	r, ofConfig, since := p.record, p.ofConfig, p.opened-lateBy
	lost := w.ledger.nothing > 0 && w.ledger.nothing >= since
	good := false
	switch reason {
	case messages.Deleted:
		good = ofConfig.deleted > since || lost
	case messages.Held:
		good = ofConfig.held > since
	case messages.Moved:
		good = another(r.wanted, p.node.name, since) || p.unit.Slice > 0 && ofConfig.changed > since
	case messages.Fenced:
		good = !p.spec.Permit() || another(r.claimed, p.node.name, since) || p.node.lost > p.sessions || len(w.processesOf(p.node.name)) > 1
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
