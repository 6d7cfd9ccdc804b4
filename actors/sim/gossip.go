package sim

import (
	"slices"
	"time"

	"github.com/ringmaster-agent/ringmaster/actors"
)

const (
	// gossipRound is how often a node asks its peers, deadAfter how long one may be silent; see the
	// timing of package gossip.
	gossipRound = 500 * time.Millisecond
	deadAfter   = 2500 * time.Millisecond
)

// gossip is a node's gossip. It implements actors.Gossip.
type gossip struct {
	node    *node
	status  actors.PeerStatus
	targets map[string]string
	peers   map[string]*peer
	names   []string      // of the peers, sorted
	last    time.Duration // the last round
	told    []actors.Peer // the room for what Peers returns
}

// peer is another node as this one sees it.
type peer struct {
	alive   bool
	heard   time.Duration
	assured time.Time
	// answered is when the newest question that it has answered was asked.
	answered time.Time
	status   actors.PeerStatus
	said     time.Duration // when the status was said
	// slandered: held dead until then, whatever is heard.
	slandered time.Duration
}

func newGossip(n *node) *gossip { return &gossip{node: n, peers: map[string]*peer{}} }

// Address implements actors.Gossip.
func (g *gossip) Address() string { return g.node.address + "/gossip" }

// SetStatus implements actors.Gossip.
func (g *gossip) SetStatus(s actors.PeerStatus) {
	g.status = s
	if g.node.world.options.Scale {
		return
	}
	for _, name := range g.names {
		g.send(name, 300*time.Millisecond, func(*gossip) {})
	}
}

// SetPeers implements actors.Gossip.
func (g *gossip) SetPeers(targets map[string]string) { g.targets = targets }

// Peers implements actors.Gossip.
func (g *gossip) Peers() []actors.Peer {
	g.told = g.told[:0]
	for _, name := range g.names {
		p := g.peers[name]
		g.told = append(g.told, actors.Peer{Node: name, Alive: p.alive, Assured: p.assured, Answered: p.answered, Status: p.status})
	}
	return g.told
}

// Conflict implements actors.Gossip.
func (g *gossip) Conflict() string {
	for _, other := range g.node.world.nodes {
		if other != g.node && other.name == g.node.name && !other.dead && !other.stalled && !g.node.host.silent(other.host) {
			return "two nodes are called " + g.node.name
		}
	}
	return ""
}

// round asks the peers, and holds those dead that were silent for too long.
func (g *gossip) round() {
	w := g.node.world
	w.after(g.node, gossipRound+w.upTo(50*time.Millisecond), g.round)
	if w.now-g.last > 4*gossipRound && w.chance(0.8) {
		for _, p := range g.peers { // it was paused itself
			p.heard = w.now
		}
	}
	g.last = w.now
	for name := range g.targets {
		g.peer(name)
	}
	if w.options.Scale {
		g.lookAround()
		return
	}
	for _, name := range g.names {
		p := g.peers[name]
		g.askOthers(name, p)
		if p.alive && w.now-p.heard > deadAfter+w.upTo(time.Second) {
			g.bury(name)
		}
		sent := g.node.clock()
		g.send(name, 0, func(to *gossip) {
			asker := to.peers[g.node.name]
			if !asker.alive {
				return
			}
			asker.assured = to.node.clock()
			to.send(g.node.name, 0, func(back *gossip) {
				if back == g && sent.After(p.answered) {
					p.answered = sent
				}
			})
		})
	}
}

// lookAround is a round in a world of very many nodes: who lives is heard, without messages.
func (g *gossip) lookAround() {
	w := g.node.world
	for _, other := range w.nodes {
		if p := g.peers[other.name]; p != nil && !other.dead && !other.stalled {
			p.alive, p.heard, p.assured, p.answered, p.status = true, w.now, g.node.clock(), g.node.clock(), other.gossip.status
		}
	}
	for _, p := range g.peers {
		p.alive = p.alive && w.now-p.heard < deadAfter+500*time.Millisecond
	}
}

// askOthers hears of a silent peer from those who hear it: they pass on that it lives, as
// memberlist's indirect probes and its gossip do.
func (g *gossip) askOthers(name string, about *peer) {
	w := g.node.world
	if w.now-about.heard < 2*gossipRound || w.now < about.slandered {
		return
	}
	for _, other := range w.nodes {
		if other == g.node || other.dead || other.stalled || g.node.host.silent(other.host) {
			continue
		}
		if p := other.gossip.peers[name]; p != nil && p.alive && p.heard > about.heard && w.now-p.heard < 2*gossipRound {
			about.heard, about.alive = p.heard, true
		}
	}
}

// bury holds a peer dead, and tells the others, who believe it if they have not heard it either.
func (g *gossip) bury(name string) {
	w := g.node.world
	g.peers[name].alive = false
	w.say(g.node.name, "gossip: %s is dead", name)
	for _, other := range g.names {
		if other == name {
			continue
		}
		g.send(other, 200*time.Millisecond, func(to *gossip) {
			if p := to.peers[name]; p != nil && p.alive && w.now-p.heard > time.Second {
				p.alive = false
				w.say(to.node.name, "gossip: %s is dead, says %s", name, g.node.name)
			}
		})
	}
}

func (g *gossip) peer(name string) *peer {
	p, ok := g.peers[name]
	if !ok {
		p = &peer{heard: g.node.world.now}
		g.peers[name] = p
		at, _ := slices.BinarySearch(g.names, name)
		g.names = slices.Insert(g.names, at, name)
	}
	return p
}

// hears is the process of that name that this one gossips with; nil if there is none. Of two, it is
// the first that is not on the other side of a cut.
func (g *gossip) hears(name string) *node {
	for _, n := range g.node.world.nodes {
		if n.name == name && !n.dead && !g.node.host.silent(n.host) {
			return n
		}
	}
	return nil
}

// send has something happen at another node, which hears by it that this one lives, and its status.
func (g *gossip) send(name string, late time.Duration, f func(*gossip)) {
	w := g.node.world
	to := g.hears(name)
	if to == nil || to == g.node || to.gossip == nil {
		return
	}
	said, status := w.now, g.status
	w.after(to, w.upTo(w.options.Lag)+w.upTo(late), func() {
		if g.node.host.silent(to.host) || to.gossip.hears(g.node.name) != g.node && !g.node.dead {
			return // of two with one name, nobody hears the second who hears the first
		}
		p := to.gossip.peer(g.node.name)
		p.heard = w.now
		if said >= p.said {
			p.status, p.said = status, said
		}
		if !p.alive && w.now >= p.slandered {
			p.alive = true
		}
		f(to.gossip)
	})
}

// slander makes the node hold a peer dead for a while.
func (g *gossip) slander(name string, d time.Duration) {
	if p := g.peers[name]; p != nil {
		p.alive, p.slandered = false, g.node.world.now+d
		g.node.world.say(g.node.name, "gossip: takes %s for dead", name)
	}
}
