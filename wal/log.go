package wal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/storage"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/series"
)

var (
	// ErrClosed is returned after Close. It is an fs.ErrClosed, for those who know the log as a
	// storage.AppendableV2 only.
	ErrClosed = fmt.Errorf("wal is closed: %w", fs.ErrClosed)
	// ErrLocked is returned by Open if another process, or another Log of this one, has the
	// directory open.
	ErrLocked = errors.New("wal directory is in use")
	// ErrInvalidLabels is returned by Append for a series without labels or with a repeated label name.
	ErrInvalidLabels = series.ErrInvalid
)

// SyncPolicy says when data is made durable against power loss. Against kill -9 it is with each
// commit, whatever the policy.
type SyncPolicy uint8

const (
	// SyncInterval syncs what was committed at the interval of the Syncer.
	SyncInterval SyncPolicy = iota
	// SyncEachCommit syncs before a commit returns.
	SyncEachCommit
	// SyncNever leaves it to the operating system.
	SyncNever
)

// DefaultSegmentBytes is the least size of a segment if Options say nothing.
const DefaultSegmentBytes = 1 << 20

// Options of a Log. The zero value works.
type Options struct {
	// FS is where the files are. nil: the operating system's.
	FS FS
	// Syncer flushes this log and all others of the process. nil: one of its own, with an interval
	// of a second.
	Syncer *Syncer
	// Sync says when data is made durable.
	Sync SyncPolicy
	// SegmentBytes is the size at which a segment is complete, whatever it holds. 0: a segment is
	// complete when definitions are a small part of it, and it has DefaultSegmentBytes. It is at
	// most a quarter of MaxBytes.
	SegmentBytes int64
	// SegmentAge is the age at which a segment is complete. 0: none.
	SegmentAge time.Duration
	// Book has the series of the instance. nil: one of the log's own.
	Book *series.Book
	// MaxAge and MaxBytes are the caps at which data goes even if it was not acknowledged. 0: none.
	MaxAge   time.Duration
	MaxBytes int64
	// Logger gets what nobody can be told as an error. nil: nothing is logged.
	Logger *zap.Logger
	// Now is the clock. nil: time.Now.
	Now func() time.Time
	// OnCommit is called after each commit that wrote something, without locks held. It must not
	// block. nil: nobody.
	OnCommit func()
}

// Retention is the part of Options that can be changed while the log is open; the fields are
// explained there.
type Retention struct {
	SegmentAge, MaxAge time.Duration
	MaxBytes           int64
}

// Log is one instance's write-ahead log. See the package's documentation for the contract.
type Log struct {
	catalog
	o      Options
	syncer *Syncer
	counts counters
	opened time.Time
	tail   tail
	// keep is the retention in force, never nil.
	keep atomic.Pointer[Retention]

	// flushMu keeps flushing and closing apart.
	flushMu sync.Mutex
	marked  atomic.Bool // the syncer will flush this log
	named   atomic.Bool // the directory's own name is durable

	// writeMu serialises commits and guards the active segment.
	writeMu     sync.Mutex
	closed      atomic.Bool // set under writeMu
	active      activeSegment
	nextSegment uint64
	lastPrune   time.Time
	lastForget  time.Time
	definitions definitions // scratch
	// undefined is the segment in which a reader has last met samples of series whose definitions
	// are damaged. If commits still go to it, they would only add to what can't be read.
	undefined atomic.Uint64

	// seriesMu guards the table.
	seriesMu sync.Mutex
	table    table

	// cursorMu guards cursors.
	cursorMu sync.Mutex
	cursors  map[string]*cursor

	// pruneMu keeps removals apart.
	pruneMu sync.Mutex
}

// Open opens or creates the log in dir, whose parent holds the lock file. It reads no samples. The
// error is ErrLocked if the directory is in use.
func Open(dir string, o Options) (*Log, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open wal %s: %w", dir, err)
	}
	o = o.withDefaults()
	l := &Log{catalog: catalog{fs: o.FS, dir: dir}, o: o, syncer: o.Syncer, table: newTable(o.Book), cursors: map[string]*cursor{}}
	l.SetRetention(Retention{SegmentAge: o.SegmentAge, MaxAge: o.MaxAge, MaxBytes: o.MaxBytes})
	l.opened = o.Now()
	if l.syncer == nil {
		l.syncer = NewSyncer(time.Second)
	}
	l.tail.syncer = l.syncer
	// The lock comes before the directory: another process may be about to remove it.
	if err := l.fs.MkdirAll(filepath.Dir(dir)); err != nil {
		return nil, fmt.Errorf("open wal %s: %w", dir, explainReadOnly(err))
	}
	if isSystem(o.FS) {
		if err := checkOwn(dir); err != nil {
			return nil, fmt.Errorf("open wal %s: %w", dir, err)
		}
	}
	if err := l.syncer.lock(dir); err != nil {
		return nil, fmt.Errorf("open wal %s: %w", dir, err)
	}
	if err := l.prepareDirectory(); err != nil {
		l.syncer.unlock(dir)
		return nil, fmt.Errorf("open wal %s: %w", dir, err)
	}
	if err := l.recover(); err != nil {
		l.syncer.unlock(dir)
		return nil, fmt.Errorf("open wal %s: %w", dir, err)
	}
	return l, nil
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = osFS{}
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Book == nil {
		o.Book = series.New()
	}
	return o
}

