package consulstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

var _ cluster.Store = (*Store)(nil)

// Store is a cluster.Store on Consul. Use Dial.
type Store struct {
	config    Config
	where     string // for people
	consul    *api.Client
	transport *http.Transport
	logger    *zap.Logger
	reach     *reach
	memory    memory
	history   cluster.History // of present
	// ownNode: the log has been told that sessions can't belong to SessionNode.
	ownNode atomic.Bool

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	mu      sync.Mutex // guards the start of goroutines against Close
	workers sync.WaitGroup
}

// Dial returns a store on Consul. It doesn't wait for Consul: if that can't be reached, the log
// says so at the first call, calls fail, and all recovers when it is there. An error is a mistake
// in the config.
func Dial(conf Config) (*Store, error) {
	u, err := conf.normalise()
	if err != nil {
		return nil, err
	}
	s := &Store{config: conf, where: "consul " + u.String(), logger: conf.Logger}
	s.reach = &reach{where: s.where, logger: conf.Logger}
	if s.consul, s.transport, err = conf.newClient(u, s.reach); err != nil {
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// start runs f in a goroutine that Close waits for. It returns false if the store is closed.
func (s *Store) start(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return false
	}
	s.workers.Go(f)
	return true
}

// Get implements cluster.Store.
func (s *Store) Get(ctx context.Context, key string) (e cluster.Entry, err error) {
	err = s.call(ctx, fmt.Sprintf("read %q", key), 0, func(ctx context.Context) error {
		if key == "" {
			return cluster.ErrNotFound
		}
		found, err := s.fetch(ctx, []string{key}, s.config.ConsistentReads)
		if err != nil {
			return err
		}
		if found[0].ModifyIndex == 0 {
			return cluster.ErrNotFound
		}
		e = entry(key, found[0])
		return nil
	})
	return e, err
}

// List implements cluster.Store. The index of a listing is that of the newest key in it, so the
// store's present revision is asked for before. It is asked for afterwards too: if it went back, the
// store was replaced in between, and InOneEra lists again.
func (s *Store) List(ctx context.Context, prefix string) (cluster.Listing, error) {
	var l listing
	rewinds, err := s.history.InOneEra(func() error {
		return s.call(ctx, fmt.Sprintf("list %q", prefix), 0, func(ctx context.Context) error {
			present, err := s.present(ctx, prefix, s.config.ConsistentReads)
			if err != nil {
				return err
			}
			if l, err = s.list(ctx, prefix, &api.QueryOptions{RequireConsistent: s.config.ConsistentReads}); err != nil {
				return err
			}
			l.index = max(l.index, present)
			_, err = s.present(ctx, prefix, s.config.ConsistentReads)
			return err
		})
	})
	if err != nil {
		return cluster.Listing{}, err
	}
	s.memory.remember(prefix, l.index, l.keys())
	return cluster.Listing{Entries: l.entries, Revision: l.index, Era: cluster.Era{Rewinds: rewinds}}, nil
}

// Put implements cluster.Store.
func (s *Store) Put(ctx context.Context, req cluster.PutRequest) (res cluster.PutResult, err error) {
	err = s.call(ctx, fmt.Sprintf("write %q", req.Key), 0, func(ctx context.Context) error {
		if req.Key == "" {
			return errors.New("the key is empty")
		}
		w := s.newWrite([]cluster.Op{{Put: &req}})
		if err := w.run(ctx); err != nil {
			return err
		}
		res = cluster.PutResult{Revision: w.changes[0].revision, Created: w.changes[0].index == 0}
		return w.changes[0].err
	})
	if err != nil {
		return cluster.PutResult{}, err
	}
	return res, nil
}

// Delete implements cluster.Store.
func (s *Store) Delete(ctx context.Context, key string, cond cluster.Condition) (revision int64, err error) {
	err = s.call(ctx, fmt.Sprintf("delete %q", key), 0, func(ctx context.Context) error {
		if key == "" {
			return cluster.ErrNotFound
		}
		w := s.newWrite([]cluster.Op{{Delete: &cluster.DeleteRequest{Key: key, If: cond}}})
		if err := w.run(ctx); err != nil {
			return err
		}
		revision = w.changes[0].revision
		return w.changes[0].err
	})
	return revision, err
}

// Batch implements cluster.Store. See the package comment for what is done in one step.
func (s *Store) Batch(ctx context.Context, ops []cluster.Op) (results []cluster.OpResult, err error) {
	err = s.call(ctx, fmt.Sprintf("write a batch of %d", len(ops)), 0, func(ctx context.Context) error {
		if err := cluster.CheckBatch(ops); err != nil {
			return err
		}
		w := s.newWrite(ops)
		if err := w.run(ctx); err != nil {
			return err
		}
		results = make([]cluster.OpResult, len(ops))
		for i, c := range w.changes {
			results[i] = cluster.OpResult{Revision: c.revision, Err: c.err}
		}
		return nil
	})
	return results, err
}

// Close implements cluster.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	s.cancel()
	s.mu.Unlock()
	s.workers.Wait()
	s.transport.CloseIdleConnections()
	return nil
}

