// Package fencing decides whether a node may scrape by its claims, whether it has to give them up
// by itself, and whether it may end the session of another node. It is pure: the time is an
// argument, and there is no clock, log or I/O.
//
// A claim alone allows nothing: a process that was paused may hold one that is long gone. A scrape
// needs evidence that is younger than the shortest time in which others could take over. Others can
// take over in three ways:
//
//   - the node's session runs out in the store: TTL after its last renewal;
//   - [MayEnd] lets another node end it: gossip says that the node is dead, which takes about 3 s, the store says that its session has not been
//     renewed for [Idle], and at least half of the members are with the one that ends it;
//   - the node says in gossip that it has fenced itself.
//
// So a session that was renewed less than [Fresh] ago is evidence, and so are answers of peers, if
// together with this node they are more than half of the members. Without either the node asks why:
// is the store down for everybody (nobody can claim anything, everybody goes on), or is this node
// the one that is cut off (it stops in good time, and says so, that others needn't wait for its
// session to run out)?
//
// # Why the two can't be true at once
//
// Contact needs more than half of the members, the end of a session at least half, both counted as
// they were before the fault. So of two groups that don't hear each other at most one can have
// either. A test plays every cut of two to five nodes and the store.
//
// # Who ends a session takes the member's record first
//
// A request to end a session may arrive late. So whoever ends one first deletes the member's
// record, on condition that it still has the revision it had before the store was asked about the
// session. A node whose session was not renewed for [Idle] ([Belief]) writes its record again
// before it believes in the session: either write makes the other fail.
package fencing
