package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ringmaster-agent/ringmaster/messages"
)

// orderRecord is the value of a hold or of a cordon. The key says which config or node it is about.
// It is bound to no session: it stays until somebody takes it back.
type orderRecord struct {
	Version int       `json:"v"`
	Reason  string    `json:"reason,omitempty"`
	By      string    `json:"by,omitempty"`
	Since   time.Time `json:"since"`
	Drain   bool      `json:"drain,omitempty"`
}

// Order writes what was ordered over what was ordered before, or takes it back: ErrNotFound if
// there is nothing to take back.
func (r *Registry) Order(ctx context.Context, now time.Time, o messages.Order) error {
	record := orderRecord{Version: recordVersion, Since: now.UTC().Round(0)}
	switch m := o.(type) {
	case messages.HoldConfig:
		record.Reason, record.By = m.Reason, m.By
		return r.putOrder(ctx, holdsFolder+m.Config, record)
	case messages.ReleaseConfig:
		return r.removeOrder(ctx, holdsFolder+m.Config)
	case messages.CordonNode:
		record.Reason, record.By, record.Drain = m.Reason, m.By, m.Drain
		return r.putOrder(ctx, cordonsFolder+m.Node, record)
	case messages.UncordonNode:
		return r.removeOrder(ctx, cordonsFolder+m.Node)
	default:
		return fmt.Errorf("order %T: %w", o, errors.ErrUnsupported)
	}
}

func (r *Registry) putOrder(ctx context.Context, key string, record orderRecord) error {
	value, err := json.Marshal(record)
	if err == nil {
		_, err = r.store.Put(ctx, PutRequest{Key: r.prefix + key, Value: value})
	}
	if err != nil {
		return fmt.Errorf("put order %q: %w", key, err)
	}
	return nil
}

func (r *Registry) removeOrder(ctx context.Context, key string) error {
	if _, err := r.store.Delete(ctx, r.prefix+key, Condition{}); err != nil {
		return fmt.Errorf("take back order %q: %w", key, err)
	}
	return nil
}

func decodeHold(config string, e Entry) messages.ConfigHold {
	h := messages.ConfigHold{Config: config, Revision: e.Revision}
	var record orderRecord
	if err := decodeRecord(e, &record, &record.Version); err != nil {
		h.Problem = err.Error()
		return h
	}
	h.Reason, h.By, h.Since = record.Reason, record.By, record.Since
	return h
}

func decodeCordon(node string, e Entry) messages.NodeCordon {
	c := messages.NodeCordon{Node: node, Revision: e.Revision}
	var record orderRecord
	if err := decodeRecord(e, &record, &record.Version); err != nil {
		c.Problem = err.Error()
		return c
	}
	c.Reason, c.By, c.Since, c.Drain = record.Reason, record.By, record.Since, record.Drain
	return c
}
