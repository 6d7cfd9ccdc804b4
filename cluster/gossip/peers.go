package gossip

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Peer is another node as gossip knows it.
type Peer struct {
	Node    string
	Address string    // host:port of its gossip
	Alive   bool      // suspected nodes are alive until they are dead
	Left    bool      // it is not alive because it said so; never together with Alive
	Since   time.Time // since when it is alive, dead or gone
	Status  Status    // what it last said of itself; zero if that could not be understood
	// Assured is the newest moment at which this node told the peer that it holds it alive, which
	// the peer may take for evidence. Zero: never.
	Assured time.Time
	// Answered is the newest moment at which this node asked the peer a question that it then
	// answered: that it holds this node alive. Zero: never. It has a monotonic reading.
	Answered time.Time
	// ClockAhead is how far the peer's clock was ahead of this node's when it last answered
	// promptly, to a few milliseconds.
	ClockAhead time.Duration
}

// peer is a Peer with what only this package needs.
type peer struct {
	Peer
	said       announcement
	garbled    bool // that its status can't be understood has been logged
	unanswered int  // questions in a row
}

// table is all that memberlist's callbacks write to. They run under memberlist's lock: nothing here
// blocks, or calls memberlist.
type table struct {
	self    string
	changed chan struct{} // capacity 1
	notes   *notes

	mu     sync.Mutex
	closed bool
	peers  map[string]*peer
}

func newTable(self string, n *notes) *table {
	return &table{self: self, changed: make(chan struct{}, 1), notes: n, peers: map[string]*peer{}}
}

// seen is called when memberlist says that a node is alive, or has changed what it says of itself.
func (t *table) seen(n *memberlist.Node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || n.Name == t.self {
		return
	}
	p := t.peers[n.Name]
	if p == nil {
		p = &peer{Peer: Peer{Node: n.Name}}
		t.peers[n.Name] = p
	}
	said, err := decodeAnnouncement(n.Meta)
	if err != nil && !p.garbled {
		t.notes.add(zapcore.WarnLevel, "gossip peer speaks another version", zap.String("node", n.Name), zap.String("address", n.Address()), zap.Error(err))
	}
	p.garbled = err != nil
	p.Address = n.Address()
	p.hear(said)
	if !p.Alive {
		p.Alive, p.Left, p.Since, p.unanswered = true, false, time.Now(), 0
		t.notes.add(zapcore.InfoLevel, "gossip peer alive", zap.String("node", n.Name), zap.String("address", p.Address))
	}
	hint(t.changed)
}

// hear takes in what the peer says of itself, unless it has said something else since. It reports
// whether that is news.
func (p *peer) hear(said announcement) (news bool) {
	if said.before(p.said) {
		return false
	}
	news = said != p.said
	p.said, p.Status = said, said.status()
	return news
}

// told takes in what a node has said with an answer. memberlist alone does not do: of what all say at
// the same time, it may lose some, until nodes exchange everything they know, every 10 s. But only
// memberlist introduces another process of a name.
func (t *table) told(node string, said announcement) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.peers[node]
	if p != nil && said.Version != 0 && said.Process == p.said.Process && p.hear(said) {
		hint(t.changed)
	}
}

// gone is called when memberlist says that a node is dead or has left.
func (t *table) gone(n *memberlist.Node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.peers[n.Name]
	if t.closed || p == nil || !p.Alive {
		return
	}
	p.Alive, p.Left, p.Since = false, p.said.Leaving, time.Now()
	if p.Left {
		t.notes.add(zapcore.InfoLevel, "gossip peer left", zap.String("node", n.Name), zap.String("address", p.Address))
	} else {
		t.notes.add(zapcore.WarnLevel, "gossip peer dead", zap.String("node", n.Name), zap.String("address", p.Address))
	}
	hint(t.changed)
}

// list returns all peers, sorted by name.
func (t *table) list() []Peer {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]Peer, 0, len(t.peers))
	for _, p := range t.peers {
		all = append(all, p.Peer)
	}
	slices.SortFunc(all, func(a, b Peer) int { return cmp.Compare(a.Node, b.Node) })
	return all
}

// next returns those of the living whose turn it is after that of the named one, and counts a
// question to each: at least so many, and enough for all of them to have their turn in so many
// rounds.
func (t *table) next(after string, least, rounds int) []Peer {
	t.mu.Lock()
	defer t.mu.Unlock()
	var living []string
	for _, name := range slices.Sorted(maps.Keys(t.peers)) {
		if t.peers[name].Alive {
			living = append(living, name)
		}
	}
	first, found := slices.BinarySearch(living, after)
	if found {
		first++
	}
	var turn []Peer
	for i := range min(max(least, (len(living)+rounds-1)/rounds), len(living)) {
		p := t.peers[living[(first+i)%len(living)]]
		p.unanswered++
		turn = append(turn, p.Peer)
	}
	return turn
}

// assure says where to answer a question of a node, if that is held alive, and notes that it was
// answered.
func (t *table) assure(node string) (Peer, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.peers[node]
	if p == nil || !p.Alive {
		return Peer{}, false
	}
	p.Assured = time.Now()
	return p.Peer, true
}

// answered notes that a node has answered a question that was sent then, and how far its clock is
// ahead, if that is known.
func (t *table) answered(node string, sent time.Time, ahead time.Duration, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.peers[node]
	if p == nil {
		return
	}
	p.unanswered = 0
	if sent.After(p.Answered) {
		p.Answered = sent
	}
	if known {
		p.ClockAhead = ahead
	}
}

// skew is how far the clock of a living peer is from this node's at most, and which one's.
func (t *table) skew() (node string, ahead time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, p := range t.peers {
		if p.Alive && p.ClockAhead.Abs() > ahead.Abs() {
			node, ahead = name, p.ClockAhead
		}
	}
	return node, ahead
}

// known says whether there was a peer of that name, and whether it is well: alive, and answering.
func (t *table) known(node string) (known, well bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.peers[node]
	return p != nil, p != nil && p.Alive && p.unanswered < unansweredAtMost
}

// count returns how many are alive, dead, and have left.
func (t *table) count() (alive, dead, left int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.peers {
		switch {
		case p.Alive:
			alive++
		case p.Left:
			left++
		default:
			dead++
		}
	}
	return alive, dead, left
}

// forget drops a peer that is not alive, and with "" all that have not been for long enough.
func (t *table) forget(node string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := len(t.peers)
	maps.DeleteFunc(t.peers, func(name string, p *peer) bool {
		return !p.Alive && (name == node || time.Since(p.Since) > retention)
	})
	if len(t.peers) != before {
		hint(t.changed)
	}
}

func (t *table) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
}

// hint leaves a mark in a channel of capacity 1.
func hint(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