// call runs requests that are one call of the contract: it bounds each by the client's time-out,
// and by how long Consul may block it, ends them with the store, and explains the error.
func (s *Store) call(ctx context.Context, what string, block time.Duration, requests func(context.Context) error) error {
	what += " on " + s.where
	if s.ctx.Err() != nil {
		return fmt.Errorf("%s: %w", what, cluster.ErrClosed)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	bounded, cancel := context.WithTimeoutCause(ctx, s.config.HTTPClientTimeout+block, errNoAnswer)
	defer cancel()
	stop := context.AfterFunc(s.ctx, cancel)
	defer stop()
	err := requests(bounded)
	switch {
	case err == nil:
		return nil
	case s.ctx.Err() != nil:
		err = cluster.ErrClosed
	case ctx.Err() != nil:
		err = ctx.Err()
	case bounded.Err() != nil:
		err = context.Cause(bounded)
	default:
		err = explain(err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// listing is one answer of Consul. Its index is at most the store's revision at that moment: that
// of the newest change under the prefix, if Consul still knows it.
type listing struct {
	entries []cluster.Entry
	index   int64
}

func (l listing) keys() map[string]int64 {
	keys := make(map[string]int64, len(l.entries))
	for _, e := range l.entries {
		keys[e.Key] = e.Revision
	}
	return keys
}

func (s *Store) list(ctx context.Context, prefix string, q *api.QueryOptions) (listing, error) {
	pairs, meta, err := s.consul.KV().List(urlPrefix(prefix), q.WithContext(ctx))
	if err != nil {
		return listing{}, err
	}
	if err := plausible(meta); err != nil {
		return listing{}, err
	}
	if meta.ResultsFilteredByACLs {
		return listing{}, fmt.Errorf("the ACL token may not read all keys under %q", urlPrefix(prefix))
	}
	l := listing{index: int64(meta.LastIndex), entries: make([]cluster.Entry, 0, len(pairs))}
	for _, pair := range pairs {
		if pair == nil || pair.ModifyIndex == 0 || pair.ModifyIndex > meta.LastIndex {
			return listing{}, fmt.Errorf("the answer has keys without an index, or above its own (%d)", meta.LastIndex)
		}
		if key, ok := decodeKey(pair.Key); ok && strings.HasPrefix(key, prefix) {
			l.entries = append(l.entries, entry(key, pair))
		}
	}
	slices.SortFunc(l.entries, func(a, b cluster.Entry) int { return strings.Compare(a.Key, b.Key) })
	return l, nil
}

// neverWritten is a key that nobody writes: the index of its absence is that of all keys.
const neverWritten = "-never-written-"

// present reads the store's present revision. It asks for a key under prefix, which is what the
// token may be allowed to read.
func (s *Store) present(ctx context.Context, prefix string, consistent bool) (int64, error) {
	q := &api.QueryOptions{RequireConsistent: consistent}
	before := s.history.Newest()
	_, meta, err := s.consul.KV().Get(urlPrefix(prefix)+neverWritten, q.WithContext(ctx))
	if err != nil {
		return 0, err
	}
	if err := plausible(meta); err != nil {
		return 0, err
	}
	// The index of the whole table goes back only when Consul's state was replaced, or when an
	// answer is from the past.
	s.history.Observe(before, int64(meta.LastIndex))
	return int64(meta.LastIndex), nil
}

// plausible tells Consul from whatever else answers HTTP requests, with a 404 perhaps, which would
// look like an empty store.
func plausible(meta *api.QueryMeta) error {
	if meta.LastIndex == 0 || meta.LastIndex > math.MaxInt64 {
		return errors.New("the answer has no valid X-Consul-Index, so it is not Consul that answers")
	}
	return nil
}

// fetch reads keys, at most maxOps, at one moment. The ModifyIndex of one that does not exist is 0.
func (s *Store) fetch(ctx context.Context, keys []string, consistent bool) ([]*api.KVPair, error) {
	ops := make(api.TxnOps, len(keys))
	for i, key := range keys {
		ops[i] = &api.TxnOp{KV: &api.KVTxnOp{Verb: api.KVGetOrEmpty, Key: encodeKey(key)}}
	}
	q := &api.QueryOptions{RequireConsistent: consistent}
	ok, resp, _, err := s.consul.Txn().Txn(ops, q.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, refused(resp)
	}
	found := make([]*api.KVPair, len(keys))
	for i := range keys {
		if i >= len(resp.Results) || resp.Results[i] == nil || resp.Results[i].KV == nil || resp.Results[i].KV.Key != ops[i].KV.Key {
			return nil, fmt.Errorf("the answer lacks key %q: the ACL token may not read it", keys[i])
		}
		found[i] = resp.Results[i].KV
	}
	return found, nil
}

// refused says what Consul said of a transaction that was not done.
func refused(resp *api.TxnResponse) error {
	if len(resp.Errors) == 0 || resp.Errors[0] == nil {
		return errors.New("the transaction was refused without a reason")
	}
	return fmt.Errorf("the transaction was refused: %s", resp.Errors[0].What)
}

func entry(key string, pair *api.KVPair) cluster.Entry {
	return cluster.Entry{
		Key:      key,
		Value:    pair.Value,
		Revision: int64(pair.ModifyIndex),
		Created:  int64(pair.CreateIndex),
		Session:  pair.Session,
	}
}
