package sim

import (
	"slices"
	"time"
)

// event is something that happens at a time, on a node or, if that is nil, outside of all nodes.
type event struct {
	at    time.Duration
	order uint64
	node  *node
	f     func()
	// fault: it begins or ends a fault, so it does not happen any more when there are no more faults.
	fault bool
}

// queue is a heap of events by time. Those of one time are in random order. Most of what a
// simulation does beside the code it is about is to put events here and to take them again, so this
// is a heap of four children to a parent, which compares numbers and follows no pointers.
type queue []queued

// queued is an event with a copy of what it is ordered by.
type queued struct {
	at    time.Duration
	order uint64
	event *event
}

func (q queued) before(other queued) bool {
	return q.at < other.at || q.at == other.at && q.order < other.order
}

func (q *queue) push(e *event) {
	*q = append(*q, queued{at: e.at, order: e.order, event: e})
	q.up(len(*q) - 1)
}

// pop takes the first event. There has to be one.
func (q *queue) pop() *event {
	old := *q
	first, last := old[0].event, len(old)-1
	old[0], old[last] = old[last], queued{}
	*q = old[:last]
	q.down(0)
	return first
}

// rearrange puts the queue in order again after events have got other times.
func (q *queue) rearrange() {
	for i := range *q {
		(*q)[i].at = (*q)[i].event.at
	}
	for i := len(*q) - 1; i >= 0; i-- {
		q.down(i)
	}
}

// remove drops the events for which drop says yes.
func (q *queue) remove(drop func(*event) bool) {
	*q = slices.DeleteFunc(*q, func(e queued) bool { return drop(e.event) })
	q.rearrange()
}

const children = 4

func (q *queue) up(i int) {
	heap := *q
	item := heap[i]
	for i > 0 {
		parent := (i - 1) / children
		if !item.before(heap[parent]) {
			break
		}
		heap[i] = heap[parent]
		i = parent
	}
	heap[i] = item
}

func (q *queue) down(i int) {
	heap := *q
	if i >= len(heap) {
		return
	}
	item := heap[i]
	for {
		first := i*children + 1
		if first >= len(heap) {
			break
		}
		least := first
		for child := first + 1; child < min(first+children, len(heap)); child++ {
			if heap[child].before(heap[least]) {
				least = child
			}
		}
		if !heap[least].before(item) {
			break
		}
		heap[i] = heap[least]
		i = least
	}
	heap[i] = item
}
