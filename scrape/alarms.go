package scrape

import (
	"container/heap"
	"sync"
	"time"
)

const (
	// alarmSlack is how much earlier than it is due a scrape may begin to share a wake-up with
	// another one. Its samples have the tick's timestamp all the same, see schedule.tolerance.
	alarmSlack = time.Millisecond
	// trimWorkers is after how long workers that were not needed end.
	trimWorkers = 10 * time.Second
)

// alarms wakes the loops of all scrapers of a process. One timer is set for the first of them; what
// is due with it is one wake-up of the process. Scrapes run on workers, goroutines that are used
// again: their stacks have grown already. There are as many as there were scrapes at the same time
// in the last seconds, and none once no loop waits.
type alarms struct {
	mu      sync.Mutex
	waiting alarmHeap
	timer   *time.Timer
	set     time.Time // what the timer is set for; zero: it is not
	idle    []chan *loop
	spare   int // workers that were idle all the time since trimmed
	trimmed time.Time
}

// alarm is that of one loop.
type alarm struct {
	loop  *loop
	at    time.Time
	place int // in the heap, plus one; 0: it is not set
}

type alarmHeap []*alarm

func (h alarmHeap) Len() int           { return len(h) }
func (h alarmHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h alarmHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i+1, j+1
}

func (h *alarmHeap) Push(x any) {
	a := x.(*alarm)
	*h = append(*h, a)
	a.place = len(*h)
}

func (h *alarmHeap) Pop() any {
	last := len(*h) - 1
	a := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	a.place = 0
	return a
}

// after sets an alarm, instead of what it was set for.
func (s *alarms) after(a *alarm, pause time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.at = time.Now().Add(pause)
	if a.place == 0 {
		heap.Push(&s.waiting, a)
	} else {
		heap.Fix(&s.waiting, a.place-1)
	}
	s.arm()
}

// stop takes an alarm back. The loop may be on its way to a worker already.
func (s *alarms) stop(a *alarm) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.place > 0 {
		heap.Remove(&s.waiting, a.place-1)
	}
	s.arm()
}

// arm sets the timer for the first alarm. It needs mu.
func (s *alarms) arm() {
	if len(s.waiting) == 0 {
		if s.timer != nil {
			s.timer.Stop()
		}
		s.set = time.Time{}
		s.dismiss(len(s.idle))
		return
	}
	first := s.waiting[0].at
	if !s.set.IsZero() && !first.Before(s.set) {
		return // it fires too early at most, and looks again
	}
	s.set = first
	if pause := time.Until(first); s.timer == nil {
		s.timer = time.AfterFunc(pause, s.fire)
	} else {
		s.timer.Reset(pause)
	}
}

// fire gives the loops that are due to workers.
func (s *alarms) fire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.set = time.Time{}
	for len(s.waiting) > 0 && s.waiting[0].at.Sub(now) <= alarmSlack {
		s.give(heap.Pop(&s.waiting).(*alarm).loop)
	}
	if s.spare = min(s.spare, len(s.idle)); now.Sub(s.trimmed) >= trimWorkers {
		s.dismiss(s.spare)
		s.spare, s.trimmed = len(s.idle), now
	}
	s.arm()
}

// give needs mu.
func (s *alarms) give(l *loop) {
	last := len(s.idle) - 1
	if last < 0 {
		work := make(chan *loop, 1)
		work <- l
		go s.work(work)
		return
	}
	s.idle[last] <- l
	s.idle = s.idle[:last]
}

// dismiss ends so many idle workers, those that were used last excepted. It needs mu.
func (s *alarms) dismiss(n int) {
	for _, work := range s.idle[:n] {
		close(work)
	}
	s.idle = append(s.idle[:0], s.idle[n:]...)
}

func (s *alarms) work(work chan *loop) {
	for l := range work {
		l.fire()
		s.mu.Lock()
		if len(s.waiting) == 0 {
			s.mu.Unlock()
			return
		}
		s.idle = append(s.idle, work)
		s.mu.Unlock()
	}
}
