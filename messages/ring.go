package messages

import "time"

// RingCommand is what the supervisor tells the ring actor. All of them may be sent at any time.
type RingCommand interface{ ringCommand() }

// Place is what the supervisor wants this node to be in its cluster. It only grows: a node that
// leaves does not come back.
type Place uint8

// The places, in order of life.
const (
	// PlaceJoining: registered, and not ready to own anything, since the node does not know the
	// configs yet.
	PlaceJoining Place = iota
	// PlaceActive: on the ring.
	PlaceActive
	// PlaceLeaving: off the ring. What the node runs it keeps until others have taken it over.
	PlaceLeaving
	// PlaceGone: nothing of the node is left in the store, or only what its next process will find
	// (see KeepClaims).
	PlaceGone
)

// String is the place in a word, for logs.
func (p Place) String() string {
	switch p {
	case PlaceJoining:
		return "joining"
	case PlaceActive:
		return "active"
	case PlaceLeaving:
		return "leaving"
	case PlaceGone:
		return "gone"
	default:
		return "unknown"
	}
}

// TakePlace says everything that the supervisor wants of the ring actor, and what it has heard of
// it. It is sent whenever one of these changes, and at every reshard interval: so it makes good
// whatever was lost between the two. The ring actor answers with SessionChanged and RingChanged if
// the supervisor has not heard of the newest, always with RecordsPending, and with SessionEnded
// once the node is gone. Lost: the next one says the same.
type TakePlace struct {
	// Number grows with each TakePlace. RecordsPending repeats it.
	Number uint64
	Place  Place
	// Session and Ring are those of the newest SessionChanged and RingChanged that were heard.
	Session string
	Ring    uint64
	// Unfit and Declines go into the member record.
	Unfit    string
	Declines List[string]
	// Earlier is the session of the process before, to go on by while the store does not answer.
	// Its ID is empty if there is none.
	Earlier EarlierSession
}

// EarlierSession is the session of a process of this node that has ended.
type EarlierSession struct {
	ID, Incarnation string
	// Renewed is when the store last renewed it, if that process had lost the store; otherwise zero.
	Renewed time.Time
}

// WriteRecords asks for claims and intents to be written. Answered by RecordsWritten, in one or
// several parts. Lost: RecordsPending shows it.
type WriteRecords struct{ Writes List[RecordWrite] }

// AskStore asks whether the store answers. Answered by StoreAnswered, if it does. Lost: whoever
// waits asks again.
type AskStore struct {
	// Asked is when that is, by the clock of the process; the answer repeats it.
	Asked time.Time
}

// ForgetMember asks to remove what a dead node has left in the store: its session, with its claims,
// and its record. It is passed on by the supervisor with its sender, who gets MemberForgotten.
// Lost: the sender gets no answer, and asks again.
type ForgetMember struct{ Node string }

func (TakePlace) ringCommand()    {}
func (WriteRecords) ringCommand() {}
func (AskStore) ringCommand()     {}
func (ForgetMember) ringCommand() {}

// ForgetMember comes from outside, too.
func (ForgetMember) controlCommand() {}

// RingEvent is what the ring actor tells the supervisor.
type RingEvent interface{ ringEvent() }

// SessionChanged says by which session the node claims from now on. Nothing answers it. Lost: the
// next TakePlace shows it.
type SessionChanged struct {
	// Session is empty if the node has none.
	Session string
	// Incarnation is that of the process whose claims in this session are this node's: the present
	// one, or the one before while the store is away.
	Incarnation string
	// OthersMayHaveRun: before, the node was without permission to scrape for so long that others
	// may have run its units, or went on although it was isolated.
	OthersMayHaveRun bool
}

// RingChanged brings the members of the ring, which have not changed for a while. Nothing answers
// it. Lost: the next TakePlace shows it.
type RingChanged struct {
	// Number grows with each ring of this ring actor; it is never 0.
	Number  uint64
	Members List[RingMember]
}

// RingMember is a member with its place on the ring.
type RingMember struct {
	Node, Zone string
	Tokens     List[uint32]
	// Declines is the names of the configs that are others' although their place on the ring is the
	// member's.
	Declines List[string]
	// Cordoned: units that others run are others' although their place on the ring is the member's.
	Cordoned bool
}

