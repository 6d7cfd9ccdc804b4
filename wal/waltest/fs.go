package waltest

import (
	"io/fs"
	"os"
	"sync"

	"github.com/ringmaster-agent/ringmaster/wal"
)

// Op is an operation of wal.FS or wal.File that can be made to fail.
type Op string

// The operations of FS.
const (
	OpOpen     Op = "open"
	OpCreate   Op = "create" // open with os.O_CREATE
	OpReadDir  Op = "readdir"
	OpMkdir    Op = "mkdir"
	OpRemove   Op = "remove"
	OpSyncDir  Op = "syncdir"
	OpRead     Op = "read"
	OpWrite    Op = "write"
	OpTruncate Op = "truncate"
	OpSync     Op = "sync"
	OpSyncFS   Op = "syncfs"
)

// Call is one operation about to be made.
type Call struct {
	Op     Op
	Name   string
	Offset int64 // of a read or write
	Size   int   // of a read or write, in bytes
}

// Fault is what happens instead. The zero value is no fault.
type Fault struct {
	// Err is returned. A write stores Short bytes before.
	Err   error
	Short int
	// FlipBit inverts the lowest bit of the first byte that is read or written.
	FlipBit bool
}

// FS is a wal.FS that asks a hook before each operation. The zero value is the operating system's.
type FS struct {
	mu   sync.Mutex
	hook func(Call) Fault
}

// Hook sets who is asked; nil ends all faults. The hook may block, which is a slow disk. It may be
// called by many goroutines.
func (f *FS) Hook(hook func(Call) Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = hook
}

func (f *FS) ask(c Call) Fault {
	f.mu.Lock()
	hook := f.hook
	f.mu.Unlock()
	if hook == nil {
		return Fault{}
	}
	return hook(c)
}

// OpenFile implements wal.FS.
func (f *FS) OpenFile(name string, flag int) (wal.File, error) {
	op := OpOpen
	if flag&os.O_CREATE != 0 {
		op = OpCreate
	}
	if err := f.ask(Call{Op: op, Name: name}).Err; err != nil {
		return nil, err
	}
	file, err := os.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return &faultyFile{File: file, fs: f}, nil
}

// ReadDir implements wal.FS.
func (f *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := f.ask(Call{Op: OpReadDir, Name: name}).Err; err != nil {
		return nil, err
	}
	return os.ReadDir(name)
}

// MkdirAll implements wal.FS.
func (f *FS) MkdirAll(name string) error {
	if err := f.ask(Call{Op: OpMkdir, Name: name}).Err; err != nil {
		return err
	}
	return os.MkdirAll(name, 0o700)
}

// Remove implements wal.FS.
func (f *FS) Remove(name string) error {
	if err := f.ask(Call{Op: OpRemove, Name: name}).Err; err != nil {
		return err
	}
	return os.Remove(name)
}

// SyncDir implements wal.FS.
func (f *FS) SyncDir(name string) error { return f.ask(Call{Op: OpSyncDir, Name: name}).Err }

// SyncFS implements wal.FS.
func (f *FS) SyncFS(name string) error { return f.ask(Call{Op: OpSyncFS, Name: name}).Err }

type faultyFile struct {
	*os.File
	fs *FS
}

func (f *faultyFile) ReadAt(b []byte, off int64) (int, error) {
	fault := f.fs.ask(Call{Op: OpRead, Name: f.Name(), Offset: off, Size: len(b)})
	if fault.Err != nil {
		return 0, fault.Err
	}
	n, err := f.File.ReadAt(b, off)
	if fault.FlipBit && n > 0 {
		b[0] ^= 1
	}
	return n, err
}

func (f *faultyFile) WriteAt(b []byte, off int64) (int, error) {
	fault := f.fs.ask(Call{Op: OpWrite, Name: f.Name(), Offset: off, Size: len(b)})
	if fault.FlipBit {
		b = append([]byte(nil), b...)
		b[0] ^= 1
	}
	if fault.Err != nil {
		n, _ := f.File.WriteAt(b[:min(fault.Short, len(b))], off)
		return n, fault.Err
	}
	return f.File.WriteAt(b, off)
}

func (f *faultyFile) Truncate(size int64) error {
	if err := f.fs.ask(Call{Op: OpTruncate, Name: f.Name()}).Err; err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f *faultyFile) Sync() error { return f.fs.ask(Call{Op: OpSync, Name: f.Name()}).Err }

func (f *faultyFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
