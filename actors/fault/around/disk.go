package around

import (
	"context"
	"io/fs"

	"github.com/ringmaster-agent/ringmaster/actors/fault"
	"github.com/ringmaster-agent/ringmaster/wal"
)

// Disk returns the file system with the faults of the points disk.*, for the log of a unit. Nil f:
// that of the operating system.
func Disk(f wal.FS, rules *fault.Registry, unit string) wal.FS {
	if rules == nil {
		return f
	}
	if f == nil {
		f = wal.System()
	}
	return disk{f, rules, unit}
}

type disk struct {
	wal.FS
	rules *fault.Registry
	unit  string
}

// Unwrap says which file system is beneath.
func (d disk) Unwrap() wal.FS { return d.FS }

// whole are the actions that an operation without bytes of its own can suffer.
var whole = []fault.Action{fault.Error, fault.Delay}

// ask returns what is to happen to an operation on a file, after a delay if there is to be one. No
// can: every action of the point.
func (d disk) ask(p fault.Point, can ...fault.Action) fault.Verdict {
	if !d.rules.Watches(p) {
		return fault.Verdict{}
	}
	v := d.rules.Decide(fault.Event{Point: p, Unit: d.unit, Actions: can})
	if v.Action == fault.Delay {
		_ = delay(context.Background(), v, v.Delay) // nothing ends that context
	}
	return v
}

// OpenFile implements wal.FS.
func (d disk) OpenFile(name string, flag int) (wal.File, error) {
	if v := d.ask(fault.DiskOpen); v.Action == fault.Error {
		return nil, v.Err
	}
	f, err := d.FS.OpenFile(name, flag)
	if err != nil {
		return nil, err
	}
	return file{f, d}, nil
}

// ReadDir implements wal.FS.
func (d disk) ReadDir(name string) ([]fs.DirEntry, error) {
	if v := d.ask(fault.DiskOpen); v.Action == fault.Error {
		return nil, v.Err
	}
	return d.FS.ReadDir(name)
}

// MkdirAll implements wal.FS.
func (d disk) MkdirAll(name string) error {
	if v := d.ask(fault.DiskOpen); v.Action == fault.Error {
		return v.Err
	}
	return d.FS.MkdirAll(name)
}

// SyncDir implements wal.FS.
func (d disk) SyncDir(name string) error {
	if v := d.ask(fault.DiskSync); v.Action == fault.Error {
		return v.Err
	}
	return d.FS.SyncDir(name)
}

// SyncFS implements wal.FS.
func (d disk) SyncFS(name string) error {
	if v := d.ask(fault.DiskSync); v.Action == fault.Error {
		return v.Err
	}
	return d.FS.SyncFS(name)
}

type file struct {
	wal.File
	disk disk
}

// ReadAt implements io.ReaderAt.
func (f file) ReadAt(b []byte, off int64) (int, error) {
	v := f.disk.ask(fault.DiskRead)
	if v.Action == fault.Error {
		return 0, v.Err
	}
	n, err := f.File.ReadAt(b, off)
	if v.Action == fault.Flip && n > 0 {
		b[n/2] ^= 1
	}
	return n, err
}

// WriteAt implements io.WriterAt.
func (f file) WriteAt(b []byte, off int64) (int, error) {
	v := f.disk.ask(fault.DiskWrite)
	switch v.Action {
	case fault.Error:
		return 0, v.Err
	case fault.Short:
		n, _ := f.File.WriteAt(b[:len(b)/2], off)
		return n, v.Err
	case fault.Flip:
		b = append([]byte(nil), b...)
		if len(b) > 0 {
			b[len(b)/2] ^= 1
		}
	}
	return f.File.WriteAt(b, off)
}

// Truncate implements wal.File.
func (f file) Truncate(size int64) error {
	if v := f.disk.ask(fault.DiskWrite, whole...); v.Action == fault.Error {
		return v.Err
	}
	return f.File.Truncate(size)
}

// Sync implements wal.File.
func (f file) Sync() error {
	if v := f.disk.ask(fault.DiskSync); v.Action == fault.Error {
		return v.Err
	}
	return f.File.Sync()
}
