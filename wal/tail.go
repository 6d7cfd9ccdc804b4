package wal

import (
	"sync"
	"sync/atomic"
)

const (
	// maxTail is how much of the end of a log is kept in memory.
	maxTail = 256 << 10
	// maxTails bounds what all logs of a process keep.
	maxTails = 16 << 20
)

// tail is what was written last, for readers that wait at the end of the log: they need not open
// the file. It is kept while there are such readers, until the last of them has read it.
type tail struct {
	syncer *Syncer
	// waiting is how many readers are at the end of the log.
	waiting atomic.Int32

	mu      sync.Mutex
	buf     []byte
	segment uint64
	start   int64 // place of buf[0] in the segment
	// left is how many of the readers that waited have not read it yet.
	left int32
}

// append notes what was written at a place.
func (t *tail) append(segment uint64, at int64, b []byte) {
	waiting := t.waiting.Load()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.segment != segment || at != t.start+int64(len(t.buf)) || len(t.buf)+len(b) > maxTail {
		t.dropLocked()
	}
	if len(t.buf) == 0 {
		if waiting == 0 || len(b) > maxTail {
			return
		}
		t.segment, t.start, t.left = segment, at, waiting
	}
	before := cap(t.buf)
	t.buf = append(t.buf, b...)
	if grown := int64(cap(t.buf) - before); t.syncer.tails.Add(grown) > maxTails {
		t.dropLocked()
	}
}

// read copies what the tail has of a place, if that is all of b.
func (t *tail) read(segment uint64, b []byte, at int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	from := at - t.start
	if segment != t.segment || from < 0 || from+int64(len(b)) > int64(len(t.buf)) {
		return false
	}
	copy(b, t.buf[from:])
	return true
}

// has says whether read would copy n bytes.
func (t *tail) has(segment uint64, at, end int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return segment == t.segment && len(t.buf) > 0 && at >= t.start && end <= t.start+int64(len(t.buf))
}

// passed says that a reader is at the end of the log.
func (t *tail) passed() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.left--; t.left <= 0 {
		t.dropLocked()
	}
}

func (t *tail) drop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dropLocked()
}

func (t *tail) dropLocked() {
	t.syncer.tails.Add(-int64(cap(t.buf)))
	t.buf, t.segment, t.left = nil, 0, 0
}

// tailedFile is a segment of which the tail may be in memory. The file is opened when it is needed.
type tailedFile struct {
	log    *Log
	extent extent
	file   File
}

func (f *tailedFile) ReadAt(b []byte, off int64) (int, error) {
	if f.file == nil {
		if f.log.tail.read(f.extent.number, b, off) {
			return len(b), nil
		}
		if err := f.open(); err != nil {
			return 0, err
		}
	}
	return f.file.ReadAt(b, off)
}

func (f *tailedFile) open() error {
	file, err := f.log.openSegment(f.extent.segment)
	if err != nil {
		return openError{err}
	}
	f.file = file
	return nil
}

func (f *tailedFile) close() {
	if f.file != nil {
		_ = f.file.Close() // it was only read
	}
	*f = tailedFile{}
}
