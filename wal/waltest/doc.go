// Package waltest is for tests of package wal and of what is built on it: a file system that fails
// on request, and a Visitor that remembers what it saw. It owns no files of its own; FS may be used
// by any goroutine, Recorder by one.
package waltest
