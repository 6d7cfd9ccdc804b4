package remotewrite

import (
	"time"

	"github.com/cespare/xxhash/v2"
)

const (
	// maxSuspects bounds what an endpoint remembers of refused series: 4,096 take about 200 KB.
	maxSuspects = 4096
	// suspicion is how long a series that was refused is kept apart from the others.
	suspicion = 10 * time.Minute
)

// suspect is a series that the receiver refused when it was alone.
type suspect struct {
	until time.Time
	// condemned: it was refused again as a suspect. Condemned series share a request that is not
	// searched any more.
	condemned bool
}

// suspects are the series that an endpoint sends apart from the others, so that those don't have to
// be searched through again with every batch. Keys are hashes of the labels as they are sent. It
// belongs to whoever holds sender.mu.
type suspects struct {
	// short has the keys' low halves, by which a batch tells cheaply that it holds none.
	short map[uint32]int
	known map[uint64]suspect
}

// key of a series' encoded labels. Its low half is cell.lane.
func seriesKey(encoded []byte) uint64 { return xxhash.Sum64(encoded) }

func (s *suspects) add(key uint64, now time.Time) {
	if s.known == nil {
		s.known, s.short = map[uint64]suspect{}, map[uint32]int{}
	}
	old, again := s.known[key]
	if !again {
		if len(s.known) >= maxSuspects {
			s.forgetOldest()
		}
		s.short[uint32(key)]++
	}
	s.known[key] = suspect{until: now.Add(suspicion), condemned: again && now.Before(old.until)}
}

func (s *suspects) remove(key uint64) {
	if _, ok := s.known[key]; !ok {
		return
	}
	delete(s.known, key)
	if s.short[uint32(key)]--; s.short[uint32(key)] == 0 {
		delete(s.short, uint32(key))
	}
}

func (s *suspects) forgetOldest() {
	var oldest uint64
	var until time.Time
	for key, k := range s.known {
		if until.IsZero() || k.until.Before(until) {
			oldest, until = key, k.until
		}
	}
	s.remove(oldest)
}

// among returns the suspects in a batch, nil if there are none. Those whose time is over are forgotten.
func (s *suspects) among(b *batch, now time.Time) bool {
	if len(s.known) == 0 {
		return false
	}
	for key, k := range s.known {
		if now.After(k.until) {
			s.remove(key)
		}
	}
	for i := range b.items {
		if _, ok := s.short[b.items[i].hash]; ok {
			return true
		}
	}
	return false
}
