// Package processtest tests real agents from outside: programs that are built, started, killed and
// cut off, between toy targets and receivers that account for every sample. It believes the
// receivers and the files on disk, never the agent's own metrics alone.
//
// Everything here needs only Go, with two exceptions that say so when they skip: the test against a
// real Prometheus takes the program's path in -prometheus, and the full-disk test mounts a small
// tmpfs, for which it has to be root on Linux.
//
// The package has no code that is linked anywhere.
package processtest
