// Package fencing decides whether a node may scrape by its claims, and whether it has to give them up by itself. It is pure: the time
// is an argument, and there is no clock, log or I/O.
//
// A claim alone allows nothing: a process that was paused may hold one that is long gone. A scrape needs evidence that is younger than
// the shortest time in which others could take over. Others can take over in three ways:
//
//   - the node's session runs out in the store: TTL after its last renewal;
//   - gossip says that the node is dead, which takes about 3 s, and the store says that its session has not been renewed for [Idle];
//   - the node says in gossip that it has fenced itself.
//
// So a session that was renewed less than [Fresh] ago is evidence, and so is a ping that a peer has answered. Without either the node
// asks why: is the store down for everybody (nobody can claim anything, everybody goes on), or is this node the one that is cut off
// (it stops in good time, and says so, that others needn't wait for its session to run out)?
package fencing
