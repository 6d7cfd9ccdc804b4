package messages

// Phase is where a unit stands. The first six are phases of one generation; a unit without a live
// generation is in one of the rest.
type Phase uint8

// The phases of a generation, in order of life, then those of a unit between generations.
const (
	// PhaseNew: the generation was spawned and has not seen its StartInstance yet.
	PhaseNew Phase = iota
	// PhasePreparing: discovery warms up, the log is opened; nothing is scraped.
	PhasePreparing
	// PhaseRunning: targets are scraped.
	PhaseRunning
	// PhaseDraining: nothing is scraped any more; what is left is being sent.
	PhaseDraining
	// PhaseFailed: something broke; what the generation holds is being released.
	PhaseFailed
	// PhaseStopped: the generation is over and has released everything.
	PhaseStopped
	// PhaseWaiting: the unit has no generation yet, because of a hold.
	PhaseWaiting
	// PhaseBackoff: the last generation failed; the next waits for its time.
	PhaseBackoff
	// PhaseQuarantined: too many generations failed; there is an attempt an hour, or after a
	// change, or when a person asks for it.
	PhaseQuarantined
)

// Phases are all phases, in the order of their constants.
func Phases() []Phase {
	all := make([]Phase, 0, PhaseQuarantined+1)
	for p := PhaseNew; p <= PhaseQuarantined; p++ {
		all = append(all, p)
	}
	return all
}

// String is the phase's name as logs and the API show it.
func (p Phase) String() string {
	switch p {
	case PhaseNew:
		return "new"
	case PhasePreparing:
		return "preparing"
	case PhaseRunning:
		return "running"
	case PhaseDraining:
		return "draining"
	case PhaseFailed:
		return "failed"
	case PhaseStopped:
		return "stopped"
	case PhaseWaiting:
		return "waiting"
	case PhaseBackoff:
		return "backoff"
	case PhaseQuarantined:
		return "quarantined"
	default:
		return "unknown"
	}
}

// MarshalText makes the phase readable in JSON.
func (p Phase) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// StopReason says why an instance is to stop, which decides what becomes of its series and of its log.
type StopReason uint8

// The reasons of a stop.
const (
	// NotStopping is the zero value.
	NotStopping StopReason = iota
	// Moved: another node takes over. No staleness markers; the log is removed once it is empty.
	Moved
	// Deleted: the config is gone. Staleness markers are written; the log is removed once it is empty.
	Deleted
	// Shutdown: this process ends. No staleness markers; what could not be sent stays on disk for
	// the next process.
	Shutdown
	// Fenced: another node runs the unit, or may. Scraping is cut off: nothing is committed from
	// now on, and no staleness markers are written; the log is removed once it is empty.
	Fenced
	// Held: a person wants the config not to run. Staleness markers are written; the log is removed
	// once it is empty.
	Held
)

// String is the reason's name as logs show it.
func (r StopReason) String() string {
	switch r {
	case NotStopping:
		return "not stopping"
	case Moved:
		return "moved"
	case Deleted:
		return "deleted"
	case Shutdown:
		return "shutdown"
	case Fenced:
		return "fenced"
	case Held:
		return "held"
	default:
		return "unknown"
	}
}

// MarshalText makes the reason readable in JSON.
func (r StopReason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }
