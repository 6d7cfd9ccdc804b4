package consultest

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"
)

// firstIndex is about what a new Consul's Raft log has before anybody writes.
const firstIndex = 11

// state is what Consul replicates: the KV table, its tombstones and the sessions. Entries are never
// changed in place.
type state struct {
	mu sync.Mutex
	// index is that of the newest Raft entry. Every write takes one, also one that is then refused,
	// and so do sessions: the indexes of keys have gaps.
	index uint64
	kvs   map[string]*api.KVPair
	// tombstones hold, for keys that were deleted, the index of the deletion: a listing's index
	// must not go back because its newest key went (state/graveyard.go).
	tombstones map[string]uint64
	// kvsIndex is the highest index of the tables kvs and tombstones together (state/kvs.go,
	// kvsMaxIndex).
	kvsIndex uint64
	sessions map[string]*session
	nodes    map[string]bool // the catalog
	// lockDelays is until when a key may not be locked.
	lockDelays map[string]time.Time
	// changed is closed and replaced at every change; abandoned also when the state is replaced as
	// a whole.
	changed, abandoned chan struct{}
}

func (s *state) reset(index uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index, s.kvsIndex = index, 0
	s.kvs, s.tombstones = map[string]*api.KVPair{}, map[string]uint64{}
	s.sessions, s.lockDelays = map[string]*session{}, map[string]time.Time{}
	s.nodes = map[string]bool{localNode: true}
	s.changed, s.abandoned = make(chan struct{}), make(chan struct{})
}

func (s *state) stopTimers() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sess := range s.sessions {
		if sess.timer != nil {
			sess.timer.Stop()
		}
	}
}

// Snapshot is a copy of what the server holds, for Restore, sessions included (fsm/snapshot_ce.go).
type Snapshot struct {
	kvs        map[string]*api.KVPair
	tombstones map[string]uint64
	kvsIndex   uint64
	sessions   map[string]*session
	nodes      map[string]bool
}

// Snapshot copies the keys, the sessions and the catalog.
func (s *Server) Snapshot() Snapshot {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	return Snapshot{
		maps.Clone(s.state.kvs), maps.Clone(s.state.tombstones), s.state.kvsIndex, maps.Clone(s.state.sessions), maps.Clone(s.state.nodes),
	}
}

// Restore goes back to a snapshot, as "consul snapshot restore" does: the tables have the
// snapshot's indexes again, while Raft's goes on; whoever waits in a blocking query is answered
// with what was before (state/state_store.go, Abandon). Sessions are those of the snapshot. One
// that had ended meanwhile is there again, and has no timer until it is renewed or the leader
// changes.
func (s *Server) Restore(snap Snapshot) {
	s.state.mu.Lock()
	for id, sess := range s.state.sessions {
		if snap.sessions[id] == nil && sess.timer != nil {
			sess.timer.Stop()
		}
	}
	index, abandoned := s.state.index, s.state.abandoned
	s.state.mu.Unlock()
	s.state.reset(index)
	s.state.mu.Lock()
	s.state.kvs, s.state.tombstones, s.state.kvsIndex = maps.Clone(snap.kvs), maps.Clone(snap.tombstones), snap.kvsIndex
	s.state.sessions, s.state.nodes = maps.Clone(snap.sessions), maps.Clone(snap.nodes)
	s.state.mu.Unlock()
	close(abandoned)
}

// ReapTombstones forgets all tombstones, which Consul does 15 to 30 minutes after the deletion
// (setting tombstone_ttl): listings' indexes go back then. The index of the whole table does not
// (state/graveyard.go, ReapTxn).
func (s *Server) ReapTombstones() {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	s.state.index++
	s.state.kvsIndex = s.state.index
	clear(s.state.tombstones)
}

// tx is one Raft entry being applied, all or nothing. The state's mutex is held while it lasts.
type tx struct {
	*state
	index uint64
	undo  []func()
}

func (s *state) begin() *tx {
	s.index++
	return &tx{state: s, index: s.index}
}

func (t *tx) commit() {
	if len(t.undo) > 0 {
		close(t.changed)
		t.changed = make(chan struct{})
	}
}

