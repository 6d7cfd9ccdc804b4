package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

var conditionTests = []test{
	{"Absent lets only the first writer pass", func(s *suite) {
		res, err := s.putIf("k", "v1", cluster.Condition{Absent: true})
		require.NoError(s, err)
		require.True(s, res.Created)
		_, err = s.putIf("k", "v2", cluster.Condition{Absent: true})
		require.ErrorIs(s, err, cluster.ErrConflict)
		require.ErrorContains(s, err, `"k"`, "the error names the key")
		require.Equal(s, "v1", string(s.get("k").Value))
	}},
	{"Absent holds again after a delete", func(s *suite) {
		s.put("k", "v1")
		s.delete("k")
		_, err := s.putIf("k", "v2", cluster.Condition{Absent: true})
		require.NoError(s, err)
	}},
	{"Present asks for any revision", func(s *suite) {
		_, err := s.putIf("k", "v", cluster.Condition{Present: true})
		require.ErrorIs(s, err, cluster.ErrConflict)
		require.Empty(s, s.keys(""))
		s.put("k", "v1")
		res, err := s.putIf("k", "v2", cluster.Condition{Present: true})
		require.NoError(s, err)
		require.False(s, res.Created)
	}},
	{"Revision asks for just that one", func(s *suite) {
		_, err := s.putIf("k", "v", cluster.Condition{Revision: 7})
		require.ErrorIs(s, err, cluster.ErrConflict, "a key that is absent has no revision")
		first := s.put("k", "v1")
		second, err := s.putIf("k", "v2", cluster.Condition{Revision: first})
		require.NoError(s, err)
		_, err = s.putIf("k", "v3", cluster.Condition{Revision: first})
		require.ErrorIs(s, err, cluster.ErrConflict, "the revision is stale")
		_, err = s.putIf("k", "v3", cluster.Condition{Revision: second.Revision + 1})
		require.ErrorIs(s, err, cluster.ErrConflict, "the revision is yet to come")
		require.Equal(s, "v2", string(s.get("k").Value))
	}},
	{"of several conditions all must hold", func(s *suite) {
		rev := s.put("k", "v")
		_, err := s.putIf("k", "v2", cluster.Condition{Absent: true, Revision: rev})
		require.ErrorIs(s, err, cluster.ErrConflict)
		_, err = s.putIf("new", "v2", cluster.Condition{Absent: true, Present: true})
		require.ErrorIs(s, err, cluster.ErrConflict)
		_, err = s.putIf("k", "v2", cluster.Condition{Present: true, Revision: rev})
		require.NoError(s, err)
	}},
	{"a refused write changes nothing", func(s *suite) {
		s.put("k", "v")
		before := s.revision()
		_, err := s.putIf("k", "v2", cluster.Condition{Absent: true})
		require.ErrorIs(s, err, cluster.ErrConflict)
		require.Equal(s, before, s.revision())
	}},
	{"Delete obeys its condition", func(s *suite) {
		first := s.put("k", "v1")
		second := s.put("k", "v2")
		_, err := s.store.Delete(s.ctx, "k", cluster.Condition{Revision: first})
		require.ErrorIs(s, err, cluster.ErrConflict)
		_, err = s.store.Delete(s.ctx, "k", cluster.Condition{Absent: true})
		require.ErrorIs(s, err, cluster.ErrConflict)
		rev, err := s.store.Delete(s.ctx, "k", cluster.Condition{Revision: second, Present: true})
		require.NoError(s, err)
		require.Greater(s, rev, second)
		require.Equal(s, rev, s.revision(), "Delete returns the revision of the deletion")
	}},
	{"Delete of what is not there is not found, whatever the condition", func(s *suite) {
		for _, cond := range []cluster.Condition{{}, {Present: true}, {Absent: true}, {Revision: 3}} {
			_, err := s.store.Delete(s.ctx, "k", cond)
			require.ErrorIs(s, err, cluster.ErrNotFound, "%+v", cond)
		}
	}},
	{"of many who create one key exactly one wins", func(s *suite) {
		for round := range 10 {
			key := fmt.Sprintf("claim/%d", round)
			winners := s.race(8, func(i int) error {
				_, err := s.putIf(key, fmt.Sprint(i), cluster.Condition{Absent: true})
				return err
			})
			require.Equal(s, 1, winners)
		}
	}},
	{"of many who replace one revision exactly one wins", func(s *suite) {
		for round := range 10 {
			rev := s.put("k", fmt.Sprint(round))
			winners := s.race(8, func(i int) error {
				_, err := s.putIf("k", fmt.Sprint(i), cluster.Condition{Revision: rev})
				return err
			})
			require.Equal(s, 1, winners)
		}
	}},
	{"of many who delete one revision exactly one wins", func(s *suite) {
		rev := s.put("k", "v")
		winners := s.race(8, func(int) error {
			_, err := s.store.Delete(s.ctx, "k", cluster.Condition{Revision: rev})
			return err
		})
		require.Equal(s, 1, winners)
	}},
	{"read, change and write under a condition loses no update", func(s *suite) {
		s.put("counter", "")
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for added := 0; added < 10; {
					e, err := s.store.Get(s.ctx, "counter")
					if err != nil {
						s.Error(err)
						return
					}
					_, err = s.putIf("counter", string(e.Value)+"x", cluster.Condition{Revision: e.Revision})
					switch {
					case err == nil:
						added++
					case !errors.Is(err, cluster.ErrConflict):
						s.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		require.Len(s, s.get("counter").Value, 40)
	}},
}

// race runs n attempts at once and returns how many succeeded; the others must have met ErrConflict
// or ErrNotFound.
func (s *suite) race(n int, attempt func(i int) error) int {
	s.Helper()
	var winners atomic.Int32
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			switch err := attempt(i); {
			case err == nil:
				winners.Add(1)
			case !errors.Is(err, cluster.ErrConflict) && !errors.Is(err, cluster.ErrNotFound):
				s.Error(err)
			}
		})
	}
	close(start)
	wg.Wait()
	return int(winners.Load())
}
