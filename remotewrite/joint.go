package remotewrite

import (
	"math"
	"sync"
	"time"

	"github.com/klauspost/compress/s2"
)

// apartFor is for how long an endpoint makes its own requests, after something of it was refused in
// a common one.
const apartFor = suspicion

// joint is a common request of several endpoints (assembly.go). Each contributor is settled for
// itself, as its own request would have been: its batch is noted before the request is made, and is
// in doubt as a whole if nobody knows what became of the request.
//
// A request that is refused is halved by contributor. Who is left alone makes a request of its own,
// from its own goroutine, and is searched by series; nobody waits for it.
type joint struct {
	joiner        *joiner
	body          batch
	contributions []*contribution
	// items is how many they have together, most how many that may be: the least of
	// max_samples_per_send.
	items, most int
}

// contribution is one endpoint's part of a joint.
type contribution struct {
	endpoint *endpoint
	round    *round
	// batch has the items, without a body: that is size bytes from from in the joint's.
	batch      *batch
	from, size int

	// mu is held by whoever works with the endpoint. When done is set, the endpoint has gone on
	// without the joint.
	mu   sync.Mutex
	done bool
}

// join makes an endpoint that waits for a common request a running one. nil: it does not wait any more.
func (e *endpoint) join() *contribution {
	l := &e.life
	l.mu.Lock()
	defer l.mu.Unlock()
	if phase(l.phase.Load()) != armed || !l.joining {
		return nil
	}
	e.disarm()
	e.enter()
	l.contribution = &contribution{endpoint: e}
	return l.contribution
}

// read reads what the endpoint has into the first of p's buffers. false: it has nothing that can be
// sent with others', and is settled or sends by itself.
func (c *contribution) read(p *press, spoken *protocol) (joins bool) {
	e := c.endpoint
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done {
		return false
	}
	defer func() {
		if v := recover(); v != nil {
			// The round's buffers may be in any state, and are left to the garbage collector.
			c.end(outcome{err: newPanicError(v)})
			joins = false
		}
	}()
	_, end := e.ledger.waiting()
	if !e.readTogether(c, p, spoken) {
		c.recycle()
		c.goAlone()
		return false
	}
	switch {
	case c.round.records == 0:
		c.recycle()
		c.end(outcome{barren: end})
		return false
	case c.batch == nil || len(c.batch.items) == 0:
		c.settle(nil, 0)
		c.recycle()
		return false
	}
	return true
}

// readTogether reads all that is committed. It reports whether that is one batch, of which nothing
// is in doubt.
func (e *endpoint) readTogether(c *contribution, p *press, spoken *protocol) bool {
	from, marks := e.ledger.begin()
	if len(marks) != 1 || marks[0].settled != from.Seq || marks[0].doubt > from.Seq {
		return false
	}
	r := e.clients.borrowRound()
	c.round = r
	r.begin(marks, -1, e.limits(), e.cache, from, spoken)
	ln := r.lanes[0]
	if spoken.tabled {
		r.limits.bytes += p.shared.overhead() // which is not its own
		own := ln.encoder
		ln.encoder = lentEncoder{&p.shared}
		defer func() { ln.encoder = own }()
	}
	if e.at != from {
		e.source.Seek(from)
	}
	r.borrow(p)
	_, err := e.read(r, math.MaxInt)
	c.size, c.batch = len(ln.raw), ln.open
	r.giveBack()
	if err != nil || len(ln.sealed) > 0 || r.samples() > maxTogether {
		e.at = nowhere
		return false
	}
	e.at = r.end
	return true
}

