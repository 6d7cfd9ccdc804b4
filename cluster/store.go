package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ringmaster-agent/ringmaster/messages"
)

// Errors of a Store that callers decide on. Everything else a Store returns is a failure to reach
// or to understand the store: it says nothing about what the store holds.
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

// TooLargeError says that a value is longer than the store accepts, so nothing was written. It is
// no less than 1 MiB, except on Consul.
type TooLargeError struct {
	Key         string
	Size, Limit int // bytes; Limit is 0 if the store didn't tell it
	// Store names the kind of store, for people.
	Store string
}

func (e *TooLargeError) Error() string {
	if e.Limit == 0 {
		return fmt.Sprintf("the value of %q has %d bytes, which is more than %s accepts", e.Key, e.Size, e.Store)
	}
	return fmt.Sprintf("the value of %q has %d bytes, %s accepts %d", e.Key, e.Size, e.Store, e.Limit)
}

// FullError says that the store has no room for more values without a session, so nothing was
// written. Deletions are taken.
type FullError struct{ Reason string }

func (e *FullError) Error() string { return e.Reason }

// Entry is one key of the store. Value must not be modified: it may be shared with other readers.
// An empty value may be nil.
type Entry struct {
	Key   string
	Value []byte
	// Revision is the store's revision at which the key was last written; it is the key's epoch.
	// Never 0. It grows with every write to the store. Keys that vanish together, at the end of a
	// session, may share one.
	Revision int64
	// Created is the revision at which the key came into being. It equals Revision until the key is
	// written again.
	Created int64
	// Session is the ID of the session the key is bound to, empty if none.
	Session string
}

// Era names one history of the store's revisions; see Listing.
type Era = messages.Era

// Listing is every key under a prefix, sorted by key, as of one revision. A Watch that starts after
// Revision misses nothing and repeats nothing.
type Listing struct {
	Entries  []Entry
	Revision int64
	// Era is another one after the store went back to an older revision, however high its revision
	// is by now, provided that this Store had an answer meanwhile; and when it is another cluster.
	// So only a listing of the same era, at the same revision or a higher one, says of an earlier
	// listing's keys that they were deleted.
	Era Era
}

// Point is a point in the store's history.
type Point struct {
	Revision int64
	Era      Era
}

// Follows reports whether p can be the same store as q, then or later. If not, nothing is known of
// what happened to q's keys. The zero Point is before all others.
func (p Point) Follows(q Point) bool {
	return q == Point{} || p.Era == q.Era && p.Revision >= q.Revision
}

// Condition is what must hold for a write to happen, tested and acted on in one step by the store.
// The zero value always holds; of several, all must hold.
type Condition struct {
	// Absent: the key must not exist.
	Absent bool
	// Present: the key must exist, at whatever revision.
	Present bool
	// Revision, if not 0: the key must exist and have been last written at just this revision.
	Revision int64
}

// PutRequest writes one key. The key must not be empty. Value is copied or sent before Put returns.
type PutRequest struct {
	Key   string
	Value []byte
	If    Condition
	// Session, if not nil, binds the key's life to the session: it vanishes when the session ends.
	// A Put without a session unbinds the key from the session it was bound to.
	Session Session
}

// PutResult tells what a Put did.
type PutResult struct {
	// Revision is the key's new revision.
	Revision int64
	// Created is true when the key did not exist before.
	Created bool
}

// MaxBatch is how many operations one Batch may have.
const MaxBatch = 100

// BatchBytes is how many bytes of keys and values together every store accepts in one Batch. A
// store may accept more.
const BatchBytes = 256 << 10

// DeleteRequest deletes one key.
type DeleteRequest struct {
	Key string
	If  Condition
}

// Op is one operation of a Batch: exactly one of the two is set.
type Op struct {
	Put    *PutRequest
	Delete *DeleteRequest
}

// Key is the key that the operation writes or deletes; empty if the Op has neither.
func (o Op) Key() string {
	switch {
	case o.Put != nil:
		return o.Put.Key
	case o.Delete != nil:
		return o.Delete.Key
	default:
		return ""
	}
}

// OpResult tells what became of one Op.
type OpResult struct {
	// Revision of the write or the deletion, 0 if it was not done.
	Revision int64
	// Err is nil if it was done. Otherwise it is ErrConflict or ErrNotFound, for the reasons for
	// which Put and Delete return them, and just that value: it names no key.
	Err error
}

// EventKind says what a watch saw.
type EventKind uint8

// The kinds of Event.
const (
	// EventPut: Entry was written.
	EventPut EventKind = iota + 1
	// EventDelete: Entry.Key is gone; Entry.Revision is the revision of the deletion, Entry.Value
	// is nil. Created and Session are not told.
	EventDelete
	// EventRelist: events were lost (compaction, a store that was restored or emptied); the caller
	// must List again. Entry.Revision is the revision the watch goes on from, which may be lower
	// than any seen before; a List made after this event was received and the events that follow it
	// leave no gap, but may tell the same change twice.
	EventRelist
)

// String returns the kind's name, for logs and test failures.
func (k EventKind) String() string {
	switch k {
	case EventPut:
		return "put"
	case EventDelete:
		return "delete"
	case EventRelist:
		return "relist"
	default:
		return fmt.Sprintf("EventKind(%d)", uint8(k))
	}
}

// Event is one change under a watched prefix.
type Event struct {
	Kind  EventKind
	Entry Entry
}

