//go:build !unix

package wal

import (
	"errors"
	"io/fs"
	"os"
)

const noFollow = 0

// checkOwn refuses links and files under a log's name. Here owners have no numbers.
func checkOwn(dir string) error {
	info, err := os.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.IsDir():
		return errors.New("it is no directory: remove it")
	}
	return nil
}
