package etcdstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// electionPatience is how long a cluster may be without a leader before that is an outage: choosing
// one takes up to two seconds.
const electionPatience = 3 * time.Second

// noLeader is why nothing can be read or written.
const noLeader = "there is no leader, because too few members can reach each other"

// checkMembers compares the members in the server's data with the list.
func (s *server) checkMembers() error {
	found := s.etcd.Server.Cluster()
	members := found.Members()
	if s.roster == nil {
		if len(members) > 1 {
			return fmt.Errorf("the directory is that of a member of a quorum of %d; list its members, or give another directory", len(members))
		}
		return nil
	}
	if difference := s.roster.differs(members, found.ID().String()); difference != "" {
		return fmt.Errorf("the directory belongs to a cluster of other members: %s", difference)
	}
	own := s.roster.peers[s.roster.name]
	for _, m := range members {
		if m.ID == s.etcd.Server.MemberID() && memberAt(members, own) != m {
			return fmt.Errorf("the directory is that of the member at %s, not of %s at %s", strings.Join(m.PeerURLs, ", "), s.roster.name, own)
		}
	}
	return nil
}

// runInside is the monitor of a member: it watches whether the cluster has a leader, which costs
// nothing to ask.
func (m *monitor) runInside() {
	srv := m.store.server
	since := time.Now()
	for {
		if srv.etcd.Server.Leader() != 0 {
			since = time.Now()
			srv.log.serving.Store(true)
			m.up()
		} else if time.Since(since) > electionPatience {
			m.downInside()
		}
		if !sleep(m.store.usable, probeEvery) {
			return
		}
	}
}

func (m *monitor) downInside() {
	r := m.store.server.roster
	rt, err := r.transport()
	if err != nil {
		m.report(err.Error()) // a certificate that was renewed badly
		return
	}
	answers := r.askAll(m.store.usable, rt)
	if m.store.usable.Err() != nil {
		return
	}
	reason := noLeader
	if silent := describe(answers); silent != "" {
		reason += ": " + silent
	}
	m.report(reason)
}

// ReplaceMember takes a member that has lost its data out of the cluster and lets it in again as a
// new one, at the same address. After that, start it with an empty directory. It needs a quorum of
// the others, and is refused while the member is running. If it fails half-way it can be called
// again.
func (s *Store) ReplaceMember(ctx context.Context, name string) error {
	var peer string
	if s.server != nil && s.server.roster != nil {
		peer = s.server.roster.peers[name]
	}
	switch {
	case peer == "":
		return fmt.Errorf("replace member %q: it is not in the list of members", name)
	case name == s.server.roster.name:
		return fmt.Errorf("replace member %q: it is this one, ask another member", name)
	}
	return s.call(ctx, fmt.Sprintf("replace member %q", name), func(ctx context.Context) (*pb.ResponseHeader, error) {
		return nil, s.replace(ctx, peer)
	})
}

func (s *Store) replace(ctx context.Context, peer string) error {
	rt, err := s.server.roster.transport()
	if err != nil {
		return err
	}
	if a := ask(ctx, rt, peer); a.err == nil && a.waiting == nil {
		return fmt.Errorf("it is running at %s, stop it before", peer)
	}
	list, err := s.client.MemberList(ctx)
	if err != nil {
		return err
	}
	for _, m := range list.Members {
		switch {
		case !slices.Contains(m.PeerURLs, peer):
		case len(m.ClientURLs) == 0: // it has never been started, see apply
			return nil
		default:
			if err := onceHealthy(ctx, func() error { _, err := s.client.MemberRemove(ctx, m.ID); return err }); err != nil {
				return fmt.Errorf("take it out: %w", err)
			}
		}
	}
	if err := onceHealthy(ctx, func() error { _, err := s.client.MemberAdd(ctx, []string{peer}); return err }); err != nil {
		return fmt.Errorf("let it in again, it is out: %w", err)
	}
	return nil
}

// onceHealthy repeats what etcd refuses because the members that stay have not been connected for
// five seconds.
func onceHealthy(ctx context.Context, change func() error) error {
	for {
		err := change()
		if !errors.Is(err, rpctypes.ErrUnhealthy) || !sleep(ctx, retryPause) {
			return err
		}
	}
}
