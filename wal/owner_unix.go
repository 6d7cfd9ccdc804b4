//go:build unix

package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// noFollow keeps a link in a log's directory from leading elsewhere.
const noFollow = syscall.O_NOFOLLOW

// checkOwn refuses what is there under a log's name and is not the agent's own directory: whatever
// is done to a log would be done to it, in the end its removal.
func checkOwn(dir string) error {
	info, err := os.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		return errors.New("it is a symbolic link, which an agent does not follow: remove it")
	case !info.IsDir():
		return errors.New("it is no directory: remove it")
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("it belongs to the user %d, and the agent runs as %d: give it to that user, or remove it", stat.Uid, os.Geteuid())
	}
	return nil
}
