package sim

import (
	"slices"
	"time"

	"github.com/ringmaster-agent/ringmaster/actors/fencing"
)

// span draws how long a fault lasts: often a moment, sometimes long.
func (s *storm) span() time.Duration {
	longest := []time.Duration{2 * time.Second, 5 * time.Second, 15 * time.Second, 40 * time.Second}[s.rnd.IntN(4)]
	return time.Duration(s.rnd.Int64N(int64(longest)))
}

// later has f happen after a time, whatever happens to nodes.
func (s *storm) later(d time.Duration, f func()) { s.after(nil, d, f).fault = true }

func (s *storm) crash() {
	if n := s.any(); n != nil {
		// At a random step of what it is doing.
		s.later(time.Duration(s.rnd.Int64N(int64(50*time.Millisecond))), func() {
			n.unplanned = true
			n.Crash()
		})
		if s.rnd.IntN(3) > 0 {
			s.later(s.span(), func() { s.comeBack(n.host) })
		}
	}
}

// comeBack starts the host's next process, if there is none.
func (s *storm) comeBack(h *host) {
	if s.node(h.name) == nil {
		h.Start(s.start())
	}
}

func (s *storm) restart() {
	staying := s.staying()
	if len(staying) == 0 {
		return
	}
	s.served = min(s.served, len(staying)-1)
	n := staying[s.rnd.IntN(len(staying))]
	n.Stop(time.Duration(5+s.rnd.IntN(20)) * time.Second)
	s.later(s.span()+10*time.Second, func() { s.comeBack(n.host) })
}

func (s *storm) joinOrLeave() {
	staying := s.staying()
	if len(staying) > 2 && s.rnd.IntN(2) == 0 || len(staying) > 5 {
		staying[s.rnd.IntN(len(staying))].Stop(time.Duration(5+s.rnd.IntN(30)) * time.Second)
		return
	}
	if s.names < 12 && len(s.living()) < 6 {
		s.join()
	}
}

func (s *storm) stall() {
	if n := s.any(); n != nil && !n.stalled {
		n.Stall()
		s.later(s.span(), n.Resume)
	}
}

func (s *storm) cutFromStore() {
	n, d := s.any(), s.span()
	if n == nil {
		return
	}
	s.cut(n.host, d)
	if d > 4*time.Second && d < 9*time.Second {
		s.allow(max(s.allowed, tookBack)) // the store is back as it gives its session up
	}
}

func (s *storm) cut(h *host, d time.Duration) {
	s.say(h.name, "is cut off from the store")
	h.link.cut, h.link.cutUntil = true, max(h.link.cutUntil, s.now+d)
	s.later(d, func() { s.healStore(h) })
}

// healStore ends a cut, unless a later one goes on.
func (s *storm) healStore(h *host) {
	if h.link.cut && s.now >= h.link.cutUntil {
		s.say(h.name, "reaches the store again")
		h.link.cut = false
		s.store.notify()
	}
}

func (s *storm) slowLink() {
	if n := s.any(); n != nil {
		l := &n.host.link
		l.lag, l.again = time.Duration(s.rnd.Int64N(int64(2*time.Second))), 0.1
		s.say(n.name, "its messages to the store take up to %v", l.lag)
		s.later(s.span(), func() { l.lag, l.again = 0, 0 })
	}
}

func (s *storm) loseAnswers() {
	if n := s.any(); n != nil {
		l := &n.host.link
		l.refused, l.unanswered = s.rnd.Float64()*0.5, s.rnd.Float64()
		s.say(n.name, "loses %.0f%% of the answers of the store", l.unanswered*100)
		s.later(s.span(), func() { l.refused, l.unanswered = 0, 0 })
	}
}

func (s *storm) cutGossip() {
	a, b := s.any(), s.any()
	if a == nil || a == b {
		return
	}
	s.say(a.name, "does not hear %s", b.name)
	s.deafen(a.host, s.span(), b.host)
}

// deafen keeps a host and others from hearing each other for a while, or for longer if another fault
// does so.
func (s *storm) deafen(h *host, d time.Duration, others ...*host) {
	for _, other := range others {
		h.unheard[other.name] = max(h.unheard[other.name], s.now+d)
	}
	s.later(d, func() {})
}

