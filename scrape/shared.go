package scrape

import (
	"context"
	"net"
	"sync"
)

// Shared is what all scrapers of a process have in common, so that an instance with one target costs little: connection pools
// to targets, the discoveries of scrapers with one origin, and buffers that are only held during a scrape. Any goroutine may use it.
type Shared struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error) // nil: the operating system's

	mu      sync.Mutex
	clients map[clientKey]*client

	discoverers providers

	bodies    bodyPool
	gzips     sync.Pool // of *gzipReader
	zstds     sync.Pool // of *zstd.Decoder
	ingesters sync.Pool // of *ingester
	exchanges sync.Pool // of *exchange
}

// NewShared makes what one process needs once.
func NewShared() *Shared {
	return &Shared{clients: map[clientKey]*client{}, discoverers: providers{byOrigin: map[string][]*provider{}}}
}
