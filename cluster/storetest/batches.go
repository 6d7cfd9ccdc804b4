package storetest

import (
	"bytes"
	"context"
	"fmt"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

func putOp(key, value string, cond cluster.Condition) cluster.Op {
	return cluster.Op{Put: &cluster.PutRequest{Key: key, Value: []byte(value), If: cond}}
}

func boundOp(key string, sess cluster.Session) cluster.Op {
	return cluster.Op{Put: &cluster.PutRequest{Key: key, Value: []byte("v"), Session: sess}}
}

func deleteOp(key string, cond cluster.Condition) cluster.Op {
	return cluster.Op{Delete: &cluster.DeleteRequest{Key: key, If: cond}}
}

// batch runs a batch that is not refused as a whole.
func (s *suite) batch(ops ...cluster.Op) []cluster.OpResult {
	s.Helper()
	results, err := s.store.Batch(s.ctx, ops)
	require.NoError(s, err)
	require.Len(s, results, len(ops))
	return results
}

var (
	always   = cluster.Condition{}
	absent   = cluster.Condition{Absent: true}
	present  = cluster.Condition{Present: true}
	conflict = cluster.OpResult{Err: cluster.ErrConflict}
	notFound = cluster.OpResult{Err: cluster.ErrNotFound}
)

var batchTests = []test{
	{"a batch writes and deletes at one revision", func(s *suite) {
		created := s.put("old", "v1")
		s.put("gone", "v")
		before := s.revision()
		results := s.batch(putOp("new", "n", always), putOp("old", "v2", always), deleteOp("gone", always))
		rev := results[0].Revision
		require.Greater(s, rev, before)
		require.Equal(s, []cluster.OpResult{{Revision: rev}, {Revision: rev}, {Revision: rev}}, results)
		l, err := s.store.List(s.ctx, "")
		require.NoError(s, err)
		require.Equal(s, cluster.Listing{Revision: rev, Era: l.Era, Entries: []cluster.Entry{
			{Key: "new", Value: []byte("n"), Revision: rev, Created: rev},
			{Key: "old", Value: []byte("v2"), Revision: rev, Created: created},
		}}, l)
	}},
	{"each operation of a batch has its own condition", func(s *suite) {
		a, b := s.put("a", "v"), s.put("b", "v")
		results := s.batch(
			putOp("a", "new", cluster.Condition{Revision: a}),
			putOp("b", "new", cluster.Condition{Revision: b + 1}),
			putOp("c", "new", absent),
			putOp("d", "new", present),
		)
		rev := results[0].Revision
		require.Greater(s, rev, b)
		require.Equal(s, []cluster.OpResult{{Revision: rev}, conflict, {Revision: rev}, conflict}, results)
		require.Equal(s, []string{"a", "b", "c"}, s.keys(""))
		require.Equal(s, "new", string(s.get("a").Value))
		require.Equal(s, cluster.Entry{Key: "b", Value: []byte("v"), Revision: b, Created: b}, s.get("b"))
	}},
	{"deletions of a batch obey their conditions", func(s *suite) {
		for _, key := range []string{"any", "right", "stale", "absent"} {
			s.put(key, "v")
		}
		right, stale := s.get("right").Revision, s.get("stale").Revision
		results := s.batch(
			deleteOp("any", always),
			deleteOp("right", cluster.Condition{Revision: right, Present: true}),
			deleteOp("stale", cluster.Condition{Revision: stale - 1}),
			deleteOp("absent", absent),
			deleteOp("missing", always),
			deleteOp("missing too", present),
			deleteOp("missing as well", cluster.Condition{Revision: stale}),
			deleteOp("missing and absent", absent),
		)
		rev := results[0].Revision
		require.Positive(s, rev)
		require.Equal(s, []cluster.OpResult{
			{Revision: rev}, {Revision: rev}, conflict, conflict, notFound, notFound, notFound, notFound,
		}, results)
		require.Equal(s, []string{"absent", "stale"}, s.keys(""))
	}},
	{"a batch of which nothing was done changes nothing", func(s *suite) {
		s.put("k", "v")
		before := s.revision()
		require.Equal(s, []cluster.OpResult{conflict, notFound},
			s.batch(putOp("k", "v2", absent), deleteOp("missing", always)))
		require.Empty(s, s.batch())
		require.Equal(s, before, s.revision())
	}},
	{"what a batch wrote satisfies the conditions of the next", func(s *suite) {
		first := s.batch(putOp("a", "1", absent), putOp("b", "1", absent))
		second := s.batch(putOp("a", "2", cluster.Condition{Revision: first[0].Revision}), putOp("b", "2", absent))
		require.NoError(s, second[0].Err)
		require.Equal(s, conflict, second[1])
		require.Equal(s, second[0].Revision, s.revision())
	}},
	{"a batch that breaks the rules is refused as a whole", func(s *suite) {
		s.put("there", "v")
		before := s.revision()
		tooMany := []cluster.Op{}
		for i := range cluster.MaxBatch + 1 {
			tooMany = append(tooMany, putOp(fmt.Sprint(i), "v", always))
		}
		for name, ops := range map[string][]cluster.Op{
			"too many":                 tooMany,
			"a key put twice":          {putOp("k", "v", always), putOp("k", "w", always)},
			"a key put and deleted":    {putOp("k", "v", always), deleteOp("k", always)},
			"a key deleted twice":      {putOp("k", "v", always), deleteOp("there", always), deleteOp("there", always)},
			"conditions that differ":   {putOp("there", "v", present), putOp("there", "v", absent)},
			"an empty key to put":      {putOp("k", "v", always), putOp("", "v", always)},
			"an empty key to delete":   {putOp("k", "v", always), deleteOp("", always)},
			"an operation of no kind":  {putOp("k", "v", always), {}},
			"an operation of two":      {{Put: putOp("k", "v", always).Put, Delete: deleteOp("k", always).Delete}},
			"two kinds with two names": {{Put: putOp("k", "v", always).Put, Delete: deleteOp("there", always).Delete}},
		} {
			results, err := s.store.Batch(s.ctx, ops)
			require.Error(s, err, name)
			require.Empty(s, results, name)
			require.NotErrorIs(s, err, cluster.ErrConflict, name)
		}
		require.Equal(s, before, s.revision())
	}},
	{"a full batch is performed", func(s *suite) {
		value := string(bytes.Repeat([]byte("x"), cluster.BatchBytes/cluster.MaxBatch-len("claims/000")))
		sess := s.openSession(longTTL)
		ops := []cluster.Op{}
		for i := range cluster.MaxBatch {
			op := putOp(fmt.Sprintf("claims/%03d", i), value, absent)
			op.Put.Session = sess
			ops = append(ops, op)
		}
		results := s.batch(ops...)
		step := cluster.MaxBatch
		if limited, ok := s.store.(Limited); ok {
			step = limited.BatchStep()
		}
		for i, res := range results {
			require.Equal(s, cluster.OpResult{Revision: results[i-i%step].Revision}, res)
		}
		require.Len(s, s.keys("claims/"), cluster.MaxBatch)
		for i := range ops {
			ops[i] = deleteOp(ops[i].Key(), cluster.Condition{Revision: results[i].Revision})
		}
		for _, res := range s.batch(ops...) {
			require.NoError(s, res.Err)
		}
		require.Empty(s, s.keys(""))
	}},
	{"a watch tells every change of a batch, at its revision", func(s *suite) {
		s.put("p/gone", "v")
		s.put("p/kept", "v")
		events := s.watch("p/", s.revision())
		results := s.batch(putOp("p/a", "v", always), putOp("p/kept", "v", absent), putOp("elsewhere", "v", always),
			deleteOp("p/gone", always), putOp("p/b", "v", always))
		rev := results[0].Revision
		told := map[string]cluster.EventKind{}
		for range 3 {
			ev := s.next(events)
			require.Equal(s, rev, ev.Entry.Revision)
			told[ev.Entry.Key] = ev.Kind
		}
		require.Equal(s, map[string]cluster.EventKind{
			"p/a": cluster.EventPut, "p/gone": cluster.EventDelete, "p/b": cluster.EventPut,
		}, told)
		s.put("p/next", "v")
		require.Equal(s, "p/next", s.next(events).Entry.Key)
	}},
	{"puts of a batch are bound to their sessions, and freed by a batch", func(s *suite) {
		sess, other := s.openSession(longTTL), s.openSession(longTTL)
		s.bound("freed", sess)
		s.batch(boundOp("a", sess), boundOp("b", other), putOp("freed", "v", always), putOp("c", "v", always))
		require.Equal(s, sess.ID(), s.get("a").Session)
		require.Equal(s, other.ID(), s.get("b").Session)
		require.Empty(s, s.get("c").Session)
		require.NoError(s, sess.Close(s.ctx))
		require.Equal(s, []string{"b", "c", "freed"}, s.keys(""))
	}},
	{"a batch with a session that has ended writes nothing", func(s *suite) {
		ended, alive := s.openSession(longTTL), s.openSession(longTTL)
		s.put("there", "v")
		require.NoError(s, ended.Close(s.ctx))
		before := s.revision()
		for _, ops := range [][]cluster.Op{
			{boundOp("a", ended)},
			{putOp("a", "v", always), boundOp("b", ended), deleteOp("there", always)},
			{boundOp("a", alive), boundOp("b", ended)},
			{boundOp("b", ended), putOp("there", "v2", absent)},
		} {
			results, err := s.store.Batch(s.ctx, ops)
			require.ErrorIs(s, err, cluster.ErrSessionLost)
			require.Empty(s, results)
		}
		require.Equal(s, before, s.revision())
		s.alive(alive)
	}},
	{"a session that someone else ended is known to be lost after a batch", func(s *suite) {
		sess := s.openSession(longTTL)
		require.NoError(s, s.store.EndSession(s.ctx, sess.ID()))
		_, err := s.store.Batch(s.ctx, []cluster.Op{boundOp("k", sess), putOp("l", "v", always)})
		require.ErrorIs(s, err, cluster.ErrSessionLost)
		s.ends(sess.Done(), "a session that has ended")
		require.Empty(s, s.keys(""))
	}},
	{"of many batches for the same keys exactly one gets each", func(s *suite) {
		const keys, nodes = 20, 4
		ops := func(node int) []cluster.Op {
			all := []cluster.Op{}
			for k := range keys {
				// Each starts elsewhere, as nodes do.
				all = append(all, putOp(fmt.Sprintf("claim/%02d", (k+node*5)%keys), fmt.Sprint(node), absent))
			}
			return all
		}
		var won [nodes]int
		s.race(nodes, func(node int) error {
			results, err := s.store.Batch(s.ctx, ops(node))
			for _, res := range results {
				if res.Err == nil {
					won[node]++
				}
			}
			return err
		})
		require.Equal(s, keys, won[0]+won[1]+won[2]+won[3])
		require.Len(s, s.keys("claim/"), keys)
	}},
	{"a batch keeps its own copy of a value", func(s *suite) {
		op := putOp("k", "before", always)
		s.batch(op)
		copy(op.Put.Value, "after!")
		require.Equal(s, "before", string(s.get("k").Value))
	}},
	{"a batch ends with its context, and with the store", func(s *suite) {
		ctx, cancel := context.WithCancel(s.ctx)
		cancel()
		_, err := s.store.Batch(ctx, []cluster.Op{putOp("k", "v", always)})
		require.ErrorIs(s, err, context.Canceled)
		require.Empty(s, s.keys(""))
		require.NoError(s, s.store.Close())
		_, err = s.store.Batch(s.ctx, []cluster.Op{putOp("k", "v", always)})
		require.ErrorIs(s, err, cluster.ErrClosed)
	}},
}
