package sim

import (
	"slices"
	"strings"
	"time"

	"github.com/ringmaster-agent/ringmaster/actors/fencing"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// This file has all situations in which two nodes may scrape one unit, since one of them can't know
// of the other. Each stands in docs/failure-model.md, under "What can't be known" or where it says
// what happens when a person deletes claims, and is as narrow here as it is there.

const (
	// sessionTTL is the nodes' SessionTTL.
	sessionTTL = 10 * time.Second
	// heardWithin is how long after the end of a cut a node hears who has joined meanwhile.
	heardWithin = 1500 * time.Millisecond
	// backFor is how long a node may go on after the store has come back for others: until they reach
	// it, say so, and have done so for four seconds.
	backFor = 8 * time.Second
)

// excused reports whether its scrapes are no failure, though another node may scrape the unit: its
// node can't know of it.
func (p *pipeline) excused() bool {
	return p.node.goesOnAlone() || p.unaware() || p.passedOver() || p.supplanted()
}

// unaware reports whether the node can't know that a person has deleted the unit's claim: the store
// has not answered it since, and it may still go on by its session, or since the store was away for
// all.
func (p *pipeline) unaware() bool {
	n, w := p.node, p.node.world
	l := w.store.sessions[n.session]
	if p.record.deletedBy == 0 || n.answered > p.record.deletedBy || l == nil {
		return false
	}
	return w.now-l.renewed < fencing.GoesOn(l.ttl, w.options.NoGossip) || n.storeless || w.store.back > 0 && w.now-w.store.back < backFor
}

// passedOver reports whether the store has lost everything, and the unit is claimed by a process that
// has joined since for the first time and does not know of that. Nor does this node, which goes on by
// its peers: the store has not answered it since.
func (p *pipeline) passedOver() bool {
	n, w := p.node, p.node.world
	lost, holder := w.ledger.nothing, w.store.entries[p.claim].Session
	if lost == 0 || lost == w.ledger.restored || n.answered > lost || w.now-n.answered >= fencing.GoesOn(sessionTTL, w.options.NoGossip) {
		return false
	}
	return slices.ContainsFunc(w.nodes, func(m *node) bool {
		return m != n && m.session == holder && m.registered >= lost && (!m.options.Remembers || len(w.processesOf(m.name)) == 1)
	})
}

// supplanted reports whether the unit is claimed by a second process of the node's name, while the
// node goes on because none that it knows of reaches the store. Those that reach it now are parted
// from the node, and had lost the store, or were leaving, when they last told it of themselves.
func (p *pipeline) supplanted() bool {
	n, w := p.node, p.node.world
	holder := w.store.entries[p.claim].Session
	if !n.storeless || !slices.ContainsFunc(w.nodes, func(m *node) bool { return m != n && m.name == n.name && m.session == holder }) {
		return false
	}
	return !slices.ContainsFunc(w.nodes, func(m *node) bool {
		last := n.gossip.peers[m.name]
		return m.name != n.name && !m.dead && m.reaches() && last != nil && (!n.host.silent(m.host) || last.status.ReachesStore && !m.stopping)
	})
}

// goesOnAlone reports whether it goes on as one that can't know of others: it was told to, or those
// that have joined by way of the store are heard by none of those who have lost it.
func (n *node) goesOnAlone() bool {
	w := n.world
	if n.storeless && n.passedBy() {
		n.passed = w.now
	}
	passed := n.passed > 0 && w.now-n.passed < heardWithin
	return n.alone || n.storeless && (w.now < w.apart || passed)
}

// passedBy reports whether all that reach the store have joined by way of it, unheard by this node,
// since it answered this one last.
func (n *node) passedBy() bool {
	some := false
	for _, m := range n.world.nodes {
		if m == n || m.dead {
			continue
		}
		switch joined := !n.hears(m) && n.unknown(m); {
		case joined:
			some = some || m.reaches() || n.world.store.sessions[m.session] != nil // the store may be away by now
		case m.reaches():
			return false
		}
	}
	return some
}

// hears reports whether gossip can tell it of the other one: there is no cut between them, and the
// store has told it where the other one is.
func (n *node) hears(m *node) bool {
	return !n.host.silent(m.host) && n.gossip.peers[m.name] != nil
}

// unknown reports whether there was no record of the other one when the store answered this node
// last, or only one of another process of its name, which has lost the store too and is heard, or has
// left in order.
func (n *node) unknown(m *node) bool {
	session, known := n.knew[m.name]
	return !known || slices.ContainsFunc(n.world.nodes, func(o *node) bool {
		return o != m && o.name == m.name && (!o.dead || o.stopping) && o.session == session && !o.reaches() && (o == n || !n.host.silent(o.host))
	})
}

// meddled reports whether somebody has deleted claims a moment ago, or some node may not have heard
// of it yet; or has restored the store: a node whose session is not in the backup hears of that when
// it renews it.
func (w *World) meddled(unit messages.Unit) bool {
	deleted, restored := w.now-w.ledger.meddled, w.now-w.ledger.restored
	unheard := slices.ContainsFunc(w.hosts, func(h *host) bool { return w.now < h.deaf+takeover || h.link.lag > 0 })
	astray := slices.ContainsFunc(w.nodes, func(n *node) bool {
		since, ok := n.astray[unit]
		return ok && !n.dead && since >= w.ledger.meddled
	})
	return w.ledger.meddled > 0 && (deleted < takeover || deleted < runOut && unheard || astray) ||
		w.ledger.restored > 0 && restored < renewEvery+time.Second/2
}

// deletes is called when a person deletes a key.
func (w *World) deletes(key string) {
	if name, ok := strings.CutPrefix(key, claimsPrefix); ok {
		w.ledger.at(name).deletedBy = w.now
	}
}

// backAfter is called when the store is up that was down since then. What a person has deleted
// meanwhile nobody has heard of before.
func (w *World) backAfter(since time.Duration) {
	if w.ledger.meddled >= since {
		w.ledger.meddled = w.now
	}
	for _, r := range w.ledger.units {
		if r.deletedBy >= since {
			r.deletedBy = w.now
		}
	}
}
