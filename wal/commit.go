package wal

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/prometheus/prometheus/model/metadata"
	"go.uber.org/zap"
)

// forgetAfter is how long a series must not have been used, and two segments completed meanwhile, until it is forgotten. It is
// twice the longest sensible scrape interval, so that no series that is still scraped gets a new reference.
const forgetAfter = 10 * time.Minute

// pruneEvery bounds how often commits look for segments to drop.
const pruneEvery = 10 * time.Second

// activeSegment is the segment that commits go to. The zero value means that the next commit makes one.
type activeSegment struct {
	segmentHeader
	size int64
	// file is nil while nothing was written since the last flush.
	file File
	// retired are files of completed segments, to be synced and closed by the next flush.
	retired []File
	// syncDir says that there is a new name in the directory.
	syncDir bool
}

// commit writes an appender's batch as one record, or nothing.
func (l *Log) commit(a *appender) error {
	if err := l.commitAlone(a); err != nil {
		return fmt.Errorf("commit to wal %s: %w", l.dir, err)
	}
	if l.o.OnCommit != nil {
		l.o.OnCommit()
	}
	return nil
}

// commitAlone leaves the log usable if it panics: the segment, whose tail nobody knows then, is complete.
func (l *Log) commitAlone(a *appender) error {
	l.writeMu.Lock()
	panicking := true
	defer func() {
		if panicking {
			l.complete()
		}
		l.writeMu.Unlock()
	}()
	err := l.commitLocked(a)
	panicking = false
	return err
}

func (l *Log) commitLocked(a *appender) error {
	if l.closed.Load() {
		return ErrClosed
	}
	now := l.o.Now()
	err := l.write(a, now)
	if err != nil {
		l.counts.failed(err)
		l.o.Logger.Warn("write to the WAL is repeated or given up", zap.String("path", l.dir), zap.Error(err))
		if l.makeRoom(err) {
			err = l.write(a, now)
		}
		if err != nil {
			return err
		}
	}
	if now.Sub(l.lastPrune) >= pruneEvery {
		l.lastPrune = now
		l.prune(now, false)
	}
	l.syncer.mark(l)
	return nil
}

// makeRoom prepares a second attempt after a failed write and says whether there should be one. On a full disk it drops what every
// endpoint has acknowledged, even if that is younger than MinAge. On any other error the next attempt gets a new file.
func (l *Log) makeRoom(err error) bool {
	if isNoSpace(err) {
		return l.prune(l.o.Now(), true) > 0
	}
	if l.active.size > segmentHeaderSize {
		l.complete()
	}
	return true
}

// write makes one attempt to append the batch.
func (l *Log) write(a *appender, now time.Time) error {
	if err := l.ensureActive(int64(len(a.enc.buf)), now); err != nil {
		return err
	}
	defs := l.syncer.buffer()
	defer l.syncer.releaseBuffer(defs)
	l.settle(a, defs, now)
	if a.enc.empty() {
		l.unsettle(a)
		return nil
	}
	record := a.enc.buf
	if len(*defs) > 0 {
		*defs = append(*defs, record[recordHeaderSize:]...)
		record = *defs
	}
	if len(record)-recordHeaderSize > maxPayload {
		l.unsettle(a)
		return fmt.Errorf("batch of %d bytes is larger than a record can be (%d)", len(record), maxPayload)
	}
	h := recordHeader{
		length:   uint32(len(record) - recordHeaderSize),
		seq:      l.end.Seq,
		samples:  a.enc.samples,
		base:     a.enc.base,
		checksum: checksum(record[recordHeaderSize:]),
	}
	if len(*defs) > 0 {
		h.flags |= flagDefinitions
	}
	h.put(record, l.active.salt)
	if err := l.writeActive(record); err != nil {
		l.unsettle(a)
		return err
	}
	l.active.size += int64(len(record))
	l.extend(Position{Segment: l.active.number, Offset: l.active.size, Seq: h.end()}, now)
	l.counts.committed(a.enc.samples, a.exemplars, len(record))
	l.confirm(a)
	return nil
}

// settle finds out what only the order of commits decides: which series this segment has yet to define (to buf, behind room for a header),
// and which samples another appender's commit has overtaken; those leave the batch.
func (l *Log) settle(a *appender, buf *[]byte, now time.Time) {
	l.seriesMu.Lock()
	defer l.seriesMu.Unlock()
	var overtaken map[uint64]int64
	for i := range a.pending {
		if p := &a.pending[i]; p.sample.t <= p.series.committed {
			if overtaken == nil {
				overtaken = map[uint64]int64{}
			}
			overtaken[p.series.ref] = p.series.committed
		}
	}
	if overtaken != nil {
		l.counts.overtaken(a.dropOvertaken(overtaken))
	}
	used := uint32(now.Unix())
	b := (*buf)[:0]
	var last *metadata.Metadata
	for i := range a.pending {
		s := a.pending[i].series
		s.used = used
		defined := s.segment == l.active.number
		if defined && !s.metadataChanged {
			continue
		}
		if len(b) == 0 {
			b = append(b, make([]byte, recordHeaderSize)...)
		}
		if !defined {
			b = appendSeries(b, s.ref, s.labels)
		}
		if s.metadata != nil {
			b = appendMetadata(b, s.ref, s.metadata, last)
			last = s.metadata
		}
		s.segment, s.metadataChanged = l.active.number, false
	}
	*buf = b
}

