package cluster

import "sync"

// History notices, for an implementation of Store, that the store's revision went backwards: a
// backup was restored, or the data is gone. Stores don't say so by themselves; a watch would wait
// in silence until the old revision is reached again. The zero value is ready, and has seen
// nothing.
type History struct {
	mu       sync.Mutex
	revision int64
	rewinds  uint64
	rewound  chan struct{} // closed, and replaced, when it happened
}

// Newest is the highest revision that was seen since the store went back last.
func (h *History) Newest() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.revision
}

// Rewinds is how often the store went back.
func (h *History) Rewinds() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rewinds
}

// Rewound returns a channel that is closed when the store goes back from now on.
func (h *History) Rewound() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.rewound == nil {
		h.rewound = make(chan struct{})
	}
	return h.rewound
}

// Observe takes the revision of a linearizable answer, and what Newest was before its request was
// sent: such an answer can't be older. It returns true if it is.
func (h *History) Observe(before, revision int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if revision >= before || revision >= h.revision { // the second: an answer that came late, after the first one noticed
		h.revision = max(h.revision, revision)
		return false
	}
	h.revision = revision
	h.rewinds++
	if h.rewound != nil {
		close(h.rewound)
		h.rewound = nil
	}
	return true
}

// InOneEra repeats read until the store did not go back while it ran, and returns the number of
// Rewinds that goes with what was read. It gives up with read's error.
func (h *History) InOneEra(read func() error) (rewinds uint64, err error) {
	for {
		rewinds = h.Rewinds()
		if err := read(); err != nil || h.Rewinds() == rewinds {
			return rewinds, err
		}
	}
}
