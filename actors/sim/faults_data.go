package sim

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

// backup is what a backup of the store has.
type backup struct {
	revision int64
	entries  map[string]cluster.Entry
	sessions map[string]time.Duration
	stamps   map[int64]time.Duration
}

// save makes a backup.
func (s *server) save() *backup {
	b := &backup{revision: s.revision, entries: maps.Clone(s.entries), sessions: map[string]time.Duration{}, stamps: maps.Clone(s.stamps)}
	for id, l := range s.sessions {
		b.sessions[id] = l.ttl
	}
	s.world.say("", "store: is backed up at revision %d", s.revision)
	return b
}

// restore does what etcdutl snapshot restore does: keys and sessions are as they were, each session
// with its whole time.
func (s *server) restore(b *backup) {
	s.world.say("", "store: is restored from revision %d to %d", s.revision, b.revision)
	if b.revision < s.revision {
		s.era.Rewinds++
	}
	s.entries, s.revision, s.stamps = maps.Clone(b.entries), b.revision, maps.Clone(b.stamps)
	s.history, s.compacted = nil, b.revision
	clear(s.listed)
	clear(s.sessions)
	for _, id := range slices.Sorted(maps.Keys(b.sessions)) {
		l := &lease{id: id, ttl: b.sessions[id], renewed: s.world.now}
		s.sessions[id] = l
		s.expire(l)
	}
	s.lost, s.recordsAt = s.lost+1, 0
	s.world.emptied()
	s.world.ledger.restored = s.world.now
	for _, key := range slices.Sorted(maps.Keys(s.entries)) {
		if name, ok := strings.CutPrefix(key, configsPrefix); ok {
			s.world.stored(s.world.ledger.at(name), s.entries[key])
		}
	}
	s.notify()
}

// reset writes the keys of a prefix anew as they were in a backup, bound to no session, as who
// copies keys from one store to another.
func (s *server) reset(b *backup, prefix string) {
	s.world.say("", "store: what was below %s at revision %d is written again", prefix, b.revision)
	for _, key := range slices.Sorted(maps.Keys(b.entries)) {
		if strings.HasPrefix(key, prefix) {
			s.put(key, string(b.entries[key].Value))
		}
	}
}

// wipe is what a person does with etcdctl del --prefix.
func (s *server) wipe(prefix string) {
	s.world.say("", "store: everything below %s is deleted", prefix)
	s.revision++
	for _, key := range slices.Sorted(maps.Keys(s.entries)) {
		if strings.HasPrefix(key, prefix) {
			s.world.deletes(key)
			s.unset(key)
		}
	}
	s.notify()
}

// rollBack restores the store from a backup of a while ago, in which something has changed since.
func (s *storm) rollBack() {
	if s.store.lost > 0 {
		return // once is bad enough
	}
	b := s.store.save()
	s.later(s.span(), func() {
		if !s.store.down && s.store.lost == 0 {
			s.store.restore(b)
			s.later(s.span(), s.storeAll)
		}
	})
	s.joinOrLeave()
}

// rollBackPart writes configs again as they were.
func (s *storm) rollBackPart() {
	b := s.store.save()
	s.later(s.span(), func() {
		if !s.store.down {
			s.store.reset(b, configsPrefix)
		}
	})
	s.churn()
}

// deleteClaim deletes one claim, or all.
func (s *storm) deleteClaim() {
	s.ledger.meddled = s.now
	if s.rnd.IntN(4) == 0 {
		s.store.wipe(claimsPrefix)
		return
	}
	s.store.remove(claimsPrefix + s.configs[s.rnd.IntN(len(s.configs))])
}

// deleteRegistry deletes everything that nodes have written.
func (s *storm) deleteRegistry() {
	s.ledger.meddled = s.now
	s.store.wipe(registryPrefix)
}

// receiversAway has receivers be down while units move: what a node has not sent keeps nobody from
// scraping.
func (s *storm) receiversAway() {
	d := 5*time.Second + s.span()
	s.say("", "receivers are down for %v", d)
	s.unreceived = s.now + d
	s.later(d, func() {})
	s.joinOrLeave()
}

// forgetMemory makes a host unable to keep what it knows of the store, and damages what it has.
func (s *storm) forgetMemory() {
	if n := s.any(); n != nil {
		s.say(n.name, "can't write what it knows of the store")
		n.host.known.broken = true
		s.later(s.span(), func() { n.host.known.broken = false })
	}
}