// deliver posts the request, and parts of it if it is refused, until every contributor is settled,
// has to repeat its part later, or goes on alone. As soon as the receiver is not well, all that are
// left go on alone, since they heed the pause.
func (j *joint) deliver() {
	defer j.finish()
	for _, c := range j.contributions {
		c.begin()
	}
	sets := [][]*contribution{j.contributions}
	for len(sets) > 0 {
		set := present(sets[0])
		sets = sets[1:]
		if len(set) < 2 || j.joiner.destination.failing() {
			for _, c := range set {
				c.apart(false)
			}
			continue
		}
		r, err := j.request(set)
		if err != nil {
			for _, c := range set {
				c.fail(err)
			}
			continue
		}
		v, a := j.post(r)
		if v != splitPoison && v != splitSize {
			j.answered(r, v, a)
			continue
		}
		if v == splitSize {
			j.joiner.size.learn(r.size)
		}
		for _, half := range halves(nil, set) {
			if len(half) == 1 {
				half[0].apart(v == splitPoison)
			} else {
				sets = append(sets, half)
			}
		}
	}
}

// answered settles the parts of a request, or has them repeated later by their endpoints.
func (j *joint) answered(r request, v verdict, a answer) {
	if v == delivered || v == partly {
		j.joiner.size.took(r.size)
		if j.body.protocol.confirms {
			j.written(r, a)
			return
		}
	}
	for _, c := range r.set {
		c.answered(v, a, r.share(c))
	}
}

// finish gives the buffers back. After a panic nobody is left behind.
func (j *joint) finish() {
	if v := recover(); v != nil {
		err := newPanicError(v)
		for _, c := range j.contributions {
			c.fail(err)
		}
		return
	}
	for _, c := range j.contributions {
		c.recycle()
	}
}

// present returns those of set whose endpoints still take part.
func present(set []*contribution) (still []*contribution) {
	for _, c := range set {
		if c.present() {
			still = append(still, c)
		}
	}
	return still
}

func (c *contribution) present() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.done
}

// request is a body with the parts of some contributors, compressed.
type request struct {
	set  []*contribution
	body []byte
	// size is that of the uncompressed body, items that of the parts.
	size, items int
}

// share is how many of the body's bytes belong to a part.
func (r *request) share(c *contribution) int { return len(r.body) * c.size / max(r.items, 1) }

// request makes a body with the parts of set.
func (j *joint) request(set []*contribution) (request, error) {
	if len(set) == len(j.contributions) {
		return request{set, j.body.body, j.body.head + j.body.size, j.body.size}, nil
	}
	if err := j.body.uncompress(); err != nil {
		return request{}, err
	}
	var items []byte
	for _, c := range set {
		from := j.body.head + c.from
		items = append(items, j.body.plain[from:from+c.size]...)
	}
	raw := j.body.protocol.bodyOf(&j.body, items)
	return request{set, s2.EncodeSnappy(nil, raw), len(raw), len(items)}, nil
}

// post makes a request with the sender of one of the contributors: what requests look like is equal
// for all. If somebody wants to see those that fail, it is that one's.
func (j *joint) post(r request) (verdict, answer) {
	d, s := j.joiner.destination, r.set[0].endpoint.sender
	for _, c := range r.set {
		if c.endpoint.sender.logsFailed {
			s = c.endpoint.sender
		}
	}
	a := s.post(d.ctx, &j.body, r.body, 0)
	v := s.rules.judge(a.status)
	if j.body.protocol.confirms {
		v = s.confirmed(v, a, r.body)
	}
	d.answered(v, s.paceOf(v), a)
	return v, a
}

// begin notes that the part is about to be sent. If the cursor was saved after a common request, it
// says already that there may be another.
func (c *contribution) begin() {
	c.with(func(e *endpoint) {
		if e.ledger.begunTogether(c.batch.last) {
			e.save(e.ledger.place)
		}
	})
}

// with calls f unless the endpoint has gone on without the joint. A panic ends this endpoint's run,
// and is none of the others'.
func (c *contribution) with(f func(e *endpoint)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done {
		return
	}
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		err := newPanicError(v)
		if c.done { // it was in the midst of ending
			go c.endpoint.onPanic(err)
			return
		}
		c.end(outcome{err: err})
	}()
	f(c.endpoint)
}

