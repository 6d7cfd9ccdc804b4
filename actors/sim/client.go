package sim

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/messages"
)

var (
	errUnreachable = errors.New("store is unreachable")
	errReset       = errors.New("connection was reset")
	errDisk        = errors.New("no space left on device")
	errDead        = errors.New("the node has crashed")
)

// link is how a host reaches the store.
type link struct {
	cut bool
	// cutUntil is when the cut ends, if it is not ended by hand.
	cutUntil time.Duration
	// dark is until when it does not reach the store, since that comes back for other hosts first.
	dark time.Duration
	// lost is when the outage began for it.
	lost time.Duration
	// lag is how long a message takes at most, beyond the world's.
	lag time.Duration
	// refused is the share of requests that get lost, unanswered that of answers.
	refused, unanswered float64
	// again is the share of events that are told twice.
	again float64
}

// client is a node's way to the store. It implements what the actors want of one: cluster.Store
// without Watch, for cluster.Registry to read and write through, cluster.IdleSessions, and
// actors.ConfigSource.
type client struct {
	cluster.Store // nil: no other method is called
	*server
	node *node
}

// call sends a request and waits for the answer. What it does may have been done, or be done yet,
// although it returns an error.
func (c client) call(ctx context.Context, what string, size int, do func() error) error {
	n, w := c.node, c.node.world
	l := &n.host.link
	if err := ctx.Err(); err != nil {
		return err
	}
	c.requests++
	c.sent += size
	r, answered := w.current, false
	var err error
	answer := func(with error) { answered, err = true, with; r.wake(0) }
	lag := func() time.Duration { return w.upTo(w.options.Lag) + w.upTo(l.lag) }
	switch {
	case n.reaches() && !w.chance(l.refused):
		late := lag()
		if what == "write" || strings.HasSuffix(what, "session") {
			late = max(late, c.hangs-w.now)
		}
		if what == "end session" {
			late = max(late, c.ending-w.now)
		}
		w.after(nil, late, func() {
			if !n.reaches() {
				return
			}
			result := do()
			if w.chance(l.unanswered) {
				w.say(n.name, "an answer is lost: %s", what)
				if w.chance(0.5) {
					w.after(n, lag(), func() { answer(errReset) })
				}
				return
			}
			w.after(n, lag(), func() {
				if !l.cut && !c.mute {
					answer(result)
				}
			})
		})
	case w.chance(0.5):
		w.after(n, w.upTo(300*time.Millisecond), func() { answer(errUnreachable) })
	}
	for !answered {
		if !w.park(func() bool { return ctx.Err() != nil }) {
			return errDead
		}
		if ctx.Err() != nil && !answered {
			return context.Cause(ctx)
		}
	}
	return err
}

func (s *server) reachable(l *link) bool { return !l.cut && !s.down && s.world.now >= l.dark }

// Get implements cluster.Store.
func (c client) Get(ctx context.Context, key string) (e cluster.Entry, err error) {
	err = c.call(ctx, "get", len(key), func() (err error) {
		c.world.usurps(c.node, key)
		e, err = c.get(key)
		return err
	})
	return e, err
}

// List implements cluster.Store.
func (c client) List(ctx context.Context, prefix string) (cluster.Listing, error) {
	l, err := c.listed(ctx, prefix)
	if err != nil {
		return cluster.Listing{}, err
	}
	return l.Listing, nil
}

// listed asks for a listing.
func (c client) listed(ctx context.Context, prefix string) (l *listing, err error) {
	c.node.unlisted = c.node.unlisted || prefix != configsPrefix
	defer func() { c.node.unlisted = c.node.unlisted && (err != nil || prefix == configsPrefix) }()
	err = c.call(ctx, "list", len(prefix), func() error {
		l = c.list(prefix)
		for _, e := range l.Entries {
			c.received += len(e.Key) + len(e.Value)
		}
		return nil
	})
	return l, err
}

