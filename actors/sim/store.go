package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// Where things are in the store.
const (
	configsPrefix  = "configurations/"
	registryPrefix = "collectors/"
	claimsPrefix   = registryPrefix + "claims/"
)

// server is the store: what cluster.Store promises, without the way there. See client for that.
type server struct {
	world    *World
	revision int64
	entries  map[string]cluster.Entry
	// history is the changes after compacted, oldest first.
	history   []change
	compacted int64
	sessions  map[string]*lease
	last      int // the number of the newest session there has been
	watches   []*watch
	// listed is the newest listing of each prefix.
	listed map[string]*listing
	// stamps is when users have written which revision.
	stamps map[int64]time.Duration
	// records is which session each member's record has, recordsAt the revision of that.
	records   map[string]string
	recordsAt int64
	// down: it answers nobody, since then. lost counts how often it lost its data.
	down  bool
	since time.Duration
	// back is when it was last started again; 0: never.
	back time.Duration
	lost int
	era  cluster.Era
	// hangs is until when writes wait.
	hangs time.Duration
	// ending is until when requests to end a session are on their way.
	ending time.Duration
	// snare: it goes away at the next release of a unit. mute: what it has answered before it went
	// away is heard by nobody.
	snare, mute bool
	// writes counts the calls by nodes that write, requests all of them, sent and received the
	// bytes of keys and values, as nodes see it.
	writes, requests, sent, received int
}

// listing is a listing of the store. What the registry makes of it is kept, since it is the same for
// all nodes: nobody changes a message.
type listing struct {
	cluster.Listing
	registry *messages.RegistryListed
}

// change is one change of a key, decoded once for all who watch.
type change struct {
	cluster.Event
	record messages.RegistryEvent
}

// lease is a session as the server sees it.
type lease struct {
	id      string
	ttl     time.Duration
	renewed time.Duration
}

func newServer(w *World) *server {
	return &server{world: w, revision: 1, entries: map[string]cluster.Entry{}, sessions: map[string]*lease{}, listed: map[string]*listing{}, stamps: map[int64]time.Duration{}}
}

func (s *server) get(key string) (cluster.Entry, error) {
	e, ok := s.entries[key]
	if !ok {
		return e, cluster.ErrNotFound
	}
	return e, nil
}

func (s *server) list(prefix string) *listing {
	if known, ok := s.listed[prefix]; ok && known.Revision == s.revision {
		return known
	}
	l := &listing{Listing: cluster.Listing{Revision: s.revision, Era: s.era}}
	for _, key := range slices.Sorted(maps.Keys(s.entries)) {
		if strings.HasPrefix(key, prefix) {
			l.Entries = append(l.Entries, s.entries[key])
		}
	}
	s.listed[prefix] = l
	return l
}

// batch performs what may be done, at one revision.
func (s *server) batch(ops []cluster.Op) ([]cluster.OpResult, error) {
	if err := cluster.CheckBatch(ops); err != nil {
		return nil, err
	}
	results, writes := make([]cluster.OpResult, len(ops)), false
	for i, op := range ops {
		err := s.judge(op)
		if errors.Is(err, cluster.ErrSessionLost) {
			return nil, fmt.Errorf("bind %q: %w", op.Key(), err)
		}
		results[i].Err = err
		writes = writes || err == nil
	}
	if !writes {
		return results, nil
	}
	s.revision++
	for i, op := range ops {
		switch {
		case results[i].Err != nil:
			continue
		case op.Put != nil:
			s.set(op.Put.Key, op.Put.Value, idOf(op.Put.Session))
		default:
			s.unset(op.Delete.Key)
		}
		results[i].Revision = s.revision
	}
	s.notify()
	return results, nil
}