// unsettle makes the next commit define the series again, because this one failed.
func (l *Log) unsettle(a *appender) {
	l.seriesMu.Lock()
	defer l.seriesMu.Unlock()
	for i := range a.pending {
		a.pending[i].series.segment = 0
	}
}

func (l *Log) confirm(a *appender) {
	l.seriesMu.Lock()
	defer l.seriesMu.Unlock()
	for i := range a.pending {
		p := &a.pending[i]
		p.series.committed = max(p.series.committed, p.sample.t)
	}
}

// writeActive writes a record at the end of the active segment. If that fails, nothing of it stays, or the segment is completed where
// it was good.
func (l *Log) writeActive(record []byte) error {
	f := l.active.file
	n, err := f.WriteAt(record, l.active.size)
	if err == nil && n < len(record) {
		err = errors.New("short write")
	}
	if err == nil && l.o.Sync == SyncEachCommit {
		err = f.Sync()
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("write %d bytes to segment %d: %w", len(record), l.active.number, err)
	if terr := f.Truncate(l.active.size); terr != nil {
		l.complete()
		return errors.Join(err, terr)
	}
	return err
}

// ensureActive makes sure that there is an open segment with room for n bytes.
func (l *Log) ensureActive(n int64, now time.Time) error {
	s, segmentAge := &l.active, l.keep.Load().SegmentAge
	if s.number != 0 && s.size > segmentHeaderSize &&
		(s.size+n > l.segmentBytes() || segmentAge > 0 && now.Sub(s.created) >= segmentAge) {
		l.complete()
	}
	if s.number != 0 && s.file == nil {
		l.reopenActive()
	}
	if s.number != 0 {
		return nil
	}
	return l.startSegment(now)
}

// reopenActive opens the active segment again after a flush closed it. If it is not as it was left, it is completed.
func (l *Log) reopenActive() {
	f, err := l.fs.OpenFile(l.path(segment{number: l.active.number, firstSeq: l.active.firstSeq}), os.O_WRONLY)
	if err != nil {
		l.complete()
		return
	}
	l.active.file = f
	if size, err := f.Size(); err != nil || size != l.active.size {
		l.complete()
	}
}

// complete ends the active segment: the next commit starts a new one.
func (l *Log) complete() {
	if l.active.file != nil {
		l.active.retired = append(l.active.retired, l.active.file)
		l.syncer.mark(l)
	}
	l.active = activeSegment{retired: l.active.retired, syncDir: l.active.syncDir}
}

// startSegment creates the next segment, whose header carries Seq on even if all before it are dropped.
func (l *Log) startSegment(now time.Time) error {
	h := segmentHeader{number: l.nextSegment, incarnation: l.incarnation, firstSeq: l.end.Seq, created: now, salt: newSalt()}
	if h.incarnation == 0 {
		h.incarnation = h.number
	}
	s := segment{number: h.number, firstSeq: h.firstSeq, end: segmentHeaderSize, lastWrite: now}
	f, err := l.fs.OpenFile(l.path(s), os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		if errors.Is(err, os.ErrExist) {
			l.nextSegment++
		}
		return fmt.Errorf("create segment %d: %w", h.number, err)
	}
	n, err := f.WriteAt(h.bytes(), 0)
	if err == nil && n < segmentHeaderSize {
		err = errors.New("short write")
	}
	if err == nil && l.o.Sync == SyncEachCommit {
		err = l.fs.SyncDir(l.dir)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write header of segment %d: %w", h.number, err), f.Close(), l.fs.Remove(l.path(s)))
	}
	l.active.segmentHeader, l.active.size, l.active.file, l.active.syncDir = h, segmentHeaderSize, f, true
	l.incarnation = h.incarnation
	l.nextSegment = h.number + 1
	l.add(s)
	l.forgetSeries(now)
	l.lastPrune = time.Time{} // a segment was completed: look soon
	return nil
}

// forgetSeries keeps the table to what is in use.
func (l *Log) forgetSeries(now time.Time) {
	l.seriesMu.Lock()
	defer l.seriesMu.Unlock()
	if l.active.number > 2 {
		l.table.forget(l.active.number-2, uint32(now.Add(-forgetAfter).Unix()))
	}
}
