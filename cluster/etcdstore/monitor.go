package etcdstore

import (
	"context"
	"crypto/tls"
	"errors"
	"net/url"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"
)

const (
	// probeKey is read to find out whether the cluster answers. It needn't exist, nor be allowed: a
	// refusal is an answer.
	probeKey = "health"
	// probeTimeout and diagnoseTimeout together stay below the two seconds within which an outage
	// is logged.
	probeTimeout    = time.Second
	diagnoseTimeout = 500 * time.Millisecond
	// patientProbeTimeout is for the probes after that: a server may be slow, and a login is by design.
	patientProbeTimeout = 5 * time.Second
	// probeEvery is the time between two probes of a cluster that doesn't answer.
	probeEvery = time.Second
	// remindEvery is how often an outage that lasts is logged again.
	remindEvery = 30 * time.Second
)

// monitor tells the log whether the cluster can be reached. etcd's client would try for ever and
// say nothing. It is quiet while all is well: it wakes up when the connection is lost or when a
// call has failed.
type monitor struct {
	store     *Store
	endpoints []*url.URL
	tls       *tls.Config

	reachable bool
	// outage is the reason that was logged last, and when.
	outage   string
	loggedAt time.Time
}

func (m *monitor) run() {
	ctx := m.store.ctx
	for ctx.Err() == nil {
		if err := m.probe(ctx); err != nil {
			m.down(ctx, err)
		} else {
			m.up()
			m.waitForDoubt(ctx)
		}
		sleep(ctx, probeEvery)
	}
}

// probe asks the cluster for a linearizable read, which needs a quorum, and so learns its revision
// after an outage, too.
func (m *monitor) probe(ctx context.Context) error {
	timeout := probeTimeout
	if m.outage != "" {
		timeout = patientProbeTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	before := m.store.history.Newest()
	resp, err := m.store.client.Get(ctx, probeKey, clientv3.WithCountOnly())
	if errors.Is(err, rpctypes.ErrPermissionDenied) {
		return nil
	}
	if err == nil {
		m.store.observe(before, resp.Header.Revision)
	}
	return err
}

func (m *monitor) up() {
	m.store.outage.Store(nil)
	if m.reachable {
		return
	}
	m.reachable, m.outage = true, ""
	m.store.logger.Info("store is reachable", zap.String("store", m.store.where), zap.Int64("revision", m.store.history.Newest()))
}

func (m *monitor) down(ctx context.Context, err error) {
	if reason := m.reason(ctx, err); ctx.Err() == nil {
		m.report(reason)
	}
}

// report makes reason known, in the log and in the errors of calls.
func (m *monitor) report(reason string) {
	m.store.outage.Store(&reason)
	if !m.reachable && reason == m.outage && time.Since(m.loggedAt) < remindEvery {
		return
	}
	m.reachable, m.outage, m.loggedAt = false, reason, time.Now()
	m.store.logger.Warn("store is not reachable, it will be tried again until it is",
		zap.String("store", m.store.where), zap.String("reason", reason))
}

// waitForDoubt returns when the connection is no longer ready, or when a call has failed.
func (m *monitor) waitForDoubt(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m.store.suspect.Store(&cancel)
	m.store.client.ActiveConnection().WaitForStateChange(ctx, connectivity.Ready)
}

// doubt wakes the monitor if err is of a kind that an outage causes.
func (s *Store) doubt(err error) {
	if wake := s.suspect.Load(); wake != nil && unreachable(err) {
		(*wake)()
	}
}

// unreachable tells errors of the connection, and of a cluster without a leader, from answers.
func unreachable(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return true
	}
	code := status.Code(err)
	var answer rpctypes.EtcdError
	if errors.As(err, &answer) {
		code = answer.Code()
	}
	return code == codes.Unavailable || code == codes.DeadlineExceeded || code == codes.Canceled
}
