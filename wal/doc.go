// Package wal is the write-ahead log of one instance: scrapes are committed into it, remote-write endpoints read from it,
// each from its own durable cursor.
//
// # What it promises
//
// A commit that returned nil survives kill -9; with the default policy a power loss costs at most the last second. What was
// committed is delivered by every reader once, in the order of the commits, or is counted as lost with a reason: damaged or
// truncated. Both counts are exact, because every record carries the number of samples committed before it over the log's
// whole life (Seq): delivered + lost = committed. A damaged disk block, a torn write, a cut file or a missing segment costs the
// records it touches, and those later in the same segment whose series were defined in them; it never makes a reader fail, loop,
// repeat itself or invent a value. What can't be counted is a commit that was cut off the end of the newest segment of a dead process
// without a trace: nothing is left that says it was there. A failed commit (full disk) leaves
// nothing visible behind and the next one works as soon as there is space.
//
// # What it owns, and what it refuses to
//
// It owns one directory: segments "<number>-<first Seq>.seg" and cursors "<hash>.cursor". The byte layout is in format.go. A
// process never appends to a segment that it did not create, a segment defines every series it uses, and nothing is replayed
// at start. All logs beside each other share one file ".wal.lock" in the parent directory, which must be writable.
// The log knows nothing of endpoints but their cursors; it sends nothing, relabels nothing, and has no metrics (see Stats).
//
// # Order
//
// A series' samples are in the log in order of time, whatever appenders are open at once. A sample that is not newer than the
// last of its series is refused with storage.ErrOutOfOrderSample or storage.ErrDuplicateSampleForTimestamp; one that repeats
// the last (same time, same bits) is accepted and not written again.
//
// # References
//
// A reference that a Visitor sees never means two different series while a Log is open, also if older segments were written by
// an earlier process: it is the reference inside the segment under a number for the process that wrote it. A series that was
// not appended to for long is forgotten; its next sample gives it a new reference.
//
// # Concurrency
//
// All methods of Log and Syncer may be called by any goroutine. An appender and a Reader each belong to one goroutine at a time.
// A Log has no goroutine and no timer; the Syncer has one goroutine while some log has something to flush, and none otherwise.
// An idle log holds no file open and no buffer.
//
// Locks, in the order in which they may be taken: flushMu (flush, close), writeMu (the active segment), then one of seriesMu (the
// series table), cursorMu (cursors), catalog.mu (which segments there are and where committed data ends). No fsync happens under
// writeMu, unless the policy is SyncEachCommit.
//
// # Tests
//
// A property test holds the log against a naive twin in memory through random appends, rollbacks, rotations, crashes, reads and
// pruning; FuzzDamage cuts and flips valid logs and checks the accounting; FuzzReader feeds arbitrary files; package waltest
// has a file system that fails on request.
package wal
