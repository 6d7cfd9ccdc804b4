package scrape

import (
	"context"
	"net"
	"sync"
	"time"
)

// Shared is what all scrapers of a process have in common, so that an instance with one target
// costs little: connection pools to targets, the discoveries of scrapers with one origin, and
// buffers that are only held during a scrape. Any goroutine may use it.
type Shared struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error) // nil: the operating system's

	clock func() time.Time // of the wall, for tests whose bubbles have a clock that can't be set; nil: the machine's

	mu      sync.Mutex
	clients map[clientKey]*client

	headers     requestHeaders
	discoverers providers
	alarms      alarms
	carrying    allowance

	memory    *account
	bodies    bodyPool
	gzips     sync.Pool // of *gzipReader
	zstds     sync.Pool // of *zstdReader
	ingesters sync.Pool // of *ingester
	exchanges sync.Pool // of *exchange
	deflaters sync.Pool // of *flate.Writer
}

// Intercept stands between a discovery and who uses it: kind names it ("file"), pass hands on what
// it has found, or, if it is to seem empty, that it has found nothing. It may block until ctx is
// over.
type Intercept func(ctx context.Context, kind string, pass func(empty bool))

// Intercept puts f between all discoveries that start from now on and their users.
func (s *Shared) Intercept(f Intercept) { s.discoverers.intercept = f }

// NewShared makes what one process needs once, without bounds on memory.
func NewShared() *Shared { return NewSharedWithin(Memory{}) }

// NewSharedWithin makes what one process needs once.
func NewSharedWithin(bounds Memory) *Shared {
	return &Shared{clients: map[clientKey]*client{}, discoverers: providers{byOrigin: map[string][]*provider{}}, memory: newAccount(bounds)}
}

// now is the time by which ticks are due. It has a monotonic reading too, by which alarms go off
// and durations are measured.
func (s *Shared) now() time.Time {
	if s.clock != nil {
		return s.clock()
	}
	return time.Now()
}
