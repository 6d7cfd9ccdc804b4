package wal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.uber.org/zap"
)

// A cursor file is named after a hash of its id. It has two slots, at 0 and at 512, so that no
// sector holds both, and the id at 1024. A save overwrites the older slot in place: whatever is
// torn, the other one is good.
//
//	slot: magic u32, checksum u32 of what follows and of the id, generation u64, segment u64, offset i64, Seq u64,
//	      length u32 of the progress, progress
//	id:   length u32, checksum u32, bytes
//
// Slots are not synced when they are saved: a cursor that is behind after a power loss costs a
// repetition, not a sample. The Syncer makes them durable within its interval, and a segment that was
// acknowledged goes when the disk knows that it was: otherwise what it had would be taken for lost.
const (
	cursorMagic    = 0x53_43_57_52 // "RWCS"
	cursorSlotSize = 44            // without the progress
	// Slots of an earlier version end before the progress.
	oldCursorMagic    = 0x52_43_57_52 // "RWCR"
	oldCursorSlotSize = 40
	cursorSlotGap     = 512
	cursorIDPlace     = 2 * cursorSlotGap
	maxCursorID       = 64 << 10
	cursorSuffix      = ".cursor"

	// MaxProgress is how many bytes of progress a cursor can carry: a slot must not reach into the
	// other.
	MaxProgress = 400
)

// cursor is guarded by Log.cursorMu.
type cursor struct {
	id         string // "" if it can't be read from the file
	name       string // of the file
	pos        Position
	progress   []byte // replaced, never written into
	generation uint64 // of the newest slot; the slot is generation modulo 2
	dirty      bool   // pos is newer than the file
	incomplete bool   // the file does not exist, or is damaged, and has to be written as a whole
	fresh      bool   // the file is new, and whoever made it is about to make it durable
	damaged    bool   // only while the log is opened: pos is not known
	// durable is a position behind which no loss of power takes the cursor back; the zero Position
	// if that is not known. unsynced: a slot was written since the last flush.
	durable  Position
	unsynced bool
}

// Cursor is a durable position.
type Cursor struct {
	ID string // "" if the file's id was damaged and nobody has asked for it yet
	Position
}

func cursorName(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:16]) + cursorSuffix
}

// Cursor returns the saved position of id. If it was never saved, known is false and pos is Begin:
// an endpoint that is new should save the position it starts from at once, because retention waits
// only for cursors that it knows. A damaged cursor is known and at Begin: better to send again than
// to lose.
func (l *Log) Cursor(id string) (pos Position, known bool, err error) {
	l.cursorMu.Lock()
	defer l.cursorMu.Unlock()
	c := l.cursors[cursorName(id)]
	if c == nil {
		return l.Begin(), false, nil
	}
	if c.id == "" {
		c.id = id
	}
	return c.pos, true, nil
}

// Cursors returns all cursors, by id.
func (l *Log) Cursors() []Cursor {
	l.cursorMu.Lock()
	defer l.cursorMu.Unlock()
	all := make([]Cursor, 0, len(l.cursors))
	for _, c := range l.cursors {
		all = append(all, Cursor{ID: c.id, Position: c.pos})
	}
	slices.SortFunc(all, func(a, b Cursor) int { return strings.Compare(a.ID, b.ID) })
	return all
}

// SaveCursor makes p the position of id: what lies before p may be dropped. It is cheap: the first
// save of an id is durable when it returns, later ones are within the Syncer's interval and at
// Close. The error is one of the first save, ErrClosed, or says that p is not in the log.
func (l *Log) SaveCursor(id string, p Position) error {
	return l.saveCursor(id, p, nil, false)
}

// SaveProgress is SaveCursor with up to MaxProgress bytes that say what behind p is done already.
// Both survive a kill of the process when it returns; a loss of power takes them back by as much as
// the Syncer's interval. SaveCursor clears the progress.
func (l *Log) SaveProgress(id string, p Position, progress []byte) error {
	if len(progress) > MaxProgress {
		return fmt.Errorf("save cursor %q: %d bytes of progress, at most %d are possible", id, len(progress), MaxProgress)
	}
	return l.saveCursor(id, p, progress, true)
}

// Progress returns what SaveProgress saved last for id; nil if there is nothing.
func (l *Log) Progress(id string) []byte {
	l.cursorMu.Lock()
	defer l.cursorMu.Unlock()
	if c := l.cursors[cursorName(id)]; c != nil {
		return c.progress
	}
	return nil
}

// saveCursor writes the cursor now, or marks it for the next flush.
func (l *Log) saveCursor(id string, p Position, progress []byte, now bool) error {
	if l.closed.Load() {
		return fmt.Errorf("save cursor %q: %w", id, ErrClosed)
	}
	if end := l.End(); p.Seq > end.Seq || p.Segment > end.Segment {
		return fmt.Errorf("save cursor %q: position %+v is behind the end of the log %+v", id, p, end)
	}
	was, err := l.setCursor(id, p, progress, now)
	if err != nil {
		return fmt.Errorf("save cursor %q: %w", id, err)
	}
	l.syncer.mark(l)
	if p.Segment > was.Segment {
		l.prune(l.o.Now(), afterSync)
	}
	return nil
}

