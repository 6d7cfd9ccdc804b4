package memstore

import (
	"context"
	"strings"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

// watch is a cursor into the server's history: it holds no events of its own, so a slow reader
// costs nothing but the history, which is bounded.
type watch struct {
	server *Server
	prefix string
	// next is the place of the first change not looked at yet.
	next int
	// incarnation is the server's when next was computed.
	incarnation int
	// lost is set when the watch began at a revision that the server doesn't know, or knows no longer.
	lost bool
}

func (s *Server) newWatch(prefix string, after int64) *watch {
	s.mu.Lock()
	defer s.mu.Unlock()
	after = max(after, 0)
	return &watch{
		server:      s,
		prefix:      prefix,
		next:        s.forgotten + s.historyAfter(after),
		incarnation: s.incarnation,
		lost:        after < s.compacted || after > s.revision,
	}
}

// read returns the next event; or, if there is none yet, a channel that is closed when it is worth
// asking again.
func (w *watch) read() (ev cluster.Event, ok bool, changed <-chan struct{}) {
	s := w.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.lost || w.incarnation != s.incarnation || w.next < s.forgotten {
		w.lost, w.incarnation, w.next = false, s.incarnation, s.forgotten+len(s.history)
		return cluster.Event{Kind: cluster.EventRelist, Entry: cluster.Entry{Revision: s.revision}}, true, nil
	}
	for w.next < s.forgotten+len(s.history) {
		ev := s.history[w.next-s.forgotten]
		w.next++
		if strings.HasPrefix(ev.Entry.Key, w.prefix) {
			return ev, true, nil
		}
	}
	return cluster.Event{}, false, s.changed
}

// Watch implements cluster.Store. While the client is cut off from its server nothing is delivered;
// afterwards the watch goes on where it was.
func (c *Client) Watch(ctx context.Context, prefix string, after int64) <-chan cluster.Event {
	out := make(chan cluster.Event)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		close(out)
		return out
	}
	w := c.server.newWatch(prefix, after)
	c.watches.Add(1)
	go func() {
		defer c.watches.Done()
		defer close(out)
		c.deliver(ctx, w, out)
	}()
	return out
}

func (c *Client) deliver(ctx context.Context, w *watch, out chan<- cluster.Event) {
	for {
		wait := c.cutOff()
		var ev cluster.Event
		var send chan<- cluster.Event
		if wait == nil {
			var ok bool
			if ev, ok, wait = w.read(); ok {
				send = out
			}
		}
		select {
		case send <- ev:
		case <-wait:
		case <-ctx.Done():
			return
		case <-c.closing:
			return
		}
	}
}
