package memstore

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

// maxHistory is how many changes a Server remembers for its watches before it compacts the older
// half by itself: a watch that falls further behind is told to list again. It bounds what a reader
// that never reads can cost.
const maxHistory = 1 << 16

// Server holds the keys. Use NewServer.
type Server struct {
	clock Clock

	mu       sync.Mutex
	revision int64
	entries  map[string]cluster.Entry
	sorted   []string // the keys of entries
	// history holds the changes after revision compacted, oldest first; forgotten counts those
	// dropped from its front. A change is history[i], and its place forgotten+i stays the same for
	// ever.
	history   []cluster.Event
	forgotten int
	compacted int64
	// incarnation counts Reset calls: a watch of an older one has lost events.
	incarnation int
	sessions    map[string]*session
	lastSession uint64
	// changed is closed, and replaced, whenever a watch may have something new to look at.
	changed chan struct{}
}

// NewServer returns an empty server at revision 1. A nil clock is the real one.
func NewServer(clock Clock) *Server {
	if clock == nil {
		clock = systemClock{}
	}
	return &Server{
		clock:    clock,
		revision: 1,
		entries:  make(map[string]cluster.Entry),
		sessions: make(map[string]*session),
		changed:  make(chan struct{}),
	}
}

// Compact forgets all history up to and including revision, as etcd's compaction does: a watch that
// still needs some of it gets EventRelist. Keys are not touched.
func (s *Server) Compact(revision int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.compact(min(revision, s.revision))
	s.wakeWatches()
}

// Reset makes the server what a restored or emptied one is to its clients: no keys, no sessions,
// and the given revision, however high it was before.
func (s *Server) Reset(revision int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, sess := range s.sessions {
		sess.stopExpiry()
		delete(s.sessions, id)
	}
	clear(s.entries)
	s.forgotten += len(s.history)
	s.sorted, s.history = nil, nil
	s.revision, s.compacted = revision, revision
	s.incarnation++
	s.wakeWatches()
}

// Revision returns the revision of the last change.
func (s *Server) Revision() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.revision
}

func (s *Server) get(key string) (cluster.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.entries[key]
	if !ok {
		return cluster.Entry{}, cluster.ErrNotFound
	}
	return e, nil
}

func (s *Server) list(prefix string) cluster.Listing {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := sort.SearchStrings(s.sorted, prefix)
	l := cluster.Listing{Revision: s.revision, Era: cluster.Era{Rewinds: uint64(s.incarnation)}}
	for _, key := range s.sorted[first:] {
		if !strings.HasPrefix(key, prefix) {
			break
		}
		l.Entries = append(l.Entries, s.entries[key])
	}
	return l
}

// put takes ownership of value.
func (s *Server) put(key string, value []byte, cond cluster.Condition, sessionID string) (cluster.PutResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, exists := s.entries[key]
	if !holds(cond, old, exists) {
		return cluster.PutResult{}, cluster.ErrConflict
	}
	if !s.hasSession(sessionID) {
		return cluster.PutResult{}, cluster.ErrSessionLost
	}
	s.revision++
	s.set(key, value, sessionID)
	s.wakeWatches()
	return cluster.PutResult{Revision: s.revision, Created: !exists}, nil
}

func (s *Server) remove(key string, cond cluster.Condition) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, exists := s.entries[key]
	if !exists {
		return 0, cluster.ErrNotFound
	}
	if !holds(cond, old, exists) {
		return 0, cluster.ErrConflict
	}
	s.revision++
	s.unset(key)
	s.wakeWatches()
	return s.revision, nil
}

func holds(c cluster.Condition, e cluster.Entry, exists bool) bool {
	switch {
	case c.Absent && exists, c.Present && !exists:
		return false
	case c.Revision != 0:
		return exists && e.Revision == c.Revision
	default:
		return true
	}
}

