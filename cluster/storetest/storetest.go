package storetest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

// patience is how long the suite waits for what must happen. Only a failing test waits that long.
const patience = 20 * time.Second

// Compacter is a store that can forget its history up to and including a revision.
type Compacter interface {
	Compact(t *testing.T, revision int64)
}

// Rewinder is a store whose server can lose its keys and start again at revision 1 or a little
// above, as if it had been emptied or restored.
type Rewinder interface {
	Rewind(t *testing.T)
}

// Sharer is a store that can be opened a second time, with the same keys, as another node would.
type Sharer interface {
	Share(t *testing.T) cluster.Store
}

// Forgetful is a store that can't tell what was deleted between two revisions, unless its prefix
// was listed at the first one through the same client. The suite lists before it watches such a
// store.
type Forgetful interface {
	ForgetsDeletions()
}

// Limited is a store that accepts less than the contract asks for: values of so many bytes, and a
// batch in several steps if it has more than BatchStep operations.
type Limited interface {
	ValueLimit() int
	BatchStep() int
}

// Run runs the suite, or only the named groups of it. open returns a new, empty store, and sees to
// its being closed at the end of t. All groups but "history" are content with a store that was
// emptied.
func Run(t *testing.T, open func(t *testing.T) cluster.Store, only ...string) {
	for _, group := range []struct {
		name  string
		tests []test
	}{
		{"reading and writing", basicTests},
		{"conditions", conditionTests},
		{"batches", batchTests},
		{"listing", listTests},
		{"watching", watchTests},
		{"history", historyTests},
		{"sessions", sessionTests},
		{"idle sessions", idleTests},
		{"closing", closeTests},
	} {
		if len(only) > 0 && !slices.Contains(only, group.name) {
			continue
		}
		t.Run(group.name, func(t *testing.T) {
			for _, test := range group.tests {
				t.Run(test.name, func(t *testing.T) {
					ctx, cancel := context.WithTimeout(t.Context(), 6*patience)
					defer cancel()
					test.run(&suite{T: t, ctx: ctx, store: open(t)})
				})
			}
		})
	}
}

type test struct {
	name string
	run  func(s *suite)
}

// suite is one test on one store.
type suite struct {
	*testing.T
	ctx   context.Context
	store cluster.Store
}

// need returns the store as a T, or skips the test.
func need[T any](s *suite) T {
	s.Helper()
	v, ok := s.store.(T)
	if !ok {
		s.Skipf("the store under test is no %T", *new(T))
	}
	return v
}

// put writes a key and returns its revision.
func (s *suite) put(key, value string) int64 {
	s.Helper()
	res, err := s.store.Put(s.ctx, cluster.PutRequest{Key: key, Value: []byte(value)})
	require.NoError(s, err)
	return res.Revision
}

func (s *suite) putIf(key, value string, cond cluster.Condition) (cluster.PutResult, error) {
	return s.store.Put(s.ctx, cluster.PutRequest{Key: key, Value: []byte(value), If: cond})
}

func (s *suite) get(key string) cluster.Entry {
	s.Helper()
	e, err := s.store.Get(s.ctx, key)
	require.NoError(s, err)
	return e
}

func (s *suite) delete(key string) int64 {
	s.Helper()
	rev, err := s.store.Delete(s.ctx, key, cluster.Condition{})
	require.NoError(s, err)
	return rev
}

// keys lists the keys under prefix.
func (s *suite) keys(prefix string) []string {
	s.Helper()
	l, err := s.store.List(s.ctx, prefix)
	require.NoError(s, err)
	keys := []string{}
	for _, e := range l.Entries {
		keys = append(keys, e.Key)
	}
	return keys
}

// revision is the store's present revision.
func (s *suite) revision() int64 {
	s.Helper()
	l, err := s.store.List(s.ctx, "no such prefix")
	require.NoError(s, err)
	return l.Revision
}

// point is where the store's history is.
func (s *suite) point() cluster.Point {
	s.Helper()
	l, err := s.store.List(s.ctx, "no such prefix")
	require.NoError(s, err)
	return cluster.Point{Revision: l.Revision, Era: l.Era}
}

// listFirst lists what will be watched, if the store needs that.
func (s *suite) listFirst(prefix string) {
	s.Helper()
	if _, forgets := s.store.(Forgetful); forgets {
		_, err := s.store.List(s.ctx, prefix)
		require.NoError(s, err)
	}
}

// watch starts a watch that ends with the test.
func (s *suite) watch(prefix string, after int64) <-chan cluster.Event {
	s.Helper()
	s.listFirst(prefix)
	return s.store.Watch(s.ctx, prefix, after)
}

// next returns the watch's next event.
func (s *suite) next(events <-chan cluster.Event) cluster.Event {
	s.Helper()
	select {
	case ev, ok := <-events:
		require.True(s, ok, "the watch has ended")
		return ev
	case <-time.After(patience):
		require.FailNow(s, "no event came")
		panic("not reached")
	}
}

// eventually waits for a condition.
func (s *suite) eventually(condition func() bool, what string) {
	s.Helper()
	require.Eventually(s, condition, patience, 10*time.Millisecond, what)
}

// ends waits for a channel to be closed.
func (s *suite) ends(done <-chan struct{}, what string) {
	s.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		require.FailNow(s, "still going on: "+what)
	}
}
