package etcdstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

var (
	_ cluster.Store        = (*Store)(nil)
	_ cluster.IdleSessions = (*Store)(nil)
)

// Store is a cluster.Store on etcd. Use Dial or StartEmbedded.
type Store struct {
	where   string // for people: the endpoints or the directory
	client  *clientv3.Client
	leases  pb.LeaseClient // sessions must know when each renewal was sent, which the client's own keep-alive hides
	server  *server        // nil on an external cluster
	upkeep  *upkeep        // nil on an external cluster
	pulse   *pulse         // nil on an embedded server
	timeout time.Duration
	logger  *zap.Logger

	// ctx ends with Close. usable is its child and also ends, with a cause, when an embedded server
	// has failed.
	ctx      context.Context
	cancel   context.CancelCauseFunc
	usable   context.Context
	disable  context.CancelCauseFunc
	mu       sync.Mutex // guards the start of goroutines against Close
	workers  sync.WaitGroup
	closeErr func() error

	history cluster.History
	// outage is why the store can't be reached at present; nil if it can, or if nobody knows yet.
	outage atomic.Pointer[string]
	// suspect wakes the monitor, because a call has failed.
	suspect atomic.Pointer[context.CancelFunc]
}

// Dial returns a store on an external etcd cluster. It doesn't wait for the cluster: if that can't
// be reached, the log says so within two seconds, calls fail when their context is over, and all
// recovers when the cluster is there. An error is a mistake in the config: an endpoint that is
// none, a file that can't be read.
func Dial(conf Config) (*Store, error) {
	if conf.DialTimeout == 0 {
		conf.DialTimeout = DefaultDialTimeout
	}
	if conf.Logger == nil {
		conf.Logger = zap.NewNop()
	}
	endpoints, err := conf.normalise()
	if err != nil {
		return nil, err
	}
	tlsConfig, err := conf.clientTLS(endpoints[0].Scheme)
	if err != nil {
		return nil, err
	}
	watchdog := newPulse(endpoints, tlsConfig, conf.Logger)
	client, err := conf.newClient(endpoints, tlsConfig, watchdog, chatter(conf.Logger))
	if err != nil {
		return nil, fmt.Errorf("create etcd client: %w", err)
	}
	s := newStore(client, "etcd "+strings.Join(conf.Endpoints, ","), conf.Logger)
	s.timeout = conf.DialTimeout
	s.leases = pb.NewLeaseClient(client.ActiveConnection())
	s.closeErr = client.Close
	s.pulse = watchdog
	if len(endpoints) > 1 {
		s.start(func() { watchdog.run(s.ctx) })
	}
	m := &monitor{store: s, endpoints: endpoints, tls: tlsConfig}
	s.start(m.run)
	return s, nil
}

