package cluster

import (
	"context"
	"errors"
	"time"
)

// Errors of a Store that callers decide on. Everything else a Store returns is a failure to reach or to understand
// the store: it says nothing about what the store holds.
var (
	// ErrNotFound says that the key does not exist at the revision that was read.
	ErrNotFound = errors.New("key not found")
	// ErrConflict says that a Condition did not hold, so nothing was written.
	ErrConflict = errors.New("key was changed by someone else")
	// ErrSessionLost says that the session a write is bound to has ended, so nothing was written.
	ErrSessionLost = errors.New("session has ended")
	// ErrClosed says that the Store was closed.
	ErrClosed = errors.New("store is closed")
)

// Entry is one key of the store. Value must not be modified.
type Entry struct {
	Key   string
	Value []byte
	// Revision is the store's revision at which the key was last written; it is the key's epoch. Never 0.
	Revision int64
	// Created is the revision at which the key came into being. It equals Revision until the key is written again.
	Created int64
	// Session is the ID of the session the key is bound to, empty if none.
	Session string
}

// Listing is every key under a prefix, sorted by key, as of one revision.
type Listing struct {
	Entries  []Entry
	Revision int64
}

// Condition is what must hold for a write to happen. The zero value always holds.
type Condition struct {
	// Absent: the key must not exist.
	Absent bool
	// Present: the key must exist, at whatever revision.
	Present bool
	// Revision, if not 0: the key must exist and have been last written at just this revision.
	Revision int64
}

// PutRequest writes one key.
type PutRequest struct {
	Key   string
	Value []byte
	If    Condition
	// Session, if not nil, binds the key's life to the session: it vanishes when the session ends.
	Session Session
}

// PutResult tells what a Put did.
type PutResult struct {
	// Revision is the key's new revision.
	Revision int64
	// Created is true when the key did not exist before.
	Created bool
}

// EventKind says what a watch saw.
type EventKind uint8

// The kinds of Event.
const (
	// EventPut: Entry was written.
	EventPut EventKind = iota + 1
	// EventDelete: Entry.Key is gone; Entry.Revision is the revision of the deletion, Entry.Value is nil.
	EventDelete
	// EventRelist: events were lost (compaction, a store that was restored); the caller must List again. The
	// watch goes on from the store's present revision.
	EventRelist
)

// Event is one change under a watched prefix.
type Event struct {
	Kind  EventKind
	Entry Entry
}

// Session is this process's sign of life in the store. It is kept alive until Close, or until the store says it ended.
type Session interface {
	// ID names the session in the store; it is what Entry.Session shows.
	ID() string
	// Done is closed once the session is known to have ended, for whatever reason.
	Done() <-chan struct{}
	// LastRenewed is the monotonic time of the newest proof that the session was alive: the moment the request of
	// a successful renewal was sent.
	LastRenewed() time.Time
	// Close ends the session and deletes the keys that are bound to it. It may be called more than once.
	Close(ctx context.Context) error
}

// Store is what nodes share: a small ordered key space with revisions, watches and sessions. Keys are byte strings
// compared bytewise; a prefix is a plain string prefix. All methods may be called concurrently.
// Package storetest holds the conformance suite that every implementation passes.
type Store interface {
	// Get reads one key, linearizably. ErrNotFound if there is none.
	Get(ctx context.Context, key string) (Entry, error)
	// List reads every key under prefix in one linearizable read.
	List(ctx context.Context, prefix string) (Listing, error)
	// Put writes one key and returns once the write is durable. ErrConflict, ErrSessionLost.
	Put(ctx context.Context, req PutRequest) (PutResult, error)
	// Delete removes one key and returns the revision of the deletion. ErrNotFound if there is none (also when
	// a Revision was asked for), ErrConflict if the condition does not hold.
	Delete(ctx context.Context, key string, cond Condition) (int64, error)
	// Watch delivers every change under prefix made after revision, in order, each once. It survives
	// a store that is away: it retries until ctx ends, then the channel is closed. No event is ever dropped silently:
	// a gap shows as EventRelist. A slow reader holds back only its own watch.
	Watch(ctx context.Context, prefix string, after int64) <-chan Event
	// OpenSession starts a session with the given time to live (rounded up to whole seconds).
	OpenSession(ctx context.Context, ttl time.Duration) (Session, error)
	// EndSession ends any session by its ID, also another node's; keys bound to it vanish. No error if it is gone.
	EndSession(ctx context.Context, id string) error
	// Close releases the client (and an embedded server, if it is this store's own). Watches end.
	Close() error
}
