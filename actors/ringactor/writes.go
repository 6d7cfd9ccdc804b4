package ringactor

import (
	"context"
	"errors"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// recordBytes is more than a claim needs besides its unit's name and its handover.
const recordBytes = 512

// writes is the claims and intents on their way to the store: one batch at a time.
type writes struct {
	*base
	own           *own
	waiting, busy []messages.RecordWrite
}

// written is the outcome of one batch.
type written struct {
	batch   []messages.RecordWrite
	records []messages.RecordWritten
	err     error
}

// pending is what has not come back yet.
func (w *writes) pending() messages.List[messages.Record] {
	records := make([]messages.Record, 0, len(w.busy)+len(w.waiting))
	for _, list := range [][]messages.RecordWrite{w.busy, w.waiting} {
		for _, one := range list {
			records = append(records, one.Record())
		}
	}
	return messages.NewList(records...)
}

// storeAsked is the outcome of asking whether the store answers.
type storeAsked struct {
	asked time.Time
	err   error
}

// askStore reads this node's record, for nothing but the answer.
func (w *writes) askStore(c actor.Context, asked time.Time) {
	w.begin(c, storeTimeout, func(ctx context.Context) error {
		if _, err := w.Registry.GetMember(ctx, w.Node); !errors.Is(err, cluster.ErrNotFound) {
			return err
		}
		return nil
	}, func(err error) any { return storeAsked{asked: asked, err: err} })
}

// write sends the next batch.
func (w *writes) write(c actor.Context) {
	for len(w.busy) == 0 && len(w.waiting) > 0 {
		batch := w.waiting[:batchSize(w.waiting)]
		w.waiting = w.waiting[len(batch):]
		session := w.own.session
		if session == nil {
			w.tellWritten(c, written{batch: batch, err: cluster.ErrSessionLost})
			continue
		}
		w.busy = batch
		out, by, now := written{batch: batch}, cluster.Author{Node: w.Node, Incarnation: w.Incarnation}, w.now()
		w.begin(c, storeTimeout, func(ctx context.Context) (err error) {
			out.records, err = w.Registry.Write(ctx, by, session, now, batch)
			return err
		}, func(err error) any { out.err = err; return out })
	}
}

// drop gives up what waits to be written, since the session has ended by which it was decided: what
// was right to claim by that may be wrong by the next.
func (w *writes) drop(c actor.Context) {
	batch := w.waiting
	w.waiting = nil
	if len(batch) > 0 {
		w.tellWritten(c, written{batch: batch, err: cluster.ErrSessionLost})
	}
}

// batchSize is how many of the writes the store takes in one step: at least one.
func batchSize(waiting []messages.RecordWrite) int {
	bytes := 0
	for i, w := range waiting {
		bytes += 2*len(w.Handover) + len(w.Unit.Config) + recordBytes // JSON may escape what is handed over
		if i > 0 && (i == cluster.MaxBatch || bytes > cluster.BatchBytes) {
			return i
		}
	}
	return len(waiting)
}

func (w *writes) tellWritten(c actor.Context, out written) {
	if out.err != nil {
		w.Logger.Warn("claims could not be written", zap.Int("records", len(out.batch)), zap.Error(out.err))
		records := make([]messages.RecordWritten, len(out.batch))
		for i, one := range out.batch {
			records[i].Record = one.Record()
		}
		w.tell(c, messages.RecordsWritten{Records: messages.NewList(records...), Problem: out.err.Error()})
		return
	}
	w.tell(c, messages.RecordsWritten{Records: messages.NewList(out.records...)})
}
