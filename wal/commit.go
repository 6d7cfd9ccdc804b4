package wal

import (
	"errors"
	"fmt"
	"os"
	"time"

	"go.uber.org/zap"
)

// forgetAfter is how long a series must not have been used until it is forgotten, whatever the
// segments are: twice the longest sensible scrape interval. A series that ends with a staleness
// marker is forgotten sooner.
const forgetAfter = 11 * time.Minute

// maxOpen is how long an appender may be open: no series that it has is forgotten sooner.
const maxOpen = 2 * time.Minute

// forgetEvery bounds how often the table is searched for series to forget.
const forgetEvery = time.Minute

// A segment ends when the next one's definitions would count at most one in definitionShare of what
// it holds; but it is not smaller than DefaultSegmentBytes, so that a small log is not a crowd of
// files, and not larger than maxSegment.
//
// Definitions count as what they take of the file, or as one in definitionTime of what they are
// before they are compressed, if that is more: to write one and read it again takes the time of two
// samples. By their bytes alone, which are few where labels repeat, 20 targets of 5,000 series
// defined all of them every 23 seconds.
const (
	definitionShare = 10
	definitionTime  = 4
	maxSegment      = 512 << 20
)

// pruneEvery bounds how often commits look for segments to drop.
const pruneEvery = 10 * time.Second

// activeSegment is the segment that commits go to. The zero value means that the next commit makes one.
type activeSegment struct {
	segmentHeader
	size int64
	// definitions is what the definitions in it count; see definitionShare.
	definitions int64
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

// commitAlone leaves the log usable if it panics: the segment, whose tail nobody knows then, is
// complete.
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
	if now.Sub(a.started) > maxOpen {
		return errOpenTooLong
	}
	err := l.write(a, now)
	if err != nil {
		l.counts.failed(err)
		l.o.Logger.Warn("WAL write failed; retrying if possible", zap.String("path", l.dir), zap.Error(err))
		if l.makeRoom(err) {
			err = l.write(a, now)
		}
		if err != nil {
			return err
		}
	}
	l.forgetSeries(now)
	if now.Sub(l.lastPrune) >= pruneEvery {
		l.lastPrune = now
		l.prune(now, ifDurable)
	}
	l.syncer.mark(l)
	return nil
}

// makeRoom prepares a second attempt after a failed write and says whether there should be one. On
// a full disk it drops what every endpoint has acknowledged. On any other error the next attempt
// gets a new file.
func (l *Log) makeRoom(err error) bool {
	if isNoSpace(err) {
		return l.prune(l.o.Now(), anyhow) > 0
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
	defs := &l.definitions
	l.settle(a, defs)
	if a.enc.empty() {
		l.unsettle(a)
		return nil
	}
	record, block, counted := a.enc.buf, 0, 0
	if len(defs.raw) > 0 {
		buf := l.syncer.buffer()
		defer l.syncer.releaseBuffer(buf)
		*buf = defs.appendTo(append((*buf)[:0], record[:recordHeaderSize]...))
		block = len(*buf) - recordHeaderSize
		counted = max(block, len(defs.raw)/definitionTime)
		*buf = append(*buf, record[recordHeaderSize:]...)
		record = *buf
		*defs = definitions{} // the next ones are far away
	}
	if len(record)-recordHeaderSize > maxPayload {
		l.unsettle(a)
		return fmt.Errorf("batch of %d bytes is larger than a record can be (%d)", len(record), maxPayload)
	}
	h := recordHeader{
		length:   uint32(len(record) - recordHeaderSize),
		seq:      l.end.Seq,
		samples:  a.enc.samples,
		flags:    flagVersion2,
		base:     a.enc.base,
		checksum: checksum(record[recordHeaderSize:]),
	}
	if block > 0 {
		h.flags |= flagDefinitions
	}
	h.put(record, l.active.salt)
	if err := l.writeActive(record); err != nil {
		l.unsettle(a)
		return err
	}
	l.tail.append(l.active.number, l.active.size, record)
	l.active.size += int64(len(record))
	l.active.definitions += int64(counted)
	l.extend(Position{Segment: l.active.number, Offset: l.active.size, Seq: h.end()}, now)
	l.counts.committed(a.enc.samples, len(a.exemplars), len(record))
	l.confirm(a, now)
	return nil
}

// writeActive writes a record at the end of the active segment. If that fails, nothing of it stays,
// or the segment is completed where it was good.
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
	undefined := l.undefined.Load() == s.number
	if s.number != 0 && s.size > segmentHeaderSize &&
		(l.full(n) || undefined || segmentAge > 0 && now.Sub(s.created) >= segmentAge) {
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

// full says whether the active segment is complete before n more bytes.
func (l *Log) full(n int64) bool {
	size, least, most := l.active.size, int64(DefaultSegmentBytes), int64(maxSegment)
	if l.o.SegmentBytes > 0 {
		least, most = l.o.SegmentBytes, l.o.SegmentBytes
	}
	if limit := l.keep.Load().MaxBytes; limit > 0 {
		most = min(most, max(limit/4, 1)) // so that the cap drops a part of the log, not all
	}
	if size+n > most {
		return true
	}
	return size >= least && size >= definitionShare*l.nextDefinitions()
}

// nextDefinitions estimates what the definitions of the next segment would count: those of the
// series that are alive.
func (l *Log) nextDefinitions() int64 {
	l.seriesMu.Lock()
	defer l.seriesMu.Unlock()
	defined := int64(max(l.table.lastNumber, 1))
	return l.active.definitions * min(int64(l.table.known), defined) / defined
}

// reopenActive opens the active segment again after a flush closed it. If it is not as it was left,
// it is completed.
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
	if l.active.number != 0 {
		l.seriesMu.Lock()
		l.table.turn()
		l.seriesMu.Unlock()
	}
	l.active = activeSegment{retired: l.active.retired, syncDir: l.active.syncDir}
}

// startSegment creates the next segment, whose header carries Seq on even if all before it are dropped.
func (l *Log) startSegment(now time.Time) error {
	h := segmentHeader{number: l.nextSegment, firstSeq: l.end.Seq, created: now, salt: newSalt()}
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
		err = l.syncNames()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write header of segment %d: %w", h.number, err), f.Close(), l.fs.Remove(l.path(s)))
	}
	l.active.segmentHeader, l.active.size, l.active.file, l.active.syncDir = h, segmentHeaderSize, f, true
	l.nextSegment = h.number + 1
	l.add(s)
	l.lastPrune = time.Time{} // a segment was completed: look soon
	return nil
}

// forgetSeries keeps the table to what is in use. It needs writeMu.
func (l *Log) forgetSeries(now time.Time) {
	if now.Sub(l.lastForget) < forgetEvery {
		return
	}
	l.lastForget = now
	l.seriesMu.Lock()
	defer l.seriesMu.Unlock()
	l.table.forget(uint32(now.Add(-forgetAfter).Unix()))
}
