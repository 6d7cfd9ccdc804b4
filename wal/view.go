package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/ringmaster-agent/ringmaster/series"
)

// viewAttempts is how often a directory is listed whose files go meanwhile.
const viewAttempts = 10

// View is what a log held at a moment, for whoever only looks at it. It takes no lock and writes
// nothing, so it may be made of the log of a running process, and of a directory that is read-only.
// What retention removes from a running log after the View was made counts as damaged.
type View struct{ log *Log }

// Inspect makes a View of the log in dir. The error is fs.ErrNotExist if there is no log.
func Inspect(dir string) (*View, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("inspect wal %s: %w", dir, err)
	}
	for attempt := 1; ; attempt++ {
		l := &Log{catalog: catalog{fs: osFS{}, dir: dir}, o: Options{}.withDefaults(), cursors: map[string]*cursor{}}
		l.syncer = NewSyncer(0)
		l.tail.syncer = l.syncer
		l.table = newTable(l.o.Book)
		err := l.recover()
		if err == nil && len(l.segments)+len(l.cursors) > 0 {
			return &View{l}, nil
		}
		l.syncer.Close()
		if err == nil {
			return nil, fmt.Errorf("inspect wal %s: it has no segment of a log: %w", dir, fs.ErrNotExist)
		}
		if attempt == viewAttempts || !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("inspect wal %s: %w", dir, err)
		}
	}
}

// Close makes an end; readers get ErrClosed.
func (v *View) Close() {
	v.log.closed.Store(true)
	v.log.syncer.Close()
}

// Begin and End are the positions around what there was.
func (v *View) Begin() Position { return v.log.Begin() }

// End is the position behind the newest commit.
func (v *View) End() Position { return v.log.End() }

// Cursors are the durable positions of the endpoints, by their IDs.
func (v *View) Cursors() []Cursor { return v.log.Cursors() }

// Size returns the bytes of committed data and the number of segments.
func (v *View) Size() (bytes int64, segments int) { return v.log.size() }

// Book has the series that readers deliver.
func (v *View) Book() *series.Book { return v.log.Book() }

// NewReader returns a reader that starts at a position.
func (v *View) NewReader(from Position) *Reader { return v.log.NewReader(from) }
