package presence

import (
	"fmt"
	"time"

	"github.com/ringmaster-agent/ringmaster/messages"
)

// retryFirst and retryLongest bound the wait after a call of the store that failed.
const (
	retryFirst   = 250 * time.Millisecond
	retryLongest = 2 * time.Second
)

// State is where the node stands. The zero value is a node that has just started.
type State struct {
	Phase Phase
	// Place is what the supervisor wants.
	Place messages.Place
	// Record is the state in the member record as this process has written it last; it counts in
	// Present and Writing.
	Record messages.MemberState
	// Intended is the state in the record that is being written.
	Intended messages.MemberState
	// Earlier: the session in use is that of the process before.
	Earlier bool
	// ActiveFrom is when a node that is wanted on the ring goes there; zero until it is wanted there.
	ActiveFrom time.Time
	// Failures in a row, and when the next attempt may be made.
	Failures  int
	NotBefore time.Time
}

// Kind says what happened.
type Kind uint8

// What can happen.
const (
	// Looked: some time has passed. It comes several times a second, and whenever something is heard.
	Looked Kind = iota
	// Told: TakePlace came, with Input.Place.
	Told
	// Adopt: the store does not answer, and the session of the process before is known.
	Adopt
	// Opened: there is a session, and a member record in Input.Record.
	Opened
	// OpenFailed: there is none.
	OpenFailed
	// Wrote: the member record has been written, with Input.Record. WriteFailed: that is not known.
	Wrote
	WriteFailed
	// Ended: the store has said that the session is over.
	Ended
	// Fenced: the node must not do anything by its session any more: fencing says so, or another
	// process has its name, or somebody is about to end the session.
	Fenced
	// Closed: the session was ended, or it runs out by itself.
	Closed
)

// Input is one thing that happened, and what is known at that moment.
type Input struct {
	Kind Kind
	Now  time.Time
	// Jitter is from 0 up to 1.
	Jitter float64
	// Listed: the members are known, so it is known whether the record is there.
	Listed bool
	// Rewrite: the record has to be written again although its state is right: somebody has removed
	// it, or renewals are doubted.
	Rewrite bool
	// StoreAnswers: the store renews a session that was given up.
	StoreAnswers bool
	// Place and JoinAfter go with Told. JoinAfter is how long the node is seen as joining, once it
	// is wanted on the ring.
	Place     messages.Place
	JoinAfter time.Duration
	// KeepClaims: a node that is wanted to be gone leaves its session to its next process.
	KeepClaims bool
	// Record goes with Opened and Wrote.
	Record messages.MemberState
	// After goes with OpenFailed: how long what is in the way will be there; zero: that is not known.
	After time.Duration
}

// Effect is the one thing to do.
type Effect uint8

// The effects.
const (
	// Nothing is to be done.
	Nothing Effect = iota
	// Open a session and register with State.Intended in the record.
	Open
	// Write the record with State.Intended.
	Write
	// GiveUp the session: it allows nothing any more. It is kept until the store answers.
	GiveUp
	// Close the session, which allows nothing any more.
	Close
	// Drop the session: it is over, or not this process's.
	Drop
	// Abandon the session: it is not renewed any more, and left to the next process.
	Abandon
)

// Step takes the node one step further. It returns the same state if there is nothing to do.
func Step(s State, in Input) (State, Effect) {
	switch in.Kind {
	case Told:
		s = s.told(in)
	case Opened:
		return s.opened(in)
	case OpenFailed:
		return s.openFailed(in), Nothing
	case Wrote, WriteFailed:
		return s.wrote(in), Nothing
	case Adopt:
		switch {
		case s.Place == messages.PlaceGone:
		case s.Phase == Absent:
			s.Earlier = true
			return s.become(Adopted), Nothing
		case s.Phase == Opening:
			s.Earlier = true
		}
		return s, Nothing
	case Ended:
		if s.holds() {
			s.Earlier = false
			return s.become(Absent), Drop
		}
		return s, Nothing
	case Fenced:
		if s.Phase == Present || s.Phase == Writing || s.Phase == Adopted {
			return s.become(GivenUp), GiveUp
		}
		return s, Nothing
	case Closed:
		if s.Phase == Closing {
			return s.become(s.afterClose()), Nothing
		}
		return s, Nothing
	}
	return s.next(in)
}

