package reshard

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/ringmaster-agent/ringmaster/messages"
)

// Plan is what to do. Each list is ordered by unit, so equal views have equal plans.
type Plan struct {
	Start  []Start
	Reload []Reload
	Stop   []Stop
	// Run lets instances scrape, and Write is for the store.
	Run   []Run
	Write []Write
	// Ask is the units about which nothing is decided before the store has answered.
	Ask []messages.Unit
	// Hold is what is wanted and is not being done, and why. Holds are not commands: they describe.
	Hold []Hold
	// Wake is when the passing of time alone changes what is decided about a unit. Most have none.
	Wake map[messages.Unit]time.Time
}

// Quiet reports whether there is nothing to do.
func (p Plan) Quiet() bool {
	return len(p.Start)+len(p.Reload)+len(p.Stop)+len(p.Run)+len(p.Write) == 0
}

// Commands are the units that are to be told something, or about which something is to be written,
// each with what that is in a word.
func (p Plan) Commands() iter.Seq2[messages.Unit, string] {
	return func(yield func(messages.Unit, string) bool) {
		for _, c := range p.Start {
			if !yield(c.Unit, "start") {
				return
			}
		}
		for _, c := range p.Reload {
			if !yield(c.Unit, "reload") {
				return
			}
		}
		for _, c := range p.Stop {
			if !yield(c.Unit, "stop") {
				return
			}
		}
		for _, c := range p.Run {
			if !yield(c.Unit, "run") {
				return
			}
		}
		for _, c := range p.Write {
			if !yield(c.Unit, c.Kind.String()) {
				return
			}
		}
	}
}