// Session is this process's sign of life in the store. It is renewed, about once a second, until
// Close, or until the store says that it ended. While the store can't be reached nothing is known:
// the session may be alive or not, Done stays open, and LastRenewed tells how old the last evidence
// is.
type Session interface {
	// ID names the session in the store; it is what Entry.Session shows. Unique within the store,
	// never reused.
	ID() string
	// Done is closed once the session is known to have ended, for whatever reason: the store said
	// so, Close was called, or its Store was closed and renews it no longer.
	Done() <-chan struct{}
	// LastRenewed is the monotonic time of the newest proof that the session was alive: the moment
	// the request of a successful renewal (at first: of its opening) was sent.
	LastRenewed() time.Time
	// Close ends the session and deletes the keys that are bound to it. It may be called more than
	// once; after an error, calling it again tries again. Without a successful Close the session
	// ends in the store when its TTL is over.
	Close(ctx context.Context) error
	// Abandon ends the renewals and leaves the session, with the keys that are bound to it, until
	// its TTL is over. Done is closed soon. It does not wait for the store.
	Abandon()
}

// Store is what nodes share: a small ordered key space with revisions, watches and sessions. Keys
// are non-empty byte strings compared bytewise; a prefix is a plain string prefix, and the empty
// prefix is every key. Values of 1 MiB are accepted. All methods may be called concurrently.
//
// Every call is bounded by its context, and by a time-out of the implementation's where the context
// has none. An error that is none of those named here says nothing about the store's content: after
// a failed Put or Delete the write may or may not have happened. Errors name the endpoint and the
// key.
//
// Package storetest holds the conformance suite that every implementation passes.
type Store interface {
	// Get reads one key, linearizably. ErrNotFound if there is none.
	Get(ctx context.Context, key string) (Entry, error)
	// List reads every key under prefix in one linearizable read. A prefix without keys is an empty
	// listing, no error.
	List(ctx context.Context, prefix string) (Listing, error)
	// Put writes one key and returns once the write is durable. ErrConflict, ErrSessionLost;
	// either, when both hold.
	Put(ctx context.Context, req PutRequest) (PutResult, error)
	// Delete removes one key and returns the revision of the deletion. ErrNotFound if there is none
	// (also when a Revision was asked for), ErrConflict if the condition does not hold.
	Delete(ctx context.Context, key string, cond Condition) (int64, error)
	// Batch performs, in one step of the store and at one revision, all those operations whose
	// condition holds; the others are left out, and their results say why. There is one result per
	// operation, in the same order. No operation sees another's effect, so each key may occur only
	// once. At most MaxBatch operations, of BatchBytes together.
	//
	// A batch that breaks these rules is refused as a whole (see CheckBatch). ErrSessionLost says
	// that nothing was written because a session has ended to which one of the puts is bound; such
	// a put may be reported as ErrConflict instead if its condition doesn't hold either. After any
	// other error all of it may have happened, or nothing.
	Batch(ctx context.Context, ops []Op) ([]OpResult, error)
	// Watch delivers the changes under prefix that were made after revision, in the order of their
	// revisions, each at most once. Several changes of one key may be merged into the last of them
	// (a store that is polled can't tell more), but the last one always arrives. No gap is silent:
	// it shows as EventRelist, also when after is older than what the store remembers, or newer
	// than its present revision. A negative after counts as 0, the store's beginning.
	//
	// Several changes may share one revision (a batch, the end of a session), so a second Watch
	// that goes on after the revision of an event that the first one told may miss some of them.
	// After a Listing's revision it misses nothing.
	//
	// A watch survives a store that is away: it retries until ctx ends or the Store is closed, then
	// the channel is closed. A slow reader holds back only its own watch; what is kept for it is
	// bounded, beyond that it is told to relist.
	Watch(ctx context.Context, prefix string, after int64) <-chan Event
	// OpenSession starts a session with the given time to live, rounded up to whole seconds and to
	// the store's minimum. It fails if the TTL is not positive.
	OpenSession(ctx context.Context, ttl time.Duration) (Session, error)
	// EndSession ends any session by its ID, also another node's; keys bound to it vanish. No error
	// if it is gone.
	EndSession(ctx context.Context, id string) error
	// Close releases the client (and an embedded server, if it is this store's own). Watches end,
	// sessions are no longer renewed. Every later call returns ErrClosed, except Close.
	Close() error
}

// IdleSessions is what a Store offers that can tell for how long a session was not renewed.
type IdleSessions interface {
	// SessionIdle returns for how long, at least, no renewal of the session had reached the store
	// when it was asked. It may be less than the truth, by a second or, after a change of the
	// store's leader, by more; it is never more. ErrNotFound if there is no such session.
	SessionIdle(ctx context.Context, id string) (time.Duration, error)
}

// CheckBatch returns what is wrong with a batch, whatever the store holds. Every Store calls it; so
// all refuse the same.
func CheckBatch(ops []Op) error {
	if len(ops) > MaxBatch {
		return fmt.Errorf("a batch of %d operations: at most %d are allowed", len(ops), MaxBatch)
	}
	seen := make(map[string]struct{}, len(ops))
	for i, op := range ops {
		if (op.Put == nil) == (op.Delete == nil) {
			return fmt.Errorf("operation %d of a batch must be either a put or a deletion", i)
		}
		key := op.Key()
		if key == "" {
			return fmt.Errorf("operation %d of a batch: key is empty", i)
		}
		if _, twice := seen[key]; twice {
			return fmt.Errorf("a batch has %q twice", key)
		}
		seen[key] = struct{}{}
	}
	return nil
}
