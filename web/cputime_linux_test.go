package web_test

import (
	"syscall"
	"time"
)

// cpuTime is what the process has used so far. Unlike the time on the wall it is not stretched by
// what else the machine does.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
