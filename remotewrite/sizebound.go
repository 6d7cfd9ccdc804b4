package remotewrite

import "sync"

// minSizeLimit is the smallest size to which batches are cut. A receiver that answers 413 to them
// is misconfigured.
const minSizeLimit = 16 << 10

// growSizeAfter is how many acknowledged requests near the learned size let it double.
const growSizeAfter = 16

// sizeBound is the largest uncompressed request that a receiver is believed to take, learned from 413.
type sizeBound struct {
	mu    sync.Mutex
	limit int // 0 is unknown
	// fits counts requests near the limit that were taken.
	fits int
}

// learn makes the following requests half as large as one that was too large.
func (s *sizeBound) learn(size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fits = 0
	if limit := max(size/2, minSizeLimit); s.limit == 0 || limit < s.limit {
		s.limit = limit
	}
}

// took lets the limit grow again: that of the receiver may have been raised.
func (s *sizeBound) took(size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.limit == 0 || size < s.limit/2 {
		return
	}
	if s.fits++; s.fits < growSizeAfter {
		return
	}
	s.fits = 0
	if s.limit *= 2; s.limit >= maxBatchBytes {
		s.limit = 0
	}
}

// weight is how many bytes a sample takes while it is sent, as the rounds before had it: histograms
// and long exemplars take many times what a float takes. The zero value is that of floats.
type weight struct{ perSample int64 }

// floatBytes is about what a float takes: thirty bytes compressed, and its place in the list of items.
const floatBytes = itemBytes + 40

// of is an estimate for so many samples.
func (w *weight) of(samples uint64) int64 { return int64(samples) * max(floatBytes, w.perSample) }

// note learns from samples that took so many bytes: at once if that is more than was believed, else
// by and by.
func (w *weight) note(samples uint64, bytes int) {
	now := int64(bytes) / int64(max(samples, 1))
	w.perSample = max(now, w.perSample-w.perSample/8)
}

func (s *sizeBound) get() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limit
}
