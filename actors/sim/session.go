package sim

import (
	"context"
	"fmt"
	"time"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// renewEvery is how often a session is renewed.
const renewEvery = time.Second

// session is a node's session. It renews itself.
type session struct {
	client
	id          string
	renewed     time.Time
	done        chan struct{}
	ended, over bool
}

// OpenSession implements cluster.Store.
func (c client) OpenSession(ctx context.Context, ttl time.Duration) (cluster.Session, error) {
	s := &session{client: c, renewed: c.node.clock(), done: make(chan struct{})}
	var opened time.Duration
	err := c.call(ctx, "open session", 0, func() error {
		c.writes++
		c.node.writes++
		s.id, opened = c.open(ttl), c.world.now
		c.world.say(c.node.name, "has session %s", s.id)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("open session: %w", err) // one that was opened after all is nobody's
	}
	c.node.session, c.node.answered = s.id, opened
	if c.node.registered == 0 {
		c.node.registered = opened
	}
	s.renewLater()
	return s, nil
}

func (s *session) renewLater() { s.world.after(s.node, renewEvery, s.renew) }

func (s *session) renew() {
	if s.ended {
		return
	}
	s.renewLater()
	sent, asked, l, w := s.node.clock(), s.world.now, &s.node.host.link, s.world
	if !s.node.reaches() || w.chance(l.refused) {
		s.node.cutAt = w.now
		return
	}
	lag := func() time.Duration { return w.upTo(w.options.Lag) + w.upTo(l.lag) }
	w.after(nil, lag(), func() {
		if !s.node.reaches() {
			return
		}
		alive, idle := s.server.renew(s.id)
		if idle > deadAfter {
			w.say(s.node.name, "session %s is renewed, %v after the last time", s.id, idle)
		}
		if w.chance(l.unanswered) {
			return
		}
		w.after(s.node, lag(), func() {
			switch {
			case l.cut || s.ended:
			case !alive:
				s.end()
			case sent.After(s.renewed):
				s.renewed, s.node.answered = sent, asked
				s.node.knew = s.registered()
			}
		})
	})
}

func (s *session) end() {
	if !s.ended {
		s.ended = true
		s.node.lost++
		close(s.done)
	}
}

// registered is which session each member's record has, other than of those that leave.
func (s *server) registered() map[string]string {
	if s.recordsAt != s.revision {
		s.recordsAt, s.records = s.revision, map[string]string{}
		for _, e := range s.entries {
			put, ok := decoded(cluster.Event{Kind: cluster.EventPut, Entry: e}).(messages.MemberPut)
			if ok && put.Member.State != messages.Leaving {
				s.records[put.Member.Node] = e.Session
			}
		}
	}
	return s.records
}

// ID implements cluster.Session.
func (s *session) ID() string { return s.id }

// Done implements cluster.Session.
func (s *session) Done() <-chan struct{} { return s.done }

// LastRenewed implements cluster.Session.
func (s *session) LastRenewed() time.Time { return s.renewed }

// Abandon implements cluster.Session.
func (s *session) Abandon() { s.end() }

// Close implements cluster.Session.
func (s *session) Close(ctx context.Context) error {
	s.end()
	if s.over {
		return nil
	}
	err := s.EndSession(ctx, s.id)
	s.over = err == nil
	return err
}