func (t *tx) rollback() {
	for i := len(t.undo) - 1; i >= 0; i-- {
		t.undo[i]()
	}
}

// replace puts e, or nothing if it is nil, in the place of key.
func (t *tx) replace(key string, e *api.KVPair) {
	old, oldIndex := t.kvs[key], t.kvsIndex
	t.undo = append(t.undo, func() {
		t.kvsIndex = oldIndex
		if delete(t.kvs, key); old != nil {
			t.kvs[key] = old
		}
	})
	t.kvsIndex = t.index
	if delete(t.kvs, key); e != nil {
		t.kvs[key] = e
	}
}

// set writes e, keeping the key's session unless withSession. A write that changes nothing is none:
// the index stays (state/kvs.go, kvsSetTxn). It fills in the indexes of e, which the caller must
// not use afterwards but for reading.
func (t *tx) set(e *api.KVPair, withSession bool) {
	existing := t.kvs[e.Key]
	e.CreateIndex = t.index
	if existing != nil {
		e.CreateIndex = existing.CreateIndex
	}
	if !withSession {
		e.Session, e.LockIndex = "", 0 // the count of locks begins anew, though the session stays
		if existing != nil {
			e.Session = existing.Session
		}
	}
	if existing != nil && existing.LockIndex == e.LockIndex && existing.Flags == e.Flags &&
		existing.Session == e.Session && string(existing.Value) == string(e.Value) {
		e.ModifyIndex = existing.ModifyIndex
		return
	}
	e.ModifyIndex = t.index
	t.replace(e.Key, e)
}

// cas sets if the key's ModifyIndex is e's; 0 is for a key that must not exist (KV API, parameter
// cas).
func (t *tx) cas(e *api.KVPair) bool {
	existing := t.kvs[e.Key]
	if (existing == nil) != (e.ModifyIndex == 0) || existing != nil && existing.ModifyIndex != e.ModifyIndex {
		return false
	}
	t.set(e, false)
	return true
}

// lock sets if nobody else has the lock (KV API, parameter acquire; state/kvs.go, kvsLockTxn).
func (t *tx) lock(e *api.KVPair) (bool, error) {
	switch {
	case e.Session == "":
		return false, fmt.Errorf("missing session")
	case t.sessions[e.Session] == nil:
		return false, fmt.Errorf("invalid session %#v", e.Session)
	}
	existing := t.kvs[e.Key]
	switch {
	case existing == nil:
		e.LockIndex = 1
	case existing.Session == e.Session:
		e.LockIndex = existing.LockIndex
	case existing.Session != "":
		return false, nil
	default:
		e.LockIndex = existing.LockIndex + 1
	}
	t.set(e, true)
	return true, nil
}

// unlock sets if the session has the lock (KV API, parameter release; state/kvs.go, kvsUnlockTxn).
func (t *tx) unlock(e *api.KVPair) (bool, error) {
	if e.Session == "" {
		return false, fmt.Errorf("missing session")
	}
	existing := t.kvs[e.Key]
	if existing == nil || existing.Session != e.Session {
		return false, nil
	}
	e.Session, e.LockIndex = "", existing.LockIndex
	t.set(e, true)
	return true, nil
}

// remove deletes a key and leaves a tombstone. To delete what is not there changes nothing
// (state/kvs.go, kvsDeleteTxn).
func (t *tx) remove(key string) {
	if t.kvs[key] == nil {
		return
	}
	old, had := t.tombstones[key]
	t.undo = append(t.undo, func() {
		if delete(t.tombstones, key); had {
			t.tombstones[key] = old
		}
	})
	t.tombstones[key] = t.index
	t.replace(key, nil)
}

// removeCAS deletes if the index is the key's. A key that is not there counts as deleted
// (state/kvs.go, kvsDeleteCASTxn).
func (t *tx) removeCAS(key string, index uint64) bool {
	existing := t.kvs[key]
	if existing == nil || existing.ModifyIndex != index {
		return existing == nil
	}
	t.remove(key)
	return true
}

// delayed reports whether the lock delay forbids to lock the key now. It is asked before Raft is
// (consul/kvs_endpoint.go, kvsPreApply).
func (s *state) delayed(key string) bool { return time.Now().Before(s.lockDelays[key]) }
