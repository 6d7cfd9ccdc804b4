package wal

import (
	"errors"
	"fmt"
	"path/filepath"

	"go.uber.org/zap"
)

// unsynced is what a flush of one log has to make durable. Files are closed afterwards.
type unsynced struct {
	log *Log
	// active is the file of segment number, which goes on; retired are those of completed ones.
	active  File
	number  uint64
	retired []File
	// names says that there are new names in the directory.
	names bool
	// cursors were written; problem is about those that could not be.
	cursors []writtenCursor
	problem error
}

// detach takes what was written so far. It needs flushMu, which is held until finish.
func (l *Log) detach() unsynced {
	l.writeMu.Lock()
	u := unsynced{log: l, active: l.active.file, number: l.active.number, retired: l.active.retired, names: l.active.syncDir}
	l.active.file, l.active.retired, l.active.syncDir = nil, nil, false
	l.writeMu.Unlock()
	u.cursors, u.problem = l.writeCursors(false)
	return u
}

// nothing says that there is nothing to be made durable.
func (u *unsynced) nothing() bool {
	return u.active == nil && len(u.retired) == 0 && !u.names && len(u.cursors) == 0
}

// finish makes durable what is not yet, and closes the files.
func (u *unsynced) finish(durable bool) error {
	l := u.log
	durable = durable || l.o.Sync == SyncNever
	err := u.close(u.active, durable)
	if err != nil {
		// The kernel reports a failed write-back once and forgets it. Nothing more goes to this file.
		l.writeMu.Lock()
		if l.active.number == u.number {
			l.complete()
		}
		l.writeMu.Unlock()
	}
	for _, f := range u.retired {
		err = errors.Join(err, u.close(f, durable))
	}
	if u.names && !durable {
		err = errors.Join(err, l.syncNames())
	}
	return errors.Join(err, u.problem, l.syncCursors(u.cursors, durable))
}

func (u *unsynced) close(f File, durable bool) error {
	if f == nil {
		return nil
	}
	var err error
	if !durable {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("sync segment: %w", err)
	}
	return nil
}

// syncNames makes the names in the directory durable, and once that of the directory itself.
func (l *Log) syncNames() error {
	if err := l.fs.SyncDir(l.dir); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	if l.named.Load() {
		return nil
	}
	if err := l.fs.SyncDir(filepath.Dir(l.dir)); err != nil {
		return fmt.Errorf("sync directory of logs: %w", err)
	}
	l.named.Store(true)
	return nil
}

// flushed notes what became of a flush by the syncer. Errors are counted and logged: they are about
// data that a later commit can't repair, and cursors that are tried again.
func (l *Log) flushed(err error) {
	if err != nil {
		l.counts.failed(err)
		l.o.Logger.Warn("WAL sync failed", zap.String("path", l.dir), zap.Error(err))
	}
}

// flushLocked makes everything durable. It needs flushMu.
func (l *Log) flushLocked() error {
	u := l.detach()
	return u.finish(false)
}
