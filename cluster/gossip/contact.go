package gossip

import (
	"math/rand/v2"
	"sync/atomic"
	"time"
)

const (
	// askedPerRound is how many peers are asked in each interval at least, and roundsPerTurn in how
	// many intervals all of them are: evidence that more than half of the members hold a node alive
	// must not be older than two and a half seconds.
	askedPerRound = 3
	roundsPerTurn = 4
	// prompt is how long an answer may take to tell something about the other node's clock.
	prompt = 500 * time.Millisecond
	// unansweredAtMost is how many questions in a row a peer may leave unanswered before it is
	// joined again: it may have come to hold this node dead.
	unansweredAtMost = 4
	// askedFor is how long an answer is waited for. Older ones would be worth nothing.
	askedFor = 10 * time.Second
)

// contact is the evidence that others hold this node alive. All but newest belongs to the loop.
type contact struct {
	started time.Time
	newest  atomic.Int64 // nanoseconds from started to when the newest answered question was sent; 0: never
	open    map[uint64]question
	nonce   uint64
	last    string // who was asked last
}

// question is one that has not been answered.
type question struct {
	node string
	sent time.Time
}

func newContact() *contact {
	// The first number is random, so that nothing said to an earlier process of this name is taken
	// for an answer to this one.
	return &contact{started: time.Now(), open: map[uint64]question{}, nonce: rand.Uint64()}
}

// question returns the number of a question to a node that is sent now.
func (c *contact) question(node string) uint64 {
	for nonce, q := range c.open {
		if time.Since(q.sent) > askedFor {
			delete(c.open, nonce)
		}
	}
	c.nonce++
	c.last = node
	c.open[c.nonce] = question{node, time.Now()}
	return c.nonce
}

// answered counts an answer of a node, unless it is to no question of ours to it. It returns when
// that was sent.
func (c *contact) answered(nonce uint64, node string) (sent time.Time, ok bool) {
	q, asked := c.open[nonce]
	if !asked || q.node != node {
		return time.Time{}, false
	}
	delete(c.open, nonce)
	c.newest.Store(max(c.newest.Load(), int64(q.sent.Sub(c.started)), 1))
	return q.sent, true
}

// skew is how far the other node's clock, as it was when it answered, is ahead of ours. It reports
// false if the answer took too long to tell. It is off by half of that time at most.
func skew(sent, now time.Time, theirs int64) (ahead time.Duration, ok bool) {
	took := now.Sub(sent)
	if theirs == 0 || took > prompt {
		return 0, false
	}
	return time.UnixMilli(theirs).Sub(sent.Round(0).Add(took / 2)).Round(time.Millisecond), true
}

// at may be called by any goroutine. The time has a monotonic reading.
func (c *contact) at() time.Time {
	if d := c.newest.Load(); d > 0 {
		return c.started.Add(time.Duration(d))
	}
	return time.Time{}
}
