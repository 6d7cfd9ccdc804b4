package wal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// maxReadErrors is how often a read may fail at one place until the rest of the segment counts as damaged. Without a limit a bad
// sector would stop an endpoint for ever.
const maxReadErrors = 10

// Record describes what one call of Next delivered.
type Record struct {
	// End is the position behind the record.
	End Position
	// Samples is the number of floats and histograms that were delivered.
	Samples int
	// Lost is the number of samples between the place of the read and End that were committed and can't be delivered.
	Lost Lost
}

// Lost counts samples by the reason why they can't be delivered.
type Lost struct {
	// Damaged samples were in records that do not verify, or belong to series whose definition was.
	Damaged uint64
	// Truncated samples were dropped by a cap on bytes or age.
	Truncated uint64
}

// Reader reads the records of a log in order. It belongs to one goroutine at a time. At the end of the log it holds neither a
// file nor a buffer.
type Reader struct {
	log  *Log
	pos  Position
	lost Lost // met, and not yet reported

	segment segmentReader
	dec     decoder
	errors  int // in a row, at pos
	closed  bool
}

// segmentReader is the state of a Reader in one segment.
type segmentReader struct {
	scanner            // its window is nil while no file is open
	number      uint64 // 0: none
	incarnation uint64
	// told is the place up to which the visitor knows the definitions of this segment.
	told int64
	// known are the references that are defined. It is nil, and all are taken to be, until damage is met: the writer defines a
	// series before it uses it.
	known map[uint64]struct{}
}

// NewReader returns a reader that starts at a position: Begin, End, a saved cursor, or the End of a record.
func (l *Log) NewReader(from Position) *Reader {
	r := &Reader{log: l}
	r.Seek(from)
	return r
}

// Seek moves the place of the next read. A position behind the end of the log is its end.
func (r *Reader) Seek(p Position) {
	if end := r.log.End(); p.Seq > end.Seq || before(end, p) {
		p = end
	}
	r.pos, r.lost, r.errors = p, Lost{}, 0
}

// Close gives back what the reader holds. Next returns ErrClosed from now on.
func (r *Reader) Close() {
	r.release()
	r.closed = true
}

// Next delivers the next record to v, which must be the same at each call. It returns io.EOF when there is none yet; a later call may find one. Samples
// that can't be delivered are reported with the next record, or, if there is none, with a Record without samples.
// Any other error is a failure to read: nothing was skipped, and the call may be repeated.
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
			if r.errors++; r.errors <= maxReadErrors {
				r.release()
				return Record{}, fmt.Errorf("read wal segment %d at %d: %w", e.number, r.pos.Offset, err)
			}
			r.pos.Offset, r.errors = e.end, 0 // what is left of it is counted as damaged
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
	r.lost, r.errors = Lost{}, 0
	return rec
}

// enter moves on to the segment that follows the place of the read, if that is in none. Samples between the two were dropped, if
// the segment is the oldest, or else they were in a file that is gone.
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

// read delivers the next record of a segment. found is false if it has none that can be read, or only a damaged one; the
// place of the read is behind it then.
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
	if !intact || at != r.pos.Offset || h.seq != r.pos.Seq {
		if err := r.meetDamage(e, r.pos.Offset); err != nil {
			return rec, false, err
		}
		if payload, _, err = s.payload(h, at); err != nil { // the search has overwritten it
			return rec, false, err
		}
	}
	behind := at + h.size()
	if !intact {
		// The header says how far to go. What the record held shows as a gap before the next one.
		r.pos.Offset, s.told = behind, max(s.told, behind)
		return rec, false, nil
	}
	r.dec.incarnation, r.dec.known = s.incarnation, s.known
	samples := r.dec.record(h, payload, v)
	r.lost.Damaged += gap(r.pos.Seq, h.seq) + uint64(int(h.samples)-samples)
	r.pos = Position{Segment: e.number, Offset: behind, Seq: h.end()}
	s.told = max(s.told, behind)
	return r.report(samples), true, nil
}

// open makes sure that the segment's file is open and known. ok is false if there is nothing in it to be read.
func (r *Reader) open(e extent) (ok bool, err error) {
	s := &r.segment
	if s.window != nil && s.number == e.number {
		return true, nil
	}
	r.release()
	f, err := r.log.fs.OpenFile(r.log.path(e.segment), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		r.errors = 0 // that says nothing about the data
		return false, err
	}
	s.window = r.log.syncer.window()
	s.f = f
	if s.number == e.number {
		return true, nil
	}
	s.limit, s.seq, s.maxSeq = e.end, e.firstSeq, e.endSeq
	incarnation, ok, err := s.identify(e.number)
	if !ok || err != nil {
		return false, err
	}
	s.number, s.incarnation, s.told, s.known = e.number, incarnation, segmentHeaderSize, nil
	return true, nil
}

// tellDefinitions gives the visitor the definitions of this segment between what it was told already and the place of the read: it
// starts in the middle of the segment.
func (r *Reader) tellDefinitions(e extent, v Visitor) error {
	s := &r.segment
	if s.told >= r.pos.Offset {
		return nil
	}
	damaged, err := r.replay(e, s.told, r.pos.Offset, v)
	if err != nil {
		return err
	}
	if damaged {
		if err := r.meetDamage(e, r.pos.Offset); err != nil {
			return err
		}
	}
	s.told = r.pos.Offset
	return nil
}

// meetDamage makes the reader check references from now on: it finds out which are defined before a place.
func (r *Reader) meetDamage(e extent, to int64) error {
	if r.segment.known != nil {
		return nil
	}
	r.segment.known = map[uint64]struct{}{}
	if _, err := r.replay(e, segmentHeaderSize, to, nil); err != nil {
		r.segment.known = nil
		return err
	}
	return nil
}

// replay goes over the definitions between two places. damaged says that some may be missing.
func (r *Reader) replay(e extent, from, to int64, v Visitor) (damaged bool, err error) {
	sc := r.segment.scanner
	sc.off, sc.limit, sc.seq, sc.maxSeq = from, to, e.firstSeq, e.endSeq
	r.dec.incarnation, r.dec.known = r.segment.incarnation, r.segment.known
	for {
		h, at, err := sc.next()
		if errors.Is(err, io.EOF) {
			return damaged || sc.off < to, nil
		}
		if err != nil {
			return damaged, err
		}
		damaged = damaged || at != sc.off
		if h.flags&flagDefinitions != 0 {
			payload, ok, err := sc.payload(h, at)
			if err != nil {
				return damaged, err
			}
			if ok {
				r.dec.definitions(payload, v)
			} else {
				damaged = true
			}
		}
		sc.off, sc.seq = at+h.size(), h.end()
	}
}

// release closes the file and gives back the buffer. What is known of the segment stays.
func (r *Reader) release() {
	s := &r.segment
	if s.window == nil {
		return
	}
	_ = s.f.Close() // it was only read
	r.log.syncer.release(s.window)
	s.window = nil
}
