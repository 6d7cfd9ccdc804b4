//go:build !linux

package scrape

import "time"

// threadTime is the clock: what a thread has used can't be known here, and work that does not wait
// takes at least that long.
func threadTime() time.Duration { return time.Duration(time.Now().UnixNano()) }
