package remotewrite

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"go.uber.org/zap"
)

// outcome is how a run of rounds ended.
type outcome struct {
	// barren is where the log ended if there was nothing to read before it.
	barren Position
	// later is when to go on, if a request has to be repeated; 0 means not at all.
	later time.Duration
	err   error
}

// rounds is the sending loop. It ends when the endpoint may rest, when a request has to be repeated
// later, and with an error when the endpoint is closed or broken.
func (e *endpoint) rounds() (out outcome) {
	r := e.clients.borrowRound()
	defer func() {
		if v := recover(); v != nil {
			out.err = newPanicError(v)
		}
		// After a panic the buffers may be in any state, and are left to the garbage collector.
		if p := (panicError{}); !errors.As(out.err, &p) {
			e.clients.returnRound(r)
		}
	}()
	for {
		_, end := e.ledger.waiting()
		if err := e.soft.Err(); err != nil {
			return outcome{err: err}
		}
		read, more, err := e.round(r)
		var again laterError
		switch {
		case errors.As(err, &again):
			e.attempts++
			return outcome{later: e.sender.delay(again.verdict, e.attempts, again.answer)}
		case err != nil:
			return outcome{err: err}
		case !read && !more:
			return outcome{barren: end}
		case !more:
			return outcome{}
		}
		r.recycle()
	}
}

// round reads, sends and settles once. read is false if there was nothing to read, more is false if
// the endpoint may rest.
func (e *endpoint) round(r *round) (read, more bool, err error) {
	e.takeTurn() // the bounds are asked for its lanes
	bytes := e.weight.of(min(e.ledger.pending(), uint64(e.lanes)*uint64(e.cfg.QueueConfig.MaxSamplesPerSend)))
	if err := e.sender.destination.enter(e.soft, bytes); err != nil {
		return false, false, err
	}
	defer e.sender.destination.leave(bytes)
	began := time.Now()
	atEnd, err := e.fillOrPart(r)
	if err != nil || r.records == 0 {
		return false, err == nil && e.foundNothing(r), err
	}
	if n := r.samples(); n > 0 { // exemplars may come alone
		e.weight.note(n, r.memory())
	}
	troubled, err := e.deliver(r)
	if err != nil {
		if errors.As(err, &laterError{}) {
			e.recent.took(time.Now()) // a track that fails does not hold up the other
		}
		e.save(e.ledger.place)
		return true, false, err
	}
	e.attempts = 0
	e.recent.took(time.Now())
	if r.only >= 0 {
		e.save(e.ledger.place) // a reload may come before the other lanes' batches
		return true, true, nil
	}
	e.save(func() Place { return e.ledger.settledRound(r) })
	pending, unread := e.ledger.waiting()
	e.adapt(r, troubled, pending, time.Since(began))
	e.rejoin()
	more = !atEnd || pending >= uint64(e.cfg.QueueConfig.MaxSamplesPerSend) || e.isDraining() || e.recent.parted
	return true, more && unread != (Position{}), nil
}

// save makes a place durable. Places are saved in the order in which they came about.
func (e *endpoint) save(place func() Place) {
	e.saving.Lock()
	defer e.saving.Unlock()
	if err := e.source.Save(place()); err != nil {
		// Not fatal: the samples are sent again after a restart.
		e.ledger.unsaved()
		e.ledger.noted(err.Error())
		if !e.unsaved {
			e.logger.Warn("cursor not saved; samples are sent again after a restart", zap.Error(err))
		}
		e.unsaved = true
		return
	}
	e.unsaved = false
}

// fill reads records until the round is full or the log ends. A log that can't be read is tried
// again until the endpoint is closed.
func (e *endpoint) fill(r *round) (atEnd bool, err error) {
	readable, speaking := math.MaxInt, e.speaking()
	for attempt := 1; ; attempt++ {
		from, marks := e.ledger.begin()
		r.begin(marks, e.scout(marks), e.limits(), e.cache, from, speaking)
		r.until = e.ledger.trackEnd()
		if e.at != from {
			e.source.Seek(from)
			e.at = from
		}
		r.borrow(e.clients.borrowPress())
		atEnd, err = e.read(r, readable)
		if err == nil {
			r.finish()
		}
		e.clients.returnPress(r.giveBack())
		if err == nil {
			if e.at = r.end; r.reached() {
				e.at = nowhere // the source may be further
			}
			return atEnd, nil
		}
		// The failed record may have been delivered in part, so what was read is thrown away, and
		// read again up to that record. The source is asked for the record itself without a Seek,
		// or it would never know how often that has failed.
		good := r.records
		r.recycle()
		if good > 0 {
			e.at, readable = nowhere, good
			continue
		}
		e.ledger.noted(err.Error())
		if attempt == 1 {
			e.logger.Warn("log can't be read; remote write tries again", zap.Error(err))
		}
		if err := e.pause(pace{min: time.Second, max: 30 * time.Second}.delay(attempt, 0, rand.Float64())); err != nil {
			return false, err
		}
	}
}

func (e *endpoint) read(r *round, records int) (atEnd bool, err error) {
	for (!r.full || r.seq < r.whole) && r.records < records && !r.reached() {
		if err := e.soft.Err(); err != nil {
			return false, err
		}
		rec, err := e.source.Next(r)
		if errors.Is(err, io.EOF) {
			r.atEnd()
			return true, nil
		}
		if err != nil {
			return false, fmt.Errorf("read the log: %w", err)
		}
		r.delivered(rec)
	}
	return false, nil
}

// nowhere is a place at which no source is.
var nowhere = Position{Segment: math.MaxUint64}

