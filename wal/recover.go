package wal

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"
	"syscall"

	"go.uber.org/zap"
)

// recover finds out what there is: the list of segments from the names, the end of committed data
// from the headers of the newest segment, and the cursors. It changes nothing on the disk.
func (l *Log) recover() error {
	entries, err := l.fs.ReadDir(l.dir)
	if err != nil {
		return fmt.Errorf("list segments: %w", err)
	}
	for _, e := range entries {
		switch {
		case strings.HasSuffix(e.Name(), cursorSuffix):
			err = l.recoverCursor(e.Name())
		case strings.HasSuffix(e.Name(), segmentSuffix):
			err = l.recoverSegment(e)
		}
		if err != nil {
			return err
		}
	}
	slices.SortFunc(l.segments, func(a, b segment) int {
		return cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(a.firstSeq, b.firstSeq))
	})
	// Two files with one number are not our doing. The first is believed.
	l.segments = slices.CompactFunc(l.segments, func(a, b segment) bool { return a.number == b.number })

	if n := len(l.segments); n > 0 {
		if err := l.recoverEnd(&l.segments[n-1]); err != nil {
			return fmt.Errorf("read newest segment: %w", err)
		}
	}
	// After a power loss a cursor can be ahead of the data, and all segments may be gone. Numbers
	// are not used twice even so.
	for _, c := range l.cursors {
		l.end.Seq = max(l.end.Seq, c.pos.Seq)
		if c.pos.Segment > l.end.Segment {
			l.end.Segment, l.end.Offset = c.pos.Segment, c.pos.Offset
		}
	}
	l.nextSegment = l.end.Segment + 1
	for _, c := range l.cursors {
		if c.damaged {
			c.pos, c.damaged = l.begin(), false
		}
	}
	return nil
}

func (l *Log) recoverSegment(e fs.DirEntry) error {
	number, firstSeq, ok := parseSegmentName(e.Name())
	if !ok {
		l.o.Logger.Warn("ignoring a file that is not a segment", zap.String("path", e.Name()))
		return nil
	}
	info, err := e.Info()
	if err != nil {
		return fmt.Errorf("look at segment: %w", err)
	}
	l.segments = append(l.segments, segment{number: number, firstSeq: firstSeq, end: info.Size(), lastWrite: info.ModTime()})
	return nil
}

// recoverEnd hops over the headers of the newest segment. A last record whose bytes are all there
// counts as committed, and if it is damaged it will be counted so; one that was cut short was never
// committed. An error of the file system is not damage: it says nothing of what is there, and fails
// the Open, since samples would be taken for lost and numbers used twice otherwise.
func (l *Log) recoverEnd(s *segment) error {
	end := Position{Segment: s.number, Offset: min(s.end, segmentHeaderSize), Seq: s.firstSeq}
	defer func() {
		s.end = end.Offset
		l.end = end
	}()
	f, err := l.fs.OpenFile(l.path(*s), os.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	sc := scanner{window: l.syncer.window(), limit: s.end, seq: s.firstSeq, maxSeq: math.MaxInt64}
	defer l.syncer.release(sc.window)
	sc.f = f
	if ok, err := sc.identify(s.number); !ok || err != nil {
		if err == nil {
			l.o.Logger.Warn("newest WAL segment is damaged; continuing after it", zap.String("path", l.path(*s)))
		}
		return err
	}
	sc.off = segmentHeaderSize
	for {
		h, at, err := sc.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		sc.off, sc.seq = at+h.size(), h.end()
		end.Offset, end.Seq = sc.off, sc.seq
	}
}

func isReadOnly(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)
}

func explainReadOnly(err error) error {
	if isReadOnly(err) {
		return fmt.Errorf("%w (the WAL directory and its parent must be writable for this user: "+
			"mount it read-write, change its owner, or set wal_directory to another place)", err)
	}
	return err
}

// isNoSpace says whether freeing space can help.
func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
