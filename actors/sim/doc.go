// Package sim runs the whole control plane of several nodes on one goroutine, with virtual time and
// a seed: the real supervisor, ring actor, watchers and instance actors, over fakes of what is
// around them.
//
//	World ── queue of events (virtual time, then chance)
//	  ├── store: revisions, conditions, sessions, watches; down, emptied, slow, replies lost
//	  └── node ×n: process (actors) ── link to the store, gossip, pipelines, clock, last known configs
//
// # What it owns
//
// Order. Everything that happens is an event in one queue: a mailbox that has something to do, a
// goroutine that goes on, a timer that is due, a request that arrives. Which of those that are due
// comes first, how long each message takes, and what breaks when, is drawn from the seed. The same
// seed gives the same run, to the last event; [Result.Hash] proves it. What the actors would run in
// goroutines runs in coroutines, which give up control only inside of the fakes. So a run needs no
// lock, and no real time passes in it.
//
// What can go wrong stands in one table, [faults], with how long each may leave a target unscraped.
// A seed is of one of three styles: planned (only what people do), dense (everything at once), or
// measured (one fault at a time, its cost against its bound).
//
// # What it asks
//
// After every scrape that is begun or committed: no other node may scrape that unit at this
// instant, and nobody has committed this tick before, nor another slice any of its targets. At
// every stop of an instance: there is a reason. At every start: the generation is new. Within
// [settleWithin] after the last fault: each wanted unit is scraped once, by its owner, all nodes
// agree who that is, and then nothing is ordered or written any more. Nothing in the store is left
// of nodes that are no more. A fault that comes alone costs no more ticks, and no more writes, than
// it may.
//
// # What it is worth
//
// As much as the bugs that it finds. A table of bugs is planted in copies of the production code,
// one at a time, and seeds alone have to find each; docs/simulation.md has the outcome.
//
// # What it refuses to own
//
// How samples are scraped, kept and sent: a pipeline here is a schedule of ticks that asks its
// permit. Real stores and real gossip: those are held to the same contracts by their own tests.
//
// # Concurrency
//
// A [World] belongs to one goroutine. Several worlds may run at once. A [System] may be used by one
// world after another, not by two at once.
package sim
