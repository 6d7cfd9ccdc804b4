package clustertest

import (
	"sync"
	"testing"
	"time"
)

// beat is how often a metronome looks.
const beat = 5 * time.Millisecond

// metronome finds out when this process, and so most likely the machine, had no time for anybody:
// what is late then is not the agents' doing.
type metronome struct {
	mu    sync.Mutex
	pause []standstill
}

// standstill is some time in which nothing ran.
type standstill struct {
	until time.Time
	took  time.Duration
}

func startMetronome(t *testing.T) *metronome {
	t.Helper()
	m := &metronome{}
	stop := make(chan struct{})
	var ended sync.WaitGroup
	ended.Go(func() { m.run(stop) })
	t.Cleanup(func() {
		close(stop)
		ended.Wait()
	})
	return m
}

func (m *metronome) run(stop <-chan struct{}) {
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		now := time.Now()
		if took := now.Sub(last) - beat; took > 4*beat {
			m.mu.Lock()
			m.pause = append(m.pause, standstill{now, took})
			m.mu.Unlock()
		}
		last = now
	}
}

// longest is the longest standstill since an instant.
func (m *metronome) longest(since time.Time) (longest time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.pause {
		if s.until.After(since) {
			longest = max(longest, s.took)
		}
	}
	return longest
}
