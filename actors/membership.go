package actors

import (
	"math"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/ringmaster-agent/ringmaster/actors/lifecycle"
	"github.com/ringmaster-agent/ringmaster/actors/reshard"
	"github.com/ringmaster-agent/ringmaster/cluster/ring"
	"github.com/ringmaster-agent/ringmaster/messages"
)

const (
	// othersReturn is how long a node that has lost its session leaves to others what they may be running: until they have heard that the store
	// is back, and that sessions have run out.
	othersReturn = 3 * time.Second
	// writePause is the wait after claims could not be written.
	writePause = 500 * time.Millisecond
	// refusedPause is the wait after a write whose condition did not hold.
	refusedPause = 100 * time.Millisecond
	// defaultReleaseAfter is how long a unit whose scrape interval is not known holds its claim while it sends what is left.
	defaultReleaseAfter = time.Second
)

// membership is what the supervisor knows of the cluster. A nil membership is that of a node alone.
type membership struct {
	registry *reshard.Registry
	// ring and watcher are the actors; nil while they are down.
	ring, watcher *actor.PID
	failures      lifecycle.Failures
	// owners is the settled ring, nil before there is one.
	owners  *ringOwners
	session string
	permit  *permit
	// takeFrom is when what nobody has claimed may be taken, after a session was lost.
	takeFrom time.Time
	// renewed is when the session was renewed last, if the store has not answered since.
	renewed time.Time
	writing map[reshard.Record]bool
	ready   bool
	problem string
	// searching: leftovers are being looked for.
	searching bool
	moves     moves
}

// Private messages of the supervisor to itself.
type (
	// respawnMembership comes when the backoff of the ring actor, or of its watcher, is over.
	respawnMembership struct{}
	// writeAgain comes when records whose writing failed may be written again.
	writeAgain struct{ records []reshard.Record }
)

func newMembership() *membership {
	return &membership{registry: reshard.NewRegistry(), writing: map[reshard.Record]bool{}}
}

// ringOwners answers from the settled ring.
type ringOwners struct {
	*ring.Ring
	node string
}

// Owner implements reshard.Owners.
func (o *ringOwners) Owner(u messages.Unit) (string, reshard.Ownership) {
	node := OwnerOf(o.Ring, u)
	if node == o.node {
		return node, reshard.Owned
	}
	return node, reshard.NotOwned
}

// OwnerOf is the node that should run the unit, empty if the ring has too few. Slices have places of their own; the replicas of one go to the
// members that follow.
func OwnerOf(r *ring.Ring, u messages.Unit) string {
	key := ring.Key(messages.Unit{Config: u.Config, Slice: u.Slice}.Key())
	if u.Replica == 0 {
		node, _ := r.Owner(key)
		return node
	}
	if owners := r.Owners(key, u.Replica+1); len(owners) > u.Replica {
		return owners[u.Replica]
	}
	return ""
}

// view is the cluster as the decision sees it.
func (m *membership) view(o *Cluster, leaving bool) (reshard.Owners, *reshard.Cluster) {
	if m == nil {
		return reshard.Alone{}, nil
	}
	c := &reshard.Cluster{
		Node: o.Node, Session: m.session, Replicas: o.Replicas, Known: m.registry.Listed(), TakeFrom: m.takeFrom, Leaving: leaving && !o.KeepClaims,
		Claims: m.registry.Claims(), Intents: m.registry.Intents(), GivenUp: m.registry.GivenUp(), Writing: m.writing,
	}
	if m.owners == nil {
		return nil, c
	}
	return m.owners, c
}

// settled reports whether the node has its place.
func (m *membership) settled() bool { return m == nil || m.owners != nil && m.session != "" }

func (m *membership) terminated(who *actor.PID) bool {
	if m == nil {
		return false
	}
	switch {
	case m.ring != nil && who.Equal(m.ring):
		m.ring = nil
	case m.watcher != nil && who.Equal(m.watcher):
		m.watcher = nil
	default:
		return false
	}
	return true
}