// RecordsWritten says what became of writes. Nothing answers it. Lost: RecordsPending shows that
// these are not being written any more, and the watch of the store what they are.
type RecordsWritten struct {
	Records List[RecordWritten]
	// Problem says why it is not known what became of all of them; empty if it is.
	Problem string
}

// RecordWritten is what became of one write.
type RecordWritten struct {
	Record Record
	// Refused: the condition did not hold, so nothing was written.
	Refused bool
	// Claim and Intent are what the record is now, as the watch will tell it; both have no Node if
	// it was deleted, at Revision.
	Claim    Claim
	Intent   Intent
	Revision int64
}

// Event is what the watch will tell of the write; nil if it was refused.
func (w RecordWritten) Event() RegistryEvent {
	switch {
	case w.Refused:
		return nil
	case w.Intent.Node != "":
		return IntentPut{Intent: w.Intent}
	case w.Claim.Node != "":
		return ClaimPut{Claim: w.Claim}
	case w.Record.Intent:
		return IntentGone{Unit: w.Record.Unit, Revision: w.Revision}
	default:
		return ClaimGone{Unit: w.Record.Unit, Revision: w.Revision}
	}
}

// RecordsPending answers TakePlace: all records whose writing was asked for before that TakePlace,
// and which are not among these, are not being written any more. Lost: the next TakePlace is
// answered too.
type RecordsPending struct {
	// Number is that of the TakePlace.
	Number  uint64
	Records List[Record]
}

// ClusterProblem says why the node can't take its place; empty if it can. It comes when that
// changes, and with the answers to TakePlace.
type ClusterProblem struct{ Reason string }

// StoreAway says that the store does not answer any more, and when the session was renewed last.
// Lost: a restart while the store is away knows less.
type StoreAway struct{ Renewed time.Time }

// StoreAnswered answers AskStore. Lost: as a question that was.
type StoreAnswered struct{ Asked time.Time }

// SessionEnded says that the node is gone, as PlaceGone asks. Lost: the next TakePlace is answered
// with it again.
type SessionEnded struct{}

// MemberForgotten answers ForgetMember.
type MemberForgotten struct {
	// Known is false if there is no record of that node.
	Known bool
	// Problem says why nothing was removed; empty if it was.
	Problem string
}

func (SessionChanged) ringEvent()  {}
func (RingChanged) ringEvent()     {}
func (RecordsWritten) ringEvent()  {}
func (RecordsPending) ringEvent()  {}
func (ClusterProblem) ringEvent()  {}
func (StoreAway) ringEvent()       {}
func (StoreAnswered) ringEvent()   {}
func (SessionEnded) ringEvent()    {}
func (MemberForgotten) ringEvent() {}

// Record names a unit's claim, or its intent.
type Record struct {
	Unit   Unit
	Intent bool
}

// WriteKind says what is to be written about a unit.
type WriteKind uint8

// The kinds of RecordWrite.
const (
	// ClaimUnit: this node runs the unit. Nobody has claimed it, or it was released.
	ClaimUnit WriteKind = iota
	// ReleaseUnit: this node has stopped; anybody may claim it.
	ReleaseUnit
	// RemoveClaim: nobody runs the unit any more, and nobody should.
	RemoveClaim
	// IntendUnit: this node is prepared to run the unit.
	IntendUnit
	// WithdrawIntent: it is not any more.
	WithdrawIntent
)

// String is the kind in a word.
func (k WriteKind) String() string {
	return [...]string{"claim", "release", "remove claim", "intend", "withdraw"}[k]
}

// RecordWrite is one record to write or to delete, if the record has the revision.
type RecordWrite struct {
	Unit Unit
	Kind WriteKind
	// Revision is what the record's must be; 0: there must be none. An intent is written over
	// whatever is there.
	Revision int64
	// Handover goes with ReleaseUnit.
	Handover Handover
}

// Record is what it writes.
func (w RecordWrite) Record() Record {
	return Record{Unit: w.Unit, Intent: w.Kind == IntendUnit || w.Kind == WithdrawIntent}
}
