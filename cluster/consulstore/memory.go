package consulstore

import (
	"slices"
	"sync"
)

// maxRemembered is how many listings are remembered; of a key, that is its name and a number.
const maxRemembered = 16

// memory has the newest listings, so that a watch which goes on from one knows what was deleted since.
type memory struct {
	mu       sync.Mutex
	listings []remembered // oldest first
}

type remembered struct {
	prefix   string
	revision int64
	keys     map[string]int64 // the revision of each; never changed
}

// remember keeps what was under prefix at revision.
func (m *memory) remember(prefix string, revision int64, keys map[string]int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.listings = slices.DeleteFunc(m.listings, func(r remembered) bool { return r.prefix == prefix && r.revision == revision })
	if len(m.listings) == maxRemembered {
		m.listings = slices.Delete(m.listings, 0, 1)
	}
	m.listings = append(m.listings, remembered{prefix, revision, keys})
}

// recall returns what was under prefix at revision, if that is remembered.
func (m *memory) recall(prefix string, revision int64) (map[string]int64, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.listings {
		if r.prefix == prefix && r.revision == revision {
			return r.keys, true
		}
	}
	return nil, false
}
