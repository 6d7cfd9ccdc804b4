// Package remotewrite sends what an instance's log holds to its remote_write endpoints.
//
// It owns everything between a cursor in the log and an acknowledgement from a receiver: relabelling, encoding, batching, lanes,
// HTTP, retries, and the account of what became of every sample. It does not own the log: it reads through a Source, and tells the
// Source how far it got. It doesn't decide when an instance starts or stops either.
//
// # How it works
//
// A Queue holds the endpoints of one instance. Endpoints share nothing that one of them could hold up: each has its own Source,
// goroutines, backoff and cursor. An endpoint works in rounds: read records until the round is full or the log ends, encode each
// sample straight into the batch of its lane, post all lanes in parallel, and when every batch was acknowledged or dropped for a
// stated Reason, save the cursor behind the round. A lane is an ordered sender; series go to lanes by hash, and the number of lanes
// changes only between rounds, so order per series holds. What is in a round that did not end is read again, so delivery is at
// least once.
//
// An idle endpoint has no goroutine, no timer and no buffers: it keeps the encoded labels of its series, and Notify arms a timer
// when something was committed.
//
// # What it promises
//
// Sent + dropped (by reason) + pending is the number of samples committed since the endpoint's start, at every instant: the three
// change together when a round ends. Sent means acknowledged; a receiver may have seen a sample more than once.
//
// What a receiver's answer leads to is decided by judge, and explained in docs/decisions/0003-remote-write-errors.md.
//
// Protocol 1.0 is complete. Protocol 2.0 is refused by Apply; the seam for it is the encoder interface.
//
// # Concurrency
//
// All exported methods of Queue, Clients and Metrics may be called from any goroutine. Apply and Close exclude each other. Nothing
// here blocks in Notify. A panic in one of the goroutines is recovered and reported through Options.OnPanic; the endpoint then
// stands still until the Queue is closed.
//
// # How it is tested
//
// The deciders (decide.go) are pure and have tables. The encoder is held against Prometheus' own protobuf types on random data. The
// rest runs against an in-memory Source and an HTTP receiver that decodes with Prometheus' codec and checks order per series;
// backoffs run in virtual time.
package remotewrite
