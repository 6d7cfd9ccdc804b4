package gossip

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const (
	// checkEvery is how often both sides of a suspected conflict are asked.
	checkEvery = 2 * time.Second
	// clearAfter is how long one of them may be silent before the conflict is over.
	clearAfter = 10 * time.Second
	maxClashes = 16
)

// pair is a name and two addresses at which nodes may answer to it, the smaller first.
type pair struct{ name, a, b string }

type clashState struct {
	since     time.Time // when it was suspected
	checked   time.Time
	checking  bool
	confirmed time.Time // when both sides last answered; zero: never
}

// clashes are the conflicts of names. A suspicion costs nothing; it counts once both sides have
// answered.
type clashes struct {
	self string

	mu    sync.Mutex
	pairs map[pair]*clashState
}

func newClashes(self string) *clashes { return &clashes{self: self, pairs: map[pair]*clashState{}} }

// suspect may be called from memberlist's callbacks.
func (c *clashes) suspect(name, a, b string) {
	if a == b {
		return
	}
	p := pair{name, min(a, b), max(a, b)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pairs[p] == nil && len(c.pairs) < maxClashes {
		c.pairs[p] = &clashState{since: time.Now()}
	}
}

// due returns what to check now, marked so, and what has ended.
func (c *clashes) due(now time.Time) (check, ended []pair) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for p, s := range c.pairs {
		newest := s.since
		if s.confirmed.After(newest) {
			newest = s.confirmed
		}
		switch {
		case s.checking:
		case now.Sub(newest) > clearAfter:
			delete(c.pairs, p)
			if !s.confirmed.IsZero() {
				ended = append(ended, p)
			}
		case now.Sub(s.checked) >= checkEvery:
			s.checking, s.checked = true, now
			check = append(check, p)
		}
	}
	return check, ended
}

// checked takes the result of a check, and says whether it confirmed the conflict for the first time.
func (c *clashes) checked(p pair, both bool) (first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.pairs[p]
	if s == nil {
		return false
	}
	s.checking = false
	if !both {
		return false
	}
	first = s.confirmed.IsZero()
	s.confirmed = time.Now()
	return first
}

// describe names one conflict, this node's own before others; empty: there is none.
func (c *clashes) describe() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var worst pair
	for p, s := range c.pairs {
		if s.confirmed.IsZero() {
			continue
		}
		better := p.name == c.self && worst.name != c.self || (p.name == c.self) == (worst.name == c.self) && fmt.Sprint(p) < fmt.Sprint(worst)
		if worst.name == "" || better {
			worst = p
		}
	}
	if worst.name == "" {
		return ""
	}
	return fmt.Sprintf("two nodes have the name %q, one at %s and one at %s", worst.name, worst.a, worst.b)
}

// Conflict says that two nodes have one name, and where they are; empty: that is not so. This
// node's own name comes first.
func (g *Gossip) Conflict() string { return g.clashes.describe() }

// checkClashes checks what is suspected and forgets what is over.
func (g *Gossip) checkClashes() {
	check, ended := g.clashes.due(time.Now())
	for _, p := range ended {
		g.notes.add(zapcore.InfoLevel, "conflict of two nodes with one name is over", zap.String("node", p.name), zap.Strings("addresses", []string{p.a, p.b}))
	}
	for _, p := range check {
		g.busy.Go(func() {
			both := g.answersAs(p.name, p.a) && g.answersAs(p.name, p.b)
			if g.clashes.checked(p, both) {
				g.notes.add(zapcore.ErrorLevel, "two nodes have the same name: give each its own", zap.String("node", p.name), zap.Strings("addresses", []string{p.a, p.b}))
			}
			if both {
				g.tell(p.a, message{Kind: clash, Name: p.name, Address: p.b})
				g.tell(p.b, message{Kind: clash, Name: p.name, Address: p.a})
			}
		})
	}
}

// answersAs asks an address whether a node of that name is there. Nobody but that node answers.
func (g *Gossip) answersAs(name, address string) bool {
	if name == g.node && address == g.address {
		return true
	}
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return false
	}
	for range 3 { // packets get lost
		if _, err = g.list.Ping(name, net.UDPAddrFromAddrPort(at)); err == nil || g.ctx.Err() != nil {
			break
		}
	}
	return err == nil
}
