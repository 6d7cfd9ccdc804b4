package etcdstore

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

// testQuorum is three members in this process.
type testQuorum struct {
	names  []string
	confs  map[string]EmbeddedConfig
	mu     sync.Mutex
	stores map[string]*Store
}

// newQuorum starts nothing yet.
func newQuorum(t *testing.T, changes ...func(*EmbeddedConfig)) *testQuorum {
	q := &testQuorum{names: []string{"a", "b", "c"}, confs: map[string]EmbeddedConfig{}, stores: map[string]*Store{}}
	addresses := map[string]string{}
	for _, name := range q.names {
		addresses[name] = freeAddress(t)
	}
	dir := t.TempDir()
	for _, name := range q.names {
		conf := EmbeddedConfig{
			Dir: filepath.Join(dir, name), Logger: testLogger(t), noSync: true, hasty: true,
			Quorum: &Quorum{Name: name, Members: addresses},
		}
		for _, change := range changes {
			change(&conf)
		}
		q.confs[name] = conf
	}
	t.Cleanup(func() {
		for _, s := range q.stores {
			require.NoError(t, s.Close())
		}
	})
	return q
}

func formQuorum(t *testing.T, changes ...func(*EmbeddedConfig)) *testQuorum {
	t.Helper()
	q := newQuorum(t, changes...)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var wg sync.WaitGroup
	for _, name := range q.names {
		wg.Go(func() {
			if err := q.start(ctx, name); err != nil {
				t.Errorf("start %s: %v", name, err)
			}
		})
	}
	wg.Wait()
	require.Len(t, q.stores, len(q.names))
	require.Eventually(t, q.acquainted, patience, 10*time.Millisecond, "a member never hears that another has started")
	return q
}

// acquainted reports whether each member has it in its log that all have started, which is what
// tells a member that lost its data from a new one.
func (q *testQuorum) acquainted() bool {
	for _, s := range q.stores {
		for _, m := range s.server.etcd.Server.Cluster().Members() {
			if len(m.ClientURLs) == 0 {
				return false
			}
		}
	}
	return true
}

func (q *testQuorum) start(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s, err := StartEmbedded(ctx, q.confs[name])
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stores[name] = s
	return nil
}

func (q *testQuorum) stop(t *testing.T, name string) {
	t.Helper()
	require.NoError(t, q.stores[name].Close())
	delete(q.stores, name)
}

func (q *testQuorum) wipe(t *testing.T, name string) {
	t.Helper()
	require.NoError(t, os.RemoveAll(q.confs[name].Dir))
}

func (q *testQuorum) list(t *testing.T, name string) cluster.Listing {
	t.Helper()
	l, err := q.stores[name].List(t.Context(), "")
	require.NoError(t, err)
	return l
}

func (q *testQuorum) revision(t *testing.T, name string) int64 {
	t.Helper()
	return q.list(t, name).Revision
}

// leader is the leader's name, and the others'.
func (q *testQuorum) leader(t *testing.T) (leader string, rest []string) {
	t.Helper()
	for _, name := range q.names {
		if etcd := q.stores[name].server.etcd.Server; etcd.Leader() == etcd.MemberID() {
			leader = name
		} else {
			rest = append(rest, name)
		}
	}
	require.Len(t, rest, len(q.names)-1)
	return leader, rest
}

// putInTheEnd writes until it succeeds: a write that met the loss of the leader fails.
func putInTheEnd(t *testing.T, s cluster.Store, key string) {
	t.Helper()
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := s.Put(ctx, cluster.PutRequest{Key: key})
		return err == nil
	}, patience, 10*time.Millisecond)
}

func keysOf(l cluster.Listing) []string {
	keys := []string{}
	for _, e := range l.Entries {
		keys = append(keys, e.Key)
	}
	return keys
}

func alive(t *testing.T, sess cluster.Session) {
	t.Helper()
	select {
	case <-sess.Done():
		t.Fatal("the session has ended")
	default:
	}
}