// isolate cuts a node off from all peers, and often from the store too.
func (s *storm) isolate() {
	n := s.any()
	if n == nil {
		return
	}
	s.say(n.name, "hears nobody")
	d := s.span()
	s.deafen(n.host, d, s.hosts...)
	if s.rnd.IntN(2) == 0 {
		s.cut(n.host, d)
	}
}

func (s *storm) slander() {
	a, b := s.any(), s.any()
	if a != nil && a != b {
		a.gossip.slander(b.name, s.span()/16)
	}
}

// outage has the store go away for one node after the other, and come back so.
func (s *storm) outage() { s.outageFor(time.Duration(s.rnd.IntN(2)) * time.Second) }

// outageFor has it go away for all nodes within a time.
func (s *storm) outageFor(apart time.Duration) {
	if s.store.down {
		return
	}
	d := s.span()
	for _, h := range s.hosts {
		h.link.dark = 0
		h.link.lost = s.now + apart
		s.later(s.upTo(apart), func() { h.link.dark, h.link.lost = s.now+apart, s.now })
	}
	s.later(apart, func() {
		s.store.stop()
		s.later(d, s.reappear)
	})
	if s.options.NoGossip {
		s.allow(apart + d + s.runOut()) // nobody knows whether others reach it
	}
}

// reappear has a store that was away come back for one node after the other.
func (s *storm) reappear() {
	apart := time.Duration(s.rnd.IntN(2)) * 2 * time.Second
	for _, h := range s.hosts {
		h.link.dark = s.now + s.upTo(apart)
		if s.outlasted(&h.link) {
			s.allow(max(s.allowed, tookBack))
		}
	}
	s.store.start()
	s.later(apart, func() {})
}

// outlasted reports whether a node is without the store for so long, and others are for so short,
// that it can't tell the outage from a cut: they don't all say at one time that they have lost it.
func (s *storm) outlasted(l *link) bool {
	short := s.now-s.store.since < fencing.Fresh+2*gossipRound
	return short && l.dark-l.lost >= sessionTTL/2-renewEvery
}

// emptyStore loses everything that is stored: while everybody is looking, during an outage, or
// while a node is cut off and another one is being given its units. Somebody stores the configs
// again, soon.
func (s *storm) emptyStore() {
	if s.store.lost > 0 || s.rnd.IntN(2) == 0 {
		return // once is bad enough
	}
	lose := func() {
		if s.store.lost == 0 {
			s.store.lose(1 + s.rnd.Int64N(s.store.revision))
			s.later(s.span(), s.storeAll)
		}
	}
	kind := s.rnd.IntN(3)
	if s.store.down || s.names >= 12 {
		kind = 0
	}
	switch kind {
	case 0:
		lose()
	case 1:
		s.store.stop()
		s.later(s.span(), func() { lose(); s.reappear() })
	case 2:
		n := s.any()
		if n == nil {
			lose()
			return
		}
		s.join()
		at := 2500*time.Millisecond + s.upTo(2*time.Second) // the joiner has had a session by then
		s.later(at-s.upTo(time.Second), func() { s.cut(n.host, s.span()) })
		s.later(at, lose)
	}
}

// storeAll stores every config that is missing or not valid.
func (s *storm) storeAll() {
	for _, name := range s.configs {
		if e, ok := s.store.entries[configsPrefix+name]; !ok || e.Value[0] != 's' {
			// In as many slices as before: a config that is new tells no instant from which it is
			// divided otherwise.
			s.store.put(configsPrefix+name, Config(name, 1+s.rnd.IntN(9), s.sliced[name]))
		}
	}
}

// fill leaves no room on the disk of a node, for longer than that takes to be noticed.
func (s *storm) fill() {
	n := s.any()
	if n == nil || n.stopping || len(s.staying())-1 < max(s.options.Replicas, 1) || s.filled {
		return
	}
	s.filled, n.full, n.unplanned = true, true, true
	s.say(n.name, "its disk is full")
	s.later(20*time.Second+s.span(), func() {
		n.full = false
		s.say(n.name, "its disk has room again")
	})
}

