package remotewrite

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// joiner sends for those endpoints of a destination that have less than a batch: what many
// instances have waiting travels in common requests (joint.go). An endpoint that waits here has no
// timer, no goroutine and no buffer.
//
// A request is made as soon as the waiting endpoints have a batch's worth together, or when the
// batch deadline of the first one is over. It takes those that have waited longest.
type joiner struct {
	destination *destination
	size        sizeBound

	mu    sync.Mutex
	queue seats
	// samples is how many the endpoints in the queue have, as far as they have said.
	samples uint64
	weight  weight
	// entering: a run waits for a place at the destination. There is one such at most; those who
	// wait are taken when it has one.
	entering bool
	timer    *time.Timer
	// due is when the timer fires; the zero time is never.
	due time.Time
}

// seat is an endpoint's place in a joiner's queue. It is guarded by joiner.mu.
type seat struct {
	taken   bool
	index   int
	due     time.Time
	samples uint64
}

// wait puts e into the queue for d at most. The caller holds e.life.mu.
func (j *joiner) wait(e *endpoint, d time.Duration, samples uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e.seat = seat{taken: true, due: time.Now().Add(d), samples: samples}
	heap.Push(&j.queue, e)
	j.samples += samples
	j.poke(e)
}

// more notes that e, which waits, has so many samples now. The caller holds e.life.mu.
func (j *joiner) more(e *endpoint, samples uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !e.seat.taken {
		return
	}
	j.samples += samples - e.seat.samples
	e.seat.samples = samples
	j.poke(e)
}

// leave takes e out of the queue, if it is there.
func (j *joiner) leave(e *endpoint) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if e.seat.taken {
		heap.Remove(&j.queue, e.seat.index)
		j.forget(e)
	}
}

func (j *joiner) forget(e *endpoint) {
	j.samples -= e.seat.samples
	e.seat = seat{}
}

// poke starts a run if it is time for one, or sees to it that it is called again. e is one of those
// that wait. It needs mu.
func (j *joiner) poke(e *endpoint) {
	if j.entering || len(j.queue) == 0 {
		return
	}
	first, now := j.queue[0].seat.due, time.Now()
	if j.samples >= uint64(e.perSend()) || !now.Before(first) {
		if j.destination.runs.begin() {
			j.entering = true
			go j.run()
		}
		return
	}
	if j.due.IsZero() || first.Before(j.due) {
		j.due = first
		if j.timer == nil {
			j.timer = time.AfterFunc(first.Sub(now), j.fire)
		} else {
			j.timer.Reset(first.Sub(now))
		}
	}
}

func (j *joiner) fire() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.due = time.Time{}
	if len(j.queue) > 0 {
		j.poke(j.queue[0])
	}
}

// run sends for some of those who wait.
func (j *joiner) run() {
	d := j.destination
	defer d.runs.end()
	most, bytes := j.batch()
	if err := d.enter(d.ctx, bytes); err != nil {
		return // nobody uses the destination any more
	}
	taken := j.take(most)
	if len(taken) != 1 {
		j.send(taken)
		d.leave(bytes)
		return
	}
	d.leave(bytes)
	taken[0].with(func(*endpoint) { taken[0].goAlone() })
}

// batch is how many samples the next request may hold, and about how many bytes of memory that is.
func (j *joiner) batch() (samples uint64, bytes int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.queue) > 0 {
		samples = min(j.samples, uint64(j.queue[0].perSend()))
	}
	return samples, j.weight.of(samples)
}

// take chooses the endpoints of the next request, which have no more than allowed samples together,
// or are only one. They are running then. While the destination is not well, or does not say whose
// samples it refuses, it is only one.
func (j *joiner) take(allowed uint64) (taken []*contribution) {
	alone := j.destination.failing() || j.destination.vague.Load()
	j.mu.Lock()
	var chosen []*endpoint
	most, samples := allowed, uint64(0)
	for len(j.queue) > 0 && (len(chosen) == 0 || !alone) {
		e := j.queue[0]
		n := uint64(min(e.perSend(), maxTogether))
		if len(chosen) > 0 && samples+e.seat.samples > min(most, n) {
			break
		}
		most = min(most, n)
		samples += e.seat.samples
		chosen = append(chosen, e)
		heap.Pop(&j.queue)
		j.forget(e)
	}
	j.entering = false
	if len(j.queue) > 0 {
		j.poke(j.queue[0])
	}
	j.mu.Unlock()
	for _, e := range chosen {
		if c := e.join(); c != nil {
			taken = append(taken, c)
		}
	}
	return taken
}

// send reads what the endpoints have, and posts it in one request, or in several if it is large.
func (j *joiner) send(taken []*contribution) {
	if len(taken) == 0 {
		return
	}
	p := j.destination.owner.borrowPress()
	a := newAssembly(j, p, taken[0].endpoint.speaking())
	for _, c := range taken {
		a.read(c)
	}
	requests := a.end()
	j.destination.owner.returnPress(p)
	j.note(requests)
	for _, r := range requests {
		r.deliver()
	}
}

// note learns how much memory the requests take.
func (j *joiner) note(requests []*joint) {
	samples, bytes := uint64(0), 0
	for _, r := range requests {
		for _, c := range r.contributions {
			samples += c.batch.samples()
			bytes += itemBytes * len(c.batch.items)
		}
		bytes += len(r.body.body)
	}
	if samples > 0 {
		j.mu.Lock()
		j.weight.note(samples, bytes)
		j.mu.Unlock()
	}
}

// close ends the timer. Nobody waits any more.
func (j *joiner) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.timer != nil {
		j.timer.Stop()
	}
}

// seats is a heap of endpoints by when they are due.
type seats []*endpoint

func (s seats) Len() int           { return len(s) }
func (s seats) Less(a, b int) bool { return s[a].seat.due.Before(s[b].seat.due) }
func (s seats) Swap(a, b int) {
	s[a], s[b] = s[b], s[a]
	s[a].seat.index, s[b].seat.index = a, b
}

func (s *seats) Push(x any) {
	e, _ := x.(*endpoint)
	e.seat.index = len(*s)
	*s = append(*s, e)
}

func (s *seats) Pop() any {
	old := *s
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*s = old[:len(old)-1]
	return e
}

// runs counts the goroutines of a destination, until it is closed.
type runs struct {
	mu     sync.Mutex
	closed bool
	wg     sync.WaitGroup
	cancel context.CancelFunc
}

func (r *runs) begin() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.wg.Add(1)
	return true
}

func (r *runs) end() { r.wg.Done() }

// close ends them and waits for them.
func (r *runs) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	r.wg.Wait()
}
