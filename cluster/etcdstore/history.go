package etcdstore

import (
	"sync"

	"go.uber.org/zap"
)

// history notices that the store's revision went backwards: a backup was restored, or the data is gone. etcd doesn't say
// so by itself; a watch would wait silently until the old revision is reached again.
type history struct {
	mu       sync.Mutex
	revision int64
	rewound  chan struct{} // closed, and replaced, when it happened
}

// newest is the highest revision that was seen.
func (h *history) newest() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.revision
}

// rewinds returns a channel that is closed when the revision goes backwards from now on.
func (h *history) rewinds() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rewound
}

// observe takes the revision of a linearizable answer, and what newest was before its request was sent: such an answer
// can't be older. It returns true if it is.
func (h *history) observe(before, revision int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if revision >= before || revision >= h.revision { // the second: an answer that came late, after the first one noticed
		h.revision = max(h.revision, revision)
		return false
	}
	h.revision = revision
	close(h.rewound)
	h.rewound = make(chan struct{})
	return true
}

func (s *Store) observe(before, revision int64) {
	if s.history.observe(before, revision) {
		s.logger.Warn("the store went back to an older revision, was it restored or emptied? All its watches start over",
			zap.String("store", s.where), zap.Int64("from", before), zap.Int64("to", revision))
	}
}
