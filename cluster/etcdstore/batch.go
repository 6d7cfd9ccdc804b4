package etcdstore

import (
	"context"
	"errors"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

// Batch implements cluster.Store, with one request: a transaction of transactions, each with the
// condition of its operation. etcd evaluates all conditions before it writes anything, and allows
// 128 of them.
func (s *Store) Batch(ctx context.Context, ops []cluster.Op) ([]cluster.OpResult, error) {
	var results []cluster.OpResult
	err := s.call(ctx, fmt.Sprintf("write a batch of %d", len(ops)), func(ctx context.Context) (*pb.ResponseHeader, error) {
		if err := cluster.CheckBatch(ops); err != nil || len(ops) == 0 {
			return nil, err
		}
		steps, err := transactions(ops)
		if err != nil {
			return nil, err
		}
		if err := s.roomToBatch(ops); err != nil {
			return nil, err
		}
		resp, err := s.client.Txn(ctx).Then(steps...).Commit()
		if errors.Is(err, rpctypes.ErrLeaseNotFound) {
			if only := onlySession(ops); only != nil {
				lost(only)
			}
			return nil, cluster.ErrSessionLost
		}
		if err != nil {
			return nil, err
		}
		results = make([]cluster.OpResult, len(ops))
		for i, op := range ops {
			step := resp.Responses[i].GetResponseTxn()
			if results[i].Err = refusal(op, step); results[i].Err == nil {
				results[i].Revision = resp.Header.Revision
			}
		}
		return resp.Header, nil
	})
	return results, err
}

// transactions returns the transaction of each operation.
func transactions(ops []cluster.Op) ([]clientv3.Op, error) {
	steps := make([]clientv3.Op, len(ops))
	for i, op := range ops {
		if del := op.Delete; del != nil {
			// What a deletion says it deleted tells whether the key existed; one that was refused
			// has to count.
			steps[i] = clientv3.OpTxn(compares(del.Key, del.If),
				[]clientv3.Op{clientv3.OpDelete(del.Key)},
				[]clientv3.Op{clientv3.OpGet(del.Key, clientv3.WithCountOnly())})
			continue
		}
		put := op.Put
		opts, err := sessionOption(put.Session)
		if err != nil {
			return nil, err
		}
		steps[i] = clientv3.OpTxn(compares(put.Key, put.If),
			[]clientv3.Op{clientv3.OpPut(put.Key, string(put.Value), opts...)}, nil)
	}
	return steps, nil
}

// refusal returns why an operation was left out; nil if it was done.
func refusal(op cluster.Op, step *pb.TxnResponse) error {
	switch {
	case op.Delete == nil && !step.Succeeded:
		return cluster.ErrConflict
	case op.Delete == nil:
		return nil
	case step.Succeeded && step.Responses[0].GetResponseDeleteRange().GetDeleted() == 0,
		!step.Succeeded && step.Responses[0].GetResponseRange().GetCount() == 0:
		return cluster.ErrNotFound
	case !step.Succeeded:
		return cluster.ErrConflict
	default:
		return nil
	}
}

// roomToBatch lets deletions through on a full disk: they are a way out.
func (s *Store) roomToBatch(ops []cluster.Op) error {
	for _, op := range ops {
		if op.Put == nil {
			continue
		}
		if err := errors.Join(s.roomToWrite(), s.roomForValue(*op.Put)); err != nil {
			return err
		}
	}
	return nil
}

// onlySession is the session to which all puts with a session are bound, nil if there are several:
// etcd doesn't say which one it missed.
func onlySession(ops []cluster.Op) cluster.Session {
	var only cluster.Session
	for _, op := range ops {
		switch {
		case op.Put == nil || op.Put.Session == nil:
		case only == nil:
			only = op.Put.Session
		case op.Put.Session.ID() != only.ID():
			return nil
		}
	}
	return only
}