// spawnMembership spawns the ring actor and the watcher of the registry, whichever is missing. A new ring actor needs a new listing, so it
// takes its watcher with it.
func (s *supervisor) spawnMembership(c actor.Context) {
	m := s.membership
	if m == nil || s.stopping != nil {
		return
	}
	guard := guardChild(s.Logger)
	if m.ring == nil {
		m.ring = c.SpawnPrefix(props(func() actor.Actor { return newRingActor(s.tree) }, guard, s.Options), "ring/")
		m.ready = false
		if m.watcher != nil {
			c.Stop(m.watcher)
			return // it is spawned again when it has ended
		}
	}
	if m.watcher == nil {
		listeners := []*actor.PID{s.supervisor, m.ring}
		m.watcher = c.SpawnPrefix(props(func() actor.Actor {
			w := newWatcher(s.tree, registryFeed{s.Cluster.Registry}, listeners...)
			w.afresh = true // what was remembered may be of another store
			return w
		}, guard, s.Options), "registry/")
	}
	s.tellReady()
}

// membershipTerminated has what crashed spawned again after a backoff.
func (s *supervisor) membershipTerminated(c actor.Context) {
	m := s.membership
	if m.ring == nil {
		clear(m.writing)
		s.agenda.addEverything()
	}
	policy := lifecycle.Policy{First: 100 * time.Millisecond, Longest: time.Minute, Quiet: 10 * time.Minute, Budget: math.MaxInt}
	now := s.now()
	m.failures = m.failures.Add(policy, messages.Digest{}, now, s.Jitter())
	s.startTimer(c, "membership", m.failures.NotBefore.Sub(now), respawnMembership{})
}

func (s *supervisor) foldRegistry(c actor.Context, event messages.RegistryEvent) {
	if move, ok := s.membership.moves.note(s.membership.registry.Claims(), event, s.now()); ok {
		s.metrics.cluster.moves.WithLabelValues(move.Reason.String()).Inc()
	}
	if s.membership.registry.Fold(event) {
		s.addRegistered(event)
		s.reconcileSoon(c)
	}
}

// addRegistered puts on the agenda what an event of the registry is about. Members count by the ring that is made of them.
func (s *supervisor) addRegistered(event messages.RegistryEvent) {
	switch e := event.(type) {
	case messages.RegistryListed:
		for claim := range e.Claims.All() {
			s.agenda.saw(claim.Unit)
		}
		for intent := range e.Intents.All() {
			s.agenda.saw(intent.Unit)
		}
		s.agenda.addEverything()
	case messages.ClaimPut:
		s.agenda.add(e.Claim.Unit)
	case messages.ClaimGone:
		s.agenda.add(e.Unit)
	case messages.IntentPut:
		s.agenda.add(e.Intent.Unit)
	case messages.IntentGone:
		s.agenda.add(e.Unit)
	}
}

func (s *supervisor) sessionChanged(c actor.Context, m sessionChanged) {
	s.membership.session, s.membership.permit, s.membership.renewed = m.session, m.permit, time.Time{}
	s.metrics.cluster.current.Store(m.permit)
	if m.session == "" {
		s.lookAtStoreAgain(c)
		s.membership.takeFrom = s.now().Add(othersReturn)
	} else if !s.membership.takeFrom.IsZero() {
		s.membership.takeFrom = s.now().Add(othersReturn)
	}
	if m.lapsed {
		for _, u := range s.units {
			u.lapsed = u.epoch != 0
		}
	}
	s.remember(c)
	s.agenda.addEverything()
	s.reconcileSoon(c)
}

// lookAtStoreAgain has everything listed again: a store that has lost its data, and has written more since than it had, shows it by nothing but
// sessions that are gone.
func (s *supervisor) lookAtStoreAgain(c actor.Context) {
	if s.watcher != nil {
		c.Send(s.watcher, listNow{})
	}
	if s.membership.watcher != nil {
		c.Send(s.membership.watcher, listAfresh{})
	}
}

func (s *supervisor) ringChanged(c actor.Context, m ringChanged) {
	first := s.membership.owners == nil
	s.membership.owners = &ringOwners{Ring: m.ring, node: s.Cluster.Node}
	if first {
		s.findLeftovers(c)
	}
	s.remember(c)
	s.agenda.addEverything()
	s.reconcileSoon(c)
}

