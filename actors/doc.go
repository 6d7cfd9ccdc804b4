// Package actors is the control plane of one node: the supervisor, the watcher of the stored
// configs, one actor per instance, and, in a cluster, the ring actor and the watcher of members and
// claims. [Props] is the only way in; [Stop] is the way out.
//
//	supervisor ── watcher            store stream → ConfigPut, ConfigDeleted, ConfigsListed
//	     ├── registry                store stream → members, claims, intents
//	     ├── ring                    session, member record, gossip → settled ring, permission to scrape; writes claims
//	     └── instance/<unit>/<generation>   one per unit that this node runs, prepares or drains
//
// # What it owns
//
// Which instances run, and with which config; in a cluster ([Options].Cluster) also this node's
// place in it, its claims, and whether it may scrape by them, which package fencing decides. The
// supervisor folds every event into what it knows, puts on its agenda what the event is about, and,
// at most once at a time, asks package reshard what to do about what is there; each instance asks
// package lifecycle what its next step is. Both answers are pure; this package performs them. How
// samples are scraped, kept and sent is a [Pipeline], which comes in from outside; samples and
// target lists never pass through a mailbox. Whoever needs them asks the [Directory].
//
// # What it refuses to own
//
// Flags, files, HTTP, the log and remote write. There are no globals: two supervisors in one
// process, in one actor system even, don't meet, as long as they don't share a registerer or a
// Directory.
//
// # Concurrency
//
// Receive never waits. What may take time (every call of a Pipeline, of the store and of the
// parser) runs in a goroutine that is started in one place, which recovers panics and sends the
// outcome back as a private message. Calls of one Pipeline never overlap. Opening pipelines is
// bounded to a few at a time for the whole tree.
//
// # Supervision
//
// The directive for a crash is always stop. An instance that failed is started again as a new
// generation by the next decision after its backoff; one that failed too often is quarantined until
// its config changes or somebody retries it. A generation is over when its actor is gone and
// everything it held is released; the next one never opens the log before. A panic in the
// supervisor itself ends the tree: watch it, and end the process, or spawn it again.
//
// # Ends
//
// [Stop] is the orderly end, bounded by its context. An embedding parent that stops the
// supervisor's actor gets a hard one: pipelines are closed in the background without being drained;
// what is left stays on disk.
//
// # Testing
//
// Package actorstest has pipelines and a config source that are told what to do. The tests run in
// testing/synctest bubbles, so backoffs of minutes pass at once and nothing sleeps.
package actors
