package consultest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/hashicorp/consul/api"
)

// maxTxnOps is how many operations a transaction may have, since Consul 1.14
// (agent/txn_endpoint.go); before, it was 64.
const maxTxnOps = 128

// transact answers PUT /v1/txn: all operations or none; 409 with the errors if any was refused (Txn
// API).
func (s *Server) transact(w http.ResponseWriter, r *http.Request, p Policy) error {
	ops, err := decodeTxn(r)
	if err != nil {
		return err
	}
	answer := api.TxnResponse{Errors: s.precheck(ops, p)}
	if len(answer.Errors) == 0 {
		s.state.mu.Lock()
		answer = s.state.transact(ops)
		s.state.mu.Unlock()
	}
	// What the token may not read is left out, without a word (consul/acl.go, FilterTxnResults).
	answer.Results = slices.DeleteFunc(answer.Results, func(res *api.TxnResult) bool { return !p.Read(res.KV.Key) })
	status := http.StatusOK
	if len(answer.Errors) > 0 {
		status = http.StatusConflict
	}
	return writeJSON(w, status, answer)
}

func decodeTxn(r *http.Request) ([]*api.KVTxnOp, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxTxn+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxTxn {
		return nil, httpError{http.StatusRequestEntityTooLarge,
			fmt.Sprintf("Request body(%d bytes) too large, max size: %d bytes.", r.ContentLength, maxTxn)}
	}
	var all api.TxnOps
	if err := json.Unmarshal(body, &all); err != nil {
		return nil, httpError{http.StatusBadRequest, fmt.Sprintf("Failed to parse body: %v", err)}
	}
	if len(all) > maxTxnOps {
		return nil, httpError{http.StatusRequestEntityTooLarge,
			fmt.Sprintf("Transaction contains too many operations (%d > %d)", len(all), maxTxnOps)}
	}
	ops := make([]*api.KVTxnOp, len(all))
	for i, op := range all {
		if op == nil || op.KV == nil {
			return nil, httpError{http.StatusBadRequest, "this stand-in has transactions of keys only"}
		}
		if len(op.KV.Value) > maxValue {
			return nil, httpError{http.StatusRequestEntityTooLarge, fmt.Sprintf("Value for key %q is too large (%d > %d bytes)",
				op.KV.Key, len(op.KV.Value), maxValue)}
		}
		ops[i] = op.KV
	}
	return ops, nil
}

// precheck is what is looked at before Raft is asked: keys, ACLs and lock delays
// (consul/txn_endpoint.go, preCheck).
func (s *Server) precheck(ops []*api.KVTxnOp, p Policy) (errs api.TxnErrors) {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	for i, op := range ops {
		what := ""
		switch op.Verb {
		case api.KVGet, api.KVGetTree, api.KVGetOrEmpty:
		case api.KVCheckIndex, api.KVCheckSession:
			if !p.Read(op.Key) {
				what = errDenied.reason
			}
		default:
			if !p.Write(op.Key) {
				what = errDenied.reason
			}
		}
		if op.Key == "" {
			what = "Must provide key"
		}
		if what == "" && op.Verb == api.KVLock && s.state.delayed(op.Key) {
			what = fmt.Sprintf("failed to lock key %q due to lock delay", op.Key)
		}
		if what != "" {
			errs = append(errs, &api.TxnError{OpIndex: i, What: what})
		}
	}
	return errs
}

// transact runs all operations, also after one was refused, and tells every error (state/txn.go,
// txnDispatch). A transaction that only reads takes no index.
func (s *state) transact(ops []*api.KVTxnOp) api.TxnResponse {
	t := &tx{state: s}
	if slices.ContainsFunc(ops, isWrite) {
		t = s.begin()
	}
	var answer api.TxnResponse
	for i, op := range ops {
		found, err := t.do(op)
		if err != nil {
			answer.Errors = append(answer.Errors, &api.TxnError{OpIndex: i, What: err.Error()})
		}
		for _, e := range found {
			answer.Results = append(answer.Results, &api.TxnResult{KV: e})
		}
	}
	if len(answer.Errors) > 0 {
		t.rollback()
		return api.TxnResponse{Errors: answer.Errors}
	}
	t.commit()
	return answer
}