// SetRetention takes effect with the next commit, saved cursor or Prune.
func (l *Log) SetRetention(r Retention) { l.keep.Store(&r) }

// probeName is a file that Open makes and removes. A kill in between leaves it.
const probeName = ".writable"

// prepareDirectory creates the directory and finds out now, not at the first scrape, if it can't be
// written to: one that it has created can. A full disk is no reason to refuse: what is in the log can
// still be sent.
func (l *Log) prepareDirectory() error {
	_, err := l.fs.ReadDir(l.dir)
	fresh := errors.Is(err, fs.ErrNotExist)
	if err := l.fs.MkdirAll(l.dir); err != nil {
		return explainReadOnly(err)
	}
	if fresh {
		return nil
	}
	probe := filepath.Join(l.dir, probeName)
	f, err := l.fs.OpenFile(probe, os.O_CREATE|os.O_WRONLY)
	if err != nil {
		if isReadOnly(err) {
			return explainReadOnly(err)
		}
		return nil
	}
	return errors.Join(f.Close(), l.fs.Remove(probe))
}

// AppenderV2 returns an appender for one commit. Any number may be open at once. The context is not
// used.
func (l *Log) AppenderV2(context.Context) storage.AppenderV2 {
	a := l.syncer.appender()
	a.log, a.started = l, l.o.Now()
	a.enc.reset()
	return a
}

// Begin is the position before the oldest data that still exists.
func (l *Log) Begin() Position { return l.begin() }

// End is the position behind the newest commit. End().Seq is the number of samples ever committed.
func (l *Log) End() Position { return l.endPosition() }

// Book has the series whose references the log takes and its readers deliver.
func (l *Log) Book() *series.Book { return l.table.book }

// Dir is the log's directory.
func (l *Log) Dir() string { return l.dir }

// Close makes everything durable, cursors included, and leaves the files. Open appenders fail to
// commit from now on, readers get ErrClosed.
func (l *Log) Close() error {
	closed, err := l.shut()
	if closed {
		return nil
	}
	l.syncer.unlock(l.dir)
	if err != nil {
		return fmt.Errorf("close wal %s: %w", l.dir, err)
	}
	return nil
}

// shut ends everything but the lock on the directory. closed says that this was done before.
func (l *Log) shut() (closed bool, err error) {
	l.flushMu.Lock()
	l.writeMu.Lock()
	closed = l.closed.Swap(true)
	l.writeMu.Unlock()
	if closed {
		l.flushMu.Unlock()
		return true, nil
	}
	l.pruneMu.Lock() // a prune under way ends before the directory is given up
	l.syncer.forget(l)
	l.pruneMu.Unlock()
	err = l.flushLocked()
	l.flushMu.Unlock()
	l.tail.drop()
	l.seriesMu.Lock()
	l.table.release()
	l.seriesMu.Unlock()
	if l.o.Syncer == nil {
		l.syncer.Close()
	}
	return false, err
}

// Remove closes the log and deletes its directory, while nobody else can open it. Of a directory
// that is a symbolic link, the link goes, and what it leads to keeps all that is not the log's.
func (l *Log) Remove() error {
	if closed, _ := l.shut(); closed { // what can't be made durable is about to go
		if err := l.syncer.lock(l.dir); err != nil {
			return fmt.Errorf("remove wal %s: %w", l.dir, err)
		}
	}
	defer l.syncer.unlock(l.dir)
	return l.delete()
}

// RemoveIf closes the log, and deletes its directory if unneeded says so, which is asked when nothing
// can be committed any more.
func (l *Log) RemoveIf(unneeded func() bool) error {
	closed, err := l.shut()
	if closed {
		return nil
	}
	defer l.syncer.unlock(l.dir)
	if unneeded() {
		return l.delete()
	}
	if err != nil {
		return fmt.Errorf("close wal %s: %w", l.dir, err)
	}
	return nil
}

// delete needs the lock on the directory.
func (l *Log) delete() error {
	entries, err := l.fs.ReadDir(l.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if ours(e) {
			err = errors.Join(err, l.fs.Remove(filepath.Join(l.dir, e.Name())))
		}
	}
	if err = errors.Join(err, l.fs.Remove(l.dir)); err != nil {
		return fmt.Errorf("remove wal %s: %w", l.dir, err)
	}
	return nil
}

// IsLog reports whether a directory is a log's: it is no symbolic link, holds a segment or a cursor,
// and nothing that is not a log's. Whoever is about to remove a directory that he only found should
// ask.
func IsLog(dir string) (bool, error) {
	info, err := os.Lstat(dir)
	if err != nil {
		return false, fmt.Errorf("look at wal directory: %w", err)
	}
	if !info.IsDir() {
		return false, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false, fmt.Errorf("list wal directory: %w", err)
	}
	logs := 0
	for _, e := range entries {
		if !ours(e) {
			return false, nil
		}
		if e.Name() != probeName {
			logs++
		}
	}
	return logs > 0, nil
}

// ours says whether a file is one that a log makes.
func ours(e fs.DirEntry) bool {
	_, _, segment := parseSegmentName(e.Name())
	return e.Type().IsRegular() && (segment || strings.HasSuffix(e.Name(), cursorSuffix) || e.Name() == probeName)
}

func newSalt() uint32 { return rand.Uint32() }
