package consulstore

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/cluster/consulstore/consultest"
)

// atTransaction runs f before the server sees the n-th transaction that writes (from 1).
func atTransaction(server *consultest.Server, n int32, f func()) {
	var seen atomic.Int32
	server.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/v1/txn" && r.ContentLength > 0 && writes(r) && seen.Add(1) == n {
			server.Intercept(nil)
			f()
		}
		return false
	})
}

// writes reads the request's body and puts it back.
func writes(r *http.Request) bool {
	var ops api.TxnOps
	var body strings.Builder
	err := json.NewDecoder(teeReader{r.Body, &body}).Decode(&ops)
	r.Body = readCloser{strings.NewReader(body.String())}
	return err == nil && len(ops) > 0 && ops[0].KV.Verb != api.KVGetOrEmpty
}

type teeReader struct {
	from interface{ Read([]byte) (int, error) }
	to   *strings.Builder
}

func (t teeReader) Read(p []byte) (int, error) {
	n, err := t.from.Read(p)
	t.to.Write(p[:n])
	return n, err
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

func TestWritingTheSameValueAgainIsAWrite(t *testing.T) {
	s := open(t)
	first := put(t, s, "k", "v")
	require.Greater(t, put(t, s, "k", "v"), first)
	sess, err := s.OpenSession(t.Context(), time.Minute)
	require.NoError(t, err)
	bind := cluster.PutRequest{Key: "k", Value: []byte("v"), Session: sess}
	second, err := s.Put(t.Context(), bind)
	require.NoError(t, err)
	third, err := s.Put(t.Context(), bind)
	require.NoError(t, err)
	require.Greater(t, third.Revision, second.Revision)
	e, err := s.Get(t.Context(), "k")
	require.NoError(t, err)
	require.Equal(t, first, e.Created, "through all that, it is the same key")
}

func TestAWriteThatMetAnotherIsJudgedAnew(t *testing.T) {
	s := open(t)
	other := dial(t, s.server, Config{})
	rev := put(t, s, "k", "v")
	atTransaction(s.server, 1, func() { put(t, other, "k", "in between") })
	_, err := s.Put(t.Context(), cluster.PutRequest{Key: "k", Value: []byte("mine"), If: cluster.Condition{Revision: rev}})
	require.ErrorIs(t, err, cluster.ErrConflict)

	atTransaction(s.server, 1, func() { put(t, other, "k", "in between again") })
	res, err := s.Put(t.Context(), cluster.PutRequest{Key: "k", Value: []byte("mine")})
	require.NoError(t, err)
	require.False(t, res.Created)

	atTransaction(s.server, 1, func() { remove(t, other, "k") })
	_, err = s.Delete(t.Context(), "k", cluster.Condition{})
	require.ErrorIs(t, err, cluster.ErrNotFound)

	atTransaction(s.server, 1, func() { put(t, other, "k", "first") })
	_, err = s.Put(t.Context(), cluster.PutRequest{Key: "k", If: cluster.Condition{Absent: true}})
	require.ErrorIs(t, err, cluster.ErrConflict)
}

func TestAKeyLockedByAnotherProgramIsTakenOver(t *testing.T) {
	s := open(t)
	foreign, _, err := s.consul.Session().CreateNoChecks(&api.SessionEntry{Behavior: api.SessionBehaviorRelease}, nil)
	require.NoError(t, err)
	ok, _, err := s.consul.KV().Acquire(&api.KVPair{Key: "k", Session: foreign}, nil)
	require.NoError(t, err)
	require.True(t, ok)
	put(t, s, "k", "mine")
	e, err := s.Get(t.Context(), "k")
	require.NoError(t, err)
	require.Empty(t, e.Session)
	require.Equal(t, "mine", string(e.Value))
}

func TestAKeyIsFreeAtOnceWhenItsSessionWasEndedInOrder(t *testing.T) {
	s := open(t)
	next := dial(t, s.server, Config{})
	for i := range 20 {
		owner, successor := cluster.Store(s), cluster.Store(next)
		if i%2 == 1 {
			owner, successor = successor, owner
		}
		claim := func(store cluster.Store) cluster.Session {
			sess, err := store.OpenSession(t.Context(), time.Minute)
			require.NoError(t, err)
			_, err = store.Put(t.Context(), cluster.PutRequest{Key: "claim", Session: sess, If: cluster.Condition{Absent: true}})
			require.NoError(t, err)
			return sess
		}
		require.NoError(t, claim(owner).Close(t.Context()))
		require.NoError(t, claim(successor).Close(t.Context()))
	}
}

func TestALockDelayOfAnotherProgramIsNamed(t *testing.T) {
	s := open(t)
	foreign, _, err := s.consul.Session().CreateNoChecks(nil, nil)
	require.NoError(t, err)
	_, _, err = s.consul.KV().Acquire(&api.KVPair{Key: "k", Session: foreign}, nil)
	require.NoError(t, err)
	require.NoError(t, s.EndSession(t.Context(), foreign))
	sess, err := s.OpenSession(t.Context(), time.Minute)
	require.NoError(t, err)
	_, err = s.Put(t.Context(), cluster.PutRequest{Key: "k", Session: sess})
	require.ErrorContains(t, err, "due to lock delay")
	require.NotErrorIs(t, err, cluster.ErrConflict)
}

func TestAValueThatIsTooLargeIsRefusedWithTheLimit(t *testing.T) {
	s := open(t)
	_, err := s.Put(t.Context(), cluster.PutRequest{Key: "big", Value: make([]byte, MaxValue+1)})
	require.ErrorContains(t, err, `the value of "big" has 385025 bytes, Consul accepts 385024`)
	var tooLarge *cluster.TooLargeError
	require.ErrorAs(t, err, &tooLarge)
	require.Equal(t, []int{MaxValue + 1, MaxValue}, []int{tooLarge.Size, tooLarge.Limit})
	longest := strings.Repeat("\x1f", 253)
	sess, err := s.OpenSession(t.Context(), time.Minute)
	require.NoError(t, err)
	_, err = s.Put(t.Context(), cluster.PutRequest{Key: longest, Value: make([]byte, MaxValue), Session: sess})
	require.NoError(t, err, "the largest value goes with the longest name")
}

func TestABatchIsSplitByBytes(t *testing.T) {
	s := open(t)
	ops := []cluster.Op{}
	for i := range 5 {
		ops = append(ops, cluster.Op{Put: &cluster.PutRequest{Key: fmt.Sprint(i), Value: make([]byte, MaxValue)}})
	}
	results, err := s.Batch(t.Context(), ops)
	require.NoError(t, err)
	for _, res := range results {
		require.NoError(t, res.Err)
		require.Positive(t, res.Revision)
	}
}

func TestASessionThatEndsBetweenThePartsOfABatchIsNoPromiseThatNothingWasWritten(t *testing.T) {
	s := open(t)
	sess, err := s.OpenSession(t.Context(), time.Minute)
	require.NoError(t, err)
	ops := []cluster.Op{}
	for i := range cluster.MaxBatch {
		ops = append(ops, cluster.Op{Put: &cluster.PutRequest{Key: fmt.Sprint(i), Session: sess}})
	}
	atTransaction(s.server, 2, func() {
		require.NoError(t, dial(t, s.server, Config{}).EndSession(t.Context(), sess.ID()))
	})
	_, err = s.Batch(t.Context(), ops)
	require.ErrorContains(t, err, "a session has ended, after a part of the batch had been written")
	require.NotErrorIs(t, err, cluster.ErrSessionLost)
	<-sess.Done()
}

func TestErrorsNameTheEndpointAndTheKey(t *testing.T) {
	s := open(t)
	_, err := s.Get(t.Context(), "some key")
	require.ErrorIs(t, err, cluster.ErrNotFound)
	require.ErrorContains(t, err, `read "some key" on consul http://`+s.server.Address())
}
