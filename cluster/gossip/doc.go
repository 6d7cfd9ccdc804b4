// Package gossip tells who is alive and what each node says of itself: which session it has,
// whether it reaches the store, whether it has fenced itself. It is built on memberlist (SWIM with
// Lifeguard).
//
// It owns the list of peers, the evidence that others see this node alive (LastContact), and the
// search for peers that the store names. It refuses to decide anything: it knows no configs,
// revokes no session and stops nothing. A peer that is dead here is a claim by gossip, which may be
// wrong; whoever acts on it must ask the store too.
//
// # Evidence
//
// LastContact must never be newer than the truth, for it allows scrapes. memberlist's own measure
// can't be used: it gives a round trip's duration to a callback that runs later, and a process that
// was stopped in between would count the pause as contact; besides, probes of dead nodes hold up
// those of the living. So each interval this node asks up to three of the peers it holds alive, and
// remembers the moment before it sent. A peer answers only to a node that it holds alive itself, at
// the address that it knows. So an answer proves more than a way there and back: somebody who would
// have a say in a takeover did not hold this node dead after that moment. Only what is asked here
// counts, never what others send. It says nothing about what happened before: a node that was
// stopped for a minute has fresh evidence half a second after it goes on, and must ask the store
// what it still owns. The other side of it is Peer.Assured: when this node last gave a peer such
// evidence.
//
// # Timing
//
// With n nodes, of which one is killed, each of the n-1 others probes one peer per ProbeInterval
// (500 ms), in turns. So the first probe of the dead node comes after about 0.5 s whatever n is, at
// most after 1.5 s with n=3. It fails at the end of its interval: 0.5 s. Then the node is suspected
// for SuspicionMult (4) × max(1, log10 n) × ProbeInterval = 2 s for n ≤ 10, given the word of two
// more nodes, which probe it meanwhile (with n ≤ 3 there are none to expect, and 2 s is final).
// Sum: 2.5 to 3.5 s in most cases, 3.0 s on average. 30 nodes: 4 s.
//
// Without that word the suspicion lasts up to three times as long: the one who hears nobody is
// probably at fault itself. A node that is slow notices by the answers of its helpers (Lifeguard)
// and probes up to four times slower. So a node that is cut off knows it by LastContact at once,
// but holds the others alive for 6 to 20 s. For this distrust to be fair, ProbeTimeout (200 ms)
// must be less than half of ProbeInterval: a helper says that it heard nothing either after a
// ProbeTimeout of its own, which begins when ours ends. With memberlist's ratio of one half that
// comes too late, and every death makes the survivors distrust themselves.
//
// A change of a status, a suspicion or its refutation is sent to three nodes every 100 ms, four
// times and more: everyone knows in about 0.3 s. But memberlist's queue takes two messages of one
// length for one, if its numbers for them are equal, as they may be. So it may lose what nodes say at
// the same time, such as that the store is away. Therefore each answer says it too, half a second later
// in small clusters, two seconds in large ones. A node that was suspected wrongly has 2 s to
// object.
//
// # Names
//
// A node that comes back under its name at another address is taken for the old one as soon as that
// is dead (half a second later) or has left. Two nodes that answer under one name at the same time
// are a conflict: both addresses were asked, both answered. Conflict tells until 10 s after one of
// them was last heard. The first of the two keeps the name and the evidence, the second is seen by
// nobody.
//
// # Concurrency
//
// A Gossip may be used by any number of goroutines. One goroutine owns the search, the asking and
// all logging; memberlist's callbacks only write to a table under a mutex and never block. Close
// returns when memberlist's goroutines have ended too. There is no global state, except that
// memberlist counts in go-metrics' global sink, which discards unless the program sets another one.
//
// Tests run real nodes on loopback, and clusters under virtual time over the network in memory of
// package gossiptest.
package gossip
