package consultest

import (
	"context"
	"flag"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

const patience = 20 * time.Second

// binary is a real Consul, on which every rule is tried that needs nothing but Consul's API; see
// task consul.
var binary = flag.String("consul", "", "path of a Consul binary") //nolint:forbidigo // of the test binary

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// both tries a rule on the stand-in, and on a real Consul if there is one.
func both(t *testing.T, rule func(t *testing.T, c *api.Client)) {
	t.Run("stand-in", func(t *testing.T) {
		_, c := client(t, Options{})
		rule(t, c)
	})
	t.Run("Consul", func(t *testing.T) {
		if *binary == "" {
			t.Skip("no real Consul; task consul builds one and passes it with -consul")
		}
		p, err := StartProcess(t.Context(), *binary, t.TempDir())
		require.NoError(t, err)
		t.Cleanup(p.Stop)
		rule(t, connect(t, p, ""))
	})
}

// client is HashiCorp's own client of a new server.
func client(t *testing.T, o Options) (*Server, *api.Client) {
	t.Helper()
	s, err := Start(o)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s, connect(t, s, "")
}

func connect(t *testing.T, s interface{ Address() string }, token string) *api.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	c, err := api.NewClient(&api.Config{Address: s.Address(), Token: token, HttpClient: &http.Client{Transport: transport}})
	require.NoError(t, err)
	return c
}

func put(t *testing.T, c *api.Client, key, value string) uint64 {
	t.Helper()
	_, err := c.KV().Put(&api.KVPair{Key: key, Value: []byte(value)}, nil)
	require.NoError(t, err)
	return get(t, c, key).ModifyIndex
}

func get(t *testing.T, c *api.Client, key string) *api.KVPair {
	t.Helper()
	pair, _, err := c.KV().Get(key, nil)
	require.NoError(t, err)
	return pair
}

func remove(t *testing.T, c *api.Client, key string) {
	t.Helper()
	_, err := c.KV().Delete(key, nil)
	require.NoError(t, err)
}

// indexOf is what a listing of prefix has as its index.
func indexOf(t *testing.T, c *api.Client, prefix string) uint64 {
	t.Helper()
	_, meta, err := c.KV().List(prefix, nil)
	require.NoError(t, err)
	return meta.LastIndex
}

func transact(t *testing.T, c *api.Client, ops ...*api.KVTxnOp) (*api.KVTxnResponse, bool) {
	t.Helper()
	ok, resp, _, err := c.KV().Txn(ops, nil)
	require.NoError(t, err)
	return resp, ok
}

func TestAWriteThatChangesNothingKeepsTheIndex(t *testing.T) {
	both(t, func(t *testing.T, c *api.Client) {
		first := put(t, c, "k", "v")
		require.Equal(t, first, put(t, c, "k", "v"))
		require.Greater(t, put(t, c, "k", "w"), first)
		require.Equal(t, first, get(t, c, "k").CreateIndex)
	})
}

func TestTheIndexOfAPrefixGrowsWithDeletionsAndGoesBackWhenTheyAreForgotten(t *testing.T) {
	s, c := client(t, Options{})
	kept := put(t, c, "a/kept", "v")
	put(t, c, "a/gone", "v")
	put(t, c, "b/other", "v")
	remove(t, c, "a/gone")
	deleted := indexOf(t, c, "")
	require.Equal(t, deleted, indexOf(t, c, "a/"))
	require.Less(t, indexOf(t, c, "b/"), deleted, "another prefix doesn't feel it")
	require.Equal(t, deleted, indexOf(t, c, "c/"), "an empty prefix has the index of all keys")
	s.ReapTombstones()
	require.Equal(t, kept, indexOf(t, c, "a/"))
	require.Greater(t, indexOf(t, c, "c/"), deleted, "the index of all keys never goes back")
}

