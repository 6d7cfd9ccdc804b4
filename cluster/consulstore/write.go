package consulstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

const (
	// MaxValue is how many bytes a value may have: 512 KiB, which is what Consul accepts as a
	// transaction (setting txn_max_req_len), less a quarter for base64, less room for keys.
	MaxValue = 376 << 10
	// maxOps is how many operations Consul accepts in a transaction.
	maxOps = 128
	// maxBytes is how long a transaction of several writes may be.
	maxBytes = 500 << 10
	// maxFlags keeps random flags within what programs read that take numbers for float64.
	maxFlags = 1 << 53
)

// write is the writing of a set of operations: read, judge, write what may be written in
// transactions that fail if something has changed since it was read, and begin anew with those that
// failed.
type write struct {
	store   *Store
	changes []*change
	written bool
}

// change is one operation and what is known of its key.
type change struct {
	cluster.Op
	// index and session are the key's as it was last read. index is 0 if there is no such key.
	index   uint64
	session string
	// done is set when nothing remains to be tried: err says why it was refused, revision is that
	// of the write.
	done     bool
	err      error
	revision int64
	// blamed is why Consul refused the last transactions with this change, times how many in a row
	// that assumed the same index.
	blamed   error
	blamedAt uint64
	times    int
}

func (s *Store) newWrite(ops []cluster.Op) *write {
	w := &write{store: s}
	for _, op := range ops {
		w.changes = append(w.changes, &change{Op: op})
	}
	return w
}

// run ends when every change is done, or with an error that concerns all.
func (w *write) run(ctx context.Context) error {
	for _, c := range w.changes {
		if c.Put != nil && len(c.Put.Value) > MaxValue {
			return &cluster.TooLargeError{Key: c.Key(), Size: len(c.Put.Value), Limit: MaxValue, Store: "Consul"}
		}
	}
	for attempt := 0; ; attempt++ {
		if attempt > 1 && !pause(ctx, w.store.config.CASRetryDelay) {
			return ctx.Err()
		}
		if err := w.judge(ctx); err != nil {
			return err
		}
		parts := w.parts()
		if len(parts) == 0 {
			return nil
		}
		for _, part := range parts {
			if err := w.commit(ctx, part); err != nil {
				return err
			}
		}
	}
}

// judge reads the keys of all changes that are not done, and settles those whose condition does not
// hold.
func (w *write) judge(ctx context.Context) error {
	var open []*change
	for _, c := range w.changes {
		if !c.done {
			open = append(open, c)
		}
	}
	for len(open) > 0 {
		n := min(len(open), maxOps)
		keys := make([]string, n)
		for i, c := range open[:n] {
			keys[i] = c.Key()
		}
		// A refusal must not come from the past.
		found, err := w.store.fetch(ctx, keys, true)
		if err != nil {
			return err
		}
		for i, c := range open[:n] {
			c.index, c.session = found[i].ModifyIndex, found[i].Session
			if c.times > 1 && c.blamedAt == c.index {
				return c.blamed // nobody was faster, so it is not that
			}
			c.err = c.refusal()
			c.done = c.err != nil
		}
		open = open[n:]
	}
	return nil
}

// refusal is nil if the condition of the change holds.
func (c *change) refusal() error {
	var cond cluster.Condition
	switch {
	case c.Put != nil:
		cond = c.Put.If
	case c.index == 0:
		return cluster.ErrNotFound
	default:
		cond = c.Delete.If
	}
	if cond.Absent && c.index != 0 || cond.Present && c.index == 0 || cond.Revision != 0 && uint64(cond.Revision) != c.index {
		return cluster.ErrConflict
	}
	return nil
}

// part is what goes into one transaction.
type part struct {
	changes []*change
	ops     api.TxnOps
	bytes   int
}

