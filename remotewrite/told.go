package remotewrite

import (
	"hash/maphash"
	"sync"
	"time"
)

// maxTold bounds what a destination remembers: 24 bytes each.
const maxTold = 64 << 10

// told is which metadata a destination was sent lately. Metadata belongs to no instance, and many
// instances have the same exporters: what one of them has said in the interval is not repeated by
// the others.
type told struct {
	seed maphash.Seed

	mu sync.Mutex
	at map[uint64]time.Time
}

func newTold() told { return told{seed: maphash.MakeSeed(), at: map[uint64]time.Time{}} }

// untold returns the entries that were not sent since a time.
func (t *told) untold(entries []Metadata, since time.Time) (rest []Metadata) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range entries {
		if at, ok := t.at[maphash.Comparable(t.seed, m)]; !ok || at.Before(since) {
			rest = append(rest, m)
		}
	}
	return rest
}

func (t *told) note(entries []Metadata, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.at)+len(entries) > maxTold {
		clear(t.at)
	}
	for _, m := range entries {
		t.at[maphash.Comparable(t.seed, m)] = now
	}
}
