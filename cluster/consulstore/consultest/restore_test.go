package consultest

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"
)

// restorable is a server that can go back to what it had.
type restorable struct {
	*api.Client
	// save returns what restores the present state.
	save func() (restore func())
	// waiting is closed when a blocking query that was sent before waits.
	waiting func()
}

// bothRestorable tries a rule about snapshots on the stand-in, and on a real Consul if there is one.
func bothRestorable(t *testing.T, rule func(t *testing.T, s restorable)) {
	t.Run("stand-in", func(t *testing.T) {
		s, c := client(t, Options{})
		rule(t, restorable{c, func() func() {
			snapshot := s.Snapshot()
			return func() { s.Restore(snapshot) }
		}, func() {
			require.Eventually(t, func() bool { return s.Blocked() > 0 }, patience, time.Millisecond)
		}})
	})
	t.Run("Consul", func(t *testing.T) {
		if *binary == "" {
			t.Skip("no real Consul; task consul builds one and passes it with -consul")
		}
		p, err := StartProcess(t.Context(), *binary, t.TempDir())
		require.NoError(t, err)
		t.Cleanup(p.Stop)
		c := connect(t, p, "")
		rule(t, restorable{c, func() func() {
			r, _, err := c.Snapshot().Save(nil)
			require.NoError(t, err)
			defer r.Close()
			snapshot, err := io.ReadAll(r)
			require.NoError(t, err)
			return func() { require.NoError(t, c.Snapshot().Restore(nil, bytes.NewReader(snapshot))) }
		}, func() {
			// Consul tells nobody what waits, other than in its metrics.
			require.Eventually(t, func() bool {
				info, err := c.Agent().Metrics()
				require.NoError(t, err)
				for _, g := range info.Gauges {
					if strings.HasSuffix(g.Name, "rpc.queries_blocking") && g.Value > 0 {
						return true
					}
				}
				return false
			}, patience, 50*time.Millisecond)
		}})
	})
}

func TestARestoreAnswersBlockedQueriesAtOnceWithWhatWasBefore(t *testing.T) {
	bothRestorable(t, func(t *testing.T, s restorable) {
		put(t, s.Client, "p/k", "old")
		restore := s.save()
		newest := put(t, s.Client, "p/k", "new")
		type answer struct {
			keys  []string
			index uint64
			after time.Duration
		}
		answers := make(chan answer, 1)
		asked := time.Now()
		go func() {
			keys, meta, err := s.KV().Keys("p/", "", &api.QueryOptions{WaitIndex: newest, WaitTime: patience})
			if err == nil {
				answers <- answer{keys, meta.LastIndex, time.Since(asked)}
			}
			close(answers)
		}()
		s.waiting()
		restore()
		got := <-answers
		require.Equal(t, []string{"p/k"}, got.keys)
		require.Equal(t, newest, got.index, "the index from before the restore")
		require.Less(t, got.after, patience)
		require.Less(t, indexOf(t, s.Client, "p/"), newest)
	})
}

func TestSessionsAreInSnapshots(t *testing.T) {
	bothRestorable(t, func(t *testing.T, s restorable) {
		open := func() string {
			id, _, err := s.Session().CreateNoChecks(&api.SessionEntry{TTL: "10s", Behavior: "delete"}, nil)
			require.NoError(t, err)
			return id
		}
		alive := func(id string) bool {
			info, _, err := s.Session().Info(id, nil)
			require.NoError(t, err)
			return info != nil
		}
		kept, dead := open(), open()
		ok, _, err := s.KV().Acquire(&api.KVPair{Key: "claim", Session: dead}, nil)
		require.NoError(t, err)
		require.True(t, ok)
		restore := s.save()
		_, err = s.Session().Destroy(dead, nil)
		require.NoError(t, err)
		require.Nil(t, get(t, s.Client, "claim"))
		later := open()
		restore()
		require.True(t, alive(kept))
		require.True(t, alive(dead), "it is there again, with what it held")
		require.Equal(t, dead, get(t, s.Client, "claim").Session)
		require.False(t, alive(later))
		found, _, err := s.Session().Renew(dead, nil)
		require.NoError(t, err)
		require.NotNil(t, found)
	})
}
