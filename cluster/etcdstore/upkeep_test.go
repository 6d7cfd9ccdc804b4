package etcdstore

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

// small is an embedded server that is full soon, and looks after itself often.
func small(t *testing.T) *Store {
	return startEmbedded(t, EmbeddedConfig{
		Dir: t.TempDir(), Quota: 24 << 20, upkeepEvery: 100 * time.Millisecond, keepHistory: 200 * time.Millisecond,
	})
}

// random is a value that can't be compressed.
func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

// fillUp puts values until one is refused, and returns the keys.
func fillUp(t *testing.T, put func(key string) error) (keys []string, refusal error) {
	for i := range 200 {
		key := fmt.Sprintf("configurations/%d", i)
		if err := put(key); err != nil {
			return keys, err
		}
		keys = append(keys, key)
	}
	t.Fatal("the store is never full")
	return nil, nil
}

func TestAFullStoreStillServesTheClusterAndHealsByDeletions(t *testing.T) {
	s := small(t)
	size := 512 << 10
	put := func(key string) error {
		_, err := s.Put(t.Context(), cluster.PutRequest{Key: key, Value: random(size)})
		return err
	}
	keys, refusal := fillUp(t, put)
	var full *cluster.FullError
	require.ErrorAs(t, refusal, &full)
	require.ErrorContains(t, refusal, "the store is full: ")
	require.Greater(t, len(keys), 10)
	size = 32 << 10
	more, _ := fillUp(t, func(key string) error { return put(key + "-small") })
	for _, key := range more {
		keys = append(keys, key+"-small")
	}

	session, err := s.OpenSession(t.Context(), time.Minute)
	require.NoError(t, err)
	_, err = s.Put(t.Context(), cluster.PutRequest{Key: "collectors/x", Value: random(1 << 10), Session: session})
	require.NoError(t, err, "what is bound to a session has room")
	database, inside := s.Database()
	require.True(t, inside)
	require.False(t, database.Alarm)
	require.LessOrEqual(t, database.Size, database.Quota)

	for _, key := range keys {
		_, err := s.Delete(t.Context(), key, cluster.Condition{})
		require.NoError(t, err)
	}
	size = 512 << 10
	require.Eventually(t, func() bool { return put("configurations/new") == nil }, patience, 50*time.Millisecond)
	require.Eventually(t, func() bool {
		d, _ := s.Database()
		return d.Defragmentations > 0 && d.Size < 8<<20
	}, patience, 50*time.Millisecond, "the disk has its space back")
	require.Zero(t, testutil.ToFloat64(onlyFull{s}))
}

func TestAnAlarmForLackOfSpaceIsTakenBackOnceThereIsSpace(t *testing.T) {
	s := small(t)
	keys, refusal := fillUp(t, func(key string) error { // past the store's own bound
		_, err := s.client.Put(t.Context(), key, string(random(512<<10)))
		return err
	})
	require.ErrorIs(t, refusal, rpctypes.ErrNoSpace)
	raise := func() {
		_, err := s.server.etcd.Server.Alarm(t.Context(), &pb.AlarmRequest{
			MemberID: uint64(s.server.etcd.Server.MemberID()), Action: pb.AlarmRequest_ACTIVATE, Alarm: pb.AlarmType_NOSPACE,
		})
		require.NoError(t, err)
	}
	raise()
	_, err := s.Put(t.Context(), cluster.PutRequest{Key: "k", Value: random(512 << 10)})
	var full *cluster.FullError
	require.True(t, errors.As(err, &full), "%v", err)

	for _, key := range keys {
		_, err := s.Delete(t.Context(), key, cluster.Condition{})
		require.NoError(t, err, "deletions are the way out")
	}
	require.Eventually(t, func() bool {
		_, err := s.Put(t.Context(), cluster.PutRequest{Key: "k"})
		database, _ := s.Database()
		return err == nil && !database.Alarm
	}, patience, 50*time.Millisecond)
	raise()
	require.Eventually(t, func() bool {
		alarms, err := s.client.AlarmList(t.Context())
		return err == nil && len(alarms.Alarms) == 0
	}, patience, 50*time.Millisecond, "also one for which there is no reason any more")
}

func TestOldVersionsOfAValueDoNotFillTheStore(t *testing.T) {
	s := small(t)
	for range 120 {
		require.Eventually(t, func() bool {
			_, err := s.Put(t.Context(), cluster.PutRequest{Key: "configurations/one", Value: random(1 << 20)})
			var full *cluster.FullError
			require.True(t, err == nil || errors.As(err, &full), "%v", err)
			return err == nil
		}, patience, 20*time.Millisecond, "who writes faster than it is compacted waits for a moment")
	}
	database, _ := s.Database()
	require.LessOrEqual(t, database.Size, database.Quota)
	require.Positive(t, database.Compactions)
	require.False(t, database.Alarm)
}

// onlyFull is the one metric of them that says whether the store is full.
type onlyFull struct{ *Store }

func (o onlyFull) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(o, ch) }

func (o onlyFull) Collect(ch chan<- prometheus.Metric) {
	all := make(chan prometheus.Metric, 16)
	o.Metrics().Collect(all)
	close(all)
	for m := range all {
		if strings.Contains(m.Desc().String(), "etcdstore_full") {
			ch <- m
		}
	}
}
