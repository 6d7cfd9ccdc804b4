package etcdstore

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

func TestAStoreThatGoesBackAfterAWatchHasAskedForItsRevisionIsNoticed(t *testing.T) {
	s := startEmbedded(t, EmbeddedConfig{Dir: t.TempDir()})
	put(t, s, "k")
	w := &watch{store: s}
	rewound, err := w.begin(t.Context())
	require.NoError(t, err)
	require.True(t, s.history.Observe(s.history.Newest(), 1))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, w.follow(ctx, rewound))
	require.True(t, w.lost, "it would wait for a revision that the store may never reach")
}

func TestAReaderThatIsTooSlowHasToListAgain(t *testing.T) {
	w := &watch{}
	big := make([]byte, maxQueued/4)
	revision := int64(0)
	for !w.lost {
		revision++
		require.LessOrEqual(t, revision, int64(4), "the queue has no bound")
		require.NoError(t, w.take(clientv3.WatchResponse{
			Header: &etcdserverpb.ResponseHeader{Revision: revision},
			Events: []*clientv3.Event{{Kv: &mvccpb.KeyValue{Key: []byte("k"), Value: big, ModRevision: revision}}},
		}))
	}
}

func TestTheQueueForgetsWhatWasRead(t *testing.T) {
	w := &watch{}
	w.push(cluster.Event{Entry: cluster.Entry{Key: "k", Value: make([]byte, 1000)}})
	w.push(cluster.Event{Entry: cluster.Entry{Key: "l"}})
	w.pop()
	w.pop()
	require.Empty(t, w.queue)
	require.Zero(t, w.queued)
}

func TestProgressMovesAWatchForward(t *testing.T) {
	w := &watch{after: 5}
	require.NoError(t, w.take(clientv3.WatchResponse{Header: &etcdserverpb.ResponseHeader{Revision: 9}}))
	require.Equal(t, int64(9), w.after)
	require.NoError(t, w.take(clientv3.WatchResponse{Header: &etcdserverpb.ResponseHeader{Revision: 7}}))
	require.Equal(t, int64(9), w.after)
}

func TestASessionIDIsALeaseInHex(t *testing.T) {
	for _, lease := range []clientv3.LeaseID{1, 0x694d9a2c3d4e5f60, 1<<63 - 1} {
		got, err := parseSessionID(sessionID(lease))
		require.NoError(t, err)
		require.Equal(t, lease, got)
	}
	for _, id := range []string{"", "0", "not hex", "10000000000000000"} {
		_, err := parseSessionID(id)
		require.Error(t, err)
	}
}