func newStore(client *clientv3.Client, where string, logger *zap.Logger) *Store {
	s := &Store{client: client, where: where, logger: logger, timeout: DefaultDialTimeout}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.usable, s.disable = context.WithCancelCause(s.ctx)
	return s
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
func (s *Store) Get(ctx context.Context, key string) (cluster.Entry, error) {
	var e cluster.Entry
	err := s.call(ctx, fmt.Sprintf("read %q", key), func(ctx context.Context) (*pb.ResponseHeader, error) {
		if key == "" {
			return nil, cluster.ErrNotFound
		}
		resp, err := s.read(ctx, key)
		if err != nil {
			return nil, err
		}
		if len(resp.Kvs) == 0 {
			return resp.Header, cluster.ErrNotFound
		}
		e = entry(resp.Kvs[0])
		return resp.Header, nil
	})
	return e, err
}

// List implements cluster.Store.
func (s *Store) List(ctx context.Context, prefix string) (cluster.Listing, error) {
	var l cluster.Listing
	rewinds, err := s.history.InOneEra(func() (err error) {
		l, err = s.list(ctx, prefix)
		return err
	})
	l.Era.Rewinds = rewinds
	return l, err
}

func (s *Store) list(ctx context.Context, prefix string) (cluster.Listing, error) {
	var l cluster.Listing
	err := s.call(ctx, fmt.Sprintf("list %q", prefix), func(ctx context.Context) (*pb.ResponseHeader, error) {
		// A range is sorted by key without being asked to.
		resp, err := s.read(ctx, prefix, clientv3.WithPrefix())
		if err != nil {
			return nil, err
		}
		l.Revision, l.Era.Cluster = resp.Header.Revision, strconv.FormatUint(resp.Header.ClusterId, 16)
		l.Entries = make([]cluster.Entry, len(resp.Kvs))
		for i, kv := range resp.Kvs {
			l.Entries[i] = entry(kv)
		}
		return resp.Header, nil
	})
	return l, err
}

// Put implements cluster.Store.
func (s *Store) Put(ctx context.Context, req cluster.PutRequest) (cluster.PutResult, error) {
	var res cluster.PutResult
	err := s.call(ctx, fmt.Sprintf("write %q", req.Key), func(ctx context.Context) (*pb.ResponseHeader, error) {
		opts, err := sessionOption(req.Session)
		if err != nil {
			return nil, err
		}
		if err := errors.Join(s.roomToWrite(), s.roomForValue(req)); err != nil {
			return nil, err
		}
		// The count is taken before the put, in the same transaction: it says whether the key existed.
		resp, err := s.client.Txn(ctx).
			If(compares(req.Key, req.If)...).
			Then(clientv3.OpGet(req.Key, clientv3.WithCountOnly()), clientv3.OpPut(req.Key, string(req.Value), opts...)).
			Commit()
		switch {
		case errors.Is(err, rpctypes.ErrLeaseNotFound):
			lost(req.Session)
			return nil, cluster.ErrSessionLost
		case errors.Is(err, rpctypes.ErrNoSpace):
			return nil, &cluster.FullError{Reason: "the store is full: etcd takes no writes but deletions"}
		case tooLarge(err):
			return nil, &cluster.TooLargeError{Key: req.Key, Size: len(req.Value), Store: "etcd"}
		case err != nil:
			return nil, err
		case !resp.Succeeded:
			return resp.Header, cluster.ErrConflict
		}
		res.Revision = resp.Header.Revision
		res.Created = resp.Responses[0].GetResponseRange().GetCount() == 0
		return resp.Header, nil
	})
	return res, err
}

// tooLarge tells the server's refusal of a long request (its setting max-request-bytes, 1.5 MiB by
// default), and the client's of one that is longer than 2 MiB.
func tooLarge(err error) bool {
	return errors.Is(err, rpctypes.ErrRequestTooLarge) || status.Code(err) == codes.ResourceExhausted && strings.Contains(err.Error(), "larger than max")
}

// Delete implements cluster.Store.
func (s *Store) Delete(ctx context.Context, key string, cond cluster.Condition) (int64, error) {
	var revision int64
	err := s.call(ctx, fmt.Sprintf("delete %q", key), func(ctx context.Context) (*pb.ResponseHeader, error) {
		if key == "" {
			return nil, cluster.ErrNotFound
		}
		count := clientv3.OpGet(key, clientv3.WithCountOnly())
		resp, err := s.client.Txn(ctx).
			If(compares(key, cond)...).
			Then(count, clientv3.OpDelete(key)).
			Else(count).
			Commit()
		switch {
		case err != nil:
			return nil, err
		case resp.Responses[0].GetResponseRange().GetCount() == 0:
			return resp.Header, cluster.ErrNotFound
		case !resp.Succeeded:
			return resp.Header, cluster.ErrConflict
		}
		revision = resp.Header.Revision
		return resp.Header, nil
	})
	return revision, err
}

// Close implements cluster.Store. An embedded server is shut down, too.
func (s *Store) Close() error {
	s.mu.Lock()
	first := s.ctx.Err() == nil
	s.cancel(cluster.ErrClosed)
	s.mu.Unlock()
	s.workers.Wait()
	if !first {
		return nil
	}
	if err := s.closeErr(); err != nil && !errors.Is(err, context.Canceled) { // the client returns that of its own context
		return fmt.Errorf("close %s: %w", s.where, err)
	}
	return nil
}

// revision reads the store's present revision, through the keys under prefix, which is what the
// user may be allowed to read.
func (s *Store) revision(ctx context.Context, prefix string) (revision int64, err error) {
	err = s.call(ctx, fmt.Sprintf("read the revision of %q", prefix), func(ctx context.Context) (*pb.ResponseHeader, error) {
		resp, err := s.read(ctx, prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err != nil {
			return nil, err
		}
		revision = resp.Header.Revision
		return resp.Header, nil
	})
	return revision, err
}

// read reads keys, and tries again while the cluster changes its leader: over a network etcd's
// client does so by itself.
func (s *Store) read(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	for {
		resp, err := s.client.Get(ctx, key, opts...)
		if err == nil || s.server == nil || !unreachable(err) || !sleep(ctx, retryPause) {
			return resp, err
		}
	}
}

// call runs one request: it bounds it, ends it with the store, watches the revision of its answer,
// and explains its error. request returns the header of the answer if it got one.
func (s *Store) call(ctx context.Context, what string, request func(context.Context) (*pb.ResponseHeader, error)) error {
	if s.usable.Err() != nil {
		return fmt.Errorf("%s: %w", what, context.Cause(s.usable))
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	limit := s.timeout
	if deadline, ok := ctx.Deadline(); ok {
		limit = time.Until(deadline)
	}
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	stop := context.AfterFunc(s.usable, cancel)
	defer stop()

	before := s.history.Newest()
	header, err := request(bounded)
	if header != nil {
		s.observe(before, header.Revision)
	}
	if err == nil {
		return nil
	}
	if s.usable.Err() != nil {
		return fmt.Errorf("%s: %w", what, context.Cause(s.usable))
	}
	if header == nil {
		s.doubt(err)
		if ctx.Err() != nil {
			err = ctx.Err() // an embedded server returns errors of its own for that
		}
	}
	if why := s.outage.Load(); why != nil {
		return fmt.Errorf("%s at %s: %w (%s)", what, s.where, err, *why)
	}
	return fmt.Errorf("%s at %s: %w", what, s.where, err)
}

// observe compares the revision of an answer with the newest that was known when its request was sent.
func (s *Store) observe(before, revision int64) {
	if s.history.Observe(before, revision) {
		s.logger.Warn("the store went back to an older revision, was it restored or emptied? All its watches start over",
			zap.String("store", s.where), zap.Int64("from", before), zap.Int64("to", revision))
	}
}

func entry(kv *mvccpb.KeyValue) cluster.Entry {
	return cluster.Entry{
		Key:      string(kv.Key),
		Value:    kv.Value,
		Revision: kv.ModRevision,
		Created:  kv.CreateRevision,
		Session:  sessionID(clientv3.LeaseID(kv.Lease)),
	}
}

func compares(key string, c cluster.Condition) []clientv3.Cmp {
	var all []clientv3.Cmp
	if c.Absent {
		all = append(all, clientv3.Compare(clientv3.CreateRevision(key), "=", 0))
	}
	if c.Present {
		all = append(all, clientv3.Compare(clientv3.CreateRevision(key), ">", 0))
	}
	if c.Revision != 0 {
		all = append(all, clientv3.Compare(clientv3.ModRevision(key), "=", c.Revision))
	}
	return all
}
