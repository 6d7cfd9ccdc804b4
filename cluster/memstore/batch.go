package memstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

// Batch implements cluster.Store.
func (c *Client) Batch(ctx context.Context, ops []cluster.Op) ([]cluster.OpResult, error) {
	if err := c.admit(ctx, OpBatch); err != nil {
		return nil, fmt.Errorf("write a batch of %d: %w", len(ops), err)
	}
	if err := cluster.CheckBatch(ops); err != nil {
		return nil, fmt.Errorf("write: %w", err)
	}
	results, err := c.server.batch(ops)
	if err != nil {
		return nil, fmt.Errorf("write a batch of %d: %w", len(ops), err)
	}
	return results, nil
}

// batch first judges all operations, then does those that may be done.
func (s *Server) batch(ops []cluster.Op) ([]cluster.OpResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	results := make([]cluster.OpResult, len(ops))
	writes := false
	for i, op := range ops {
		err := s.judge(op)
		if errors.Is(err, cluster.ErrSessionLost) {
			return nil, fmt.Errorf("bind %q: %w", op.Key(), err)
		}
		results[i].Err = err
		writes = writes || err == nil
	}
	if !writes {
		return results, nil
	}
	s.revision++
	for i, op := range ops {
		if results[i].Err != nil {
			continue
		}
		results[i].Revision = s.revision
		if op.Put != nil {
			s.set(op.Put.Key, bytes.Clone(op.Put.Value), idOf(op.Put.Session))
		} else {
			s.unset(op.Delete.Key)
		}
	}
	s.wakeWatches()
	return results, nil
}

// judge returns why an operation can't be done at present.
func (s *Server) judge(op cluster.Op) error {
	e, exists := s.entries[op.Key()]
	switch {
	case op.Delete != nil && !exists:
		return cluster.ErrNotFound
	case op.Delete != nil && !holds(op.Delete.If, e, exists), op.Put != nil && !holds(op.Put.If, e, exists):
		return cluster.ErrConflict
	case op.Put != nil && !s.hasSession(idOf(op.Put.Session)):
		return cluster.ErrSessionLost
	default:
		return nil
	}
}

func idOf(s cluster.Session) string {
	if s == nil {
		return ""
	}
	return s.ID()
}
