package wal

import (
	"errors"
	"fmt"

	"go.uber.org/zap"
)

// flush makes durable what was written so far and closes the files. Errors are counted and logged: data that a later commit can't repair, and cursors
// that are tried again.
func (l *Log) flush() {
	l.flushMu.Lock()
	defer l.flushMu.Unlock()
	l.marked.Store(false)
	if l.closed.Load() {
		return
	}
	if err := l.flushLocked(); err != nil {
		l.counts.failed(err)
		l.o.Logger.Warn("WAL could not be made durable", zap.String("path", l.dir), zap.Error(err))
	}
}

func (l *Log) flushLocked() error {
	l.writeMu.Lock()
	active, retired, syncDir := l.active.file, l.active.retired, l.active.syncDir
	number := l.active.number
	l.active.file, l.active.retired, l.active.syncDir = nil, nil, false
	l.writeMu.Unlock()

	err := l.syncAndClose(active)
	if err != nil {
		// The kernel reports a failed write-back once and forgets it. Nothing more goes to this file.
		l.writeMu.Lock()
		if l.active.number == number {
			l.complete()
		}
		l.writeMu.Unlock()
	}
	for _, f := range retired {
		err = errors.Join(err, l.syncAndClose(f))
	}
	if syncDir && l.o.Sync != SyncNever {
		if derr := l.fs.SyncDir(l.dir); derr != nil {
			err = errors.Join(err, fmt.Errorf("sync directory: %w", derr))
		}
	}
	return errors.Join(err, l.flushCursors())
}

func (l *Log) syncAndClose(f File) error {
	if f == nil {
		return nil
	}
	var err error
	if l.o.Sync != SyncNever {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("sync segment: %w", err)
	}
	return nil
}