func (l *Log) setCursor(id string, p Position, progress []byte, now bool) (was Position, err error) {
	l.cursorMu.Lock()
	defer l.cursorMu.Unlock()
	name := cursorName(id)
	c := l.cursors[name]
	if c == nil {
		c = &cursor{id: id, name: name, pos: p, progress: bytes.Clone(progress), incomplete: true, fresh: true}
		if err := l.writeCursor(c); err != nil {
			return p, err
		}
		l.cursors[name] = c
		return p, l.syncFresh(c)
	}
	was = c.pos
	c.id = id
	if p == was && bytes.Equal(progress, c.progress) && (!now || !c.dirty) {
		return was, nil
	}
	c.pos, c.progress, c.dirty = p, bytes.Clone(progress), true
	if before(p, c.durable) {
		c.durable = p
	}
	if now {
		// What fails here is dirty, and is tried again by the next flush.
		return was, l.writeCursor(c)
	}
	return was, nil
}

// syncFresh makes a new cursor's file durable, its name included. A cursor for which that fails is
// unknown, as before. It is called with cursorMu, and gives it up meanwhile: a slow disk must not
// hold up those who save other cursors, and commits that ask for them.
func (l *Log) syncFresh(c *cursor) error {
	pos := c.pos
	if l.o.Sync != SyncNever {
		l.cursorMu.Unlock()
		err := errors.Join(l.syncFile(filepath.Join(l.dir, c.name)), l.fs.SyncDir(l.dir))
		l.cursorMu.Lock()
		if err != nil {
			if l.cursors[c.name] == c {
				delete(l.cursors, c.name)
			}
			return err
		}
	}
	c.fresh = false
	if before(c.durable, pos) && !before(c.pos, pos) {
		c.durable = pos
	}
	return nil
}