// answered settles the part, or has it repeated later by its endpoint. bytes is its share of the
// request.
func (c *contribution) answered(v verdict, a answer, bytes int) {
	switch v {
	case retrySoon, retrySlowly:
		c.later(v, a, a.uncertain())
	case speakOld:
		c.later(v, a, a.status/100 == 2) // it may have some of it in spite of that
	case delivered:
		c.with(func(*endpoint) { c.settle(nil, bytes) })
	default:
		c.with(func(e *endpoint) {
			e.ledger.noted(a.problem)
			reason := reasonOf(v)
			c.settle(&reason, 0)
		})
	}
}

// later has the endpoint repeat its part by itself. doubt: the receiver may have it.
func (c *contribution) later(v verdict, a answer, doubt bool) {
	c.with(func(e *endpoint) {
		c.batch.doubt = doubt
		e.ledger.refusedForNow(0, c.batch)
		e.save(e.ledger.place)
		if v != speakOld {
			e.sender.failed(v, a)
		}
		e.attempts++
		c.end(outcome{later: e.sender.delay(v, e.attempts, a)})
	})
}

// settle books the part: as sent if reason is nil. It needs mu.
func (c *contribution) settle(reason *Reason, bytes int) { c.book(nil, reason, bytes) }

// book settles the part: what is not written is rejected. nil is all of it, but for a reason. bytes is
// its share of a request that was taken. It needs mu.
func (c *contribution) book(written *counts, reason *Reason, bytes int) {
	e, b := c.endpoint, c.batch
	if b != nil {
		account := tally{}
		b.bookLeftOut(&account)
		if written != nil {
			b.settleWritten(nil, *written, false, &account)
		} else {
			b.settle(nil, reason, &account)
		}
		if account.sent != (counts{}) && e.ledger.succeeded(bytes) {
			e.sender.logger.Info("remote write recovered")
		}
		e.ledger.settledBatch(0, b, &account)
	}
	e.save(func() Place { return e.ledger.settledTogether(c.round) })
	e.attempts, e.clean = 0, 0
	c.end(outcome{})
}

// apart has the endpoint send its part by itself: the receiver does not have it. refused: there is
// something at fault in it.
func (c *contribution) apart(refused bool) {
	c.with(func(e *endpoint) {
		if refused {
			e.stayApart()
		}
		e.ledger.untried(0)
		c.goAlone()
	})
}

// stayApart has the endpoint make its own requests for a while.
func (e *endpoint) stayApart() {
	e.life.mu.Lock()
	defer e.life.mu.Unlock()
	e.life.apart = time.Now().Add(apartFor)
}

func (c *contribution) fail(err error) {
	c.with(func(*endpoint) { c.end(outcome{err: err}) })
}

// goAlone makes the endpoint run by itself. It needs mu.
func (c *contribution) goAlone() {
	c.release()
	go c.endpoint.run()
}

// release lets the endpoint go on without the joint. It needs mu.
func (c *contribution) release() {
	c.done = true
	c.endpoint.life.forget(c)
}

// end ends the endpoint's run. It needs mu.
func (c *contribution) end(out outcome) {
	defer c.endpoint.runs.Done() // also if a panic ends rest: Close waits for it
	c.release()
	c.endpoint.rest(out)
}

// leave lets the endpoint go on without the joint. If its part has been sent, it is in doubt.
func (e *endpoint) leave() {
	e.life.mu.Lock()
	c := e.life.contribution
	e.life.mu.Unlock()
	if c != nil {
		c.fail(e.ctx.Err())
	}
}

func (l *life) forget(c *contribution) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.contribution == c {
		l.contribution = nil
	}
}

func (c *contribution) recycle() {
	if c.round != nil {
		c.endpoint.clients.returnRound(c.round)
		c.round, c.batch = nil, nil
	}
}
