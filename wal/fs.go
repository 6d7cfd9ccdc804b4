package wal

import (
	"io"
	"io/fs"
	"os"
)

// FS is what a Log asks of a file system. nil in Options means that of the operating system;
// package waltest has one that fails on request.
type FS interface {
	// OpenFile opens with the flags of package os. New files get mode 0600: samples are nobody
	// else's business.
	OpenFile(name string, flag int) (File, error)
	ReadDir(name string) ([]fs.DirEntry, error)
	MkdirAll(name string) error
	Remove(name string) error
	// SyncDir makes the names in a directory durable.
	SyncDir(name string) error
	// SyncFS makes everything durable that was written to the file system of a directory. Where
	// there is no such call, it fails with errors.ErrUnsupported.
	SyncFS(dir string) error
}

// File is an open file of an FS.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Truncate(size int64) error
	Sync() error
}

type osFS struct{}

// System is the operating system's file system.
func System() FS { return osFS{} }

// isSystem reports whether files end up in the operating system's file system, also through an FS
// that wraps it and says so by a method Unwrap.
func isSystem(f FS) bool {
	for {
		if _, ok := f.(osFS); ok {
			return true
		}
		wrapped, ok := f.(interface{ Unwrap() FS })
		if !ok {
			return false
		}
		f = wrapped.Unwrap()
	}
}

func (osFS) OpenFile(name string, flag int) (File, error) { return openRaw(name, flag|noFollow) }

func (osFS) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }
func (osFS) MkdirAll(name string) error                 { return os.MkdirAll(name, 0o700) }
func (osFS) Remove(name string) error                   { return os.Remove(name) }

func (osFS) SyncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}