// judge returns why an operation can't be done.
func (s *server) judge(op cluster.Op) error {
	e, exists := s.entries[op.Key()]
	blind := s.world.options.AnyClaim && strings.HasPrefix(op.Key(), claimsPrefix)
	switch {
	case op.Delete != nil && !exists:
		return cluster.ErrNotFound
	case op.Delete != nil && !holds(op.Delete.If, e, exists), op.Put != nil && !blind && !holds(op.Put.If, e, exists):
		return cluster.ErrConflict
	case op.Put != nil && idOf(op.Put.Session) != "" && s.sessions[idOf(op.Put.Session)] == nil:
		return cluster.ErrSessionLost
	default:
		return nil
	}
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

func idOf(s cluster.Session) string {
	if s == nil {
		return ""
	}
	return s.ID()
}

// set writes a key at the present revision.
func (s *server) set(key string, value []byte, session string) {
	e := cluster.Entry{Key: key, Value: slices.Clone(value), Revision: s.revision, Created: s.entries[key].Created, Session: session}
	if e.Created == 0 {
		e.Created = s.revision
	}
	s.entries[key] = e
	s.record(cluster.Event{Kind: cluster.EventPut, Entry: e})
	s.world.say("", "store: %s = %s (revision %d, session %s)", key, short(value), s.revision, session)
	s.world.written(e, s.history[len(s.history)-1].record)
}

// releases reports whether what is stored is a claim that was released.
func releases(key string, value []byte) bool {
	return strings.HasPrefix(key, claimsPrefix) && bytes.Contains(value, []byte(`"released":true`))
}

// short is a value as far as it tells something, in one line.
type short []byte

// String implements fmt.Stringer.
func (v short) String() string {
	if i := bytes.Index(v, []byte(`,"tokens"`)); i >= 0 {
		v = v[:i]
	}
	return strings.ReplaceAll(string(v), "\n", ", ")
}

func (s *server) unset(key string) {
	delete(s.entries, key)
	s.record(cluster.Event{Kind: cluster.EventDelete, Entry: cluster.Entry{Key: key, Revision: s.revision}})
	s.world.say("", "store: %s is gone (revision %d)", key, s.revision)
	s.world.removed(key)
}

func (s *server) record(e cluster.Event) {
	c := change{Event: e}
	if strings.HasPrefix(e.Entry.Key, registryPrefix) {
		c.record = decoded(e)
	}
	s.history = append(s.history, c)
}

// put and remove are what a user does, by way of any node.
func (s *server) put(key, value string) {
	s.revision++
	s.stamps[s.revision] = s.world.now.Truncate(time.Second)
	s.set(key, []byte(value), "")
	s.notify()
}

func (s *server) remove(key string) {
	if _, ok := s.entries[key]; ok {
		s.revision++
		s.world.deletes(key)
		s.unset(key)
		s.notify()
	}
}

// compact forgets the history.
func (s *server) compact() {
	s.compacted, s.history = s.revision, nil
	s.notify()
}

// lose makes the store an empty one, at some revision.
func (s *server) lose(revision int64) {
	s.world.say("", "store: loses everything, and is at revision %d", revision)
	clear(s.entries)
	clear(s.sessions)
	clear(s.listed)
	if revision < s.revision {
		s.era.Rewinds++ // of what went on at a higher revision a client can't know
	}
	s.history, s.revision, s.compacted = nil, revision, revision
	s.lost, s.recordsAt = s.lost+1, 0
	s.world.emptied()
	s.notify()
}

// stop makes the store answer nobody; start makes it answer again, and gives every session its
// whole time anew, as etcd does.
func (s *server) stop() {
	s.world.say("", "store: down")
	s.down, s.since = true, s.world.now
	for _, e := range s.entries {
		s.world.ledger.limbo = s.world.ledger.limbo || releases(e.Key, e.Value)
	}
}

func (s *server) start() {
	if !s.down {
		return
	}
	s.world.say("", "store: up again")
	s.down, s.back, s.world.ledger.away = false, s.world.now, s.world.now-s.since
	s.world.backAfter(s.since)
	for _, id := range slices.Sorted(maps.Keys(s.sessions)) {
		s.sessions[id].renewed = s.world.now
		s.expire(s.sessions[id])
	}
	s.notify()
}

// open begins a session.
func (s *server) open(ttl time.Duration) string {
	s.last++
	l := &lease{id: fmt.Sprintf("s%d", s.last), ttl: ttl, renewed: s.world.now}
	s.sessions[l.id] = l
	s.expire(l)
	return l.id
}

// renew reports whether there is such a session, and how long it was not renewed.
func (s *server) renew(id string) (alive bool, idle time.Duration) {
	l, ok := s.sessions[id]
	if ok {
		idle, l.renewed = s.world.now-l.renewed, s.world.now
	}
	return ok, idle
}

// expire ends the session when it has not been renewed for its time to live.
func (s *server) expire(l *lease) {
	s.world.after(nil, l.renewed+l.ttl-s.world.now, func() {
		switch {
		case s.sessions[l.id] != l, s.down:
		case s.world.now-l.renewed >= l.ttl:
			s.world.say("", "store: session %s has run out", l.id)
			s.end(l.id)
		default:
			s.expire(l)
		}
	})
}

// end ends a session; what is bound to it goes, at one revision.
func (s *server) end(id string) {
	if _, ok := s.sessions[id]; !ok {
		return
	}
	delete(s.sessions, id)
	var bound []string
	for key, e := range s.entries {
		if e.Session == id {
			bound = append(bound, key)
		}
	}
	if len(bound) == 0 {
		return
	}
	s.revision++
	slices.Sort(bound)
	for _, key := range bound {
		s.unset(key)
	}
	s.notify()
}

// decoder is a store of what is listed, for the registry's own decoder to read it from.
type decoder struct {
	cluster.Store
	listed cluster.Listing
}

// List implements cluster.Store.
func (d decoder) List(context.Context, string) (cluster.Listing, error) { return d.listed, nil }

// read is what the registry makes of a listing.
func (l *listing) read(ctx context.Context) (messages.RegistryListed, error) {
	if l.registry == nil {
		read, err := cluster.NewRegistry(decoder{listed: l.Listing}, registryPrefix).List(ctx)
		if err != nil {
			return read, fmt.Errorf("read what is listed: %w", err)
		}
		l.registry = &read
	}
	return *l.registry, nil
}

// decoded is what the registry makes of a change; nil if it is none of its business.
func decoded(e cluster.Event) messages.RegistryEvent {
	folder, name, _ := strings.Cut(strings.TrimPrefix(e.Entry.Key, registryPrefix), "/")
	unit, _ := messages.ParseUnit(name)
	if e.Kind == cluster.EventPut {
		l, err := cluster.NewRegistry(decoder{listed: cluster.Listing{Entries: []cluster.Entry{e.Entry}}}, registryPrefix).List(context.Background())
		for m := range l.Members.All() {
			return messages.MemberPut{Member: m}
		}
		for c := range l.Claims.All() {
			return messages.ClaimPut{Claim: c}
		}
		for h := range l.Holds.All() {
			return messages.HoldPut{Hold: h}
		}
		for c := range l.Cordons.All() {
			return messages.CordonPut{Cordon: c}
		}
		for i := range l.Intents.All() {
			return messages.IntentPut{Intent: i}
		}
		if err != nil || folder != "intents" {
			return nil
		}
	}
	switch folder {
	case "members":
		return messages.MemberGone{Node: name, Revision: e.Entry.Revision}
	case "claims":
		return messages.ClaimGone{Unit: unit, Revision: e.Entry.Revision}
	case "intents":
		return messages.IntentGone{Unit: unit, Revision: e.Entry.Revision}
	case "holds":
		return messages.HoldGone{Config: name, Revision: e.Entry.Revision}
	case "cordons":
		return messages.CordonGone{Node: name, Revision: e.Entry.Revision}
	default:
		return nil
	}
}
