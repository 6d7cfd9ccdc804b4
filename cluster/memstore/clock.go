package memstore

import "time"

// Clock is where time comes from.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f once, on any goroutine, after d has passed, unless stop is called before.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) AfterFunc(d time.Duration, f func()) func() bool {
	return time.AfterFunc(d, f).Stop
}