// parts divides the changes that are not done, in as few transactions as Consul's limits allow.
func (w *write) parts() []*part {
	var parts []*part
	var last *part
	for _, c := range w.changes {
		if c.done {
			continue
		}
		ops := c.ops()
		bytes := 0
		for _, op := range ops {
			bytes += 200 + 6*len(op.KV.Key) + len(op.KV.Value)*4/3 // JSON may write a byte of a key with six
		}
		if last == nil || len(last.ops)+len(ops) > maxOps || last.bytes+bytes > maxBytes {
			last = &part{}
			parts = append(parts, last)
		}
		last.changes, last.ops, last.bytes = append(last.changes, c), append(last.ops, ops...), last.bytes+bytes
	}
	return parts
}

// ops returns the operations that make the change, provided that the key is as it was read. The
// first one is always a compare-and-set, whose result tells the revision; deletions have no result
// of their own.
func (c *change) ops() (ops api.TxnOps) {
	add := func(verb api.KVOp, session string, value []byte) {
		ops = append(ops, &api.TxnOp{KV: &api.KVTxnOp{
			Verb: verb, Key: encodeKey(c.Key()), Value: value, Session: session, Flags: rand.Uint64N(maxFlags),
		}})
		if verb == api.KVCAS {
			ops[0].KV.Index = c.index
		}
	}
	if c.Delete != nil {
		add(api.KVCAS, "", nil)
		add(api.KVDelete, "", nil)
		return ops
	}
	session := ""
	if c.Put.Session != nil {
		session = c.Put.Session.ID()
	}
	switch value := c.Put.Value; {
	case session == c.session: // a compare-and-set keeps it
		add(api.KVCAS, "", value)
	case session == "":
		add(api.KVCAS, "", nil)
		add(api.KVUnlock, c.session, value)
	case c.session == "":
		add(api.KVCAS, "", nil)
		add(api.KVLock, session, value)
	default:
		add(api.KVCAS, "", nil)
		add(api.KVUnlock, c.session, nil)
		add(api.KVLock, session, value)
	}
	return ops
}

// commit runs one transaction. That it was refused is no error, if a session's end is not the reason.
func (w *write) commit(ctx context.Context, p *part) error {
	ok, resp, _, err := w.store.consul.Txn().Txn(p.ops, (&api.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return err
	}
	if !ok {
		p.blame(resp)
		return w.checkSessions(ctx, p)
	}
	w.written = true
	revisions := map[string]int64{}
	for _, res := range resp.Results {
		if res != nil && res.KV != nil {
			revisions[res.KV.Key] = int64(res.KV.ModifyIndex)
		}
	}
	for _, c := range p.changes {
		c.done, c.revision = true, revisions[encodeKey(c.Key())]
		if c.revision == 0 {
			return fmt.Errorf("the answer lacks key %q, which was written: the ACL token may not read it", c.Key())
		}
	}
	return nil
}

// blame tells each change that Consul named why it was refused.
func (p *part) blame(resp *api.TxnResponse) {
	var owner []*change // of each operation
	for _, c := range p.changes {
		for range c.ops() {
			owner = append(owner, c)
		}
	}
	why := map[*change]string{}
	for _, e := range resp.Errors {
		if e != nil && e.OpIndex >= 0 && e.OpIndex < len(owner) {
			why[owner[e.OpIndex]] = e.What
		}
	}
	for c, what := range why {
		if c.blamedAt != c.index {
			c.times = 0
		}
		c.blamed, c.blamedAt, c.times = fmt.Errorf("the transaction was refused: %s", what), c.index, c.times+1
	}
}

// checkSessions returns ErrSessionLost if one of the sessions has ended that a refused transaction
// was to bind keys to.
func (w *write) checkSessions(ctx context.Context, p *part) error {
	seen := map[string]bool{}
	for _, c := range p.changes {
		if c.Put == nil || c.Put.Session == nil || seen[c.Put.Session.ID()] {
			continue
		}
		id := c.Put.Session.ID()
		seen[id] = true
		alive, err := w.store.sessionAlive(ctx, id)
		if err != nil {
			return err
		}
		if alive {
			continue
		}
		lost(c.Put.Session)
		if w.written {
			return errors.New("a session has ended, after a part of the batch had been written")
		}
		return cluster.ErrSessionLost
	}
	return nil
}

// pause waits for about d. It returns false if ctx is over before.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d/2 + rand.N(d+1))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