// told takes in what the supervisor wants. It only goes one way.
func (s State) told(in Input) State {
	s.Place = max(s.Place, in.Place)
	if s.Place == messages.PlaceActive && s.ActiveFrom.IsZero() {
		s.ActiveFrom = in.Now.Add(in.JoinAfter)
	}
	return s
}

// next is what is due.
func (s State) next(in Input) (State, Effect) {
	if s.Place == messages.PlaceGone {
		return s.leave(in)
	}
	wanted := s.wanted(in.Now)
	switch s.Phase {
	case Absent, Adopted:
		if in.Listed && !in.Now.Before(s.NotBefore) {
			s.Intended = wanted
			return s.become(Opening), Open
		}
	case Present:
		if (s.Record != wanted || in.Rewrite) && !in.Now.Before(s.NotBefore) {
			s.Intended = wanted
			return s.become(Writing), Write
		}
		if s.Record == wanted && !in.Rewrite {
			s.Failures, s.NotBefore = 0, time.Time{} // a write that seemed to fail may have been done
		}
	case GivenUp:
		switch {
		case s.Earlier:
			s.Earlier = false
			return s.become(Absent), Drop
		case in.StoreAnswers:
			return s.become(Closing), Close
		}
	}
	return s, Nothing
}

// leave is what is due when the node is wanted to be gone.
func (s State) leave(in Input) (State, Effect) {
	switch s.Phase {
	case Absent:
		return s.become(Gone), Nothing
	case Adopted:
		s.Earlier = false
		return s.become(Gone), Drop
	case Present, Writing:
		if in.KeepClaims {
			return s.become(Gone), Abandon
		}
		return s.become(Closing), Close
	case GivenUp:
		if s.Earlier {
			s.Earlier = false
			return s.become(Gone), Drop
		}
		return s.become(Closing), Close
	}
	return s, Nothing // a call of the store is on its way
}

func (s State) opened(in Input) (State, Effect) {
	if s.Phase != Opening {
		return s, Nothing
	}
	s.Earlier, s.Record, s.Failures, s.NotBefore = false, in.Record, 0, time.Time{}
	s = s.become(Present)
	if s.Place == messages.PlaceGone {
		return s.leave(in)
	}
	return s, Nothing
}

func (s State) openFailed(in Input) State {
	if s.Phase != Opening {
		return s
	}
	switch {
	case s.Place == messages.PlaceGone:
		return s.become(Gone)
	case s.Earlier:
		s = s.become(Adopted)
	default:
		s = s.become(Absent)
	}
	if in.After > 0 {
		s.NotBefore = in.Now.Add(in.After)
		return s
	}
	return s.retryLater(in)
}

func (s State) wrote(in Input) State {
	if s.Phase != Writing {
		return s
	}
	if in.Kind == WriteFailed {
		return s.become(Present).retryLater(in)
	}
	s.Record, s.Failures, s.NotBefore = in.Record, 0, time.Time{}
	return s.become(Present)
}

func (s State) retryLater(in Input) State {
	wait := retryLongest
	if s.Failures < 3 {
		wait = retryFirst << s.Failures
	}
	s.Failures++
	s.NotBefore = in.Now.Add(wait/2 + time.Duration(in.Jitter*float64(wait/2)))
	return s
}

func (s State) afterClose() Phase {
	if s.Place == messages.PlaceGone {
		return Gone
	}
	return Absent
}

// wanted is the state that the member record should have.
func (s State) wanted(now time.Time) messages.MemberState {
	registered := s.Phase == Present || s.Phase == Writing
	switch {
	case s.Place >= messages.PlaceLeaving:
		return messages.Leaving
	case registered && s.Record == messages.Active, !s.ActiveFrom.IsZero() && !now.Before(s.ActiveFrom):
		return messages.Active
	default:
		return messages.Joining
	}
}

// holds reports whether there is a session that may end.
func (s State) holds() bool { return s.Phase == Present || s.Phase == Writing || s.Phase == GivenUp }

// become is the one place where the phase changes.
func (s State) become(p Phase) State {
	if !s.Phase.CanBecome(p) {
		panic(fmt.Sprintf("a node that is %v can't become %v", s.Phase, p))
	}
	s.Phase = p
	return s
}