func TestABlockingQueryEndsAtAChangeUnderItsPrefix(t *testing.T) {
	s, c := client(t, Options{})
	before := put(t, c, "p/a", "v")
	type answer struct {
		keys  int
		index uint64
	}
	answers := make(chan answer, 1)
	ask := func(index uint64) {
		go func() {
			pairs, meta, err := c.KV().List("p/", (&api.QueryOptions{WaitIndex: index, WaitTime: time.Minute}).WithContext(t.Context()))
			if err == nil {
				answers <- answer{len(pairs), meta.LastIndex}
			}
		}()
	}
	ask(before)
	put(t, c, "elsewhere", "v")
	after := put(t, c, "p/b", "v")
	require.Equal(t, answer{2, after}, <-answers, "the other key's change has not ended it")

	ask(after + 1000)
	require.Eventually(t, func() bool { return s.Blocked() == 1 }, patience, time.Millisecond, "an index that is to come blocks")
	put(t, c, "p/c", "v")
	s.Restore(s.Snapshot())
	require.Equal(t, 3, (<-answers).keys, "a restored server answers whoever waits")
}

func TestABlockingQueryEndsWithItsWait(t *testing.T) {
	both(t, func(t *testing.T, c *api.Client) {
		index := put(t, c, "k", "v")
		pairs, meta, err := c.KV().List("", &api.QueryOptions{WaitIndex: index, WaitTime: 10 * time.Millisecond})
		require.NoError(t, err)
		require.Len(t, pairs, 1)
		require.Equal(t, index, meta.LastIndex)
	})
}

func TestNamesAreListedWithTheIndexOfAListing(t *testing.T) {
	both(t, func(t *testing.T, c *api.Client) {
		keys, _, err := c.KV().Keys("", "", nil)
		require.NoError(t, err)
		require.Equal(t, []string{}, keys, "not 404")
		put(t, c, "p/b", "v")
		put(t, c, "p/a", "v")
		put(t, c, "q", "v")
		keys, meta, err := c.KV().Keys("p/", "", nil)
		require.NoError(t, err)
		require.Equal(t, []string{"p/a", "p/b"}, keys)
		require.Equal(t, indexOf(t, c, "p/"), meta.LastIndex)
		keys, _, err = c.KV().Keys("r/", "", nil)
		require.NoError(t, err)
		require.Empty(t, keys)
	})
}

func TestATransactionIsAllOrNothingAndTellsEveryRefusal(t *testing.T) {
	both(t, func(t *testing.T, c *api.Client) {
		index := put(t, c, "there", "v")
		resp, ok := transact(t, c,
			&api.KVTxnOp{Verb: api.KVSet, Key: "new", Value: []byte("v")},
			&api.KVTxnOp{Verb: api.KVCAS, Key: "there", Index: index + 1},
			&api.KVTxnOp{Verb: api.KVDelete, Key: "there"},
			&api.KVTxnOp{Verb: api.KVLock, Key: "l", Session: "none"},
		)
		require.False(t, ok)
		require.Empty(t, resp.Results)
		require.Equal(t, api.TxnErrors{
			{OpIndex: 1, What: `failed to set key "there", index is stale`},
			{OpIndex: 3, What: `invalid session "none"`},
		}, resp.Errors)
		require.Nil(t, get(t, c, "new"))
		require.Equal(t, index, get(t, c, "there").ModifyIndex)
		require.Equal(t, index, indexOf(t, c, ""), "the deletion left no trace")
	})
}

func TestTheResultsOfATransaction(t *testing.T) {
	both(t, func(t *testing.T, c *api.Client) {
		put(t, c, "old", "v")
		resp, ok := transact(t, c,
			&api.KVTxnOp{Verb: api.KVCAS, Key: "new", Value: []byte("v")},
			&api.KVTxnOp{Verb: api.KVDelete, Key: "old"},
			&api.KVTxnOp{Verb: api.KVGetOrEmpty, Key: "old"},
			&api.KVTxnOp{Verb: api.KVGet, Key: "new"},
			&api.KVTxnOp{Verb: api.KVGetTree, Key: ""},
		)
		require.False(t, ok, "an empty key is refused, also for a tree")
		require.Equal(t, 4, resp.Errors[0].OpIndex)
		resp, ok = transact(t, c,
			&api.KVTxnOp{Verb: api.KVCAS, Key: "new", Value: []byte("v")},
			&api.KVTxnOp{Verb: api.KVDelete, Key: "old"},
			&api.KVTxnOp{Verb: api.KVGetOrEmpty, Key: "old"},
			&api.KVTxnOp{Verb: api.KVGet, Key: "new"},
		)
		require.True(t, ok)
		index := get(t, c, "new").ModifyIndex
		require.Equal(t, []*api.KVPair{
			{Key: "new", CreateIndex: index, ModifyIndex: index},
			{Key: "old"},
			{Key: "new", Value: []byte("v"), CreateIndex: index, ModifyIndex: index},
		}, resp.Results, "a write has no value, a deletion no result")
		require.Equal(t, index, indexOf(t, c, "old"), "all of it has one index")
	})
}

