// Command demo shows the main job with nothing to install.
//
// Without a flag it is one process: an agent on the embedded store, three toy targets and a toy
// receiver. It uploads three configs through the public API, as a user would, and prints every few
// seconds how many samples were scraped, sent and received, how many are pending, and how many ticks
// were missed and taken twice.
//
// With -nodes 3 (or 5) it is a cluster: as many agents as processes of their own, which are this
// program again, on a quorum of embedded stores, and targets and a receiver that count every tick.
// An agent can be killed, paused, cut off from the store, stopped and brought back, on a key press or
// by an HTTP request, and what that did to the ticks is printed. All agents run with -chaos.enabled,
// because a cut is three faults on purpose: reads, writes and watches of the store fail. The node's
// session is still renewed, so nothing moves.
//
// It owns a temporary directory, loopback ports that the system chooses, and everything it started;
// Ctrl-C ends it all. The agents of a cluster end also when the demo is killed. It links only the
// light service discoveries, so that a cold build takes about a minute.
package main
