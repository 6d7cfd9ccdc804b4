package wal

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// dirLocks locks directories against other processes and other Logs of this one, with one open file
// per parent directory however many logs there are: each log locks one byte of
// "<parent>/.wal.lock", beyond its end, which a hash of its name chooses. Users choose the names,
// so the hash has a key, which the file holds: nobody can find two names with one place. The kernel
// drops the locks of a process that dies.
type dirLocks struct {
	mu      sync.Mutex
	parents map[string]*lockFile
}

type lockFile struct {
	f    *os.File
	key  [lockKeyBytes]byte
	held map[string]struct{} // directories
}

const (
	lockKeyBytes = 32
	// keyPlace is the byte that is locked while a process makes the key. Logs have places below it.
	keyPlace = 1 << 62
	// ownPlace is the byte that is locked by who owns the whole directory.
	ownPlace = keyPlace + 1
)

// F_OFD_SETLK and F_OFD_SETLKW of <fcntl.h>, which package syscall lacks: locks that belong to the
// open file, not to the process.
const (
	fOFDSetLock     = 37
	fOFDSetLockWait = 38
)

func (d *dirLocks) lock(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	parent := filepath.Dir(dir)
	p := d.parents[parent]
	if p == nil {
		var err error
		if p, err = openLockFile(filepath.Join(parent, ".wal.lock")); err != nil {
			return err
		}
		if d.parents == nil {
			d.parents = map[string]*lockFile{}
		}
		d.parents[parent] = p
	}
	if _, taken := p.held[dir]; taken {
		return fmt.Errorf("%w by this process", ErrLocked)
	}
	if err := p.set(fOFDSetLock, syscall.F_WRLCK, p.place(dir)); err != nil {
		d.closeUnused(parent)
		if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
			return fmt.Errorf("%w by another process or agent", ErrLocked)
		}
		return fmt.Errorf("lock directory: %w", err)
	}
	p.held[dir] = struct{}{}
	return nil
}

func (d *dirLocks) unlock(dir string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	parent := filepath.Dir(dir)
	p := d.parents[parent]
	if p == nil {
		return
	}
	if _, held := p.held[dir]; !held {
		return
	}
	delete(p.held, dir)
	_ = p.set(fOFDSetLock, syscall.F_UNLCK, p.place(dir)) // at the latest the end of the process unlocks it
	d.closeUnused(parent)
}

func (d *dirLocks) closeUnused(parent string) {
	if p := d.parents[parent]; len(p.held) == 0 {
		_ = p.f.Close() // nothing that matters is buffered
		delete(d.parents, parent)
	}
}

// openLockFile opens the file and reads its key. The first process makes it, with the others waiting.
func openLockFile(path string) (p *lockFile, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock file: %w", explainReadOnly(err))
	}
	p = &lockFile{f: f, held: map[string]struct{}{}}
	defer func() {
		if err != nil {
			_ = f.Close() // which takes its locks away, too
		}
	}()
	if err := p.set(fOFDSetLockWait, syscall.F_WRLCK, keyPlace); err != nil {
		return nil, fmt.Errorf("lock key of lock file: %w", err)
	}
	_, err = f.ReadAt(p.key[:], 0)
	switch {
	case errors.Is(err, io.EOF): // new, or its maker was killed
		_, _ = rand.Read(p.key[:]) // never fails
		if _, err := f.WriteAt(p.key[:], 0); err != nil {
			return nil, fmt.Errorf("write key of lock file: %w", explainReadOnly(err))
		}
	case err != nil:
		return nil, fmt.Errorf("read key of lock file: %w", err)
	}
	return p, p.set(fOFDSetLock, syscall.F_UNLCK, keyPlace)
}

func (p *lockFile) set(command int, kind int16, place int64) error {
	return syscall.FcntlFlock(p.f.Fd(), command, &syscall.Flock_t{Type: kind, Start: place, Len: 1})
}

// place is beyond the key, and below keyPlace.
func (p *lockFile) place(dir string) int64 {
	h := hmac.New(sha256.New, p.key[:])
	_, _ = io.WriteString(h, filepath.Base(dir))
	return int64(max(binary.BigEndian.Uint64(h.Sum(nil))>>2, lockKeyBytes))
}

// own locks ownPlace through an open file of its own.
func own(parent string) (release func(), err error) {
	p, err := openLockFile(filepath.Join(parent, ".wal.lock"))
	if err != nil {
		return nil, err
	}
	if err := p.set(fOFDSetLock, syscall.F_WRLCK, ownPlace); err != nil {
		_ = p.f.Close() // nothing that matters is buffered
		if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
			return nil, fmt.Errorf("%w by another agent", ErrLocked)
		}
		return nil, err
	}
	return func() { _ = p.f.Close() }, nil // which takes the lock away
}
