package etcdstore

import (
	"testing"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

func TestARevisionThatGoesBackwardsIsNoticedOnce(t *testing.T) {
	for _, test := range []struct {
		name             string
		newest           int64
		before, revision int64
		rewound          bool
		after            int64
	}{
		{"the first answer", 0, 0, 5, false, 5},
		{"nothing was written", 5, 5, 5, false, 5},
		{"something was written", 5, 5, 9, false, 9},
		{"an answer that was overtaken by a newer one", 9, 5, 7, false, 9},
		{"the store went back", 9, 9, 3, true, 3},
		{"another answer from after it went back", 3, 9, 4, false, 4},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := history{revision: test.newest, rewound: make(chan struct{})}
			rewinds := h.rewinds()
			require.Equal(t, test.rewound, h.observe(test.before, test.revision))
			require.Equal(t, test.after, h.newest())
			select {
			case <-rewinds:
				require.True(t, test.rewound)
			default:
				require.False(t, test.rewound)
			}
		})
	}
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