func isWrite(op *api.KVTxnOp) bool {
	switch op.Verb {
	case api.KVGet, api.KVGetOrEmpty, api.KVGetTree, api.KVCheckIndex, api.KVCheckSession, api.KVCheckNotExists:
		return false
	default:
		return true
	}
}

// do runs one operation. Reads show the value; writes and checks show the entry without it;
// deletions show nothing (state/txn.go, txnKVS).
func (t *tx) do(op *api.KVTxnOp) ([]*api.KVPair, error) {
	switch op.Verb {
	case api.KVGet, api.KVGetOrEmpty, api.KVGetTree:
		return t.fetch(op)
	case api.KVDelete:
		t.remove(op.Key)
		return nil, nil
	case api.KVDeleteCAS:
		if !t.removeCAS(op.Key, op.Index) {
			return nil, fmt.Errorf("failed to delete key %q, index is stale", op.Key)
		}
		return nil, nil
	case api.KVDeleteTree:
		_, found := t.list(op.Key)
		for _, e := range found {
			t.remove(e.Key)
		}
		return nil, nil
	case api.KVCheckIndex, api.KVCheckSession, api.KVCheckNotExists:
		return t.check(op)
	}
	e := &api.KVPair{Key: op.Key, Value: op.Value, Flags: op.Flags, ModifyIndex: op.Index, Session: op.Session}
	ok, err := true, error(nil)
	refused := ""
	switch op.Verb {
	case api.KVSet:
		t.set(e, false)
	case api.KVCAS:
		ok, refused = t.cas(e), "failed to set key %q, index is stale"
	case api.KVLock:
		refused = "failed to lock key %q, lock is already held"
		ok, err = t.lock(e)
	case api.KVUnlock:
		refused = "failed to unlock key %q, lock isn't held, or is held by another session"
		ok, err = t.unlock(e)
	default:
		err = fmt.Errorf("unknown KV verb %q", op.Verb)
	}
	if err == nil && !ok {
		err = fmt.Errorf(refused, op.Key)
	}
	if err != nil {
		return nil, err
	}
	return []*api.KVPair{withoutValue(e)}, nil
}

func (t *tx) fetch(op *api.KVTxnOp) ([]*api.KVPair, error) {
	e := t.kvs[op.Key]
	switch {
	case op.Verb == api.KVGetTree:
		_, found := t.list(op.Key)
		return found, nil
	case e != nil:
		return []*api.KVPair{e}, nil
	case op.Verb == api.KVGetOrEmpty:
		return []*api.KVPair{{Key: op.Key}}, nil
	default:
		return nil, fmt.Errorf("key %q doesn't exist", op.Key)
	}
}

func (t *tx) check(op *api.KVTxnOp) ([]*api.KVPair, error) {
	e := t.kvs[op.Key]
	switch {
	case op.Verb == api.KVCheckNotExists && e == nil:
		return nil, nil
	case op.Verb == api.KVCheckNotExists:
		return nil, fmt.Errorf("key %q exists", op.Key)
	case e == nil:
		return nil, fmt.Errorf("failed %s of key %q: it doesn't exist", op.Verb, op.Key)
	case op.Verb == api.KVCheckIndex && e.ModifyIndex != op.Index:
		return nil, fmt.Errorf("failed index check for key %q, current modify index %d != %d", op.Key, e.ModifyIndex, op.Index)
	case op.Verb == api.KVCheckSession && e.Session != op.Session:
		return nil, fmt.Errorf("failed session check for key %q, current session %q != %q", op.Key, e.Session, op.Session)
	default:
		return []*api.KVPair{withoutValue(e)}, nil
	}
}

func withoutValue(e *api.KVPair) *api.KVPair {
	c := *e
	c.Value = nil
	return &c
}