func TestChecksOfATransaction(t *testing.T) {
	both(t, func(t *testing.T, c *api.Client) {
		index := put(t, c, "k", "v")
		for _, test := range []struct {
			op   api.KVTxnOp
			pass bool
		}{
			{api.KVTxnOp{Verb: api.KVCheckIndex, Key: "k", Index: index}, true},
			{api.KVTxnOp{Verb: api.KVCheckIndex, Key: "k", Index: index - 1}, false},
			{api.KVTxnOp{Verb: api.KVCheckIndex, Key: "missing", Index: 0}, false},
			{api.KVTxnOp{Verb: api.KVCheckSession, Key: "k", Session: ""}, true},
			{api.KVTxnOp{Verb: api.KVCheckSession, Key: "k", Session: "x"}, false},
			{api.KVTxnOp{Verb: api.KVCheckNotExists, Key: "missing"}, true},
			{api.KVTxnOp{Verb: api.KVCheckNotExists, Key: "k"}, false},
			{api.KVTxnOp{Verb: api.KVGet, Key: "missing"}, false},
			{api.KVTxnOp{Verb: api.KVUnlock, Key: "k", Session: "x"}, false},
			{api.KVTxnOp{Verb: api.KVDeleteCAS, Key: "k", Index: index - 1}, false},
			{api.KVTxnOp{Verb: api.KVDeleteCAS, Key: "missing", Index: 7}, true},
			{api.KVTxnOp{Verb: "invented", Key: "k"}, false},
		} {
			_, ok := transact(t, c, &test.op)
			require.Equal(t, test.pass, ok, "%+v", test.op)
		}
	})
}

func TestLimitsOfATransaction(t *testing.T) {
	both(t, func(t *testing.T, c *api.Client) {
		ops := api.KVTxnOps{}
		for range maxTxnOps {
			ops = append(ops, &api.KVTxnOp{Verb: api.KVGetOrEmpty, Key: "k"})
		}
		_, ok := transact(t, c, ops...)
		require.True(t, ok)
		_, _, _, err := c.KV().Txn(append(ops, ops[0]), nil)
		require.ErrorContains(t, err, "too many operations (129 > 128)")
		big := &api.KVTxnOp{Verb: api.KVSet, Key: "k", Value: make([]byte, 400<<10)}
		_, _, _, err = c.KV().Txn(api.KVTxnOps{big}, nil)
		require.ErrorContains(t, err, "too large, max size", "base64 is a third longer")
		_, err = c.KV().Put(&api.KVPair{Key: "k", Value: make([]byte, 512<<10)}, nil)
		require.NoError(t, err)
		_, err = c.KV().Put(&api.KVPair{Key: "k", Value: make([]byte, 512<<10+1)}, nil)
		require.ErrorContains(t, err, "413")
	})
}

func newSession(t *testing.T, c *api.Client, e *api.SessionEntry) string {
	t.Helper()
	id, _, err := c.Session().CreateNoChecks(e, nil)
	require.NoError(t, err)
	return id
}

func acquire(t *testing.T, c *api.Client, key, id string) bool {
	t.Helper()
	ok, _, err := c.KV().Acquire(&api.KVPair{Key: key, Value: []byte(id), Session: id}, nil)
	require.NoError(t, err)
	return ok
}

