//go:build !linux

package wal

import (
	"fmt"
	"sync"
)

// dirLocks locks directories against other Logs of this Syncer. Only on Linux it also locks them
// against other processes.
type dirLocks struct {
	mu   sync.Mutex
	held map[string]struct{}
}

func (d *dirLocks) lock(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, taken := d.held[dir]; taken {
		return fmt.Errorf("%w by this process", ErrLocked)
	}
	if d.held == nil {
		d.held = map[string]struct{}{}
	}
	d.held[dir] = struct{}{}
	return nil
}

func (d *dirLocks) unlock(dir string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.held, dir)
}

// own can't know of others here.
func own(string) (release func(), err error) { return func() {}, nil }
