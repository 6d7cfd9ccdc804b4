package sim

import "time"

// ambush has a process stand still until another node has begun to end its session, which takes
// that one a while.
func (s *storm) ambush() { s.ambushOf(s.any()) }

// ambushDeaf does the same to a node that hears nothing of the store for a while, which answers it:
// it has a new session before it hears who has taken over what it ran.
func (s *storm) ambushDeaf() {
	n := s.any()
	if !s.ambushOf(n) {
		return
	}
	d := 6*time.Second + s.upTo(6*time.Second)
	s.say(n.name, "does not hear of changes in the store for %v", d)
	n.host.deaf = s.now + d
	s.later(d, s.store.notify)
}

func (s *storm) ambushOf(n *node) bool {
	if n == nil || n.stalled || s.twins(n.name) > 1 {
		return false
	}
	n.Stall()
	n.ambushed = true
	s.later(6*time.Second+s.span(), func() { n.ambushed = false; n.Resume() })
	return true
}

// ambushes is called when a member's record is taken away.
func (w *World) ambushes(name string) {
	n := w.node(name)
	if n == nil || !n.ambushed {
		return
	}
	n.ambushed = false
	w.store.ending = w.now + w.upTo(2*time.Second)
	w.after(nil, w.upTo(100*time.Millisecond), n.Resume)
}

// doubt has a node that is cut off from the store be taken for dead by one that it goes by.
func (s *storm) doubt() {
	n, by := s.any(), s.any()
	if n == nil || n == by {
		return
	}
	s.cut(n.host, 2*time.Second+s.span())
	s.allow(s.bound(fault{unscraped: tookBack})) // it may be back as it gives its session up
	s.later(2*time.Second+s.upTo(3*time.Second), func() { by.gossip.slander(n.name, s.upTo(3*time.Second)) })
}

// pausedJudge has a node wake up that takes another one for dead, does not hear it itself, and finds
// that its session has not been renewed for a while. That one is cut off from the store, but goes on
// by the answers of the others.
func (s *storm) pausedJudge() {
	n, by := s.any(), s.any()
	if n == nil || n == by || n.stalled || by.stalled {
		return
	}
	s.say(by.name, "does not hear %s", n.name)
	s.deafen(by.host, 6500*time.Millisecond, n.host)
	by.Stall()
	s.later(time.Second+s.upTo(time.Second), func() { s.cut(n.host, 6*time.Second+s.upTo(3*time.Second)) })
	s.later(4*time.Second, func() {
		if by.stalled { // else it has looked around for a while
			by.Resume()
			by.gossip.slander(n.name, 2500*time.Millisecond)
		}
	})
}

// usurp has a second process of a name, which waits for it, find that somebody has just deleted the
// record of the first. The first may have lost the store in that moment.
func (s *storm) usurp() {
	n := s.any()
	if n == nil || s.twins(n.name) > 1 || len(s.store.garbage()) > 0 {
		return
	}
	n.host.usurped = time.Duration(s.rnd.IntN(3)) * 4 * time.Second
	if n.host.usurped == 0 {
		n.host.usurped = 1
	}
	n.unplanned = true
	other := n.host.Start(NodeOptions{Moved: s.rnd.IntN(2) == 0})
	s.later(8*time.Second+s.span(), func() {
		n.host.usurped = 0
		if s.rnd.IntN(2) == 0 {
			other = n // whichever a person finds
		}
		other.Crash()
	})
}

// usurps is called when a node reads a key.
func (w *World) usurps(by *node, key string) {
	h := by.host
	first := w.node(by.name)
	if h.usurped == 0 || first == by || first == nil || key != registryPrefix+"members/"+by.name {
		return
	}
	for _, n := range w.nodes {
		if n == first && h.usurped > 1 {
			n.cutUntil = w.now + h.usurped
		}
	}
	h.usurped = 0
	w.store.remove(key)
}

// deleteMember deletes the record of a node that lives. Nothing is to move for that.
func (s *storm) deleteMember() {
	n := s.any()
	if n == nil || s.twins(n.name) > 1 {
		return
	}
	s.store.remove(registryPrefix + "members/" + n.name)
	s.later(3*time.Second, func() {})
}

// snare has the store go away just as it has released a unit, before it has told anybody.
func (s *storm) snare() {
	if s.store.down || s.names >= 12 {
		return
	}
	s.join()
	s.store.snare = true
	s.later(10*time.Second, func() { s.store.snare = false })
	s.later(12*time.Second+s.span(), func() { s.reappear(); s.store.mute = false })
}

// snared is called when a claim is released.
func (w *World) snared() {
	if w.store.snare && w.now > startWithin {
		w.store.snare, w.store.mute = false, true
		w.store.stop()
	}
}
