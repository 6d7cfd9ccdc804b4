// Package fault breaks a running agent on purpose, at named points.
//
// A [Point] is a place in the code where something can go wrong: a message at its receiver, a write
// to the disk, a request to a receiver. [Points] lists all of them, with the [Action]s that each
// knows. A [Rule] says what happens at a point: which action, to which nodes, units, actors,
// messages and peers, how often, from when on, and for how long. A [Registry] holds the rules of
// one node.
//
// # What it owns
//
// The rules in force, and whether one of them applies to an event. The parts of the agent ask with
// [Registry.Decide] and do what the [Verdict] says: package actors does so for messages, package
// around for everything that surrounds the actors.
//
// # What it refuses to own
//
// Rules are never written to disk, and each ends by itself: its duration is bounded by
// [MaxDuration], and a process that starts has no rules. The package knows no actor, file or
// connection.
//
// # Cost
//
// A nil *Registry is valid and has no rules: a part that asks it pays one nil check. A registry
// without rules costs one atomic load.
//
// # Concurrency
//
// Any goroutine may call any method. Decide takes no lock.
//
// # Testing
//
// The same rules with the same seeds, asked the same questions in the same order, give the same
// answers. Options.Now and Options.AfterFunc bring the time of a simulation. Package faulttest has
// short forms for tests.
package fault
