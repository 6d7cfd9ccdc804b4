package sim

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/ringmaster-agent/ringmaster/actors"
)

// routine is what would be a goroutine of a node. It runs until it parks in a fake, and goes on
// when it is resumed.
type routine struct {
	node   *node
	next   func() (struct{}, bool)
	yield  func(struct{}) bool
	parked bool
	// ready, while it is parked, reports whether it should go on; it is asked after each event of
	// the node.
	ready func() bool
	// waking: an event that resumes it is on its way.
	waking bool
}

// spawn starts f as a coroutine of the node.
func (n *node) spawn(f func()) {
	r := &routine{node: n}
	n.world.after(n, n.world.upTo(n.world.options.Pace), func() {
		r.next, _ = iter.Pull(func(yield func(struct{}) bool) {
			r.yield = yield
			f()
		})
		r.resume()
	})
}

// resume runs the coroutine until it parks or ends.
func (r *routine) resume() {
	w := r.node.world
	before := w.current
	w.current = r
	r.next()
	w.current = before
}

// park lets everything else go on until the coroutine is woken, or ready says so. It reports false
// if the node has crashed: then whoever called returns at once. It may return early for no reason.
func (w *World) park(ready func() bool) bool {
	r := w.current
	if r.node.dead {
		return false
	}
	r.parked, r.ready = true, ready
	r.node.parked = append(r.node.parked, r)
	w.current = nil
	r.yield(struct{}{})
	w.current = r
	r.parked, r.ready = false, nil
	r.node.parked = slices.DeleteFunc(r.node.parked, func(other *routine) bool { return other == r })
	return !r.node.dead
}

// wake resumes the coroutine soon, if it is parked.
func (r *routine) wake(in time.Duration) {
	if !r.parked || r.waking {
		return
	}
	r.waking = true
	r.node.world.after(r.node, in, func() {
		r.waking = false
		if r.parked {
			r.resume()
		}
	})
}

// wakeReady wakes the coroutines of the node that say they are ready.
func (n *node) wakeReady() {
	for _, r := range n.parked {
		if !r.waking && r.ready != nil && r.ready() {
			r.wake(0)
		}
	}
}

// sleep parks the coroutine for a time. It returns the error of ctx, or errDead.
func (w *World) sleep(ctx context.Context, d time.Duration) error {
	r, until := w.current, w.now+d
	e := w.after(r.node, d, func() { r.wake(0) })
	for w.now < until {
		if ctx.Err() != nil {
			e.f = nil
			return context.Cause(ctx)
		}
		if !w.park(func() bool { return ctx.Err() != nil }) {
			return errDead
		}
	}
	return nil
}

// timer is an actors.Timer.
type timer struct{ event *event }

// Stop implements actors.Timer.
func (t *timer) Stop() bool {
	pending := t.event.f != nil
	t.event.f = nil
	return pending
}

// runtime is where the node's actors get time and concurrency from.
func (n *node) runtime() actors.Runtime {
	return actors.Runtime{
		Now:       n.clock,
		SinceBoot: func() time.Duration { return n.world.now },
		AfterFunc: func(d time.Duration, f func()) actors.Timer {
			t := &timer{}
			t.event = n.world.after(n, d, func() { t.event.f = nil; f() })
			return t
		},
		Go:    n.spawn,
		Audit: n.audit(),
		Timeout: func(parent context.Context, d time.Duration) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(parent)
			e := n.world.after(n, d, func() { cancel(context.DeadlineExceeded) })
			return ctx, func() { e.f = nil; cancel(context.Canceled) }
		},
		Wait: func(done <-chan struct{}) {
			closed := func() bool {
				select {
				case <-done:
					return true
				default:
					return false
				}
			}
			for !closed() {
				if !n.world.park(closed) {
					return
				}
			}
		},
		Processors: 2,
		Dispatcher: dispatcher{n},
	}
}

// dispatcher makes each activation of a mailbox an event.
type dispatcher struct{ node *node }

// Schedule implements actor.Dispatcher.
func (d dispatcher) Schedule(f func()) {
	if !d.node.dead {
		w := d.node.world
		w.after(d.node, w.upTo(w.options.Pace), f)
	}
}

// Throughput implements actor.Dispatcher.
func (dispatcher) Throughput() int { return 1 << 20 }

// audit is what the node says if it has missed something; nil where looking for it would cost too much.
func (n *node) audit() func(string) {
	if n.world.options.Scale {
		return nil
	}
	return func(missed string) { n.world.fail("%s has not decided what it should have: %s", n.name, missed) }
}