// RemoveCursor forgets a cursor and deletes its file: retention does not wait for it any longer. It
// is no error if there is none.
func (l *Log) RemoveCursor(id string) error {
	l.cursorMu.Lock()
	defer l.cursorMu.Unlock()
	name := cursorName(id)
	if _, ok := l.cursors[name]; !ok {
		return nil
	}
	if err := l.fs.Remove(filepath.Join(l.dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove cursor %q: %w", id, err)
	}
	delete(l.cursors, name)
	return nil
}

// KeepCursors removes all cursors but those of ids, also those whose id can't be read: nobody else
// could, and they would hold the log back for ever.
func (l *Log) KeepCursors(ids ...string) error {
	l.cursorMu.Lock()
	defer l.cursorMu.Unlock()
	kept := map[string]bool{}
	for _, id := range ids {
		kept[cursorName(id)] = true
	}
	var problems []error
	for name := range l.cursors {
		if kept[name] {
			continue
		}
		if err := l.fs.Remove(filepath.Join(l.dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			problems = append(problems, fmt.Errorf("remove cursor: %w", err))
			continue
		}
		delete(l.cursors, name)
	}
	return errors.Join(problems...)
}

// writtenCursor is a position in the file of a cursor that may not be durable.
type writtenCursor struct {
	name string
	pos  Position
}

// writeCursors writes what was saved since the last time, and returns what is to be made durable:
// what was written since the last flush, or, with all, what is not known to be durable. What can't
// be written is tried again by the next flush. With all, which is a prune's, a closed log's files are
// left alone.
func (l *Log) writeCursors(all bool) (written []writtenCursor, err error) {
	l.cursorMu.Lock()
	defer l.cursorMu.Unlock()
	if all && l.closed.Load() {
		return nil, nil
	}
	for _, c := range l.cursors {
		if c.dirty {
			if werr := l.writeCursor(c); werr != nil {
				err = errors.Join(err, fmt.Errorf("write cursor %q: %w", c.id, werr))
				l.syncer.mark(l)
				continue
			}
		}
		if !c.fresh && (c.unsynced || all && l.o.Sync != SyncNever && before(c.durable, c.pos)) {
			written = append(written, writtenCursor{c.name, c.pos})
			c.unsynced = false
		}
	}
	return written, err
}

// syncCursors makes cursors durable, unless they are already. It needs no lock: a slow disk must not
// delay who saves a cursor. What can't be made durable is written again by the next flush.
func (l *Log) syncCursors(written []writtenCursor, durable bool) (err error) {
	for _, w := range written {
		var problem error
		if !durable {
			problem = l.syncFile(filepath.Join(l.dir, w.name))
		}
		if problem != nil {
			err = errors.Join(err, fmt.Errorf("sync cursor: %w", problem))
		}
		l.cursorSynced(w, problem == nil)
	}
	return err
}

func (l *Log) cursorSynced(w writtenCursor, ok bool) {
	l.cursorMu.Lock()
	defer l.cursorMu.Unlock()
	switch c := l.cursors[w.name]; {
	case c == nil:
	case !ok:
		c.dirty = true
		l.syncer.mark(l)
	case before(c.durable, w.pos) && !before(c.pos, w.pos):
		c.durable = w.pos
	}
}

// syncFile makes a file durable. One that is not there any more is.
func (l *Log) syncFile(name string) error {
	f, err := l.fs.OpenFile(name, os.O_WRONLY)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// writeCursor writes one slot, or the whole file if it is not complete. It needs cursorMu.
func (l *Log) writeCursor(c *cursor) error {
	f, err := l.fs.OpenFile(filepath.Join(l.dir, c.name), os.O_WRONLY|os.O_CREATE)
	if err != nil {
		return err
	}
	b, at := c.slot(c.generation+1), int64((c.generation+1)%2*cursorSlotGap)
	if c.incomplete {
		whole := make([]byte, cursorIDPlace+8, cursorIDPlace+8+len(c.id))
		copy(whole[at:], b)
		binary.LittleEndian.PutUint32(whole[cursorIDPlace:], uint32(len(c.id)))
		binary.LittleEndian.PutUint32(whole[cursorIDPlace+4:], checksum([]byte(c.id)))
		b, at = append(whole, c.id...), 0
	}
	n, err := f.WriteAt(b, at)
	if err == nil && n < len(b) {
		err = errors.New("short write")
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	c.generation++
	if c.unsynced = l.o.Sync != SyncNever; !c.unsynced {
		c.durable = c.pos
	}
	c.dirty, c.incomplete = false, false
	return nil
}

func (c *cursor) slot(generation uint64) []byte {
	b := make([]byte, cursorSlotSize, cursorSlotSize+len(c.progress))
	binary.LittleEndian.PutUint32(b, cursorMagic)
	binary.LittleEndian.PutUint64(b[8:], generation)
	binary.LittleEndian.PutUint64(b[16:], c.pos.Segment)
	binary.LittleEndian.PutUint64(b[24:], uint64(c.pos.Offset))
	binary.LittleEndian.PutUint64(b[32:], c.pos.Seq)
	binary.LittleEndian.PutUint32(b[40:], uint32(len(c.progress)))
	b = append(b, c.progress...)
	binary.LittleEndian.PutUint32(b[4:], slotChecksum(b, c.id))
	return b
}

func slotChecksum(slot []byte, id string) uint32 {
	return checksum(append(slices.Clone(slot[8:]), id...))
}

// recoverCursor reads a cursor file when the log is opened. A cursor that is damaged is known
// without a position. An error of the file system is no damage.
func (l *Log) recoverCursor(name string) error {
	c := &cursor{name: name, damaged: true, incomplete: true}
	b, err := l.readSmall(filepath.Join(l.dir, name))
	if err != nil {
		return fmt.Errorf("read cursor: %w", err)
	}
	c.parse(b)
	if c.damaged {
		l.o.Logger.Warn("cursor is damaged; what is in the log is sent again", zap.String("path", name))
	}
	l.cursors[name] = c
	return nil
}

func (l *Log) readSmall(name string) ([]byte, error) {
	f, err := l.fs.OpenFile(name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, min(size, cursorIDPlace+8+maxCursorID))
	n, err := f.ReadAt(b, 0)
	if n == len(b) || errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], err
}

func (c *cursor) parse(b []byte) {
	if len(b) < cursorIDPlace+8 {
		return
	}
	id, size := b[cursorIDPlace+8:], binary.LittleEndian.Uint32(b[cursorIDPlace:])
	if uint64(size) > uint64(len(id)) {
		return
	}
	id = id[:size] // what may lie behind is not ours
	if binary.LittleEndian.Uint32(b[cursorIDPlace+4:]) != checksum(id) || cursorName(string(id)) != c.name {
		return
	}
	c.id, c.incomplete = string(id), false
	for _, at := range []int{0, cursorSlotGap} {
		c.parseSlot(b[at:])
	}
}

// parseSlot takes a slot, if it is good and no newer one was taken before.
func (c *cursor) parseSlot(b []byte) {
	size := oldCursorSlotSize
	if binary.LittleEndian.Uint32(b) == cursorMagic {
		progress := binary.LittleEndian.Uint32(b[oldCursorSlotSize:])
		if progress > MaxProgress {
			return
		}
		size = cursorSlotSize + int(progress)
	} else if binary.LittleEndian.Uint32(b) != oldCursorMagic {
		return
	}
	s := b[:size]
	generation := binary.LittleEndian.Uint64(s[8:])
	if binary.LittleEndian.Uint32(s[4:]) != slotChecksum(s, c.id) || !c.damaged && generation < c.generation {
		return
	}
	c.generation, c.damaged, c.progress = generation, false, nil
	if size > cursorSlotSize {
		c.progress = bytes.Clone(s[cursorSlotSize:])
	}
	c.pos = Position{
		Segment: binary.LittleEndian.Uint64(s[16:]),
		Offset:  int64(binary.LittleEndian.Uint64(s[24:])),
		Seq:     binary.LittleEndian.Uint64(s[32:]),
	}
}
