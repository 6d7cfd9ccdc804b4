package scrape

import (
	"container/heap"
	"context"
	"errors"
	"io"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// grace is how much of a processor one scrape may take before it needs a place. A scrape of a
	// thousand series in their place takes about half of it.
	grace = 2 * time.Millisecond
	// yieldAfter is how much a scrape takes in its place before it lets others that are waiting in.
	yieldAfter = 10 * time.Millisecond
	// cpuWindow is over which time an instance's use of processors is averaged, to compare it with
	// others.
	cpuWindow = 30 * time.Second
	// freeBytes is how much of a body that is not compressed is read before that is measured.
	freeBytes = 64 << 10
	// costOfDiscovery is about what it takes to decode a byte of an answer to a discovery.
	costOfDiscovery = 15 * time.Nanosecond
)

// processors shares those of the machine out among the instances of a process. Light instances
// never wait here. An instance is heavy while it uses more than its equal share of the machine;
// its scrapes, and any scrape that takes longer than grace, do their work in one of a few places:
// one fewer than there are processors, so that heavy ones queue behind each other and not in front
// of light ones. Among those that wait, the instance that has used the least is next. Who is not
// let in until its scrape times out has failed.
type processors struct {
	cores, places int
	clock         func() time.Duration // of the processor time of the calling thread
	instances     atomic.Int64

	mu    sync.Mutex
	taken int
	queue turnQueue
}

func newProcessors() *processors {
	cores := runtime.GOMAXPROCS(0)
	return &processors{cores: cores, places: max(cores-1, 1), clock: threadTime}
}

// share is how many processors each instance has if all use the same.
func (p *processors) share() float64 { return float64(p.cores) / float64(max(p.instances.Load(), 1)) }

// waiter is a scrape that waits for a place.
type waiter struct {
	use   float64 // of its instance when it began to wait
	order int     // in the queue, plus one; 0: it has a place
	ready chan struct{}
}

type turnQueue []*waiter

func (q turnQueue) Len() int           { return len(q) }
func (q turnQueue) Less(i, j int) bool { return q[i].use < q[j].use }
func (q turnQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].order, q[j].order = i+1, j+1
}

func (q *turnQueue) Push(x any) {
	w := x.(*waiter)
	*q = append(*q, w)
	w.order = len(*q)
}

func (q *turnQueue) Pop() any {
	last := len(*q) - 1
	w := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	w.order = 0
	return w
}

// enter waits for a place until ctx is over, and reports whether it has got one.
func (p *processors) enter(ctx context.Context, use float64) bool {
	p.mu.Lock()
	if p.taken < p.places {
		p.taken++
		p.mu.Unlock()
		return true
	}
	w := &waiter{use: use, ready: make(chan struct{})}
	heap.Push(&p.queue, w)
	p.mu.Unlock()
	select {
	case <-w.ready:
		return true
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.order == 0 { // it has just been let in
		p.hand()
		return false
	}
	heap.Remove(&p.queue, w.order-1)
	return false
}

// leave gives a place back.
func (p *processors) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hand()
}

// hand gives a place to who is next. It needs mu.
func (p *processors) hand() {
	if len(p.queue) == 0 {
		p.taken--
		return
	}
	close(heap.Pop(&p.queue).(*waiter).ready)
}

func (p *processors) awaited() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.queue) > 0
}

// turn is the work of one scrape: what it takes of the processors is measured and charged to its
// instance. begin and end enclose work that waits for nothing; they are called by one goroutine.
type turn struct {
	meter *meter // nil: nothing is measured
	ctx   context.Context

	working bool
	placed  bool
	from    time.Duration // of the thread, when the work was measured last
	used    time.Duration // so far
	since   time.Duration // of used, when it got its place
}

// begin begins to work, once there is a place if it needs one.
func (t *turn) begin() error {
	if t.meter == nil || t.working {
		return nil
	}
	if t.used > grace || t.meter.use(time.Now()) > t.meter.memory.processors.share() {
		if err := t.enter(); err != nil {
			return err
		}
	}
	t.work()
	return nil
}

// work begins to measure. The thread's time is the scrape's only while nobody else runs on it.
func (t *turn) work() {
	if t.meter == nil {
		return
	}
	runtime.LockOSThread()
	t.working, t.from = true, t.meter.memory.processors.clock()
}

