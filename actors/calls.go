package actors

import (
	"fmt"
	"maps"
	"slices"

	"github.com/asynkron/protoactor-go/actor"
)

// calls is what an actor has under way outside of itself. An outcome comes as an ended; one whose
// message was lost is made good by lost. Only the actor uses it.
type calls struct {
	last uint64
	open map[uint64]*call
}

// call is one of them. Its goroutine writes the outcome and then closes done.
type call struct {
	done    chan struct{}
	outcome any
}

// ended says that a call has its outcome.
type ended struct {
	call    uint64
	outcome any
}

// Kind says which outcome it is; see fault.Kind.
func (e ended) Kind() string { return fmt.Sprintf("%T", e.outcome) }

// begin runs f in a goroutine. What message makes of its error is the outcome.
func (k *calls) begin(t *tree, self *actor.PID, f func() error, message func(error) any) {
	if k.open == nil {
		k.open = map[uint64]*call{}
	}
	k.last++
	number, one := k.last, &call{done: make(chan struct{})}
	k.open[number] = one
	t.do(self, f, func(err error) any {
		one.outcome = message(err)
		close(one.done)
		return ended{call: number, outcome: one.outcome}
	})
}

// take returns the outcome, once; nil if it was taken before.
func (k *calls) take(m ended) any {
	if _, ok := k.open[m.call]; !ok {
		return nil
	}
	delete(k.open, m.call)
	return m.outcome
}

// lost takes the outcomes that are there and have not been heard of.
func (k *calls) lost() []any {
	var outcomes []any
	for _, number := range slices.Sorted(maps.Keys(k.open)) {
		one := k.open[number]
		select {
		case <-one.done:
			outcomes = append(outcomes, k.take(ended{call: number, outcome: one.outcome}))
		default:
		}
	}
	return outcomes
}
