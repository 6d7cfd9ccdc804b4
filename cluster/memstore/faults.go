package memstore

import (
	"context"
	"errors"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

// ErrUnreachable is what the calls of a client return while it is cut off.
var ErrUnreachable = errors.New("store is unreachable")

// Op names a call of a Client, for FailNext.
type Op uint8

// The calls that can be made to fail.
const (
	OpGet Op = iota + 1
	OpList
	OpPut
	OpDelete
	OpBatch
	OpOpenSession
	OpEndSession
	OpSessionIdle
)

type faults struct {
	// healed is not nil while the client is cut off, and closed when it no longer is.
	healed chan struct{}
	next   map[Op][]error
}

// FailNext makes the next call of op return err, without reaching the server. Calls queue up: two
// FailNext fail two calls.
func (c *Client) FailNext(op Op, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.faults.next == nil {
		c.faults.next = make(map[Op][]error)
	}
	c.faults.next[op] = append(c.faults.next[op], err)
}

// SetUnreachable cuts the client off from its server, or connects it again. While it is cut off all
// calls return ErrUnreachable, watches deliver nothing and sessions are not renewed, so they expire
// on the server.
func (c *Client) SetUnreachable(yes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch cut := c.faults.healed != nil; {
	case yes && !cut:
		c.faults.healed = make(chan struct{})
	case !yes && cut:
		close(c.faults.healed)
		c.faults.healed = nil
	}
}

// cutOff returns nil if the server can be reached, else a channel that is closed when it can again.
func (c *Client) cutOff() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.faults.healed
}

// admit returns the reason why a call can't be made, if there is one.
func (c *Client) admit(ctx context.Context, op Op) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return cluster.ErrClosed
	}
	if planned := c.faults.next[op]; len(planned) > 0 {
		c.faults.next[op] = planned[1:]
		return planned[0]
	}
	if c.faults.healed != nil {
		return ErrUnreachable
	}
	return nil
}
