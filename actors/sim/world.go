package sim

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	onpurpose "github.com/ringmaster-agent/ringmaster/actors/fault"
	"github.com/ringmaster-agent/ringmaster/config"
)

// epoch is when virtual time begins.
var epoch = time.Unix(1_800_000_000, 0).UTC()

// System is an actor system for worlds. It is expensive to make, so worlds that follow each other
// share one.
type System struct {
	*actor.ActorSystem
	parsed map[[2]string]parsed
}

// parsed is what became of a config's text.
type parsed struct {
	config *config.Instance
	err    error
}

// NewSystem returns a system for one world after another.
func NewSystem() System {
	silent := slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError + 1}))
	return System{parsed: map[[2]string]parsed{}, ActorSystem: actor.NewActorSystem(
		actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return silent }),
		actor.WithDeadLetterThrottleInterval(time.Millisecond),
	)}
}

// World is some nodes, what they share, and everything that is about to happen.
type World struct {
	options Options
	rnd     *rand.Rand
	system  System
	now     time.Duration
	queue   queue
	last    uint64 // the number of the newest event
	// unused are events that were made and are not needed yet: one at a time they cost more.
	unused []event

	store *server
	// hosts are where nodes run, by name; they survive their processes. nodes are all processes
	// there have been.
	hosts []*host
	nodes []*node
	// current is the coroutine that is running; nil between coroutines.
	current *routine

	// began is what had been computed when the event under way began.
	began time.Duration

	// unreceived is until when receivers take nothing.
	unreceived time.Duration

	// apart is until when there may be nodes that others can't have heard of.
	apart time.Duration

	trace  trace
	ledger ledger
	// failure is the first invariant that did not hold; empty: all do.
	failure string
}

// Options is what a world is like. The zero value is a calm world of fast messages.
type Options struct {
	Seed uint64
	// Middleware is put around every Receive of every actor, and told on whose node.
	Middleware func(node string) []actor.ReceiverMiddleware
	// Faults are rules that are in force on every node from its start on.
	Faults []onpurpose.Rule
	// AnyClaim makes the store ignore the conditions of claims: a planted bug.
	AnyClaim bool
	// Replicas of each config, 0: 1.
	Replicas int
	// Pace is the greatest delay of whatever takes time inside of a node, Lag that of a message to
	// the store or a peer. 0: 1 ms, 5 ms.
	Pace, Lag time.Duration
	// Reshard is the nodes' ReshardInterval, 0: 15 s.
	Reshard time.Duration
	// Garble loses, delays and doubles hints between actors.
	Garble bool
	// Everything: the trace forgets nothing.
	Everything bool
	// Scale leaves out what a world of very many units can do without: ticks, the trace, gossip
	// message by message, and pauses in a stream.
	Scale bool
	// Computed is how much the process has computed. Nodes see that time pass, so that their
	// decisions are as far apart as they would be; a run can't be repeated then. Nil: computing
	// takes no time.
	Computed func() time.Duration
	// NoGossip: nodes have none. NoIdle: the store can't tell how long a session was not renewed,
	// as Consul.
	NoGossip, NoIdle bool
	// ZoneAware: replicas go to different zones first. Continue: isolated nodes go on.
	ZoneAware, Continue bool
	// Orderly: what goes wrong does so one after the other, and all clocks are right. So a change
	// of slices is heard of in time.
	Orderly bool
	// Only: no other faults than those whose names contain it, or one of several, separated by commas.
	// Empty: all that are not off.
	Only string
	// Trouble is the share of pipeline calls that fail.
	Trouble float64
}

// NewWorld returns a world without nodes.
func NewWorld(system System, o Options) *World {
	if o.Pace == 0 {
		o.Pace = time.Millisecond
	}
	if o.Lag == 0 {
		o.Lag = 5 * time.Millisecond
	}
	if o.Reshard == 0 {
		o.Reshard = 15 * time.Second
	}
	w := &World{options: o, rnd: rand.New(rand.NewPCG(o.Seed, 0x51)), system: system}
	w.trace.all = o.Everything
	w.store = newServer(w)
	w.ledger.upset = o.Garble
	w.ledger.units = map[string]*record{}
	return w
}

// after has f happen on the node once d has passed, unless the node crashes before. A nil f is a
// cancelled event.
func (w *World) after(n *node, d time.Duration, f func()) *event {
	w.last++
	if len(w.unused) == 0 {
		w.unused = make([]event, 128)
	}
	e := &w.unused[0]
	w.unused = w.unused[1:]
	*e = event{at: w.now + max(d, 0), order: uint64(w.rnd.Uint32())<<32 | w.last&(1<<32-1), node: n, f: f}
	w.queue.push(e)
	return e
}

// upTo draws a duration from 0 up to d.
func (w *World) upTo(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(w.rnd.Int64N(int64(d)))
}

// chance draws whether something happens.
func (w *World) chance(p float64) bool { return p > 0 && w.rnd.Float64() < p }

// Run lets time pass. It stops early when an invariant does not hold.
func (w *World) Run(d time.Duration) {
	until := w.now + d
	for len(w.queue) > 0 && w.queue[0].at <= until && w.failure == "" {
		w.step(w.queue.pop())
	}
	w.now = until
}

// step lets one event happen.
func (w *World) step(e *event) {
	w.now = e.at
	n := e.node
	switch {
	case e.f == nil, n != nil && n.dead:
		return
	case n != nil && n.stalled:
		n.missed = append(n.missed, e)
		return
	}
	w.trace.mix(uint64(e.at), w.last)
	if w.options.Computed != nil {
		w.began = w.options.Computed()
	}
	f := e.f
	e.f = nil // it is made together with others, and nobody is to keep what it refers to because of them
	f()
	if n != nil {
		n.wakeReady()
	}
}

// fail records the first invariant that does not hold.
func (w *World) fail(format string, args ...any) {
	if w.failure == "" {
		w.failure = fmt.Sprintf(format, args...)
		w.say("", "FAILED: %s", w.failure)
	}
}

// Failure is the first invariant that did not hold; empty if all do.
func (w *World) Failure() string { return w.failure }

// Close ends every node, without any order.
func (w *World) Close() {
	for _, n := range w.nodes {
		n.kill()
	}
	w.queue = nil
}
