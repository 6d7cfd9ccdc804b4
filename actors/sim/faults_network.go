package sim

import "time"

// split parts the hosts into two groups that don't hear each other. The store is with both of them,
// with one, or with none.
func (s *storm) split() {
	nodes := s.living()
	if len(nodes) < 2 {
		return
	}
	s.rnd.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
	first := 1 + s.rnd.IntN(len(nodes)-1)
	d, with := s.span(), s.rnd.IntN(4)
	s.say("", "%d of %d nodes are parted from the others, for %v; the store is with %s", first, len(nodes), d, []string{"both", "the others", "them", "none"}[with])
	for i, n := range nodes {
		for _, other := range nodes[first:] {
			if i < first {
				s.deafen(n.host, d, other.host)
			}
		}
		if cut := with&1 != 0 && i < first || with&2 != 0 && i >= first; cut {
			s.cut(n.host, d)
		}
	}
	reach := len(nodes) // how many nodes are with the store
	switch with {
	case 1:
		reach = len(nodes) - first
	case 2:
		reach = first
	case 3:
		reach = 0
	}
	switch {
	case reach == len(nodes):
		s.allow(nothing)
	case reach == 0:
		s.allow(d + s.runOut()) // they stop until they see each other, or the store
	case reach < s.options.Replicas:
		s.allow(d + s.runOut()) // for some replicas there is no node until the others are back
	case 2*reach >= len(nodes):
		s.allow(s.takeover())
	default:
		s.allow(s.runOut())
	}
}

// splitAgain parts the nodes in two, and soon those that have the store once more.
func (s *storm) splitAgain() {
	s.split()
	s.later(3*time.Second+s.upTo(5*time.Second), s.split)
}

// joinPart parts the nodes in two, with the store on the smaller side, which nodes join then that the
// other side hears nothing of. With them the smaller side is half of all members. But they are no
// evidence for who ends sessions.
func (s *storm) joinPart() {
	nodes := s.living()
	if len(nodes) < 3 {
		return
	}
	s.rnd.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
	with := 1 + s.rnd.IntN((len(nodes)-1)/2)
	joiners, d := len(nodes)-2*with, 8*time.Second+s.span()
	s.apart = s.now + d + runOut
	if s.names+joiners > 12 {
		return
	}
	s.say("", "%d of %d nodes are parted from the others and from the store, for %v; %d join the others", len(nodes)-with, len(nodes), d, joiners)
	for _, n := range nodes[with:] {
		for _, other := range nodes[:with] {
			s.deafen(n.host, d, other.host)
		}
		s.cut(n.host, d)
	}
	end := s.now + d
	s.later(s.upTo(200*time.Millisecond), func() {
		for range joiners {
			s.join()
			for _, n := range nodes[with:] {
				s.deafen(n.host, end-s.now, s.hosts[len(s.hosts)-1])
			}
		}
	})
}

// cutThenIsolate cuts a node off from the store and, once it has fenced itself and said so, from its
// peers. Even if it is told to go on when it is isolated, it does not do so by the session that it
// has given up.
func (s *storm) cutThenIsolate() {
	n := s.any()
	if n == nil {
		return
	}
	d := 25*time.Second + s.span()
	s.cut(n.host, d)
	end := s.now + d
	s.later(7*time.Second+s.upTo(2*time.Second), func() {
		s.say(n.name, "hears nobody")
		s.deafen(n.host, end-s.now, s.hosts...)
	})
}

// outageButOne has the store come back from an outage for all nodes but one, which goes without for a
// while longer.
func (s *storm) outageButOne() {
	n := s.any()
	if n == nil || s.store.down {
		return
	}
	d, longer := 3*time.Second+s.upTo(12*time.Second), 5*time.Second+s.upTo(20*time.Second)
	s.store.stop()
	s.later(d, func() {
		n.host.link.dark = s.now + longer
		s.say(n.name, "does not reach the store for %v more", longer)
		s.store.start()
		s.later(longer, s.store.notify)
	})
	if s.options.NoGossip {
		s.allow(d + longer + s.runOut()) // nobody knows whether others reach it
	}
}

// twinAcross parts the nodes in two, and starts a second process of a node's name on the other side,
// which has the store. What one side hears of it, the other does not.
func (s *storm) twinAcross() {
	nodes := s.living()
	if len(nodes) < 3 || len(s.store.garbage()) > 0 || s.now < s.twinned {
		return
	}
	s.rnd.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
	n, first := nodes[0], 1+s.rnd.IntN(len(nodes)-1)
	if s.twins(n.name) > 1 {
		return
	}
	d := 8*time.Second + s.span()
	s.twinned = s.now + d + 2*runOut // by then everybody has registered again
	s.say("", "%d of %d nodes are parted from the others and from the store, for %v; among the others is a twin of %s", first, len(nodes), d, n.name)
	twin := s.Host(n.name)
	twin.lives = 100 * len(s.hosts) // no process of it is taken for one of another
	for _, one := range nodes[:first] {
		s.deafen(twin, d, one.host)
		for _, other := range nodes[first:] {
			s.deafen(one.host, d, other.host)
		}
		s.cut(one.host, d)
	}
	other := twin.Start(NodeOptions{Moved: true})
	s.later(d-time.Second, other.Crash)
}

// joinAndOutage has the store go away while a node is being given its units.
func (s *storm) joinAndOutage() {
	if s.store.down || s.names >= 12 {
		return
	}
	s.join()
	s.later(500*time.Millisecond+time.Duration(s.rnd.Int64N(int64(3*time.Second))), func() { s.outageFor(0) })
}

// hang has the store's disk hang: writes wait, while reads and renewals are answered.
func (s *storm) hang() {
	d := time.Duration(s.rnd.Int64N(int64(6 * time.Second)))
	s.say("", "store: writes hang for %v", d)
	s.store.hangs = s.now + d
	s.later(d, func() {})
}
