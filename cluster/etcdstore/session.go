package etcdstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

const (
	// renewEvery is how often a session proves that it is alive. It must be well below the age (2.5
	// s) at which a node stops trusting that proof. A renewal costs etcd no write.
	renewEvery = time.Second
	// renewPatience is how long a renewal may take before it is tried again, on another endpoint if
	// there is one: a member that hangs must not cost the proof. A store so slow that nothing would
	// ever succeed is given more time with each attempt that fails, up to renewTimeout.
	renewPatience = time.Second
	renewTimeout  = 4 * time.Second
	// renewDoubt is how long a renewal may take before the servers are asked whether they are
	// there. A silent one is found within renewDoubt + diagnoseTimeout, so that the next attempt
	// doesn't meet it again.
	renewDoubt = 400 * time.Millisecond
)

// session is an etcd lease.
type session struct {
	store *Store
	lease clientv3.LeaseID
	ttl   time.Duration
	stop  context.CancelFunc // ends the renewals
	done  chan struct{}      // closed when they have ended

	mu          sync.Mutex
	lastRenewed time.Time
	closed      bool
}

// OpenSession implements cluster.Store. etcd's minimum is one and a half election time-outs, two
// seconds by default.
func (s *Store) OpenSession(ctx context.Context, ttl time.Duration) (cluster.Session, error) {
	sess := &session{store: s, done: make(chan struct{})}
	err := s.call(ctx, "open session", func(ctx context.Context) (*pb.ResponseHeader, error) {
		if ttl <= 0 {
			return nil, fmt.Errorf("TTL must be positive, not %s", ttl)
		}
		if err := s.roomToWrite(); err != nil {
			return nil, err
		}
		sess.lastRenewed = time.Now()
		resp, err := s.client.Grant(ctx, int64((ttl+time.Second-1)/time.Second))
		if err != nil {
			return nil, err
		}
		sess.lease, sess.ttl = resp.ID, time.Duration(resp.TTL)*time.Second
		return nil, nil // the revision in this header is not linearizable
	})
	if err != nil {
		return nil, err
	}
	var renewals context.Context
	renewals, sess.stop = context.WithCancel(s.ctx)
	if !s.start(func() { sess.run(renewals) }) {
		sess.stop()
		return nil, fmt.Errorf("open session: %w", cluster.ErrClosed)
	}
	return sess, nil
}

// EndSession implements cluster.Store.
func (s *Store) EndSession(ctx context.Context, id string) error {
	return s.call(ctx, "end session "+id, func(ctx context.Context) (*pb.ResponseHeader, error) {
		lease, err := parseSessionID(id)
		if err != nil {
			return nil, err
		}
		if _, err := s.client.Revoke(ctx, lease); err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return nil, err
		}
		return nil, nil
	})
}

// SessionIdle implements cluster.IdleSessions.
func (s *Store) SessionIdle(ctx context.Context, id string) (time.Duration, error) {
	var idle time.Duration
	err := s.call(ctx, "look at session "+id, func(ctx context.Context) (*pb.ResponseHeader, error) {
		lease, err := parseSessionID(id)
		if err != nil {
			return nil, err
		}
		left, err := s.client.TimeToLive(ctx, lease)
		if err != nil {
			return nil, err
		}
		if left.GrantedTTL == 0 {
			return nil, cluster.ErrNotFound
		}
		// Renewals are known to the leader only, and a member that was the leader until it was
		// paused would tell of renewals that went to the next one as missing. A read that needs a
		// quorum, in the same term, proves that it still was the leader.
		resp, err := s.read(ctx, probeKey, clientv3.WithCountOnly())
		if err != nil && !errors.Is(err, rpctypes.ErrPermissionDenied) {
			return nil, err
		}
		if err == nil && resp.Header.RaftTerm != left.RaftTerm {
			return resp.Header, errors.New("the leader has changed meanwhile, ask again")
		}
		idle = idleTime(left.GrantedTTL, left.TTL)
		return nil, nil
	})
	return idle, err
}

// idleTime is for how long, at least, a lease was not renewed. etcd tells whole seconds and leaves
// the rest out: one that was renewed just now has a second less than it was granted.
func idleTime(granted, left int64) time.Duration {
	return time.Duration(max(0, granted-left-1)) * time.Second
}

func (s *session) ID() string            { return sessionID(s.lease) }
func (s *session) Done() <-chan struct{} { return s.done }

func (s *session) LastRenewed() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lastRenewed
}

func (s *session) Abandon() { s.stop() }

func (s *session) Close(ctx context.Context) error {
	s.stop()
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	err := s.store.EndSession(ctx, s.ID())
	s.closed = err == nil
	return err
}

// run renews the lease until it is stopped or the server says that the lease is gone. Failing is no
// reason to give up: only the server knows whether the lease has ended.
func (s *session) run(ctx context.Context) {
	defer close(s.done)
	defer s.stop()
	patience := renewPatience
	for ctx.Err() == nil {
		before := s.LastRenewed()
		if gone, _ := s.renew(ctx, patience); gone {
			return
		}
		patience = min(patience*5/4, renewTimeout)
		if s.LastRenewed().After(before) {
			patience = renewPatience
		}
		// Why it failed is the monitor's to say.
		pause(ctx, retryPause)
	}
}

// renew renews over one stream until that fails or a renewal takes longer than patience. It returns
// true if the lease is gone.
func (s *session) renew(ctx context.Context, patience time.Duration) (gone bool, err error) {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	stream, err := s.store.leases.LeaseKeepAlive(ctx, grpc.WaitForReady(true))
	if err != nil {
		return false, err
	}
	for {
		sent := time.Now()
		timeout := time.AfterFunc(patience, cancel)
		doubt := time.AfterFunc(renewDoubt, s.store.checkPulse)
		err := stream.Send(&pb.LeaseKeepAliveRequest{ID: int64(s.lease)})
		var resp *pb.LeaseKeepAliveResponse
		if err == nil {
			resp, err = stream.Recv()
		}
		timeout.Stop()
		doubt.Stop()
		if err != nil {
			return false, err
		}
		if resp.TTL <= 0 {
			return true, nil
		}
		s.mu.Lock()
		s.lastRenewed = sent
		s.mu.Unlock()
		if !sleep(ctx, time.Until(sent.Add(min(renewEvery, s.ttl/3)))) {
			return false, ctx.Err()
		}
	}
}

// checkPulse has silent servers found. An embedded one is in this process.
func (s *Store) checkPulse() {
	if s.pulse != nil {
		s.pulse.doubt()
	}
}

// lost ends a session that the server says is gone.
func lost(s cluster.Session) {
	if s, ok := s.(*session); ok {
		s.stop()
	}
}

// sessionOption binds a put to a session of any client of the same etcd.
func sessionOption(s cluster.Session) ([]clientv3.OpOption, error) {
	if s == nil {
		return nil, nil
	}
	lease, err := parseSessionID(s.ID())
	if err != nil {
		return nil, err
	}
	return []clientv3.OpOption{clientv3.WithLease(lease)}, nil
}

// sessionID writes a lease the way etcdctl does.
func sessionID(lease clientv3.LeaseID) string {
	if lease == clientv3.NoLease {
		return ""
	}
	return strconv.FormatInt(int64(lease), 16)
}

func parseSessionID(id string) (clientv3.LeaseID, error) {
	lease, err := strconv.ParseInt(id, 16, 64)
	if err != nil || lease == 0 {
		return 0, fmt.Errorf("%q is not the ID of an etcd session", id)
	}
	return clientv3.LeaseID(lease), nil
}

// sleep waits for d. It returns false if ctx is over before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
