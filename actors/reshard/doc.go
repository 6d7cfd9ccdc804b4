// Package reshard decides which instances start, scrape, reload, stop, and which have to wait; and
// what this node writes about that for the others. It is pure: the time is an argument, and there
// is no clock, log, metric or I/O.
//
// [Decide] turns a [View] of everything that is known (package knowledge folds events into that)
// into a [Plan]. It is level-triggered: it looks at how things are, not at what changed, so a lost
// event costs time and never correctness. A quiet world has a plan without commands. What is said
// about a unit depends on no other, so [View].About can leave out those of which nothing has
// changed.
//
// Only positive evidence stops something that runs. Not knowing who owns a unit, not having listed
// the store yet, an invalid or undecodable document, a mass disappearance: each leaves things as
// they are, as a [Hold] with its reason.
//
// A slice that its config has no longer has its last targets until [Document].Redivided. Until then
// it goes on by the new config, which tells it which ticks are its last ones.
//
// Everything is about units, and ownership is a question asked of [Owners], so a ring with many
// members is another value of the View and not another algorithm.
//
// # Claims
//
// The ring says who should run a unit, the claim says who does. An instance scrapes by a claim of
// this node's present session and by no other ([Instance].Epoch is the claim's revision). It gets
// it in one of two ways:
//
//   - Nobody has claimed the unit, or who had has released it: the owner claims, under the condition that nothing has changed.
//   - Another node has claimed it: the owner prepares an instance and writes an intent. The other sees that the unit is not its own any
//     more and that its owner is prepared, stops scraping, and releases the claim. Until then it goes on, so an owner that can't start
//     moves nothing.
//
// What runs without a claim, since its session was lost, claims again whoever should run it; if
// another node was faster it is fenced. A claim that this node has tried to release is never run by
// again ([Cluster].GivenUp), since it can't know when that happens. A claim that can't be read
// belongs to somebody unknown: nobody takes the unit, and what runs goes on unless the claim lives
// with another session.
//
// An intent of another node is never overwritten: nodes that disagree about the ring would do
// nothing else. It is withdrawn when it is not true any more, and a session's end withdraws it in
// any case.
//
// Decide neither changes nor keeps its View.
//
// The tests are tables and stories for each decision, and a model: nodes that know everything too
// late decide about the same units, with faults, a store and instances as simple as can be, from a
// seed that replays them. Planted bugs show what it finds.
package reshard
