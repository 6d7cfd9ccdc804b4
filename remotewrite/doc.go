// Package remotewrite sends what an instance's log holds to its remote_write endpoints.
//
// It owns everything between a cursor in the log and an acknowledgement from a receiver:
// relabelling, encoding, batching, lanes, HTTP, retries, and the account of what became of every
// sample. It does not own the log: it reads through a Source, and tells the Source how far it got.
// It doesn't decide when an instance starts or stops either.
//
// # How it works
//
// A Queue holds the endpoints of one instance. Endpoints share nothing that one of them could hold
// up: each has its own Source, goroutines, backoff and cursor. A running endpoint works in rounds:
// read records until the round is full or the log ends, encode each sample straight into the batch
// of its lane, and post all lanes in parallel. A lane is an ordered sender; series go to lanes by
// hash, and the number of lanes changes only when all are at the same place, so order per series
// holds. A backlog has more lanes for as long as that makes it drain faster (decide.go).
//
// Each lane settles for itself (progress.go): before a batch is posted, the Source saves how far
// the lane may have come, and what was saved and not settled is sent again exactly as it was, so
// that the receiver has all of it or nothing. A request that must be repeated ends the round: the
// endpoint waits without a goroutine or a batch, and reads again from the log. A refused batch is
// searched by series (search.go, suspects.go); of one that the receiver may have, it is found out
// first whether it does (resolve.go).
//
// An endpoint with recent_first that is behind parts its log into tracks, of which the newest has the
// most turns (recent.go). Order per series then holds within a track only.
//
// Endpoints of all instances with an equal client configuration share a destination
// (destination.go): connections, places, pause. Those of them that have less than a batch, in one
// lane and with nothing in doubt, send it in common requests (joiner.go, joint.go): as soon as they
// have a batch's worth together, or when the batch deadline of the first one is over. Each
// contributor's part is noted, settled and in doubt as a request of its own would be. A refused
// request is halved by contributor; who is left alone runs by itself, as everybody does who has
// more, is searching, or repeats. In protocol 2.0 contributors share a table of strings (assembly.go),
// and if the receiver wrote less than was sent, it is found out whose samples it refused
// (joint_written.go).
//
// An idle endpoint has no goroutine, no timer and no buffers: it keeps 16 bytes per series beside
// the instance's book, and the labels that it sends if it changes them. Notify arms a timer when
// something was committed.
//
// # What it promises
//
// Sent + dropped (by reason) + pending is the number of samples committed since the endpoint's
// start, at every instant. Sent means acknowledged, or refused as a repetition of what was in
// doubt; a receiver may have seen a sample more than once, and never in a request with a new one. All
// that a receiver says it refused is counted; of a common request of 2.0 it may be counted at another
// of its contributors, if the receiver can't be made to say whose it was. The one exception stands in
// docs/decisions/0013-remote-write-2.md.
//
// What a receiver's answer leads to is decided by rules.judge, and explained in
// docs/decisions/0003-remote-write-errors.md.
//
// Protocols 1.0 and 2.0 are complete; what they do differently is in type protocol, and why in
// docs/decisions/0013-remote-write-2.md.
//
// # Concurrency
//
// All exported methods of Queue, Clients and Metrics may be called from any goroutine. Apply and
// Close exclude each other. Nothing here blocks in Notify. A panic in one of the goroutines is
// recovered and reported through Options.OnPanic; the endpoint then stands still until the Queue is
// closed.
//
// # How it is tested
//
// The deciders (decide.go) are pure and have tables. The encoder is held against Prometheus' own
// protobuf types on random data. The rest runs against an in-memory Source and package
// receivertest, a receiver that refuses what Prometheus refuses; backoffs run in virtual time.
package remotewrite
