package presence

import "slices"

// Phase is where the node stands with the store.
type Phase uint8

// The phases, in order of life.
const (
	// Absent: it has no session.
	Absent Phase = iota
	// Adopted: it goes by the session of the process before, which it can't renew, while the store
	// does not answer.
	Adopted
	// Opening: it opens a session and registers with it. Until then it goes on by an adopted one,
	// if it has that.
	Opening
	// Present: it has a session and a member record.
	Present
	// Writing: the same, and the record is being written again.
	Writing
	// GivenUp: it has a session by which it does nothing any more, and waits for the store to
	// answer, or for others to end it.
	GivenUp
	// Closing: the session is being ended.
	Closing
	// Gone: it has left for good.
	Gone
)

// String is the phase in words.
func (p Phase) String() string {
	return [...]string{"absent", "adopted", "opening", "present", "writing", "given up", "closing", "gone"}[p]
}

// legal is every move there is.
var legal = map[Phase][]Phase{
	Absent:  {Adopted, Opening, Gone},
	Adopted: {Opening, GivenUp, Gone},
	Opening: {Present, Absent, Adopted, Closing, Gone},
	Present: {Writing, GivenUp, Absent, Closing, Gone},
	Writing: {Present, GivenUp, Absent, Closing, Gone},
	GivenUp: {Closing, Absent, Gone},
	Closing: {Absent, Gone},
	Gone:    {},
}

// CanBecome reports whether a phase may follow another.
func (p Phase) CanBecome(next Phase) bool { return slices.Contains(legal[p], next) }
