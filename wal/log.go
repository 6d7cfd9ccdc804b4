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
)

var (
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("wal is closed")
	// ErrLocked is returned by Open if another process, or another Log of this one, has the directory open.
	ErrLocked = errors.New("wal directory is in use")
	// ErrInvalidLabels is returned by Append for a series without labels or with a repeated label name.
	ErrInvalidLabels = errors.New("invalid labels")
)

// SyncPolicy says when data is made durable against power loss. Against kill -9 it is with each commit, whatever the policy.
type SyncPolicy uint8

const (
	// SyncInterval syncs what was committed at the interval of the Syncer.
	SyncInterval SyncPolicy = iota
	// SyncEachCommit syncs before a commit returns.
	SyncEachCommit
	// SyncNever leaves it to the operating system.
	SyncNever
)

// DefaultSegmentBytes is the size of a segment if Options say nothing.
const DefaultSegmentBytes = 16 << 20

// Options of a Log. The zero value works.
type Options struct {
	// FS is where the files are. nil: the operating system's.
	FS FS
	// Syncer flushes this log and all others of the process. nil: one of its own, with an interval of a second.
	Syncer *Syncer
	// Sync says when data is made durable.
	Sync SyncPolicy
	// SegmentBytes is the size at which a segment is complete. 0: DefaultSegmentBytes. It is at most a quarter of MaxBytes.
	SegmentBytes int64
	// SegmentAge is the age at which a segment is complete. 0: none.
	SegmentAge time.Duration
	// MinAge is how long acknowledged data is kept at least. 0: it may go at once.
	MinAge time.Duration
	// MaxAge and MaxBytes are the caps at which data goes even if it was not acknowledged. 0: none.
	MaxAge   time.Duration
	MaxBytes int64
	// Logger gets what nobody can be told as an error. nil: nothing is logged.
	Logger *zap.Logger
	// Now is the clock. nil: time.Now.
	Now func() time.Time
	// OnCommit is called after each commit that wrote something, without locks held. It must not block. nil: nobody.
	OnCommit func()
}

// Retention is the part of Options that can be changed while the log is open; the fields are explained there.
type Retention struct {
	SegmentAge, MinAge, MaxAge time.Duration
	MaxBytes                   int64
}

// Log is one instance's write-ahead log. See the package's documentation for the contract.
type Log struct {
	catalog
	o      Options
	syncer *Syncer
	counts counters
	// keep is the retention in force, never nil.
	keep atomic.Pointer[Retention]

	// flushMu keeps flushing and closing apart.
	flushMu sync.Mutex
	marked  atomic.Bool // the syncer will flush this log

	// writeMu serialises commits and guards the active segment.
	writeMu     sync.Mutex
	closed      atomic.Bool // set under writeMu
	active      activeSegment
	incarnation uint64 // 0 until this process made its first segment
	nextSegment uint64
	lastPrune   time.Time

	// seriesMu guards the table and all series.
	seriesMu sync.Mutex
	table    table

	// cursorMu guards cursors.
	cursorMu sync.Mutex
	cursors  map[string]*cursor

	// pruneMu keeps removals apart.
	pruneMu sync.Mutex
}

// Open opens or creates the log in dir, whose parent holds the lock file. It reads no samples. The error is ErrLocked if the directory is in use.
func Open(dir string, o Options) (*Log, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open wal %s: %w", dir, err)
	}
	o = o.withDefaults()
	l := &Log{catalog: catalog{fs: o.FS, dir: dir}, o: o, syncer: o.Syncer, table: newTable(), cursors: map[string]*cursor{}}
	l.SetRetention(Retention{SegmentAge: o.SegmentAge, MinAge: o.MinAge, MaxAge: o.MaxAge, MaxBytes: o.MaxBytes})
	if l.syncer == nil {
		l.syncer = NewSyncer(time.Second)
	}
	if err := l.prepareDirectory(); err != nil {
		return nil, fmt.Errorf("open wal %s: %w", dir, err)
	}
	if err := l.syncer.lock(dir); err != nil {
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
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = DefaultSegmentBytes
	}
	return o
}

// SetRetention takes effect with the next commit, saved cursor or Prune.
func (l *Log) SetRetention(r Retention) { l.keep.Store(&r) }

// segmentBytes is the size at which a segment is complete: small enough that the cap on bytes drops a part of the log, not all.
func (l *Log) segmentBytes() int64 {
	if limit := l.keep.Load().MaxBytes; limit > 0 {
		return min(l.o.SegmentBytes, max(limit/4, 1))
	}
	return l.o.SegmentBytes
}

// prepareDirectory creates the directory and finds out now, not at the first scrape, if it can't be written to. A full disk is no reason
// to refuse: what is in the log can still be sent.
func (l *Log) prepareDirectory() error {
	if err := l.fs.MkdirAll(l.dir); err != nil {
		return explainReadOnly(err)
	}
	probe := filepath.Join(l.dir, ".writable")
	f, err := l.fs.OpenFile(probe, os.O_CREATE|os.O_WRONLY)
	if err != nil {
		if isReadOnly(err) {
			return explainReadOnly(err)
		}
		return nil
	}
	return errors.Join(f.Close(), l.fs.Remove(probe))
}

// AppenderV2 returns an appender for one commit. Any number may be open at once. The context is not used.
func (l *Log) AppenderV2(context.Context) storage.AppenderV2 {
	a := l.syncer.appender()
	a.log = l
	a.enc.reset()
	return a
}

// Begin is the position before the oldest data that still exists.
func (l *Log) Begin() Position { return l.begin() }

// End is the position behind the newest commit. End().Seq is the number of samples ever committed.
func (l *Log) End() Position { return l.endPosition() }

// Dir is the log's directory.
func (l *Log) Dir() string { return l.dir }

// Close makes everything durable, cursors included, and leaves the files. Open appenders fail to commit from now on, readers get ErrClosed.
func (l *Log) Close() error {
	l.flushMu.Lock()
	defer l.flushMu.Unlock()
	l.writeMu.Lock()
	closed := l.closed.Swap(true)
	l.writeMu.Unlock()
	if closed {
		return nil
	}
	l.syncer.forget(l)
	err := l.flushLocked()
	l.syncer.unlock(l.dir)
	if l.o.Syncer == nil {
		l.syncer.Close()
	}
	if err != nil {
		return fmt.Errorf("close wal %s: %w", l.dir, err)
	}
	return nil
}

// Remove closes the log and deletes its directory.
func (l *Log) Remove() error {
	_ = l.Close() // what can't be made durable is about to go
	entries, err := l.fs.ReadDir(l.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		err = errors.Join(err, l.fs.Remove(filepath.Join(l.dir, e.Name())))
	}
	if err = errors.Join(err, l.fs.Remove(l.dir)); err != nil {
		return fmt.Errorf("remove wal %s: %w", l.dir, err)
	}
	return nil
}

// IsLog reports whether a directory is a log's: it holds a segment or a cursor, and nothing else. Whoever is about to remove a
// directory that he only found should ask.
func IsLog(dir string) (bool, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false, fmt.Errorf("list wal directory: %w", err)
	}
	for _, e := range entries {
		_, _, segment := parseSegmentName(e.Name())
		if !e.Type().IsRegular() || !segment && !strings.HasSuffix(e.Name(), cursorSuffix) {
			return false, nil
		}
	}
	return len(entries) > 0, nil
}

func newSalt() uint32 { return rand.Uint32() }
