package messages

import "time"

// Question is what the outside asks the supervisor. A question may be asked at any time and changes nothing; one that is
// lost is answered by nobody, so ask with a deadline.
type Question interface{ question() }

// DescribeTree is answered by TreeDescription.
type DescribeTree struct{}

// DescribeUnit is answered by UnitAnswer.
type DescribeUnit struct {
	Unit Unit
}

func (DescribeTree) question() {}
func (DescribeUnit) question() {}

// TreeDescription is the state of everything under one supervisor.
type TreeDescription struct {
	// Complete is true once the store has been listed successfully (at once if there is no store).
	Complete bool
	// Settled is true when Complete, and every known document was looked at, and no instance is still on its way to
	// running: what the readiness probe wants to know.
	Settled bool
	// Stopping is true after StopTree.
	Stopping bool
	// StoreProblem is the newest error of the store; empty when it answered last time.
	StoreProblem string
	// Doubt says why part of the last listing is not believed; empty if all of it is.
	Doubt string
	// Units is every unit that is wanted or still here, ordered by Unit.Compare.
	Units List[UnitDescription]
}

// UnitAnswer answers DescribeUnit.
type UnitAnswer struct {
	// Known is false if there is no such unit here.
	Known bool
	Unit  UnitDescription
}

// UnitDescription is the state of one unit.
type UnitDescription struct {
	Unit  Unit
	Phase Phase
	// Since is when the phase began.
	Since time.Time
	// Local is true for a config of the main file.
	Local bool
	// Generation numbers the newest start attempt. It grows with every attempt of any unit, so no two share one; 0 before
	// the first.
	Generation uint64
	// RunningRevision and RunningDigest are those in force; zero if nothing runs.
	RunningRevision int64
	RunningDigest   Digest
	// WantedRevision and WantedDigest are those of the newest valid document; zero if there is none.
	WantedRevision int64
	WantedDigest   Digest
	// Hold says in words why what is wanted is not being done; empty if nothing is held.
	Hold string
	// LastError is the newest failure of the unit, also after it recovered; empty if it never failed.
	LastError string
	// Failures counts the failures in a row; it starts again after a quiet time, a change or a retry.
	Failures int
	// Restarts counts the generations after the first.
	Restarts int
	// NextAttempt is when the backoff is over; zero if there is none.
	NextAttempt time.Time
	// QuarantineReason says why the unit waits for a change or a person; empty if it does not.
	QuarantineReason string
	// InvalidReason says what is wrong with the newest document; empty if it is valid.
	InvalidReason string
	// Pending is the number of samples that the last generation left on disk.
	Pending uint64
}
