package scrape

import (
	"sync"
	"time"
)

const (
	// statesPerPeriod bounds the lines about targets that change their state.
	statesPerPeriod = 20
	stateLogPeriod  = time.Minute
)

// stateLog bounds what one scraper logs about its targets' states.
type stateLog struct {
	mu    sync.Mutex
	since time.Time
	said  int
	left  int // unsaid since the last line
}

// allow reports whether a change may be logged now, and how many were not before it.
func (l *stateLog) allow(now time.Time) (said bool, left int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.since) >= stateLogPeriod {
		l.since, l.said = now, 0
	}
	if l.said == statesPerPeriod {
		l.left++
		return false, 0
	}
	l.said++
	left, l.left = l.left, 0
	return true, left
}