// Put implements cluster.Store.
func (c client) Put(ctx context.Context, req cluster.PutRequest) (cluster.PutResult, error) {
	results, err := c.Batch(ctx, []cluster.Op{{Put: &req}})
	if err == nil {
		err = results[0].Err
	}
	if err != nil {
		return cluster.PutResult{}, err
	}
	return cluster.PutResult{Revision: results[0].Revision}, nil
}

// Batch implements cluster.Store.
func (c client) Batch(ctx context.Context, ops []cluster.Op) (results []cluster.OpResult, err error) {
	size, release := 0, false
	for _, op := range ops {
		size += len(op.Key())
		if op.Put != nil {
			size += len(op.Put.Value)
			release = release || releases(op.Key(), op.Put.Value)
		}
	}
	defer c.node.beginWrite()()
	err = c.call(ctx, "write", size, func() (err error) {
		c.writes++
		c.node.writes++
		results, err = c.batch(ops)
		return err
	})
	c.world.ledger.limbo = c.world.ledger.limbo || release && err != nil
	return results, err
}

// Delete implements cluster.Store.
func (c client) Delete(ctx context.Context, key string, cond cluster.Condition) (int64, error) {
	results, err := c.Batch(ctx, []cluster.Op{{Delete: &cluster.DeleteRequest{Key: key, If: cond}}})
	if err == nil {
		err = results[0].Err
	}
	if err != nil {
		return 0, err
	}
	return results[0].Revision, nil
}

// EndSession implements cluster.Store.
func (c client) EndSession(ctx context.Context, id string) error {
	return c.call(ctx, "end session", len(id), func() error {
		c.writes++
		c.node.writes++
		c.world.say(c.node.name, "ends session %s", id)
		c.end(id)
		return nil
	})
}

// SessionIdle implements cluster.IdleSessions.
func (c client) SessionIdle(ctx context.Context, id string) (idle time.Duration, err error) {
	err = c.call(ctx, "session idle", len(id), func() error {
		l, ok := c.sessions[id]
		if !ok {
			return cluster.ErrNotFound
		}
		idle = c.world.now - l.renewed
		return nil
	})
	return idle, err
}

// configs is the stored configs. A value that begins with \x00 can't be decoded.
type configs struct{ client }

// List implements actors.ConfigSource.
func (c configs) List(ctx context.Context) ([]cluster.StoredConfig, cluster.Point, error) {
	l, err := c.client.List(ctx, configsPrefix)
	if h := c.node.host; h.blind && err == nil {
		c.world.say(c.node.name, "its listing lacks all configs")
		h.blind, l.Entries = false, nil
	}
	out := make([]cluster.StoredConfig, len(l.Entries))
	for i, e := range l.Entries {
		out[i] = c.stored(e)
	}
	return out, cluster.Point{Revision: l.Revision, Era: l.Era}, err
}

func (s *server) stored(e cluster.Entry) cluster.StoredConfig {
	c := cluster.StoredConfig{Name: strings.TrimPrefix(e.Key, configsPrefix), Text: string(e.Value), Revision: e.Revision}
	if e.Created != 0 {
		c.Written = epoch.Add(s.stamps[e.Revision])
	}
	if e.Revision > e.Created {
		c.Changed = c.Written
	}
	if strings.HasPrefix(c.Text, "\x00") {
		c.Text, c.Err = "", errors.New("not gzip")
	}
	return c
}

// Watch implements actors.ConfigSource.
func (c configs) Watch(ctx context.Context, after int64) iter.Seq[cluster.ConfigEvent] {
	return func(yield func(cluster.ConfigEvent) bool) {
		c.watch(ctx, configsPrefix, after, func(ch change) bool {
			return yield(cluster.ConfigEvent{Kind: ch.Kind, Config: c.stored(ch.Entry)})
		})
	}
}

// registry is cluster.Registry with a watch that parks.
type registry struct {
	*cluster.Registry
	client client
}

