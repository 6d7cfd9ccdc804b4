package around

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ringmaster-agent/ringmaster/actors/fault"
	"github.com/ringmaster-agent/ringmaster/cluster"
)

// Store returns the store with the faults of the points store.*. It can tell how long a session is
// idle if s can.
func Store(s cluster.Store, rules *fault.Registry) cluster.Store {
	if rules == nil || s == nil {
		return s
	}
	if wrapped, ok := s.(interface{ brokenBy() *fault.Registry }); ok && wrapped.brokenBy() == rules {
		return s
	}
	out := &store{Store: s, rules: rules, read: map[string]cluster.Listing{}}
	if idle, ok := s.(cluster.IdleSessions); ok {
		return struct {
			*store
			cluster.IdleSessions
		}{out, idle}
	}
	return out
}

// brokenBy are the rules of a store that is wrapped already.
func (s *store) brokenBy() *fault.Registry { return s.rules }

// maxRemembered bounds how many answers are kept for the action Stale.
const maxRemembered = 64

type store struct {
	cluster.Store
	rules *fault.Registry

	mu sync.Mutex
	// read is what was last read without a fault while one was in force, by prefix.
	read map[string]cluster.Listing
}

// before does what comes before a call. No can: every action of the point. Done: the call is not to
// be made, and err is its outcome.
func (s *store) before(ctx context.Context, p fault.Point, key string, can ...fault.Action) (v fault.Verdict, done bool, err error) {
	v = s.rules.Decide(fault.Event{Point: p, Message: key, Actions: can})
	switch v.Action {
	case fault.Error:
		return v, true, v.Err
	case fault.Hang:
		return v, true, hang(ctx, v)
	case fault.Delay:
		err = delay(ctx, v, v.Delay)
		return v, err != nil, err
	default:
		return v, false, nil
	}
}

// ofGet are the actions of fault.StoreRead but for Stale: only listings are kept.
var ofGet = []fault.Action{fault.Error, fault.Delay, fault.Hang, fault.Empty, fault.Garbage, fault.LoseAnswer}

// Get implements cluster.Store.
func (s *store) Get(ctx context.Context, key string) (cluster.Entry, error) {
	v, done, err := s.before(ctx, fault.StoreRead, key, ofGet...)
	if done {
		return cluster.Entry{}, err
	}
	entry, err := s.Store.Get(ctx, key)
	switch {
	case err != nil:
	case v.Action == fault.LoseAnswer:
		return cluster.Entry{}, v.Err
	case v.Action == fault.Empty:
		return cluster.Entry{}, fmt.Errorf("%w: %q (fault %q)", cluster.ErrNotFound, key, v.Rule)
	case v.Action == fault.Garbage:
		entry.Value = garbage()
	}
	return entry, err
}

// garbage is what nobody can decode.
func garbage() []byte { return []byte("\x00\xff garbage") }

// List implements cluster.Store.
func (s *store) List(ctx context.Context, prefix string) (cluster.Listing, error) {
	v, done, err := s.before(ctx, fault.StoreRead, prefix)
	if done {
		return cluster.Listing{}, err
	}
	if v.Action == fault.Stale {
		if kept, ok := s.recall(prefix); ok {
			return kept, nil
		}
	}
	listing, err := s.Store.List(ctx, prefix)
	if err != nil {
		return listing, err
	}
	switch v.Action {
	case fault.LoseAnswer:
		return cluster.Listing{}, v.Err
	case fault.Empty:
		listing.Entries = nil
	case fault.Garbage:
		listing.Entries = slices.Clone(listing.Entries)
		for i := range listing.Entries {
			listing.Entries[i].Value = garbage()
		}
	default:
		if s.rules.Watches(fault.StoreRead) {
			s.remember(prefix, listing)
		}
	}
	return listing, nil
}

func (s *store) recall(prefix string) (cluster.Listing, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept, ok := s.read[prefix]
	return kept, ok
}

func (s *store) remember(prefix string, l cluster.Listing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.read) >= maxRemembered {
		maps.DeleteFunc(s.read, func(string, cluster.Listing) bool { return true })
	}
	s.read[prefix] = l
}

// Put implements cluster.Store.
func (s *store) Put(ctx context.Context, req cluster.PutRequest) (cluster.PutResult, error) {
	v, done, err := s.before(ctx, fault.StoreWrite, req.Key)
	if done {
		return cluster.PutResult{}, err
	}
	if live, ok := req.Session.(*session); ok {
		req.Session = live.Session
	}
	result, err := s.Store.Put(ctx, req)
	if err == nil && v.Action == fault.LoseAnswer {
		return cluster.PutResult{}, v.Err
	}
	return result, err
}