// Start asks for a new generation.
type Start struct {
	Unit    messages.Unit
	Version Version
	// Hold: it has to wait for its Run.
	Hold bool
	// Drain: another node runs the unit; this is about what is left in the log here.
	Drain bool
	// Warm: another node scrapes meanwhile, so there is time to find the targets first.
	Warm bool
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

// Run lets a prepared instance scrape, or one that scrapes go on, by the claim of this epoch.
type Run struct {
	Unit  messages.Unit
	Epoch int64
}

// Write is one record to write or to delete.
type Write = messages.RecordWrite

// WriteKind says what is to be written about a unit.
type WriteKind = messages.WriteKind

// The kinds of Write.
const (
	ClaimUnit      = messages.ClaimUnit
	ReleaseUnit    = messages.ReleaseUnit
	RemoveClaim    = messages.RemoveClaim
	IntendUnit     = messages.IntendUnit
	WithdrawIntent = messages.WithdrawIntent
)

// Cause is why something has to wait.
type Cause uint8

// The causes of a Hold.
const (
	// InvalidConfig: the newest document is not valid. What ran goes on running.
	InvalidConfig Cause = iota
	// InBackoff: the last attempt failed; the next waits until Hold.Until.
	InBackoff
	// InQuarantine: too many attempts failed; the next is made at Hold.Until, or after a change, or
	// when a person asks for it.
	InQuarantine
	// StillEnding: the generation before has not released the log yet.
	StillEnding
	// VanishedConfig: the document is missing from a listing that looks wrong; it counts as there
	// until a second listing agrees.
	VanishedConfig
	// OrphanedConfig: the store is not the one that had the document, and lacks it.
	OrphanedConfig
	// NotListed: the config is not known, but neither is the whole set, so nothing stops.
	NotListed
	// OwnerUnknown: it is not known who should run the unit, so nothing starts or stops.
	OwnerUnknown
	// NoOwner: there are not enough nodes to run it.
	NoOwner
	// ClaimUnknown: it is not known whether another node runs the unit.
	ClaimUnknown
	// OthersMayReturn: this node has lost its session; others may have too, and still be running
	// what nobody has claimed, until Hold.Until.
	OthersMayReturn
	// ClaimedByAnother: this node is prepared, and Hold.Detail still runs the unit.
	ClaimedByAnother
	// ClaimUnreadable: there is a claim that can't be read; Detail says why.
	ClaimUnreadable
	// SuccessorNotReady: Detail should run the unit and is not prepared yet, so it goes on here.
	SuccessorNotReady
	// StoreAsked: Detail is ready to run the unit, which goes on here until the store answers:
	// while it does not, nobody could take it over.
	StoreAsked
	// SlicesUnknown: no version of the config has been looked at, so it is not known whether it has
	// this slice.
	SlicesUnknown
	// HeldByOrder: a person has stopped the config on all nodes; Detail says who, when and why.
	HeldByOrder
	// StillHasTargets: the config has no such slice any more, but until Hold.Until it has targets.
	StillHasTargets
)

// Hold is one reason to wait.
type Hold struct {
	Unit  messages.Unit
	Cause Cause
	// Until goes with OthersMayReturn, InBackoff, InQuarantine and StillHasTargets.
	Until time.Time
	// Detail goes with InvalidConfig (what is wrong), ClaimedByAnother, SuccessorNotReady and
	// StoreAsked (the node), ClaimUnreadable, HeldByOrder.
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
		return "quarantined after too many failures; tried again at " + h.Until.UTC().Format(time.RFC3339) + ", or when the config changes or somebody retries it"
	case StillEnding:
		return "waiting for the previous generation to end"
	case VanishedConfig:
		return "missing from a listing that lacks too much to be believed; waiting for a second listing"
	case OrphanedConfig:
		return "missing from the store, which was emptied, replaced or restored since; goes on until it is written or deleted there"
	case NotListed:
		return "not known, but the store has not been listed completely yet"
	case OwnerUnknown:
		return "it is not known which node should run this"
	case NoOwner:
		return "there are fewer nodes than replicas; waiting for a node to join"
	case ClaimUnknown:
		return "the store can't be asked whether another node runs this"
	case OthersMayReturn:
		return "nobody has claimed this, but who ran it may not know yet; waiting until " + h.Until.UTC().Format(time.RFC3339)
	case ClaimedByAnother:
		return "ready; waiting for node " + h.Detail + " to stop running this"
	case ClaimUnreadable:
		return "its claim in the store can't be read: " + h.Detail
	case SuccessorNotReady:
		return "goes on here until node " + h.Detail + ", which should run this, is ready"
	case StoreAsked:
		return "goes on here until the store answers, so that node " + h.Detail + " can take it over"
	case SlicesUnknown:
		return "no version of the config is valid, so it is not known how many slices it has"
	case HeldByOrder:
		return h.Detail
	case StillHasTargets:
		return "its targets go to other slices of the config at " + h.Until.UTC().Format(time.RFC3339)
	default:
		return fmt.Sprintf("cause %d", h.Cause)
	}
}

func sortPlan(p *Plan) {
	slices.SortFunc(p.Start, func(a, b Start) int { return a.Unit.Compare(b.Unit) })
	slices.SortFunc(p.Reload, func(a, b Reload) int { return a.Unit.Compare(b.Unit) })
	slices.SortFunc(p.Stop, func(a, b Stop) int { return a.Unit.Compare(b.Unit) })
	slices.SortFunc(p.Run, func(a, b Run) int { return a.Unit.Compare(b.Unit) })
	slices.SortFunc(p.Write, func(a, b Write) int { return cmp.Or(a.Unit.Compare(b.Unit), cmp.Compare(a.Kind, b.Kind)) })
	slices.SortFunc(p.Ask, messages.Unit.Compare)
	slices.SortStableFunc(p.Hold, func(a, b Hold) int { return a.Unit.Compare(b.Unit) })
}

func (p *Plan) hold(u messages.Unit, c Cause) { p.Hold = append(p.Hold, Hold{Unit: u, Cause: c}) }

func (p *Plan) wakeAt(u messages.Unit, t time.Time) {
	if p.Wake == nil {
		p.Wake = map[messages.Unit]time.Time{}
	}
	if before, ok := p.Wake[u]; !ok || t.Before(before) {
		p.Wake[u] = t
	}
}