// List implements actors.Registry.
func (r registry) List(ctx context.Context) (messages.RegistryListed, error) {
	l, err := r.client.listed(ctx, registryPrefix)
	if err != nil {
		return messages.RegistryListed{}, fmt.Errorf("list members and claims: %w", err)
	}
	return l.read(ctx)
}

// Watch implements actors.Registry.
func (r registry) Watch(ctx context.Context, after int64) iter.Seq[cluster.RegistryChange] {
	return func(yield func(cluster.RegistryChange) bool) {
		r.client.watch(ctx, registryPrefix, after, func(ch change) bool {
			if ch.record == nil && ch.Kind != cluster.EventRelist {
				return true
			}
			return yield(cluster.RegistryChange{Kind: ch.Kind, Event: ch.record, Revision: ch.Entry.Revision})
		})
	}
}

// Write implements actors.Registry.
func (r registry) Write(ctx context.Context, by cluster.Author, s cluster.Session, now time.Time, writes []messages.RecordWrite) ([]messages.RecordWritten, error) {
	written, err := r.Registry.Write(ctx, by, s, now, writes)
	if err != nil {
		return written, fmt.Errorf("node %s: %w", by.Node, err)
	}
	return written, nil
}

// watch is a cursor into the server's history.
type watch struct {
	node    *node
	prefix  string
	after   int64 // the revision up to which everything was told
	at      int   // how many of the changes of the next revision were told
	lost    int
	relist  bool
	routine *routine
}

// watch tells the changes after a revision, until ctx is over or tell says no.
func (c client) watch(ctx context.Context, prefix string, after int64, tell func(change) bool) {
	w := c.world
	watch := &watch{node: c.node, prefix: prefix, after: after, lost: c.lost, routine: w.current}
	watch.relist = after > c.revision || after < c.compacted
	c.watches = append(c.watches, watch)
	defer func() { c.watches = slices.DeleteFunc(c.watches, func(other *watchOf) bool { return other == watch }) }()
	for ctx.Err() == nil && !c.node.dead {
		next, ok := change{}, false
		if c.node.reaches() && w.now >= c.node.host.deaf {
			next, ok = c.next(watch)
		}
		c.received += len(next.Entry.Key) + len(next.Entry.Value)
		switch {
		case !ok:
			w.park(func() bool { return ctx.Err() != nil })
		case !tell(next) || w.chance(c.node.host.link.again) && !tell(next):
			return
		case !w.options.Scale && w.chance(0.2):
			_ = w.sleep(ctx, w.upTo(w.options.Lag)+w.upTo(c.node.host.link.lag))
		}
	}
}

type watchOf = watch

// next returns what the watch tells next, if there is something.
func (s *server) next(w *watch) (change, bool) {
	if w.relist || w.lost != s.lost || w.after < s.compacted {
		w.relist, w.lost, w.after, w.at = false, s.lost, s.revision, 0
		return change{Event: cluster.Event{Kind: cluster.EventRelist, Entry: cluster.Entry{Revision: s.revision}}}, true
	}
	first, _ := slices.BinarySearchFunc(s.history, w.after+1, func(c change, revision int64) int { return int(c.Entry.Revision - revision) })
	for i := first + w.at; i < len(s.history); i++ {
		c := s.history[i]
		if c.Entry.Revision > w.after+1 {
			w.after, w.at = c.Entry.Revision-1, 0
		}
		w.at++
		if strings.HasPrefix(c.Entry.Key, w.prefix) {
			return c, true
		}
	}
	if len(s.history) > 0 && w.at > 0 {
		w.after, w.at = s.revision, 0
	}
	return change{}, false
}

// notify tells every watch that there may be something new.
func (s *server) notify() {
	for _, w := range s.watches {
		if l := &w.node.host.link; w.node.reaches() {
			w.routine.wake(s.world.upTo(s.world.options.Lag) + s.world.upTo(l.lag))
		}
	}
}