const (
	// maxBatchBytes bounds an uncompressed batch of large histograms or labels; 2,000 ordinary
	// samples take 0.4 MB.
	maxBatchBytes = 4 << 20
	// maxRoundBytes bounds what a round holds in memory, compressed.
	maxRoundBytes = 8 << 20
)

func (e *endpoint) limits() limits {
	q := &e.cfg.QueueConfig
	l := limits{
		items:         e.perSend(),
		bytes:         maxBatchBytes,
		round:         maxRoundBytes,
		oldest:        math.MinInt64,
		sendExemplars: e.cfg.SendExemplars,
		sendNative:    e.cfg.SendNativeHistograms,
	}
	if learned := e.sender.size.get(); learned > 0 {
		l.bytes = min(l.bytes, learned)
	}
	if limit := time.Duration(q.SampleAgeLimit); limit > 0 {
		l.oldest = time.Now().Add(-limit).UnixMilli()
	}
	return l
}

// scout is the lane that asks alone whether the receiver is well again after a failure: the one
// that is furthest behind. -1 is all.
func (e *endpoint) scout(marks []mark) int {
	if e.attempts == 0 || len(marks) == 1 {
		return -1
	}
	behind := 0
	for i, m := range marks {
		if m.settled < marks[behind].settled {
			behind = i
		}
	}
	return behind
}

// deliver sends the batches of all lanes in parallel, each lane's in order.
func (e *endpoint) deliver(r *round) (troubled bool, err error) {
	var busy []int
	for i, ln := range r.lanes[:r.active] {
		if len(ln.sealed) > 0 {
			busy = append(busy, i)
		}
	}
	results := make([]laneResult, r.active)
	var others sync.WaitGroup
	for n, i := range busy {
		if n > 0 {
			others.Go(func() { results[i] = e.deliverLane(r.lanes[i], i) })
		}
	}
	if len(busy) > 0 {
		results[busy[0]] = e.deliverLane(r.lanes[busy[0]], busy[0])
	}
	others.Wait()
	for _, result := range results {
		troubled = troubled || result.troubled
		err = worse(err, result.err)
	}
	return troubled, err
}

// laneResult is how a lane's batches went.
type laneResult struct {
	troubled bool
	err      error
}

// worse returns the error that decides about the round: a panic, then the end of the endpoint, then
// the longest wait.
func worse(a, b error) error {
	var x, y laterError
	switch {
	case a == nil:
		return b
	case b == nil || errors.As(a, &panicError{}):
		return a
	case errors.As(a, &x) && errors.As(b, &y):
		if x.verdict != retrySlowly && y.verdict == retrySlowly || x.answer.retryAfter < y.answer.retryAfter {
			return b
		}
		return a
	case errors.As(a, &x):
		return b
	case errors.As(b, &panicError{}):
		return b
	}
	return a
}

func (e *endpoint) deliverLane(ln *lane, lane int) (result laneResult) {
	defer func() {
		if v := recover(); v != nil {
			result.err = newPanicError(v)
		}
	}()
	attempts := ln.mark.attempts
	for _, b := range ln.sealed {
		if err := e.soft.Err(); err != nil {
			return laneResult{result.troubled, err}
		}
		if e.ledger.resolved(lane, b) {
			b.certain()
		}
		e.save(func() Place { return e.ledger.begun(lane, b.last) })
		account := tally{}
		troubled, err := e.sender.deliver(e.ctx, b, attempts, &account, func() {
			e.save(func() Place { return e.ledger.divided(lane) })
		})
		result.troubled = result.troubled || troubled
		if err != nil {
			if errors.As(err, &laterError{}) {
				e.ledger.refusedForNow(lane, b)
			}
			return laneResult{result.troubled, err}
		}
		attempts = 0
		e.ledger.settledBatch(lane, b, &account)
	}
	return result
}

// growth is what an endpoint knows of how fast its lanes are. The zero value is nothing.
type growth struct {
	// samples were settled in took, since the last change of the lanes.
	samples uint64
	took    time.Duration
	// rateBefore and ceiling are those of lanesInput.
	rateBefore float64
	ceiling    int
}

// rate is infinite if no time went by.
func (g *growth) rate() float64 { return float64(g.samples) / g.took.Seconds() }

// adapt sets the number of lanes for the next round, after one that took so long.
func (e *endpoint) adapt(r *round, troubled bool, backlog uint64, took time.Duration) {
	g := &e.growth
	if !r.full || troubled {
		// Another backlog, or a receiver that is another now.
		e.clean, *g = 0, growth{}
	} else if e.clean++; e.clean > 1 {
		g.samples, g.took = g.samples+r.samples(), g.took+took
	}
	q := &e.cfg.QueueConfig
	next, vain := decideLanes(lanesInput{
		lanes: e.lanes, min: q.MinShards, max: q.MaxShards, perLane: r.limits.items,
		samples: int(r.samples()), backlog: backlog, troubled: troubled, clean: e.clean,
		rate: g.rate(), rateBefore: g.rateBefore, ceiling: g.ceiling,
	})
	if next == e.lanes {
		return
	}
	grown := growth{ceiling: g.ceiling}
	switch {
	case vain:
		grown.ceiling = next
	case next > e.lanes:
		grown.rateBefore = g.rate()
	}
	if e.ledger.setLanes(next) != next {
		e.clean = max(0, e.clean-1) // some lanes are ahead: the next round decides the same
		return
	}
	e.lanes, e.clean, *g = next, 0, grown
}

func (e *endpoint) pause(d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-e.soft.Done():
		return e.soft.Err()
	case <-timer.C:
		return nil
	}
}
