package remotewrite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// rounds is the sending loop. It returns nil when the endpoint may rest, and an error when it is closed or broken. barren is what was
// pending if there was nothing to read.
func (e *endpoint) rounds() (barren uint64, err error) {
	r := e.clients.borrowRound()
	defer func() {
		if v := recover(); v != nil {
			err = newPanicError(v)
		}
		// After a panic the buffers may be in any state, and are left to the garbage collector.
		if p := (panicError{}); !errors.As(err, &p) {
			e.clients.returnRound(r)
		}
	}()
	for {
		before := e.ledger.pending()
		read, more, err := e.round(r)
		switch {
		case err != nil:
			return 0, err
		case !read:
			return before, nil
		case !more:
			return 0, nil
		}
		r.recycle()
	}
}

// round reads, sends and settles once. read is false if there was nothing to read, more is false if the endpoint may rest.
func (e *endpoint) round(r *round) (read, more bool, err error) {
	atEnd, err := e.fill(r)
	if err != nil || r.records == 0 {
		return false, false, err
	}
	troubled, err := e.deliver(r)
	if err != nil {
		return true, false, err
	}
	e.settle(r)
	pending := e.ledger.pending()
	e.adapt(r, troubled, pending)
	more = !atEnd || pending >= uint64(e.cfg.QueueConfig.MaxSamplesPerSend) || e.isDraining()
	return true, more && pending > 0, nil
}

// fill reads records until the round is full or the log ends. A log that can't be read is tried again until the endpoint is closed.
func (e *endpoint) fill(r *round) (atEnd bool, err error) {
	from := e.ledger.position()
	for attempt := 1; ; attempt++ {
		r.begin(e.lanes, e.limits(), e.cache, from, e.encoder)
		atEnd, err = e.read(r)
		if err == nil {
			r.finish()
			return atEnd, nil
		}
		// What was read so far is thrown away: the failed record may have been delivered in part.
		r.recycle()
		e.source.Seek(from)
		e.ledger.noted(err.Error())
		if attempt == 1 {
			e.logger.Warn("log can't be read; remote write tries again", zap.Error(err))
		}
		if err := e.pause(pace{min: time.Second, max: 30 * time.Second}.delay(attempt, 0, rand.Float64())); err != nil {
			return false, err
		}
	}
}

func (e *endpoint) read(r *round) (atEnd bool, err error) {
	// A round that is cut short by a close is not sent: its lanes see the same context.
	for !r.full && e.ctx.Err() == nil {
		rec, err := e.source.Next(r)
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return false, fmt.Errorf("read the log: %w", err)
		}
		r.delivered(rec)
	}
	return false, nil
}

const (
	// maxBatchBytes bounds an uncompressed batch of large histograms or labels; 2,000 ordinary samples take 0.4 MB.
	maxBatchBytes = 4 << 20
	// maxRoundBytes bounds what a round holds in memory, compressed.
	maxRoundBytes = 16 << 20
)

func (e *endpoint) limits() limits {
	q := &e.cfg.QueueConfig
	l := limits{
		items:         min(q.MaxSamplesPerSend, q.Capacity),
		bytes:         maxBatchBytes,
		round:         maxRoundBytes,
		oldest:        math.MinInt64,
		sendExemplars: e.cfg.SendExemplars,
		sendNative:    e.cfg.SendNativeHistograms,
	}
	if learned := e.sender.learnedSize(); learned > 0 {
		l.bytes = min(l.bytes, learned)
	}
	if limit := time.Duration(q.SampleAgeLimit); limit > 0 {
		l.oldest = time.Now().Add(-limit).UnixMilli()
	}
	return l
}

// deliver sends the batches of all lanes in parallel, each lane's in order.
func (e *endpoint) deliver(r *round) (troubled bool, err error) {
	lanes := r.lanes[:r.active]
	var others sync.WaitGroup
	ctx, cancel := context.WithCancelCause(e.ctx)
	defer cancel(nil)
	var trouble atomic.Bool
	send := func(ln *lane) {
		if err := e.deliverLane(ctx, ln, &trouble); err != nil {
			cancel(err)
		}
	}
	for _, ln := range lanes[1:] {
		if len(ln.sealed) > 0 {
			others.Go(func() { send(ln) })
		}
	}
	send(lanes[0])
	others.Wait()
	if ctx.Err() != nil {
		return trouble.Load(), context.Cause(ctx)
	}
	return trouble.Load(), nil
}

func (e *endpoint) deliverLane(ctx context.Context, ln *lane, trouble *atomic.Bool) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = newPanicError(v)
		}
	}()
	for _, b := range ln.sealed {
		troubled, err := e.sender.deliver(ctx, b, &ln.account)
		if troubled {
			trouble.Store(true)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// settle books the round and moves the cursor behind it.
func (e *endpoint) settle(r *round) {
	account := r.account
	for _, ln := range r.lanes[:r.active] {
		account.add(&ln.account)
	}
	e.ledger.settled(r, &account)
	if err := e.source.SaveCursor(r.end); err != nil {
		// Not fatal: the samples are sent again after a restart.
		e.ledger.noted(err.Error())
		e.logger.Warn("cursor not saved", zap.Error(err))
	}
}

// adapt sets the number of lanes for the next round.
func (e *endpoint) adapt(r *round, troubled bool, backlog uint64) {
	if r.full && !troubled {
		e.clean++
	} else {
		e.clean = 0
	}
	q := &e.cfg.QueueConfig
	next := decideLanes(lanesInput{
		lanes: e.lanes, min: q.MinShards, max: q.MaxShards, perLane: r.limits.items,
		samples: int(r.samples()), backlog: backlog, troubled: troubled, clean: e.clean,
	})
	if next == e.lanes {
		return
	}
	e.lanes, e.clean = next, 0
	e.ledger.mu.Lock()
	e.ledger.lanes = next
	e.ledger.mu.Unlock()
}

func (e *endpoint) pause(d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-e.ctx.Done():
		return e.ctx.Err()
	case <-timer.C:
		return nil
	}
}
