package wal

import (
	"os"

	"golang.org/x/sys/unix"
)

// SyncFS reports write-back errors of any file on the file system since Linux 5.8.
func (osFS) SyncFS(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return unix.Syncfs(int(d.Fd()))
}