func (s *storm) compactHistory() {
	s.say("", "store: forgets its history")
	s.store.compact()
}

func (s *storm) breakPipeline() {
	n := s.any()
	if n == nil {
		return
	}
	for _, name := range s.configs {
		for unit, p := range n.pipelines {
			if unit.First() && unit.Config == name && s.rnd.IntN(4) == 0 {
				s.say(n.name, "%v: breaks", unit)
				s.after(n, 0, p.Break)
				return
			}
		}
	}
}

// garbageClaim writes what nobody can read over a claim, bound to no session, until somebody
// deletes it.
func (s *storm) garbageClaim() {
	key := claimsPrefix + s.configs[s.rnd.IntN(len(s.configs))]
	s.store.put(key, `{"v": 99}`)
	s.later(s.span(), func() {
		if string(s.store.entries[key].Value) == `{"v": 99}` {
			s.store.remove(key)
		}
	})
}

func (s *storm) garbageMember() {
	n := s.any()
	if n == nil || s.twins(n.name) > 1 {
		return // a twin could take the name before its owner has written the record again
	}
	key := registryPrefix + "members/" + n.name
	s.store.put(key, "garbage")
	s.later(s.span(), func() {
		if string(s.store.entries[key].Value) == "garbage" {
			s.store.remove(key)
		}
	})
}

// twins is how many living processes have the name.
func (s *storm) twins(name string) int {
	return len(slices.DeleteFunc(s.living(), func(n *node) bool { return n.name != name }))
}

// twin starts a second process of a name, which a person ends after a while.
func (s *storm) twin() {
	n := s.any()
	if n == nil || s.rnd.IntN(2) == 0 || len(s.store.garbage()) > 0 {
		return
	}
	other := n.host.Start(NodeOptions{Moved: s.rnd.IntN(2) == 0})
	s.later(s.span(), other.Crash)
}

// churn changes a config.
func (s *storm) churn() {
	name := s.configs[s.rnd.IntN(len(s.configs))]
	switch s.rnd.IntN(6) {
	case 0:
		s.store.remove(configsPrefix + name)
	case 1:
		s.store.put(configsPrefix+name, "no: such key")
	case 2:
		s.store.put(configsPrefix+name, "\x00garbage")
	default:
		s.store.put(configsPrefix+name, s.text(name))
	}
}

// calm ends every fault.
func (s *storm) calm() {
	s.say("", "no more faults")
	s.queue.remove(func(e *event) bool { return e.fault })
	if s.store.down {
		s.store.start()
	}
	for _, h := range s.hosts {
		h.link = link{}
		clear(h.unheard)
	}
	for _, n := range s.living() {
		n.Resume()
		n.mishap, n.ambushed, n.full = nil, false, false
		n.host.echo, n.host.blind, n.host.usurped, n.cutUntil = 0, false, 0, 0
		n.host.deaf = min(n.host.deaf, s.now) // it hears what it has missed only a moment later
		for _, p := range n.gossip.peers {
			p.slandered = 0
		}
		if first := s.node(n.name); first != n {
			n.Crash()
		}
	}
	for _, key := range s.store.garbage() {
		s.store.remove(key)
	}
	s.storeAll()
	s.store.snare, s.store.mute, s.unreceived = false, false, 0
	if s.store.entries[configsPrefix+retired].Key == "" {
		s.store.put(configsPrefix+retired, s.text(retired)) // a deletion that nobody saw is none
	}
	later := 20 * time.Second
	if s.style == dense {
		later *= 2 // a node whose listing was lost has another one by then, and knows that the config is in a store that was restored
	}
	s.after(nil, later, func() { s.store.remove(configsPrefix + retired) })
	s.store.notify()
	s.options.Trouble, s.options.Garble = 0, false
	for len(s.staying()) < 2 {
		if h := s.hosts[s.rnd.IntN(len(s.hosts))]; s.node(h.name) == nil {
			h.Start(NodeOptions{})
		} else {
			s.join()
		}
	}
}
