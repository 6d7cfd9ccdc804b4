// Package walstats counts what a log on the disk holds: by target, by metric, by series.
//
// It owns the counting. It refuses to own the format of a log, which is package wal's, and how the
// figures are printed. It only reads: the log may be that of an agent that runs.
//
// Everything runs on the caller's goroutine. Tests write logs with package wal.
package walstats
