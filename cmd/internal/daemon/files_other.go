//go:build !unix

package daemon

// openFiles is what a process may have open at least.
func openFiles() uint64 { return 2048 }
