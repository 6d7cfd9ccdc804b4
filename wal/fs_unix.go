//go:build unix

package wal

import (
	"errors"
	"io"
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"
)

// rawFile is an open file without package os around it, which asks the kernel three times whether a
// file could be waited for. A scrape opens two files. It belongs to one goroutine at a time.
type rawFile struct {
	fd   int
	name string
}

func openRaw(name string, flag int) (File, error) {
	for {
		fd, err := unix.Open(name, flag|unix.O_CLOEXEC, 0o600)
		if err == nil {
			return &rawFile{fd, name}, nil
		}
		if !errors.Is(err, syscall.EINTR) {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
	}
}

func (f *rawFile) fail(op string, err error) error {
	return &fs.PathError{Op: op, Path: f.name, Err: err}
}

// all calls do for what is left of b until nothing is, or it fails. n is how much was done.
func (f *rawFile) all(op string, b []byte, off int64, do func(fd int, b []byte, off int64) (int, error)) (n int, err error) {
	for n < len(b) {
		done, err := do(f.fd, b[n:], off+int64(n))
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return n, f.fail(op, err)
		case done == 0 && op == "read":
			return n, io.EOF
		case done == 0:
			return n, f.fail(op, io.ErrShortWrite)
		}
		n += max(done, 0)
	}
	return n, nil
}

func (f *rawFile) ReadAt(b []byte, off int64) (int, error) { return f.all("read", b, off, unix.Pread) }
func (f *rawFile) WriteAt(b []byte, off int64) (int, error) {
	return f.all("write", b, off, unix.Pwrite)
}

func (f *rawFile) Size() (int64, error) {
	var stat unix.Stat_t
	if err := f.again("stat", func() error { return unix.Fstat(f.fd, &stat) }); err != nil {
		return 0, err
	}
	return stat.Size, nil
}

func (f *rawFile) Truncate(size int64) error {
	return f.again("truncate", func() error { return unix.Ftruncate(f.fd, size) })
}

func (f *rawFile) Sync() error { return f.again("sync", func() error { return unix.Fsync(f.fd) }) }

func (f *rawFile) again(op string, do func() error) error {
	for {
		err := do()
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EINTR) {
			return f.fail(op, err)
		}
	}
}

// Close is not repeated: after an error nobody knows whether the number is another file's already.
func (f *rawFile) Close() error {
	if f.fd < 0 {
		return f.fail("close", fs.ErrClosed)
	}
	fd := f.fd
	f.fd = -1
	if err := unix.Close(fd); err != nil && !errors.Is(err, syscall.EINTR) {
		return f.fail("close", err)
	}
	return nil
}
