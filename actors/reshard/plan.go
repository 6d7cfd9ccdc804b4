package reshard

import (
	"fmt"
	"slices"
	"time"

	"github.com/ringmaster-agent/ringmaster/messages"
)

// Plan is what to do. Each list is ordered by unit, so equal views have equal plans.
type Plan struct {
	Start  []Start
	Reload []Reload
	Stop   []Stop
	// Hold is what is wanted and is not being done, and why. Holds are not commands: they describe.
	Hold []Hold
	// Wake is the earliest time at which the passing of time alone changes the plan; zero if there is none.
	Wake time.Time
}

// Quiet reports whether there is nothing to do.
func (p Plan) Quiet() bool { return len(p.Start)+len(p.Reload)+len(p.Stop) == 0 }

// Start asks for a new generation.
type Start struct {
	Unit    messages.Unit
	Version Version
}

// Reload asks a live generation to take another version of its config.
type Reload struct {
	Unit    messages.Unit
	Version Version
}

// Stop asks a live generation to end.
type Stop struct {
	Unit   messages.Unit
	Reason messages.StopReason
}

// Cause is why something has to wait.
type Cause uint8

// The causes of a Hold.
const (
	// InvalidConfig: the newest document is not valid. What ran goes on running.
	InvalidConfig Cause = iota
	// InBackoff: the last attempt failed; the next waits until Hold.Until.
	InBackoff
	// InQuarantine: too many attempts failed; a change or a person has to come.
	InQuarantine
	// StillEnding: the generation before has not released the log yet.
	StillEnding
	// VanishedConfig: the document is missing from a listing that looks wrong; it counts as there until a second listing agrees.
	VanishedConfig
	// NotListed: the config is not known, but neither is the whole set, so nothing stops.
	NotListed
	// OwnerUnknown: it is not known who should run the unit, so nothing starts or stops.
	OwnerUnknown
)

// Hold is one reason to wait.
type Hold struct {
	Unit  messages.Unit
	Cause Cause
	// Until goes with InBackoff.
	Until time.Time
	// Detail goes with InvalidConfig: what is wrong.
	Detail string
}

// String is the hold in words.
func (h Hold) String() string {
	switch h.Cause {
	case InvalidConfig:
		return "the newest version of the config is not valid: " + h.Detail
	case InBackoff:
		return "waiting after a failure until " + h.Until.UTC().Format(time.RFC3339)
	case InQuarantine:
		return "quarantined after too many failures, until the config changes or somebody retries it"
	case StillEnding:
		return "waiting for the previous generation to end"
	case VanishedConfig:
		return "missing from a listing that lacks too much to be believed; waiting for a second listing"
	case NotListed:
		return "not known, but the store has not been listed completely yet"
	case OwnerUnknown:
		return "it is not known which node should run this"
	default:
		return fmt.Sprintf("cause %d", h.Cause)
	}
}

func (p *Plan) sort() {
	slices.SortFunc(p.Start, func(a, b Start) int { return a.Unit.Compare(b.Unit) })
	slices.SortFunc(p.Reload, func(a, b Reload) int { return a.Unit.Compare(b.Unit) })
	slices.SortFunc(p.Stop, func(a, b Stop) int { return a.Unit.Compare(b.Unit) })
	slices.SortStableFunc(p.Hold, func(a, b Hold) int { return a.Unit.Compare(b.Unit) })
}

func (p *Plan) hold(u messages.Unit, c Cause) { p.Hold = append(p.Hold, Hold{Unit: u, Cause: c}) }

func (p *Plan) wakeAt(t time.Time) {
	if p.Wake.IsZero() || t.Before(p.Wake) {
		p.Wake = t
	}
}
