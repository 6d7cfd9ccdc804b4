package web

// The states of a config's unit, as all pages have them, worst first.
const (
	stateUnowned     = "unowned"     // nobody runs it, and nothing says why: it has not come only now
	stateQuarantined = "quarantined" // it failed too often
	stateFailed      = "failed"      // it is in backoff
	stateInvalid     = "invalid"     // its newest text is refused
	stateRefused     = "refused"     // a receiver refuses or does not answer
	stateDown        = "down"        // a target is down
	stateLagging     = "lagging"     // what is sent is old
	stateWaiting     = "waiting"     // it waits for something, told in words
	stateHeld        = "held"        // a person has stopped it
	statePreparing   = "preparing"   // it starts, or is so new that nobody has claimed it yet
	stateDraining    = "draining"
	stateRunning     = "running"
)

// configStates are all of them, in this order.
var configStates = []string{
	stateUnowned, stateQuarantined, stateFailed, stateInvalid, stateRefused, stateDown, stateLagging, stateWaiting, stateHeld, statePreparing, stateDraining,
	stateRunning,
}

// Phases of an instance that are no states.
const (
	phaseNew     = "new"
	phaseBackoff = "backoff"
)

// stateOf is what a unit is in. Every page that says how a unit is doing has it from here: pages
// that decide by themselves disagree. row is what the node has that answers for the unit, nil if
// none does; u is nil if the node knows no more of it.
func stateOf(row *configRow, u *Unit) string {
	unclaimed, held, fresh := u != nil && u.isUnclaimed(), u != nil && u.Held, u != nil && u.New
	switch {
	case row == nil && unclaimed && held:
		return stateHeld
	case row == nil && unclaimed && fresh:
		return statePreparing
	case row == nil && unclaimed:
		return stateUnowned
	case row == nil: // who runs it does not answer
		return stateWaiting
	}
	running := row.Phase == PhaseRunning
	switch {
	case held && !running && row.Phase != stateDraining:
		return stateHeld
	case row.Quarantined, row.Phase == stateQuarantined:
		return stateQuarantined
	// What a running unit failed of before is not what it is in.
	case row.Phase == stateFailed, row.Phase == phaseBackoff, !running && !row.RetryAt.IsZero():
		return stateFailed
	case row.invalid:
		return stateInvalid
	case row.Failing > 0:
		return stateRefused
	case running && row.Targets.Down > 0:
		return stateDown
	case running && row.Lag > lateAfter:
		return stateLagging
	case running:
		return stateRunning
	case row.Phase == stateDraining:
		return stateDraining
	case row.Hold != "":
		return stateWaiting
	case row.Phase == statePreparing, row.Phase == phaseNew, unclaimed && fresh:
		return statePreparing
	case unclaimed:
		return stateUnowned
	}
	return stateWaiting
}

// lateAfter is from which lag on a person should know.
const lateAfter = 60 // seconds
