package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
)

// readAhead is how much a reader takes from a file at once.
const readAhead = 64 << 10

// maxPooled is the capacity up to which buffers are kept for the next user.
const maxPooled = 1 << 20

// maxGuesses bounds the search for a record in a segment without header. A guess can cost a
// checksum over the whole file.
const maxGuesses = 1000

// window reads a file through one buffer.
type window struct {
	f   io.ReaderAt
	buf []byte // its length is what is valid
	off int64  // place of buf[0] in the file
}

// at returns the n bytes at off. It never reads at or behind limit. It returns io.ErrUnexpectedEOF
// if the file or the limit is closer than that. The result is valid until the next call.
func (w *window) at(off int64, n int, limit int64) ([]byte, error) {
	if off < w.off || off+int64(n) > w.off+int64(len(w.buf)) {
		if off+int64(n) > limit {
			return nil, io.ErrUnexpectedEOF
		}
		if err := w.fill(off, n, limit); err != nil {
			return nil, err
		}
	}
	return w.buf[off-w.off:][:n], nil
}

// held returns what the window has from off on.
func (w *window) held(off int64) []byte {
	if off < w.off || off > w.off+int64(len(w.buf)) {
		return nil
	}
	return w.buf[off-w.off:]
}

func (w *window) fill(off int64, n int, limit int64) error {
	size := int(min(max(int64(n), readAhead), limit-off))
	if cap(w.buf) < size {
		w.buf = make([]byte, max(size, readAhead))
	}
	w.off = off
	got, err := w.f.ReadAt(w.buf[:size], off)
	if got < n && size > n && err != nil && !errors.Is(err, io.EOF) {
		// A bad sector may lie behind what was asked for.
		got, err = w.f.ReadAt(w.buf[:n], off)
	}
	w.buf = w.buf[:got]
	if got >= n {
		return nil // an error behind what was asked for is somebody else's
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// forget empties the window, because the file was closed.
func (w *window) forget() { w.f, w.buf, w.off = nil, w.buf[:0], 0 }

// scanner goes over the records of one segment from one verified header to the next and looks for
// the next one where there is none.
type scanner struct {
	*window
	salt  uint32
	off   int64  // where the next record is expected
	limit int64  // the end of committed data
	seq   uint64 // no record with a smaller Seq is believed: it would be delivered twice
	// maxSeq is what the segment can hold at most: a record beyond it was never committed.
	maxSeq uint64
}

// next returns the next record header and its place, and stays before it. Only damage lies between
// off and that place. io.EOF means that no record follows; other errors come from the file.
func (s *scanner) next() (h recordHeader, at int64, err error) {
	for at = s.off; ; at++ {
		b, err := s.at(at, recordHeaderSize, s.limit)
		if err != nil {
			return h, at, endOfData(err)
		}
		if h, salt, ok := parseRecordHeader(b); ok && salt == s.salt && s.believes(h, at) {
			return h, at, nil
		}
		if at, err = s.find(at + 1); err != nil {
			return h, at, endOfData(err)
		}
		at-- // the loop adds one
	}
}

func (s *scanner) believes(h recordHeader, at int64) bool {
	return h.seq >= s.seq && h.end() <= s.maxSeq && at+h.size() <= s.limit
}

// find returns the next place, from off on, with the magic number of a record.
func (s *scanner) find(off int64) (int64, error) {
	magic := binary.LittleEndian.AppendUint32(nil, recordMagic)
	for {
		b := s.held(off)
		if len(b) < recordHeaderSize {
			if _, err := s.at(off, recordHeaderSize, s.limit); err != nil {
				return off, err
			}
			b = s.held(off)
		}
		if i := bytes.Index(b, magic); i >= 0 {
			return off + int64(i), nil
		}
		off += int64(len(b) - len(magic) + 1)
	}
}

// payload returns the payload of the record at a place. ok is false if it is damaged.
func (s *scanner) payload(h recordHeader, at int64) (b []byte, ok bool, err error) {
	b, err = s.at(at+recordHeaderSize, int(h.length), s.limit)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, false, nil
	}
	return b, err == nil && checksum(b) == h.checksum, err
}

// identify finds the salt of a segment: in its header, or, if that is damaged, from the first record
// whose payload verifies. ok is false if nothing in the file can be read.
func (s *scanner) identify(number uint64) (ok bool, err error) {
	b, err := s.at(0, segmentHeaderSize, s.limit)
	if err != nil {
		return false, ignoreEnd(err)
	}
	if h, ok := parseSegmentHeader(b); ok && h.number == number {
		s.salt = h.salt
		return true, nil
	}
	at := int64(segmentHeaderSize)
	for range maxGuesses {
		if at, err = s.find(at); err != nil {
			return false, ignoreEnd(err)
		}
		b, err := s.at(at, recordHeaderSize, s.limit)
		if err != nil {
			return false, ignoreEnd(err)
		}
		h, salt, ok := parseRecordHeader(b)
		if ok && s.believes(h, at) {
			if _, ok, err = s.payload(h, at); ok || err != nil {
				s.salt = salt
				return ok, err
			}
		}
		at++
	}
	return false, nil
}

func endOfData(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return io.EOF
	}
	return err
}

func ignoreEnd(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}