func TestALockExcludesOthersAndSurvivesPlainWrites(t *testing.T) {
	both(t, func(t *testing.T, c *api.Client) {
		one, two := newSession(t, c, nil), newSession(t, c, nil)
		require.True(t, acquire(t, c, "k", one))
		require.True(t, acquire(t, c, "k", one), "again")
		require.False(t, acquire(t, c, "k", two))
		put(t, c, "k", "anybody may write")
		require.Equal(t, one, get(t, c, "k").Session, "a plain write keeps the session")
		require.Zero(t, get(t, c, "k").LockIndex, "and loses the count of locks")
		ok, _, err := c.KV().Release(&api.KVPair{Key: "k", Session: two}, nil)
		require.NoError(t, err)
		require.False(t, ok)
		ok, _, err = c.KV().Release(&api.KVPair{Key: "k", Session: one}, nil)
		require.NoError(t, err)
		require.True(t, ok)
		require.True(t, acquire(t, c, "k", two))
		require.Equal(t, uint64(1), get(t, c, "k").LockIndex)
	})
}

func TestWhatHappensToKeysWhenTheirSessionEnds(t *testing.T) {
	both(t, func(t *testing.T, c *api.Client) {
		releasing := newSession(t, c, &api.SessionEntry{LockDelay: time.Nanosecond})
		deleting := newSession(t, c, &api.SessionEntry{Behavior: api.SessionBehaviorDelete, LockDelay: time.Nanosecond})
		require.True(t, acquire(t, c, "released", releasing))
		require.True(t, acquire(t, c, "deleted", deleting))
		for _, id := range []string{releasing, deleting, deleting} { // destroying twice is fine
			_, err := c.Session().Destroy(id, nil)
			require.NoError(t, err)
		}
		require.Empty(t, get(t, c, "released").Session)
		require.Nil(t, get(t, c, "deleted"))
		gone, _, err := c.Session().Info(deleting, nil)
		require.NoError(t, err)
		require.Nil(t, gone)
	})
}

func TestTheLockDelayKeepsOthersFromTheKey(t *testing.T) {
	s, c := client(t, Options{})
	other := newSession(t, c, nil)
	hold := func(key string, e *api.SessionEntry) {
		id := newSession(t, c, e)
		require.True(t, acquire(t, c, key, id))
		_, err := c.Session().Destroy(id, nil)
		require.NoError(t, err)
	}
	hold("delayed", &api.SessionEntry{})
	require.False(t, acquire(t, c, "delayed", other), "15 s by default")
	resp, ok := transact(t, c, &api.KVTxnOp{Verb: api.KVLock, Key: "delayed", Session: other})
	require.False(t, ok)
	require.Equal(t, `failed to lock key "delayed" due to lock delay`, resp.Errors[0].What)
	hold("soon", &api.SessionEntry{LockDelay: time.Nanosecond}) // the client makes it 1 ms
	require.Eventually(t, func() bool { return acquire(t, c, "soon", other) }, patience, time.Millisecond)

	var created struct{ ID string }
	_, err := c.Raw().Write("/v1/session/create", map[string]any{"LockDelay": "0s"}, &created, nil)
	require.NoError(t, err)
	require.True(t, acquire(t, c, "at-once", created.ID))
	s.state.endSession(created.ID)
	require.True(t, acquire(t, c, "at-once", other))
}

func TestASessionExpiresAfterTwiceItsTTLUnlessItIsRenewed(t *testing.T) {
	_, c := client(t, Options{MinTTL: 10 * time.Millisecond})
	_, _, err := c.Session().CreateNoChecks(&api.SessionEntry{TTL: "5ms"}, nil)
	require.ErrorContains(t, err, "Invalid Session TTL")
	const ttl = 400 * time.Millisecond
	born := time.Now()
	id := newSession(t, c, &api.SessionEntry{TTL: ttl.String(), Behavior: api.SessionBehaviorDelete})
	require.True(t, acquire(t, c, "k", id))
	var renewed time.Time
	for renewed.Sub(born) < 3*ttl {
		renewed = time.Now()
		entry, _, err := c.Session().Renew(id, nil)
		require.NoError(t, err)
		require.NotNil(t, entry)
	}
	require.Eventually(t, func() bool { return get(t, c, "k") == nil }, patience, time.Millisecond)
	require.GreaterOrEqual(t, time.Since(renewed), 2*ttl)
	entry, _, err := c.Session().Renew(id, nil)
	require.NoError(t, err)
	require.Nil(t, entry, "404")
}

