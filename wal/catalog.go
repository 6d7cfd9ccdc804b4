package wal

import (
	"cmp"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Position is a place between two records. It is comparable, and it can be kept: a Log that is
// opened later understands it. The zero value is the beginning of a log that never dropped
// anything; a new endpoint starts at Begin or End.
type Position struct {
	// Segment and Offset are the number of a segment and a place in its file, in bytes.
	Segment uint64
	Offset  int64
	// Seq is the number of samples (floats and histograms) that were ever committed before this
	// place. The difference of two positions is the number of samples between them, whether they
	// still exist or not.
	Seq uint64
}

// segment describes a segment as far as its data is committed.
type segment struct {
	number    uint64
	firstSeq  uint64
	end       int64 // bytes of valid data; what may lie behind was never committed
	lastWrite time.Time
}

// catalog is the picture of the log that appending, reading and retention share: which segments
// there are and where committed data ends. Nobody reads a file beyond it.
type catalog struct {
	fs  FS
	dir string

	mu       sync.Mutex
	segments []segment // by number
	end      Position
}

// extent is a segment as a reader sees it.
type extent struct {
	segment
	endSeq uint64 // samples before the end of the segment
	// oldest and newest say that no segment precedes or follows.
	oldest, newest bool
}

// from returns the first segment that is not before number. ok is false if there is none; end is
// then the log's end.
func (c *catalog) from(number uint64) (e extent, end Position, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, _ := slices.BinarySearchFunc(c.segments, number, func(s segment, n uint64) int { return cmp.Compare(s.number, n) })
	if i == len(c.segments) {
		return e, c.end, false
	}
	e = extent{segment: c.segments[i], oldest: i == 0, newest: i == len(c.segments)-1}
	if e.newest {
		e.endSeq = c.end.Seq
	} else {
		e.endSeq = c.segments[i+1].firstSeq
	}
	return e, c.end, true
}

func (c *catalog) begin() Position {
	e, end, ok := c.from(0)
	if !ok {
		return end
	}
	return Position{Segment: e.number, Offset: segmentHeaderSize, Seq: e.firstSeq}
}

func (c *catalog) endPosition() Position {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.end
}

// add makes a new segment, the newest, visible.
func (c *catalog) add(s segment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.segments = append(c.segments, s)
	c.end = Position{Segment: s.number, Offset: s.end, Seq: s.firstSeq}
}

// extend makes a record at the end of the newest segment visible.
func (c *catalog) extend(end Position, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.segments[len(c.segments)-1]
	s.end, s.lastWrite, c.end = end.Offset, now, end
}

// size returns the bytes of committed data and the number of segments.
func (c *catalog) size() (bytes int64, segments int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.segments {
		bytes += s.end
	}
	return bytes, len(c.segments)
}

func (c *catalog) path(s segment) string {
	return filepath.Join(c.dir, segmentName(s.number, s.firstSeq))
}
