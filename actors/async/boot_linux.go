package async

import (
	"time"

	"golang.org/x/sys/unix"
)

// sinceBoot is the time since the machine started, suspend included; 0 if the system does not tell.
func sinceBoot() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
