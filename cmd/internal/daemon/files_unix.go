//go:build unix

package daemon

import "syscall"

// openFiles is how many files the process may have open; 0 if the system does not say.
func openFiles() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return uint64(limit.Cur) //nolint:unconvert // on FreeBSD it is an int64
}