func TestTheDefaultsOfASession(t *testing.T) {
	both(t, func(t *testing.T, c *api.Client) {
		entry, _, err := c.Session().Info(newSession(t, c, nil), nil)
		require.NoError(t, err)
		require.Equal(t, 15*time.Second, entry.LockDelay)
		require.Equal(t, api.SessionBehaviorRelease, entry.Behavior)
		_, _, err = c.Session().CreateNoChecks(&api.SessionEntry{TTL: "9s"}, nil)
		require.ErrorContains(t, err, "must be between [10s=24h0m0s]")
	})
}

func TestTokensSeeAndWriteWhatTheyMay(t *testing.T) {
	under := func(prefix string) func(string) bool {
		return func(key string) bool { return strings.HasPrefix(key, prefix) }
	}
	s, anonymous := client(t, Options{Policies: map[string]Policy{
		"all":  {Read: under(""), Write: under(""), Sessions: true},
		"some": {Read: under("a/"), Write: under("a/")},
	}})
	all, some := connect(t, s, "all"), connect(t, s, "some")
	put(t, all, "a/k", "v")
	put(t, all, "b/k", "v")

	pairs, meta, err := some.KV().List("", nil)
	require.NoError(t, err)
	require.Len(t, pairs, 1)
	require.True(t, meta.ResultsFilteredByACLs)
	pairs, meta, err = anonymous.KV().List("", nil)
	require.NoError(t, err)
	require.Empty(t, pairs)
	require.True(t, meta.ResultsFilteredByACLs)
	_, meta, err = all.KV().List("", nil)
	require.NoError(t, err)
	require.False(t, meta.ResultsFilteredByACLs)

	_, _, err = some.KV().Get("b/k", nil)
	require.ErrorContains(t, err, "403")
	_, err = some.KV().Put(&api.KVPair{Key: "b/k"}, nil)
	require.ErrorContains(t, err, "403")
	_, _, err = some.Session().CreateNoChecks(nil, nil)
	require.ErrorContains(t, err, "403")
	_, _, err = connect(t, s, "invented").KV().List("", nil)
	require.ErrorContains(t, err, "ACL not found")

	resp, ok := transact(t, some, &api.KVTxnOp{Verb: api.KVSet, Key: "a/k"}, &api.KVTxnOp{Verb: api.KVSet, Key: "b/k"})
	require.False(t, ok)
	require.Equal(t, api.TxnErrors{{OpIndex: 1, What: "Permission denied"}}, resp.Errors)
	resp, ok = transact(t, some, &api.KVTxnOp{Verb: api.KVGetOrEmpty, Key: "b/k"}, &api.KVTxnOp{Verb: api.KVGet, Key: "a/k"})
	require.True(t, ok)
	require.Len(t, resp.Results, 1, "what may not be read is left out in silence")
}

func TestARestoredServerHasTheOldIndexAndNewWritesHigherOnes(t *testing.T) {
	s, c := client(t, Options{})
	old := put(t, c, "k", "old")
	snapshot := s.Snapshot()
	newest := put(t, c, "k", "new")
	s.Restore(snapshot)
	require.Equal(t, old, get(t, c, "k").ModifyIndex)
	require.Equal(t, old, indexOf(t, c, ""))
	require.Greater(t, put(t, c, "k", "newer"), newest, "Raft's log goes on")
}

func TestAWipedServerBeginsAnew(t *testing.T) {
	s, c := client(t, Options{})
	before := put(t, c, "k", "v")
	for range 5 {
		before = max(before, put(t, c, "k", time.Now().String()))
	}
	require.NoError(t, s.Wipe())
	require.Nil(t, get(t, c, "k"))
	require.Less(t, put(t, c, "k", "v"), before)
}

func TestAStoppedServerRefusesAndComesBackWithItsKeys(t *testing.T) {
	s, c := client(t, Options{})
	put(t, c, "k", "v")
	s.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, _, err := c.KV().Get("k", (&api.QueryOptions{}).WithContext(ctx))
	require.ErrorContains(t, err, "refused")
	require.NoError(t, s.Resume())
	require.Equal(t, "v", string(get(t, c, "k").Value))
	s.Fail(http.StatusInternalServerError, "No cluster leader")
	_, _, err = c.KV().Get("k", nil)
	require.ErrorContains(t, err, "No cluster leader")
	s.Intercept(nil)
	require.NotNil(t, get(t, c, "k"))
}
