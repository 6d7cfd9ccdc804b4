package waltest

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/ringmaster-agent/ringmaster/wal"
)

// Memory is a wal.FS without a disk, for tests that open a log many thousand times, or that lose its
// power. It has no directories: each file is known by its whole name. Only the lock of a log is on
// the disk. The zero value is empty. It is safe for concurrent use.
type Memory struct {
	mu    sync.Mutex
	files map[string]*memoryFile
}

// Put makes a file have this content, which the file system keeps.
func (m *Memory) Put(name string, content []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.files == nil {
		m.files = map[string]*memoryFile{}
	}
	m.files[name] = &memoryFile{name: filepath.Base(name), content: content}
}

// Clear removes all files.
func (m *Memory) Clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.files)
}

// AfterPowerLoss is a disk as it would be if the power were cut now: each file has what it had when
// it was synced last. Files that were removed are away, and new ones are there: a file system may
// store names before contents.
func (m *Memory) AfterPowerLoss() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	left := &Memory{files: map[string]*memoryFile{}}
	for name, f := range m.files {
		f.mu.Lock()
		left.files[name] = &memoryFile{name: f.name, content: bytes.Clone(f.synced), synced: bytes.Clone(f.synced)}
		f.mu.Unlock()
	}
	return left
}

// OpenFile implements wal.FS.
func (m *Memory) OpenFile(name string, flag int) (wal.File, error) {
	m.mu.Lock()
	f := m.files[name]
	m.mu.Unlock()
	switch {
	case f != nil && flag&os.O_EXCL != 0:
		return nil, fmt.Errorf("open %s: %w", name, fs.ErrExist)
	case f == nil && flag&os.O_CREATE == 0:
		return nil, fmt.Errorf("open %s: %w", name, fs.ErrNotExist)
	case f != nil:
		return f, nil
	}
	m.Put(name, nil)
	return m.OpenFile(name, flag&^(os.O_CREATE|os.O_EXCL))
}

// ReadDir implements wal.FS.
func (m *Memory) ReadDir(dir string) (entries []fs.DirEntry, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, f := range m.files {
		if filepath.Dir(name) == dir {
			size, _ := f.Size()
			entries = append(entries, fs.FileInfoToDirEntry(memoryInfo{f.name, size}))
		}
	}
	return entries, nil
}

// Remove implements wal.FS.
func (m *Memory) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.files[name] == nil {
		return fmt.Errorf("remove %s: %w", name, fs.ErrNotExist)
	}
	delete(m.files, name)
	return nil
}

// MkdirAll implements wal.FS.
func (m *Memory) MkdirAll(string) error { return nil }

// SyncDir implements wal.FS.
func (m *Memory) SyncDir(string) error { return nil }

// SyncFS implements wal.FS.
func (m *Memory) SyncFS(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, f := range m.files {
		if strings.HasPrefix(name, dir+string(filepath.Separator)) {
			_ = f.Sync()
		}
	}
	return nil
}

// memoryFile is a file and each of its open descriptors.
type memoryFile struct {
	name string

	mu      sync.Mutex
	content []byte
	synced  []byte // nil if it never was
}

// ReadAt implements wal.File.
func (f *memoryFile) ReadAt(b []byte, off int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := copy(b, f.content[min(off, int64(len(f.content))):])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements wal.File.
func (f *memoryFile) WriteAt(b []byte, off int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.resize(max(int64(len(f.content)), off+int64(len(b))))
	return copy(f.content[off:], b), nil
}

// Truncate implements wal.File.
func (f *memoryFile) Truncate(size int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.resize(size)
	return nil
}

// resize needs mu.
func (f *memoryFile) resize(size int64) {
	if missing := size - int64(len(f.content)); missing > 0 {
		f.content = append(f.content, make([]byte, missing)...)
	}
	f.content = f.content[:size]
}

// Size implements wal.File.
func (f *memoryFile) Size() (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return int64(len(f.content)), nil
}

// Sync implements wal.File.
func (f *memoryFile) Sync() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.synced = bytes.Clone(f.content)
	return nil
}

// Close implements wal.File.
func (f *memoryFile) Close() error { return nil }

// memoryInfo describes a file.
type memoryInfo struct {
	name string
	size int64
}

func (i memoryInfo) Name() string     { return i.name }
func (i memoryInfo) Size() int64      { return i.size }
func (memoryInfo) Mode() fs.FileMode  { return 0o600 }
func (memoryInfo) ModTime() time.Time { return time.Now() }
func (memoryInfo) IsDir() bool        { return false }
func (memoryInfo) Sys() any           { return nil }
