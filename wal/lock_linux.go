package wal

import (
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// dirLocks locks directories against other processes and other Logs of this one, with one open file per parent directory however many
// logs there are: each log locks one byte of "<parent>/.wal.lock", which the hash of its name chooses. The kernel drops the locks of a process
// that dies.
type dirLocks struct {
	mu      sync.Mutex
	parents map[string]*lockFile
}

type lockFile struct {
	f    *os.File
	held map[int64]string
}

// fOFDSetLock is F_OFD_SETLK of <fcntl.h>, which package syscall lacks: a lock that belongs to the open file, not to the process.
const fOFDSetLock = 37

func (d *dirLocks) lock(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	parent := filepath.Dir(dir)
	p := d.parents[parent]
	if p == nil {
		f, err := os.OpenFile(filepath.Join(parent, ".wal.lock"), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return fmt.Errorf("open lock file: %w", explainReadOnly(err))
		}
		p = &lockFile{f: f, held: map[int64]string{}}
		if d.parents == nil {
			d.parents = map[string]*lockFile{}
		}
		d.parents[parent] = p
	}
	place := lockPlace(dir)
	if _, taken := p.held[place]; taken {
		return fmt.Errorf("%w by this process", ErrLocked)
	}
	if err := p.set(syscall.F_WRLCK, place); err != nil {
		d.closeUnused(parent)
		if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
			return fmt.Errorf("%w by another process or agent", ErrLocked)
		}
		return fmt.Errorf("lock directory: %w", err)
	}
	p.held[place] = dir
	return nil
}

func (d *dirLocks) unlock(dir string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	parent := filepath.Dir(dir)
	p := d.parents[parent]
	place := lockPlace(dir)
	if p == nil || p.held[place] != dir {
		return
	}
	delete(p.held, place)
	_ = p.set(syscall.F_UNLCK, place) // at the latest the end of the process unlocks it
	d.closeUnused(parent)
}

func (d *dirLocks) closeUnused(parent string) {
	if p := d.parents[parent]; len(p.held) == 0 {
		_ = p.f.Close() // nothing was written
		delete(d.parents, parent)
	}
}

func (p *lockFile) set(kind int16, place int64) error {
	return syscall.FcntlFlock(p.f.Fd(), fOFDSetLock, &syscall.Flock_t{Type: kind, Start: place, Len: 1})
}

func lockPlace(dir string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(filepath.Base(dir)))
	return int64(h.Sum64() >> 2)
}
