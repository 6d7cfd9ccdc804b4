package gossip

import (
	"math/rand/v2"
	"sync/atomic"
	"time"
)

const (
	// askedPerRound is how many peers are asked in each interval.
	askedPerRound = 3
	// mutePatience is how many questions in a row a peer may leave unanswered before it is joined again: it may have come to
	// hold this node dead.
	mutePatience = 4
	// askedFor is how long an answer is waited for. Older ones would be worth nothing.
	askedFor = 10 * time.Second
)

// contact is the evidence that others hold this node alive. All but newest belongs to the loop.
type contact struct {
	started time.Time
	newest  atomic.Int64 // nanoseconds from started to when the newest answered question was sent; 0: never
	open    map[uint64]time.Time
	nonce   uint64
	last    string // who was asked last
}

func newContact() *contact {
	// The first number is random, so that nothing said to an earlier process of this name is taken for an answer to this one.
	return &contact{started: time.Now(), open: map[uint64]time.Time{}, nonce: rand.Uint64()}
}

// question returns the number of a question to a node that is sent now.
func (c *contact) question(node string) uint64 {
	for nonce, sent := range c.open {
		if time.Since(sent) > askedFor {
			delete(c.open, nonce)
		}
	}
	c.nonce++
	c.last = node
	c.open[c.nonce] = time.Now()
	return c.nonce
}

// answered counts an answer, unless it is to no question of ours.
func (c *contact) answered(nonce uint64) bool {
	sent, asked := c.open[nonce]
	if !asked {
		return false
	}
	delete(c.open, nonce)
	c.newest.Store(max(c.newest.Load(), int64(sent.Sub(c.started)), 1))
	return true
}

// at may be called by any goroutine. The time has a monotonic reading.
func (c *contact) at() time.Time {
	if d := c.newest.Load(); d > 0 {
		return c.started.Add(time.Duration(d))
	}
	return time.Time{}
}
