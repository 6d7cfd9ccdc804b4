package lifecycle

import (
	"fmt"

	"github.com/ringmaster-agent/ringmaster/messages"
)

// Op is an operation on the pipeline.
type Op uint8

// The operations, in order of life.
const (
	NoOp Op = iota
	Open
	Start
	Reload
	StopScraping
	Drain
	Close
)

// String is the operation's name for logs.
func (o Op) String() string {
	return [...]string{"none", "open", "start", "reload", "stop scraping", "drain", "close"}[o]
}

// Kind says what happened.
type Kind uint8

// What can happen to an instance.
const (
	// StartWanted: StartInstance came.
	StartWanted Kind = iota
	// RunWanted: RunInstance came.
	RunWanted
	// ReloadWanted: ReloadInstance came.
	ReloadWanted
	// StopWanted: StopInstance came, for Input.Reason.
	StopWanted
	// Done: the operation under way ended well.
	Done
	// Errored: the operation under way returned an error.
	Errored
	// Panicked: the operation under way panicked. What it left behind is not trusted.
	Panicked
	// Broke: the pipeline reported that one of its goroutines ended for good.
	Broke
)

// Input is one thing that happened.
type Input struct {
	Kind Kind
	// Reason goes with StopWanted.
	Reason messages.StopReason
	// Hold goes with StartWanted: don't scrape before RunWanted.
	Hold bool
	// Drained goes with Done of a Drain: nothing is left to send.
	Drained bool
}

// EffectKind says what is to be done.
type EffectKind uint8

// What can be asked for.
const (
	// Begin the operation Effect.Op.
	Begin EffectKind = iota
	// Cancel the context of the operation under way; its result is still awaited.
	Cancel
	// Hurry: apply the new bound to the draining.
	Hurry
	// Report the event that Effect.Report names.
	Report
	// End: the generation is over, its actor can go.
	End
)

// Effect is one thing to do. Effects are performed in order.
type Effect struct {
	Kind EffectKind
	Op   Op
	// Remove goes with Begin Close: the log may be deleted.
	Remove bool
	Report Reported
}

// Reported names an event for the supervisor.
type Reported uint8

// The events, see package messages.
const (
	Prepared Reported = iota
	Running
	Reloaded
	ReloadFailed
	Draining
	Quiet
	Failed
	Stopped
)

// State is where one generation stands. The zero value is a generation that has not been told to start.
type State struct {
	Phase messages.Phase
	// Busy is the operation under way.
	Busy Op
	// Reason is that of the first stop.
	Reason messages.StopReason
	// Held: it may not scrape yet.
	Held bool
	// Opened: there is a pipeline that has to be closed.
	Opened bool
	// Scraping: Start was begun and StopScraping was not, so samples may be arriving.
	Scraping bool
	// Reload: a config newer than the one under way waits.
	Reload bool
	// Drained: a drain ended with nothing left to send.
	Drained bool
	// Broken: something panicked, or the pipeline reported its end; no operation but Close makes
	// sense any more.
	Broken bool
}

// legal lists every move from one phase to another.
var legal = map[messages.Phase][]messages.Phase{
	messages.PhaseNew:       {messages.PhasePreparing, messages.PhaseStopped},
	messages.PhasePreparing: {messages.PhaseRunning, messages.PhaseDraining, messages.PhaseFailed},
	messages.PhaseRunning:   {messages.PhaseDraining, messages.PhaseFailed},
	messages.PhaseDraining:  {messages.PhaseStopped},
	messages.PhaseFailed:    {messages.PhaseStopped},
	messages.PhaseStopped:   {},
}

// Legal reports whether an instance may go from one phase to the other.
func Legal(from, to messages.Phase) bool {
	for _, p := range legal[from] {
		if p == to {
			return true
		}
	}
	return false
}

// step is one application of Step under way: the state and what is to be done so far.
type step struct {
	State
	effects []Effect
}

// Step says what one input makes of the state. An input that means nothing in a phase is ignored:
// the state stays as it is and there is nothing to do. It panics only if it would itself break the
// table of legal moves, which is a bug.
func (s State) Step(in Input) (State, []Effect) {
	m := step{State: s}
	switch s.Phase {
	case messages.PhaseNew:
		m.whenNew(in)
	case messages.PhasePreparing:
		m.whenPreparing(in)
	case messages.PhaseRunning:
		m.whenRunning(in)
	case messages.PhaseDraining:
		m.whenDraining(in)
	case messages.PhaseFailed:
		m.whenFailed(in)
	}
	return m.State, m.effects
}

func (m *step) become(to messages.Phase) {
	if !Legal(m.Phase, to) {
		panic(fmt.Sprintf("lifecycle: illegal move from %v to %v", m.Phase, to))
	}
	m.Phase = to
}

func (m *step) begin(op Op) {
	m.Busy = op
	effect := Effect{Kind: Begin, Op: op}
	switch op {
	case Start:
		m.Scraping = true
	case Reload:
		m.Reload = false
	case StopScraping:
		m.Scraping = false
	case Close:
		// The log goes only when the unit does not live here any longer and everything in it has
		// been sent.
		gone := m.Reason != messages.NotStopping && m.Reason != messages.Shutdown
		effect.Remove = gone && m.Drained && !m.Broken
	}
	m.effects = append(m.effects, effect)
}

func (m *step) cancel()           { m.effects = append(m.effects, Effect{Kind: Cancel}) }
func (m *step) report(r Reported) { m.effects = append(m.effects, Effect{Kind: Report, Report: r}) }
func (m *step) ended() (op Op)    { op, m.Busy = m.Busy, NoOp; return op }
func (in Input) endsOp() bool     { return in.Kind == Done || in.Kind == Errored || in.Kind == Panicked }