// set writes a key at the present revision.
func (s *Server) set(key string, value []byte, sessionID string) {
	old, exists := s.entries[key]
	e := cluster.Entry{Key: key, Value: value, Revision: s.revision, Created: old.Created, Session: sessionID}
	if !exists {
		e.Created = s.revision
		i, _ := slices.BinarySearch(s.sorted, key)
		s.sorted = slices.Insert(s.sorted, i, key)
	}
	s.bind(key, old.Session, sessionID)
	s.entries[key] = e
	s.record(cluster.Event{Kind: cluster.EventPut, Entry: e})
}

// unset deletes a key that exists, at the present revision.
func (s *Server) unset(key string) {
	s.bind(key, s.entries[key].Session, "")
	delete(s.entries, key)
	i, _ := slices.BinarySearch(s.sorted, key)
	s.sorted = slices.Delete(s.sorted, i, i+1)
	s.record(cluster.Event{Kind: cluster.EventDelete, Entry: cluster.Entry{Key: key, Revision: s.revision}})
}

func (s *Server) record(e cluster.Event) {
	s.history = append(s.history, e)
	if len(s.history) > maxHistory {
		s.compact(s.history[maxHistory/2].Entry.Revision)
	}
}

func (s *Server) compact(revision int64) {
	if revision <= s.compacted {
		return
	}
	n := s.historyAfter(revision)
	// A copy, so that the forgotten values can be collected.
	s.history = slices.Clone(s.history[n:])
	s.forgotten += n
	s.compacted = revision
}

// historyAfter is the index of the first change after revision.
func (s *Server) historyAfter(revision int64) int {
	return sort.Search(len(s.history), func(i int) bool { return s.history[i].Entry.Revision > revision })
}

func (s *Server) wakeWatches() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// bind moves key from one session to another; the empty ID is no session.
func (s *Server) bind(key, from, to string) {
	if sess := s.sessions[from]; sess != nil {
		delete(sess.keys, key)
	}
	if sess := s.sessions[to]; sess != nil {
		sess.keys[key] = struct{}{}
	}
}

// hasSession is true of the empty ID, too, which is no session.
func (s *Server) hasSession(id string) bool { return id == "" || s.sessions[id] != nil }

// openSession registers sess under a new ID.
func (s *Server) openSession(sess *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastSession++
	sess.id = fmt.Sprintf("%016x", s.lastSession)
	s.sessions[sess.id] = sess
	sess.lastRenewed = s.clock.Now()
	s.restartExpiry(sess)
}

// renew proves that sess is alive at now. It returns false if the session has ended.
func (s *Server) renew(sess *session, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions[sess.id] != sess {
		return false
	}
	sess.lastRenewed = now
	s.restartExpiry(sess)
	return true
}

// idle returns for how long a session was not renewed.
func (s *Server) idle(id string) (idle time.Duration, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sess := s.sessions[id]
	if sess == nil {
		return 0, false
	}
	return s.clock.Now().Sub(sess.lastRenewed), true
}

func (s *Server) restartExpiry(sess *session) {
	if sess.stopExpiry != nil {
		sess.stopExpiry()
	}
	sess.expiries++
	expiry := sess.expiries
	sess.stopExpiry = s.clock.AfterFunc(sess.ttl, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		// A renewal may have come while this timer waited for the lock.
		if sess.expiries == expiry {
			s.endSessionLocked(sess.id)
		}
	})
}

func (s *Server) endSession(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endSessionLocked(id)
}

func (s *Server) endSessionLocked(id string) {
	sess := s.sessions[id]
	if sess == nil {
		return
	}
	sess.stopExpiry()
	keys := make([]string, 0, len(sess.keys))
	for key := range sess.keys {
		keys = append(keys, key)
	}
	if len(keys) > 0 {
		s.revision++
	}
	slices.Sort(keys)
	for _, key := range keys {
		s.unset(key)
	}
	delete(s.sessions, id)
	s.wakeWatches()
}
