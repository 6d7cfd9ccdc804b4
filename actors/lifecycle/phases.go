package lifecycle

import "github.com/ringmaster-agent/ringmaster/messages"

func (m *step) whenNew(in Input) {
	switch in.Kind {
	case StartWanted:
		m.Held = in.Hold
		m.become(messages.PhasePreparing)
		m.begin(Open)
	case StopWanted:
		m.Reason = in.Reason
		m.finish()
	}
}

func (m *step) whenPreparing(in Input) {
	switch in.Kind {
	case RunWanted:
		m.Held = false
		if m.Busy == NoOp {
			m.begin(Start)
		}
	case ReloadWanted:
		m.Reload = true
		if m.Busy == NoOp {
			m.begin(Reload)
		}
	case StopWanted:
		m.stop(in.Reason)
	case Broke:
		m.fail()
	case Errored, Panicked:
		m.ended()
		m.fail()
	case Done:
		switch m.ended() {
		case Open:
			m.Opened = true
			m.report(Prepared)
			m.reloadOr(m.startOrHold())
		case Reload:
			m.report(Reloaded)
			m.reloadOr(m.startOrHold())
		case Start:
			m.become(messages.PhaseRunning)
			m.report(Running)
			m.reloadOr(NoOp)
		}
	}
}

func (m *step) whenRunning(in Input) {
	switch in.Kind {
	case ReloadWanted:
		m.Reload = true
		if m.Busy == NoOp {
			m.begin(Reload)
		}
	case StopWanted:
		m.stop(in.Reason)
	case Broke:
		m.fail()
	case Panicked:
		m.ended()
		m.Broken = true
		m.fail()
	case Done:
		m.ended()
		m.report(Reloaded)
		m.reloadOr(NoOp)
	case Errored:
		// The config that was in force still is, so the instance goes on.
		m.ended()
		m.report(ReloadFailed)
		m.reloadOr(NoOp)
	}
}

// whenDraining waits for the operation under way, then takes the next of stop scraping, drain, close.
func (m *step) whenDraining(in Input) {
	switch {
	case in.Kind == StopWanted:
		m.effects = append(m.effects, Effect{Kind: Hurry})
	case in.Kind == Broke && m.Busy != Close:
		m.Broken = true
		m.cancel()
	case in.endsOp():
		op := m.ended()
		switch {
		case op == Open:
			m.Opened = in.Kind == Done
		case op == Drain:
			m.Drained = in.Kind == Done && in.Drained
		case op == StopScraping && in.Kind == Done:
			m.report(Quiet)
		case op == StopScraping && in.Kind == Errored, in.Kind == Panicked:
			// Something may still be appending, so the log never looks empty for certain.
			m.Broken = true
		}
		switch {
		case op == Close || op == Drain || m.Broken || !m.Opened:
			m.closeAfter(op)
		case m.Scraping:
			m.begin(StopScraping)
		default:
			m.begin(Drain)
		}
	}
}

// whenFailed waits for the operation under way and releases what there is.
func (m *step) whenFailed(in Input) {
	if !in.endsOp() {
		return
	}
	op := m.ended()
	if op == Open {
		m.Opened = in.Kind == Done
	}
	m.closeAfter(op)
}

// startOrHold is what comes after the opening.
func (m *step) startOrHold() Op {
	if m.Held {
		return NoOp
	}
	return Start
}

// reloadOr begins a reload if a newer config waits, the other operation if not.
func (m *step) reloadOr(op Op) {
	switch {
	case m.Reload:
		m.begin(Reload)
	case op != NoOp:
		m.begin(op)
	}
}

func (m *step) stop(reason messages.StopReason) {
	m.Reason = reason
	m.Reload = false
	m.become(messages.PhaseDraining)
	m.report(Draining)
	switch {
	case m.Busy != NoOp:
		m.cancel()
	case m.Scraping:
		m.begin(StopScraping)
	default:
		m.begin(Drain)
	}
}

func (m *step) fail() {
	m.Reload = false
	m.Broken = true
	m.become(messages.PhaseFailed)
	m.report(Failed)
	if m.Busy == NoOp {
		m.closeAfter(NoOp)
		return
	}
	m.cancel()
}

// closeAfter closes the pipeline if there is one that the last operation was not closing already.
func (m *step) closeAfter(last Op) {
	if m.Opened && last != Close {
		m.begin(Close)
		return
	}
	m.finish()
}

func (m *step) finish() {
	m.become(messages.PhaseStopped)
	m.report(Stopped)
	m.effects = append(m.effects, Effect{Kind: End})
}