// tellReady tells the ring actor, once, that this node knows the configs.
func (s *supervisor) tellReady() {
	m := s.membership
	if m == nil || m.ready || m.ring == nil || !s.complete() {
		return
	}
	m.ready = true
	s.after(s.Cluster.JoinAfter, m.ring, nodeReady{})
}

// run lets a unit scrape by the claim of this node's session.
func (s *supervisor) run(c actor.Context, run reshard.Run) {
	u := s.units[run.Unit]
	u.epoch = run.Epoch
	u.permit.current.Store(s.membership.permit)
	if u.phase == messages.PhasePreparing {
		c.Send(u.pid, messages.RunInstance{Unit: u.Unit, Generation: u.generation, Resume: u.resume})
	}
}

// write has claims and intents written. What is known of a released unit is kept, for its record is about to be written over.
func (s *supervisor) write(c actor.Context, writes []reshard.Write) {
	m := s.membership
	if len(writes) == 0 || m == nil || m.ring == nil {
		return
	}
	for _, w := range writes {
		m.writing[w.Record()] = true
		if w.Kind == reshard.ReleaseUnit || w.Kind == reshard.RemoveClaim {
			m.registry.GiveUp(w.Unit, w.Revision)
		}
		if u, ok := s.units[w.Unit]; ok && w.Kind == reshard.ClaimUnit {
			switch before := m.registry.Claims()[w.Unit]; {
			case before.Released:
				u.resume, u.tookOverFrom = before.Handover, before.Node
			case !before.Held() || before.Revision != u.claimed:
				u.resume = "" // what this process knows is from before others ran it, maybe
			}
		}
	}
	c.Send(m.ring, writeRecords{writes: writes})
}

func (s *supervisor) recordsWritten(c actor.Context, w recordsWritten) {
	s.remember(c)
	if w.err != nil {
		// Whether they were written will show; until then, and for a while, nothing is tried.
		s.after(writePause, c.Self(), writeAgain{records: w.records})
		return
	}
	var done, refused []reshard.Record
	for i, event := range w.events {
		if event == nil {
			refused = append(refused, w.records[i])
			s.refusedClaim(w.records[i])
			continue
		}
		done = append(done, w.records[i])
		if put, ok := event.(messages.ClaimPut); ok && s.units[put.Claim.Unit] != nil {
			s.units[put.Claim.Unit].claimed = put.Claim.Revision
		}
		s.foldRegistry(c, event)
	}
	if len(refused) > 0 {
		// Somebody has written them; the watch will say what.
		s.after(refusedPause, c.Self(), writeAgain{records: refused})
	}
	s.writeAgain(c, writeAgain{records: done})
}

// refusedClaim notes that others may have run a unit which waits here for a claim of this session: somebody else has claimed it.
func (s *supervisor) refusedClaim(record reshard.Record) {
	u, ok := s.units[record.Unit]
	if ok && !record.Intent && u.epoch != 0 && u.permit != nil && u.permit.current.Load() != s.membership.permit {
		u.lapsed = true
		s.agenda.add(u.Unit)
	}
}

func (s *supervisor) writeAgain(c actor.Context, m writeAgain) {
	for _, record := range m.records {
		delete(s.membership.writing, record)
		s.agenda.add(record.Unit)
	}
	s.reconcileSoon(c)
}

// releaseAfter is how long a unit that has stopped scraping may send what is left before its claim is released: not so long that who takes
// over misses a tick.
func (s *supervisor) releaseAfter(name string) time.Duration {
	d, ok := s.documents[name]
	if !ok || d.config == nil {
		return defaultReleaseAfter
	}
	shortest := time.Duration(0)
	for _, job := range d.config.ScrapeConfigs {
		if interval := time.Duration(job.ScrapeInterval); shortest == 0 || interval < shortest {
			shortest = interval
		}
	}
	if shortest == 0 {
		return defaultReleaseAfter
	}
	return shortest * 7 / 10
}

// unitsOf are the units of a known config.
func (s *supervisor) unitsOf(name string) []messages.Unit {
	d, replicas := s.documents[name], 1
	if s.Cluster != nil && !d.Local {
		replicas = s.Cluster.Replicas
	}
	return reshard.Units(name, d.slices(), replicas)
}