func (t *turn) enter() error {
	p, began := t.meter.memory.processors, time.Now()
	use := t.meter.use(began)
	entered := p.enter(t.ctx, use)
	t.meter.metrics.cpuWait.Add(time.Since(began).Seconds())
	if !entered {
		return exceeded(overProcessors, "the agent's processors are busy, and this config is among those that use the most (%.3f of one)", use)
	}
	t.placed, t.since = true, t.used
	return nil
}

// letGo goes on with the work, but without a place: that of one who can't let others in between.
func (t *turn) letGo() {
	if t.placed {
		t.placed = false
		t.meter.memory.processors.leave()
	}
}

// check is called between two pieces of work: it waits if others are to go on first. Its error says
// that the instance has used far more than its budget, or that the scrape has no time left. Who has
// a place when its time is over keeps it, since it would get no other.
func (t *turn) check() error {
	if !t.working {
		return nil
	}
	t.measure()
	if err := t.meter.overdrawn(time.Now()); err != nil {
		return err
	}
	switch {
	case t.placed && t.used-t.since > yieldAfter && t.ctx.Err() == nil && t.meter.memory.processors.awaited():
	case !t.placed && t.used > grace:
	default:
		return nil
	}
	t.end()
	return t.begin()
}

// measure charges what was used since it was called last.
func (t *turn) measure() {
	now := t.meter.memory.processors.clock()
	t.meter.charge(now-t.from, time.Now())
	t.used += now - t.from
	t.from = now
}

// end ends the work, or a part of it.
func (t *turn) end() {
	if !t.working {
		return
	}
	t.measure()
	runtime.UnlockOSThread()
	t.working = false
	t.letGo()
}

// worked is a body that is unpacked by the one who reads it, in its turn. While it waits for the
// network it has no place.
type worked struct {
	body io.Reader
	turn *turn
	free int // bytes that are read before the work is worth measuring
}

// Read implements io.Reader.
func (w *worked) Read(p []byte) (int, error) {
	w.turn.end()
	n, err := w.body.Read(p)
	if w.free -= n; n == 0 || w.free > 0 {
		return n, err
	}
	if failed := w.turn.begin(); failed != nil && (err == nil || errors.Is(err, io.EOF)) {
		return n, failed
	}
	return n, err
}

// charge counts processor time.
func (m *meter) charge(d time.Duration, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.settle(now)
	m.cpuLeft -= d.Seconds()
	m.cpuUse += d.Seconds() / cpuWindow.Seconds()
}

// BeginWork begins to measure work of the instance that is no scrape, and EndWork charges it. They
// are called on one goroutine. The work waits for nothing, and takes no turns with others.
func (s *Scraper) BeginWork() (from time.Duration) {
	runtime.LockOSThread() // the thread's time is that of this work
	return s.meter.memory.processors.clock()
}

// EndWork charges the work since BeginWork, which has returned from.
func (s *Scraper) EndWork(from time.Duration) {
	s.meter.charge(s.meter.memory.processors.clock()-from, time.Now())
	runtime.UnlockOSThread()
}

// settle brings what is known of processor time up to date. It needs mu.
func (m *meter) settle(now time.Time) {
	passed := max(now.Sub(m.cpuAt).Seconds(), 0)
	m.cpuAt = now
	m.cpuUse *= math.Exp(-passed / cpuWindow.Seconds())
	m.cpuLeft = min(m.cpuLeft+m.budget.CPU*passed, m.budget.CPU*rateWindow.Seconds())
}

// use is how many processors the instance uses, on average over the last time.
func (m *meter) use(now time.Time) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.settle(now)
	return m.cpuUse
}

// cpu says whether the instance may work.
func (m *meter) cpu(now time.Time) error {
	if pause := m.cpuPause(now); pause > 0 {
		return exceeded(overCPU, "%g of a processor are allowed; the average is below that again in %s", m.inForce().CPU, max(pause.Round(time.Second), time.Second))
	}
	return nil
}

// overdrawn says whether a scrape that works already has to end. The budget may be exceeded by another
// window's worth, and the next scrapes wait for that: otherwise an instance a little above its limit
// would begin each scrape and end none.
func (m *meter) overdrawn(now time.Time) error {
	if m.cpuPause(now) <= rateWindow {
		return nil
	}
	return m.cpu(now)
}

// cpuPause is for how long it may not.
func (m *meter) cpuPause(now time.Time) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.settle(now)
	if m.budget.CPU == 0 || m.cpuLeft > 0 {
		return 0
	}
	return time.Duration((-m.cpuLeft/m.budget.CPU + 0.001) * float64(time.Second))
}
