package gossip

import (
	"errors"
	"sync"
	"time"
)

const (
	// strangerGrace is for how long a name that the store does not know may be there: a node that
	// joins writes its member record, and the watch that tells of it may be late.
	strangerGrace = 30 * time.Second
	// maxStrangers is how many such names there may be at one time. Who is refused is joined as soon
	// as the store names it.
	maxStrangers = 32
	// maxKnown is how many names are remembered that the store has once had: a node that was away for
	// long has lost its record, and is back before it has written another one.
	maxKnown = 10_000
	// maxUnlisted is how many names are let in before the store has named anybody.
	maxUnlisted = 1024
)

var errStranger = errors.New("the store does not know this name")

// admission decides which names are let in. It is called under memberlist's lock.
type admission struct {
	self string

	mu        sync.Mutex
	known     map[string]bool // by the store, or once were; nil: it has not been listed yet
	strangers map[string]time.Time
	refused   int
}

func newAdmission(self string) *admission {
	return &admission{self: self, strangers: map[string]time.Time{}}
}

// name takes what the store knows.
func (a *admission) name(peers map[string]string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known == nil || len(a.known) > maxKnown {
		a.known = make(map[string]bool, len(peers))
	}
	for name := range peers {
		a.known[name] = true
		delete(a.strangers, name)
	}
}

// admit lets a name in, or says why not.
func (a *admission) admit(name string, now time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if name == a.self || a.known[name] {
		return nil
	}
	most := maxStrangers
	if a.known == nil {
		most = maxUnlisted
	}
	since, seen := a.strangers[name]
	switch {
	case seen && (a.known == nil || now.Sub(since) < strangerGrace):
		return nil
	case !seen && (len(a.strangers) < most || a.forget(now)):
		a.strangers[name] = now
		return nil
	}
	a.refused++
	return errStranger
}

// forget makes room for other names: it drops those whose grace has been over for as long again, and
// reports whether there is room. It needs mu.
func (a *admission) forget(now time.Time) bool {
	for name, since := range a.strangers {
		if now.Sub(since) >= 2*strangerGrace {
			delete(a.strangers, name)
		}
	}
	return len(a.strangers) < maxStrangers
}

// count is how many were refused.
func (a *admission) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.refused
}
