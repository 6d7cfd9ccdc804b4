// Package reshard decides which instances start, reload, stop, and which have to wait. It is pure: the time is an argument,
// and there is no clock, log, metric or I/O.
//
//   - [Catalog] folds what is heard of the store's configs (puts, deletions, listings) into what is known of them. It drops
//     what is stale and holds back what looks wrong, so that an empty or truncated answer is not taken for a deletion.
//   - [Decide] turns a [View] of everything into a [Plan]. It is level-triggered: it looks at how things are, not at
//     what changed, so a lost event costs time and never correctness. A quiet world has a plan without commands.
//
// Only positive evidence stops something that runs. Not knowing who owns a unit, not having listed the store yet, an
// invalid or undecodable document, a mass disappearance: each leaves things as they are, as a [Hold] with its reason.
//
// Everything is about units, and ownership is a question asked of [Owners], so a ring with many members is another value
// of the View and not another algorithm.
//
// A Catalog belongs to one goroutine. Decide neither changes nor keeps its View.
package reshard
