// Package lifecycle decides what an instance does next. It is pure: it takes values and returns
// values; it has no clock, no goroutine, no log, and never touches a pipeline. Package actors
// performs what it decides.
//
// It holds two deciders:
//
//   - [State.Step] is the life of one generation: given where it stands and what happened, it says where it stands now and
//     what is to be done. One function per phase, one place that changes the phase, and a table of the legal moves:
//     new → preparing → running → draining → stopped, with failed → stopped from anywhere before draining. A generation never comes back: the
//     next attempt is a new one.
//   - [Failures.Add] is a unit's memory of failed generations: how long the next attempt has to wait, and when
//     there are to be no more of them until something changes.
//
// At most one operation on the pipeline is under way at any time, so that a pipeline need not be
// safe for concurrent calls. The tests walk every reachable state with every input.
package lifecycle
