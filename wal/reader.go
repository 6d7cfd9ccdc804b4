package wal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// maxReadErrors is how often a read may fail at one place until the rest of the segment counts as
// damaged. Without a limit a bad sector would stop an endpoint for ever.
const maxReadErrors = 3

// Record describes what one call of Next delivered.
type Record struct {
	// End is the position behind the record.
	End Position
	// Samples is the number of floats and histograms that were delivered.
	Samples int
	// Lost is the number of samples between the place of the read and End that were committed and
	// can't be delivered.
	Lost Lost
}

// Lost counts samples by the reason why they can't be delivered.
type Lost struct {
	// Damaged samples were in records that do not verify, or belong to series whose definition was.
	Damaged uint64
	// Truncated samples were dropped by a cap on bytes or age.
	Truncated uint64
}

// Reader reads the records of a log in order. It belongs to one goroutine at a time. At the end of
// the log it holds neither a file nor a buffer, but the series of the segment, which it lets go of
// as they end.
type Reader struct {
	log  *Log
	pos  Position
	lost Lost // met, and not yet reported

	segment segmentReader
	dec     decoder
	trouble trouble
	// waits says that the last call of Next came to the end of the log.
	waits  bool
	closed bool
}

// trouble is a place that can't be read. It outlasts a Seek, because who fails to read begins his
// work anew from an earlier place.
type trouble struct {
	segment uint64
	offset  int64
	errors  int
	// skipping says that the patience with this segment is over.
	skipping bool
}

// segmentReader is the state of a Reader in one segment.
type segmentReader struct {
	scanner // its window is nil while no file is open
	file    tailedFile
	number  uint64 // 0: none
	// told is the place up to which the definitions of this segment are in refs.
	told int64
	refs refTable
}

// NewReader returns a reader that starts at a position: Begin, End, a saved cursor, or the End of a
// record.
func (l *Log) NewReader(from Position) *Reader {
	r := &Reader{log: l}
	r.segment.refs.book = l.table.book
	r.dec.refs = &r.segment.refs
	r.Seek(from)
	return r
}

// Seek moves the place of the next read. A position behind the end of the log is its end.
func (r *Reader) Seek(p Position) {
	if end := r.log.End(); p.Seq > end.Seq || before(end, p) {
		p = end
	}
	s := &r.segment
	if s.number != p.Segment || s.refs.ended && p.Offset < s.told {
		s.leave()
	}
	r.pos, r.lost = p, Lost{}
	r.waiting(false)
}

// Close gives back what the reader holds. Next returns ErrClosed from now on.
func (r *Reader) Close() {
	r.release()
	r.segment.leave()
	r.waiting(false)
	r.closed = true
}

// waiting notes whether the reader is at the end of the log.
func (r *Reader) waiting(yes bool) {
	switch {
	case yes && !r.waits:
		r.log.tail.waiting.Add(1)
	case !yes && r.waits:
		r.log.tail.waiting.Add(-1)
	}
	r.waits = yes
}

// Next delivers the next record to v. It returns io.EOF when there is none yet; a later call may
// find one. Samples that can't be delivered are reported with the next record, or, if there is
// none, with a Record without samples. Any other error is a failure to read: nothing was skipped,
// and the call may be repeated.
func (r *Reader) Next(v Visitor) (Record, error) {
	if r.closed || r.log.closed.Load() {
		r.release()
		return Record{}, ErrClosed
	}
	for {
		e, end, ok := r.log.from(r.pos.Segment)
		if !ok {
			return r.atEnd(end)
		}
		r.enter(e)
		if r.pos.Offset >= e.end {
			if e.newest {
				return r.atEnd(end)
			}
			r.skip(e)
			continue
		}
		rec, found, err := r.read(e, v)
		if err != nil {
			r.release()
			if !r.skipUnreadable(e, err) {
				return Record{}, fmt.Errorf("read wal segment %d at %d: %w", e.number, r.pos.Offset, err)
			}
			continue
		}
		if found {
			return rec, nil
		}
	}
}

// atEnd reports what was lost up to the end of the log, or io.EOF.
func (r *Reader) atEnd(end Position) (Record, error) {
	r.release()
	if r.lost == (Lost{}) && r.pos.Seq >= end.Seq {
		r.log.tail.passed()
		r.waiting(true)
	}
	r.lost.Damaged += gap(r.pos.Seq, end.Seq)
	r.pos = end
	if r.lost == (Lost{}) {
		return Record{}, io.EOF
	}
	return r.report(0), nil
}

func (r *Reader) report(samples int) Record {
	rec := Record{End: r.pos, Samples: samples, Lost: r.lost}
	r.log.counts.damaged.Add(r.lost.Damaged)
	r.lost = Lost{}
	return rec
}

// sector is the least that a disk fails to read.
const sector = 4096

// openError is a failure to open a segment, which says nothing about the data.
type openError struct{ error }

func (e openError) Unwrap() error { return e.error }

// replayError is a failure to read what lies before the place of the read.
type replayError struct{ error }

func (e replayError) Unwrap() error { return e.error }

// skipUnreadable decides about a failed read: false means that it is to be reported and tried again,
// true that the place of the read is behind what can't be read, which is counted as damaged.
func (r *Reader) skipUnreadable(e extent, err error) bool {
	var open openError
	if errors.As(err, &open) {
		return false
	}
	t := &r.trouble
	if t.segment != e.number || t.offset != r.pos.Offset && !t.skipping {
		*t = trouble{segment: e.number, offset: r.pos.Offset}
	}
	if t.errors++; t.errors <= maxReadErrors && !t.skipping {
		return false
	}
	t.skipping = true
	if !errors.As(err, &replayError{}) { // else the replay goes on behind the sector
		r.pos.Offset = min((r.pos.Offset/sector+1)*sector, e.end)
	}
	return true
}

