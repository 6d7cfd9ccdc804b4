package gossip

import (
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const (
	firstRetry = 250 * time.Millisecond
	lastRetry  = 5 * time.Second
	// maxJoins is how many peers are talked to at the same time. A host that swallows packets takes
	// one of them for dialTimeout.
	maxJoins = 8
	// blockedAfter is how long the store may list peers of whom none is seen before that is worth a
	// warning.
	blockedAfter = 10 * time.Second
)

// target is a peer that the store names, or an address to join.
type target struct {
	address string
	seed    bool          // it is only an address, from Options.Join, and its own key among the targets
	due     time.Time     // of the next attempt
	backoff time.Duration // after the next one that fails
	joining bool
	failed  bool // has been logged
}

// search finds the peers that are named but not seen. It belongs to the loop; it performs nothing
// itself.
type search struct {
	targets map[string]*target
	running int
	alone   time.Time // since when peers are named and none is seen; zero: that is not so
	blocked bool      // has been logged
}

func newSearch() *search { return &search{targets: map[string]*target{}} }

// sow adds addresses to join when nobody is seen.
func (s *search) sow(addresses []string) {
	for _, address := range addresses {
		s.targets[address] = &target{address: address, seed: true, backoff: firstRetry}
	}
}

// rename replaces the peers that are looked for. Those whose address stayed keep their backoff.
func (s *search) rename(peers map[string]string) {
	maps.DeleteFunc(s.targets, func(node string, t *target) bool { return !t.seed && peers[node] != t.address })
	for node, address := range peers {
		if s.targets[node] == nil {
			s.targets[node] = &target{address: address, backoff: firstRetry}
		}
	}
}

// pick returns which targets to join now: those that are not well and due, the longest due first.
func (s *search) pick(now time.Time, well func(node string) bool) []string {
	var due []string
	for node, t := range s.targets {
		switch {
		case t.joining:
		case well(node):
			t.due, t.backoff, t.failed = time.Time{}, firstRetry, false
		case !now.Before(t.due):
			due = append(due, node)
		}
	}
	slices.SortFunc(due, func(a, b string) int { return s.targets[a].due.Compare(s.targets[b].due) })
	due = due[:min(len(due), maxJoins-s.running)]
	for _, node := range due {
		s.targets[node].joining = true
		s.running++
	}
	return due
}

// joined is what came of one attempt.
type joined struct {
	node, address string
	err           error
}

// done takes the result of an attempt. It says whether the failure is the first of its target.
func (s *search) done(now time.Time, j joined) (first bool) {
	s.running--
	t := s.targets[j.node]
	if t == nil || t.address != j.address {
		return false // renamed meanwhile
	}
	t.joining = false
	t.due = now.Add(t.backoff)
	t.backoff = min(2*t.backoff, lastRetry)
	first = j.err != nil && !t.failed
	t.failed = t.failed || j.err != nil
	return first
}

// isolation says whether to warn now that none of the named peers is seen, or that this is over.
func (s *search) isolation(now time.Time, alive int) (began, ended bool) {
	if alive > 0 || len(s.targets) == 0 {
		ended = s.blocked
		s.alone, s.blocked = time.Time{}, false
		return false, ended
	}
	if s.alone.IsZero() {
		s.alone = now
	}
	began = !s.blocked && now.Sub(s.alone) > blockedAfter
	s.blocked = s.blocked || began
	return began, false
}

// SetPeers names the peers, as the store lists them: node → host:port. Those that are not seen are
// joined again and again in the background. This node's own name is not joined, but an address
// other than its own is asked whether another node answers to it.
func (g *Gossip) SetPeers(peers map[string]string) {
	g.admission.name(peers)
	g.mu.Lock()
	g.named = maps.Clone(peers)
	g.mu.Unlock()
	hint(g.wake)
}

// look starts the joins that are due.
func (g *Gossip) look() {
	g.mu.Lock()
	named := g.named
	g.named = nil
	g.mu.Unlock()
	if named != nil {
		if other, ok := named[g.node]; ok && other != g.address {
			g.clashes.suspect(g.node, g.address, other)
		}
		delete(named, g.node)
		g.search.rename(named)
	}
	for _, node := range g.search.pick(time.Now(), g.isWell) {
		address := g.search.targets[node].address
		g.busy.Go(func() {
			err := g.join(address)
			select {
			case g.joins <- joined{node, address, err}:
			case <-g.ctx.Done():
			}
		})
	}
}

// isWell says that a target need not be joined. Of a seed that is so as long as anybody is seen.
func (g *Gossip) isWell(node string) bool {
	if g.search.targets[node].seed {
		alive, _, _ := g.table.count()
		return alive > 0
	}
	_, well := g.table.known(node)
	return well
}

func (g *Gossip) joined(j joined) {
	first := g.search.done(time.Now(), j)
	if j.err == nil {
		if t := g.search.targets[j.node]; t != nil && t.failed {
			t.failed = false
			g.notes.add(zapcore.InfoLevel, "gossip peer reached", zap.String("node", j.node), zap.String("address", j.address))
		}
		return
	}
	g.failedJoins.Inc()
	if aboutKeys(j.err.Error()) {
		g.notes.otherKey(j.address, j.err.Error())
		return
	}
	// Of a peer that was seen before, its death was logged.
	if known, _ := g.table.known(j.node); first && !known {
		g.notes.add(zapcore.WarnLevel, "gossip peer can't be reached, trying on", zap.String("node", j.node), zap.String("address", j.address), zap.Error(j.err))
	}
}

// watchIsolation says it once when gossip is blocked, and once when it no longer is.
func (g *Gossip) watchIsolation() {
	alive, _, _ := g.table.count()
	began, ended := g.search.isolation(time.Now(), alive)
	if began {
		names := slices.Sorted(maps.Keys(g.search.targets))
		g.isolated.Set(1)
		g.notes.add(zapcore.WarnLevel, "gossip is blocked: the store lists peers, none is seen; the death of a node is noticed by its session only, later",
			zap.Strings("peers", names[:min(len(names), 20)]), zap.Duration("duration", blockedAfter))
	}
	if ended {
		g.isolated.Set(0)
		g.notes.add(zapcore.InfoLevel, "gossip works again")
	}
}