// Delete implements cluster.Store.
func (s *store) Delete(ctx context.Context, key string, cond cluster.Condition) (int64, error) {
	v, done, err := s.before(ctx, fault.StoreWrite, key)
	if done {
		return 0, err
	}
	revision, err := s.Store.Delete(ctx, key, cond)
	if err == nil && v.Action == fault.LoseAnswer {
		return 0, v.Err
	}
	return revision, err
}

// Batch implements cluster.Store.
func (s *store) Batch(ctx context.Context, ops []cluster.Op) ([]cluster.OpResult, error) {
	key := ""
	if len(ops) > 0 {
		key = ops[0].Key()
	}
	v, done, err := s.before(ctx, fault.StoreWrite, key)
	if done {
		return nil, err
	}
	results, err := s.Store.Batch(ctx, inner(ops))
	if err == nil && v.Action == fault.LoseAnswer {
		return nil, v.Err
	}
	return results, err
}

// inner is the operations with the sessions of the store beneath.
func inner(ops []cluster.Op) []cluster.Op {
	ops = slices.Clone(ops)
	for i, op := range ops {
		if op.Put == nil {
			continue
		}
		if live, ok := op.Put.Session.(*session); ok {
			put := *op.Put
			put.Session = live.Session
			ops[i].Put = &put
		}
	}
	return ops
}

// Watch implements cluster.Store.
func (s *store) Watch(ctx context.Context, prefix string, after int64) <-chan cluster.Event {
	in := s.Store.Watch(ctx, prefix, after)
	out := make(chan cluster.Event)
	go func() {
		defer close(out)
		for e := range in {
			v := s.rules.Decide(fault.Event{Point: fault.StoreWatch, Message: e.Entry.Key})
			switch v.Action {
			case fault.Drop:
				continue
			case fault.Gap:
				e = cluster.Event{Kind: cluster.EventRelist, Entry: cluster.Entry{Revision: e.Entry.Revision}}
			case fault.Delay:
				_ = delay(ctx, v, v.Delay) // if ctx is over, so is the watch
			}
			select {
			case out <- e:
			case <-ctx.Done():
			}
		}
	}()
	return out
}

// OpenSession implements cluster.Store.
func (s *store) OpenSession(ctx context.Context, ttl time.Duration) (cluster.Session, error) {
	if v := s.rules.Decide(fault.Event{Point: fault.StoreSession, Message: "open", Actions: []fault.Action{fault.Error}}); v.Action == fault.Error {
		return nil, v.Err
	}
	opened, err := s.Store.OpenSession(ctx, ttl)
	if err != nil {
		return nil, err
	}
	return newSession(opened, s, ttl), nil
}

// session is one that can be lost, or whose renewals can stop to arrive.
type session struct {
	cluster.Session
	store *store
	ttl   time.Duration
	once  sync.Once
	// done is closed when its owner knows of its end; healed, when one that was cut off could hear of
	// it again.
	done, healed chan struct{}

	mu sync.Mutex
	// cut: it is not renewed any more. renewed is when it was for the last time.
	cut     bool
	renewed time.Time
}

func newSession(opened cluster.Session, in *store, ttl time.Duration) *session {
	s := &session{Session: opened, store: in, ttl: ttl, done: make(chan struct{}), healed: make(chan struct{})}
	go s.tellEnd()
	return s
}

// tellEnd tells the owner when the session has ended. One that is cut off hears of it once it is not
// any more, or finds it out when the session's time is over.
func (s *session) tellEnd() {
	defer close(s.done)
	<-s.Session.Done()
	s.mu.Lock()
	cut, left, healed := s.cut, s.ttl-time.Since(s.renewed), s.healed
	s.mu.Unlock()
	if !cut || healed == nil {
		return
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-healed:
	case <-timer.C:
	}
}

// Done implements cluster.Session.
func (s *session) Done() <-chan struct{} { return s.done }

// LastRenewed implements cluster.Session. Whoever has a session asks that often, which is when it
// is lost or cut off.
func (s *session) LastRenewed() time.Time {
	var does fault.Action
	if s.store.rules.Watches(fault.StoreSession) {
		renewal := fault.Event{Point: fault.StoreSession, Message: "renew", Actions: []fault.Action{fault.Hang, fault.Lose}}
		does = s.store.rules.Decide(renewal).Action
	}
	if does == fault.Lose {
		s.once.Do(s.lose)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case does == fault.Hang && !s.cut:
		s.cut, s.renewed = true, s.Session.LastRenewed()
		s.Abandon()
	case does != fault.Hang && s.cut && s.healed != nil:
		close(s.healed)
		s.healed = nil
	}
	if s.cut {
		return s.renewed
	}
	return s.Session.LastRenewed()
}

// loseTimeout bounds the request that ends a session.
const loseTimeout = 5 * time.Second

// lose ends the session behind its owner's back.
func (s *session) lose() {
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), loseTimeout)
		defer cancel()
		_ = s.store.EndSession(ctx, s.ID()) // if that fails it lives on
	}()
}