// enter moves on to the segment that follows the place of the read, if that is in none. Samples
// between the two were dropped, if the segment is the oldest, or else they were in a file that is
// gone.
func (r *Reader) enter(e extent) {
	if e.number != r.pos.Segment {
		if n := gap(r.pos.Seq, e.firstSeq); e.oldest {
			r.lost.Truncated += n
		} else {
			r.lost.Damaged += n
		}
		r.pos = Position{Segment: e.number, Offset: segmentHeaderSize, Seq: max(r.pos.Seq, e.firstSeq)}
	}
	r.pos.Offset = max(r.pos.Offset, segmentHeaderSize)
}

// skip leaves a segment at its end. What it still owed is damaged.
func (r *Reader) skip(e extent) {
	r.release()
	r.lost.Damaged += gap(r.pos.Seq, e.endSeq)
	r.pos = Position{Segment: e.number + 1, Offset: segmentHeaderSize, Seq: max(r.pos.Seq, e.endSeq)}
}

// read delivers the next record of a segment. found is false if it has none that can be read, or
// only a damaged one; the place of the read is behind it then.
func (r *Reader) read(e extent, v Visitor) (rec Record, found bool, err error) {
	s := &r.segment
	ok, err := r.open(e)
	if err != nil {
		return rec, false, err
	}
	if !ok {
		r.pos.Offset = e.end
		return rec, false, nil
	}
	s.limit, s.maxSeq = e.end, e.endSeq
	if err := r.tellDefinitions(e, v); err != nil {
		return rec, false, err
	}
	s.off, s.seq = r.pos.Offset, r.pos.Seq
	h, at, err := s.next()
	if errors.Is(err, io.EOF) {
		r.pos.Offset = e.end
		return rec, false, nil
	}
	if err != nil {
		return rec, false, err
	}
	payload, intact, err := s.payload(h, at)
	if err != nil {
		return rec, false, err
	}
	behind := at + h.size()
	s.told = max(s.told, behind)
	if !intact {
		// The header says how far to go. What the record held shows as a gap before the next one.
		r.pos.Offset = behind
		return rec, false, nil
	}
	v.Record(h.seq)
	samples := r.dec.record(h, payload, v)
	if e.newest && samples < int(h.samples) {
		r.log.undefined.Store(e.number)
	}
	r.lost.Damaged += gap(r.pos.Seq, h.seq) + uint64(int(h.samples)-samples)
	r.pos = Position{Segment: e.number, Offset: behind, Seq: h.end()}
	r.waiting(false)
	return r.report(samples), true, nil
}

// open makes sure that the segment can be read and is known. ok is false if there is nothing in it
// to be read.
func (r *Reader) open(e extent) (ok bool, err error) {
	s := &r.segment
	if s.window != nil && s.number == e.number {
		return true, nil
	}
	r.release()
	s.file = tailedFile{log: r.log, extent: e}
	if s.number != e.number || !r.log.tail.has(e.number, r.pos.Offset, e.end) {
		if err := s.file.open(); errors.Is(err, fs.ErrNotExist) {
			return false, nil
		} else if err != nil {
			return false, err
		}
	}
	s.window = r.log.syncer.window()
	s.f = &s.file
	if s.number == e.number {
		return true, nil
	}
	s.limit, s.seq, s.maxSeq = e.end, e.firstSeq, e.endSeq
	if ok, err := s.identify(e.number); !ok || err != nil {
		return false, err
	}
	s.leave()
	s.number, s.told = e.number, segmentHeaderSize
	return true, nil
}

// leave lets go of the series of the segment.
func (s *segmentReader) leave() {
	s.refs.clear()
	s.number, s.told = 0, 0
}

func (l *Log) openSegment(s segment) (File, error) {
	return l.fs.OpenFile(l.path(s), os.O_RDONLY)
}

// tellDefinitions reads the definitions of this segment between what is known already and the place
// of the read: the reader starts in the middle of the segment.
func (r *Reader) tellDefinitions(e extent, v Visitor) error {
	s := &r.segment
	sc := s.scanner
	sc.off, sc.limit, sc.seq = s.told, r.pos.Offset, e.firstSeq
	for sc.off < sc.limit {
		h, at, err := sc.next()
		if errors.Is(err, io.EOF) {
			break
		}
		var payload []byte
		intact := false
		if err == nil && h.flags&flagDefinitions != 0 {
			payload, intact, err = sc.payload(h, at)
		}
		if err != nil {
			if r.trouble.segment != e.number || !r.trouble.skipping {
				return replayError{err}
			}
			sc.off = (sc.off/sector + 1) * sector
			continue
		}
		if intact {
			r.dec.definitions(h, payload, v)
		}
		sc.off, sc.seq = at+h.size(), h.end()
	}
	s.told = max(s.told, r.pos.Offset)
	return nil
}

// release closes the file and gives back the buffer. What is known of the segment stays.
func (r *Reader) release() {
	s := &r.segment
	if s.window == nil {
		s.file.close()
		return
	}
	s.file.close()
	r.log.syncer.release(s.window)
	s.window = nil
	r.dec.raw = nil // definitions are seldom
}
