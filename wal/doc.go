// Package wal is the write-ahead log of one instance: scrapes are committed into it, remote-write
// endpoints read from it, each from its own durable cursor.
//
// # What it promises
//
// A commit that returned nil survives kill -9; with the default policy a power loss costs at most
// the last second, and takes cursors back by as much; what lies behind them is still there then.
// What was committed is delivered by every reader once, in the order of the commits, or is counted
// as lost with a reason: damaged or truncated. Both counts are exact, because every record carries
// the number of samples committed before it over the log's whole life (Seq): delivered + lost =
// committed. A damaged disk block, a torn write, a cut file or a missing segment costs the records
// it touches, and those later in the same segment whose series were defined in them; when a reader
// meets such a record, the next commit begins a new segment, which defines all series anew. Damage
// never makes a reader fail, loop, repeat itself or invent a value. What can't be counted is a
// commit that was cut off the end of the newest segment of a dead process without a trace: nothing
// is left that says it was there. A failed commit (full disk) leaves nothing visible behind and the
// next one works as soon as there is space.
//
// # What it owns, and what it refuses to
//
// It owns one directory: segments "<number>-<first Seq>.seg" and cursors "<hash>.cursor". The byte
// layout is in format.go. A process never appends to a segment that it did not create, a segment
// defines every series it uses, and nothing is replayed at start. Segments of the format before are
// read, and never written. All logs beside each other share one file ".wal.lock" in the parent
// directory, which must be writable. The log knows nothing of endpoints but their cursors; it sends
// nothing, relabels nothing, and has no metrics (see Stats).
//
// A segment ends when the definitions of the next one would be at most a tenth of what it holds, and
// a quarter of them before compression too; when it is as old as SegmentAge, or when it is a quarter
// of MaxBytes. What every cursor is past goes at once, by whole segments.
//
// Only verified damage is damage. An error of the file system fails Open, or the call of Next, which
// may be repeated; a place that can't be read several times in a row is skipped, and counted.
//
// # Order
//
// A series' samples are in the log in order of time, whatever appenders are open at once. A sample
// that is not newer than the last of its series is refused with storage.ErrOutOfOrderSample or
// storage.ErrDuplicateSampleForTimestamp; one that repeats the last (same time, same bits) is
// accepted and not written again. The last is the last committed one, or one of the same appender:
// what another appender does not commit has never been. Of several open appenders the first to
// commit wins; samples that this overtakes are left out of the others and counted.
//
// # References
//
// Series are those of the book (package series) that the log shares with scrape and remote write. The
// log holds a series for as long as it appends to it and some minutes longer, whatever segment
// defines it; a reader holds the series of the segment in which it reads, and lets go of each when
// the log has noted that it ended. In a segment a series has a number, which means nothing outside.
//
// # Concurrency
//
// All methods of Log and Syncer may be called by any goroutine. An appender and a Reader each
// belong to one goroutine at a time. A Log has no goroutine and no timer; the Syncer has one
// goroutine while some log has something to flush, and none otherwise. An idle log holds no file
// open and no buffer.
//
// Locks, in the order in which they may be taken: flushMu (flush, close), writeMu (the active
// segment), pruneMu, then one of seriesMu (the columns), cursorMu (cursors), catalog.mu (which
// segments there are and where committed data ends). No fsync happens under writeMu, unless the
// policy is SyncEachCommit, and none under what a commit waits for: before an acknowledged segment
// goes, whoever saves a cursor makes it durable; a commit leaves the segment to them.
//
// # Tests
//
// A property test holds the log against a naive twin in memory through random appends, rollbacks,
// rotations, crashes, reads and pruning; FuzzDamage cuts and flips valid logs and checks the
// accounting; FuzzReader feeds arbitrary files; package waltest has a file system that fails on
// request, and one in memory that loses its power.
package wal
