package wal

import (
	"errors"
	"math"
	"time"

	"go.uber.org/zap"
)

// Prune drops what retention allows to drop, and returns the number of segments. A segment goes when
// every cursor is past it, or when the log exceeds MaxBytes or the segment MaxAge; always the oldest
// first. Commits and cursors call for it by themselves; it is needed only where neither happens, so
// that an idle log shrinks to the header of one segment and forgets its series. A closed log is left
// as it is: its directory may be another's by now.
func (l *Log) Prune() int {
	if l.closed.Load() {
		return 0
	}
	now := l.o.Now()
	l.writeMu.Lock()
	if !l.closed.Load() {
		l.forgetSeries(now)
	}
	l.writeMu.Unlock()
	l.retireActive(now)
	return l.prune(now, afterSync)
}

// retireAfter is how long nothing must have been written until an acknowledged segment is replaced
// by an empty one. A log in use would define its series anew for nothing.
const retireAfter = 10 * time.Minute

// retireActive replaces the newest segment by an empty one if it is about to be dropped: the newest
// segment is never dropped, because it says where Seq goes on.
func (l *Log) retireActive(now time.Time) {
	l.writeMu.Lock()
	defer l.writeMu.Unlock()
	e, end, ok := l.from(l.end.Segment)
	if l.closed.Load() || !ok || e.end <= segmentHeaderSize {
		return
	}
	age, keep := now.Sub(e.lastWrite), l.keep.Load()
	oldest, _ := l.oldestCursor()
	acknowledged := !before(oldest, end) && age >= retireAfter
	if !acknowledged && (keep.MaxAge == 0 || now.Sub(l.ageFrom(e.lastWrite)) < keep.MaxAge) {
		return
	}
	l.complete()
	if err := l.startSegment(now); err != nil {
		l.counts.failed(err)
		l.o.Logger.Warn("acknowledged WAL segment stays, because the next can't be made", zap.String("path", l.dir), zap.Error(err))
		return
	}
	l.syncer.mark(l)
}

// care says what prune does about cursors that say that a segment is not needed, but are not durable.
// Were the segment removed, a restart after a loss of power would take what it had for lost.
type care uint8

const (
	// afterSync: they are made durable first.
	afterSync care = iota
	// ifDurable: the segment stays. Commits wait for no sync.
	ifDurable
	// anyhow: the segment goes, because the disk is full.
	anyhow
)

// prune drops old segments.
func (l *Log) prune(now time.Time, c care) int {
	if n, _ := l.droppable(now, anyhow); n == 0 {
		return 0
	}
	if c == afterSync { // without pruneMu, for which commits wait
		written, err := l.writeCursors(true)
		l.flushed(errors.Join(err, l.syncCursors(written, false)))
	}
	l.pruneMu.Lock()
	defer l.pruneMu.Unlock()
	if l.closed.Load() { // shut waits for pruneMu
		return 0
	}
	n, truncated := l.droppable(now, c)
	if n == 0 {
		return 0
	}
	l.mu.Lock()
	dropped := l.segments[:n:n]
	l.segments = append([]segment(nil), l.segments[n:]...)
	l.mu.Unlock()
	if truncated > 0 {
		l.counts.truncated(truncated)
		l.o.Logger.Warn("WAL is at its cap: unsent samples were dropped", zap.String("path", l.dir), zap.Uint64("samples", truncated))
	}
	for _, s := range dropped {
		if err := l.fs.Remove(l.path(s)); err != nil {
			l.counts.failed(err)
			l.o.Logger.Warn("segment could not be removed", zap.String("path", l.path(s)), zap.Error(err))
		}
	}
	return n
}

// droppable returns how many of the oldest segments may go, and how many samples in them were not
// acknowledged by every cursor.
func (l *Log) droppable(now time.Time, c care) (n int, truncated uint64) {
	oldest, durable := l.oldestCursor()
	if c == anyhow {
		durable = oldest
	}
	keep := l.keep.Load()
	l.mu.Lock()
	defer l.mu.Unlock()
	var bytes int64
	for _, s := range l.segments {
		bytes += s.end
	}
	for n = 0; n+1 < len(l.segments); n++ {
		s, next := l.segments[n], l.segments[n+1]
		age, end := now.Sub(l.ageFrom(s.lastWrite)), Position{Segment: s.number, Offset: s.end}
		capped := keep.MaxBytes > 0 && bytes > keep.MaxBytes || keep.MaxAge > 0 && age >= keep.MaxAge
		if !capped && before(durable, end) {
			break
		}
		bytes -= s.end
		if before(oldest, end) {
			truncated += gap(max(s.firstSeq, oldest.Seq), next.firstSeq)
		}
	}
	return n, truncated
}

// graceAfterOpen is how long what an earlier process left is kept from the cap on age, so that there
// is an attempt to send it.
const graceAfterOpen = 15 * time.Minute

// ageFrom is the time from which the age of data counts that was written at a time. Data that was
// too old already when the log was opened gets graceAfterOpen.
func (l *Log) ageFrom(written time.Time) time.Time {
	maxAge := l.keep.Load().MaxAge
	if grace := l.opened.Add(min(graceAfterOpen, maxAge) - maxAge); written.Before(grace) && written.Before(l.opened) {
		return grace
	}
	return written
}

// oldestCursor is the position that retention waits for, and what a loss of power would leave of it;
// without cursors both are the end of all time.
func (l *Log) oldestCursor() (oldest, durable Position) {
	l.cursorMu.Lock()
	defer l.cursorMu.Unlock()
	oldest = Position{Segment: math.MaxUint64}
	durable = oldest
	for _, c := range l.cursors {
		if before(c.pos, oldest) {
			oldest = c.pos
		}
		if before(c.durable, durable) {
			durable = c.durable
		}
	}
	return oldest, durable
}

// before says whether a lies before b in the files.
func before(a, b Position) bool {
	return a.Segment < b.Segment || a.Segment == b.Segment && a.Offset < b.Offset
}

// gap is the number of samples between two Seqs, 0 if they are not in order.
func gap(from, to uint64) uint64 {
	if to < from {
		return 0
	}
	return to - from
}
