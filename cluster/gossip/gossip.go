package gossip

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"math/rand/v2"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Options say who this node is and where it listens.
type Options struct {
	Node             string                // unique in the cluster, 1 to 128 bytes
	BindAddress      string                // host:port, for UDP and TCP; port 0: any; empty host: all IPv4 interfaces
	AdvertiseAddress string                // host:port that others are told, port 0: the bound one; empty: the bound address, or a private one of the host if that is 0.0.0.0
	Join             []string              // host:port of peers to join while nobody is seen, if not all are to come from SetPeers
	Key              []byte                // 16, 24 or 32 bytes: everything is encrypted (AES-GCM); nil: nothing is
	Label            string                // clusters with different labels don't mix; at most 255 bytes
	Logger           *zap.Logger           // nil: no log
	Registerer       prometheus.Registerer // nil: no metrics. Two nodes in one process need two, or labels
	Timing           Timing
	Fate             Fate                          // what becomes of packets and streams, for faults on purpose; nil: they arrive if the network lets them
	Transport        memberlist.NodeAwareTransport // for tests, see package gossiptest; then the addresses above don't matter. nil: the network
}

// Gossip is this node's part in the gossip of its cluster.
type Gossip struct {
	node, address string
	timing        Timing
	list          *memberlist.Memberlist
	notes         *notes
	table         *table
	clashes       *clashes
	admission     *admission
	contact       *contact // but for contact.at, the loop's
	search        *search  // the loop's
	metrics
	unregister func()

	saying atomic.Pointer[saying]
	inbox  chan message
	joins  chan joined
	wake   chan struct{} // capacity 1: there may be somebody to join
	spread chan struct{} // capacity 1: what this node says has changed

	mu    sync.Mutex
	said  announcement
	named map[string]string // what SetPeers brought, until the loop takes it; nil: nothing new

	life   sync.Mutex // excludes Leave, Close and memberlist's UpdateNode, which must not run twice at a time
	closed bool
	left   bool

	ctx  context.Context
	stop context.CancelFunc
	busy sync.WaitGroup
}

// saying is what a node says of itself, without what is too long, and the same as its metadata.
type saying struct {
	announcement
	meta []byte
}

const inboxSize = 256

// Start listens and begins to gossip; it knows nobody until SetPeers, or until others join it. The
// error says what is wrong with the options or which address can't be listened on.
func Start(o Options) (*Gossip, error) {
	if len(o.Node) < 1 || len(o.Node) > 128 {
		return nil, fmt.Errorf("start gossip: node name %q does not have 1 to 128 bytes", o.Node)
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	n := newNotes(o.Logger)
	g := &Gossip{
		node: o.Node, timing: o.Timing.withDefaults(), notes: n,
		table: newTable(o.Node, n), clashes: newClashes(o.Node), admission: newAdmission(o.Node), contact: newContact(), search: newSearch(), metrics: newMetrics(),
		inbox: make(chan message, inboxSize), joins: make(chan joined, maxJoins), wake: make(chan struct{}, 1), spread: make(chan struct{}, 1),
	}
	g.ctx, g.stop = context.WithCancel(context.Background())
	g.announce(func(a *announcement) { a.Process = rand.Uint32() | 1 })
	if err := g.create(o); err != nil {
		g.stop()
		g.notes.flush()
		return nil, err
	}
	g.address = g.list.LocalNode().Address()
	g.search.sow(slices.DeleteFunc(slices.Clone(o.Join), func(address string) bool { return address == g.address }))
	hint(g.wake)
	if err := g.register(o.Registerer); err != nil {
		return nil, errors.Join(err, g.shutdown())
	}
	g.busy.Go(g.loop)
	return g, nil
}

// label marks the goroutines of one Gossip, in profiles and for Close.
func (g *Gossip) label() string { return fmt.Sprintf("%p", g) }

// create starts memberlist, with a label on its goroutines, which those that they start inherit.
func (g *Gossip) create(o Options) error {
	logger := log.New(g.notes, "", 0)
	config := memberlist.DefaultLANConfig()
	g.timing.apply(config)
	config.Name, config.Label, config.SecretKey, config.Logger = o.Node, o.Label, o.Key, logger
	config.EnableCompression = false // nothing here is large, and compressing costs more than it saves
	d := delegate{g}
	config.Delegate, config.Events, config.Conflict, config.Alive = d, d, d, d

	transport := o.Transport
	if transport == nil {
		bound, err := listen(g.ctx, o.BindAddress, logger)
		if err != nil {
			return err
		}
		if err := advertise(g.ctx, config, o.AdvertiseAddress, bound.GetAutoBindPort()); err != nil {
			return errors.Join(err, bound.Shutdown())
		}
		transport = abortable{bound, g.ctx}
	}
	if o.Fate != nil {
		transport = newFated(transport, o.Fate, g.table)
	}
	config.Transport = transport

	var err error
	pprof.Do(g.ctx, pprof.Labels("gossip", g.label()), func(context.Context) { g.list, err = memberlist.Create(config) })
	if err != nil {
		return errors.Join(fmt.Errorf("start gossip: %w", err), transport.Shutdown())
	}
	return nil
}

// advertise sets what others are told; nothing if that is empty.
func advertise(ctx context.Context, c *memberlist.Config, address string, boundPort int) error {
	c.BindPort, c.AdvertisePort = boundPort, boundPort
	if address == "" {
		return nil
	}
	at, err := resolve(ctx, address)
	switch {
	case err != nil:
		return fmt.Errorf("advertise gossip address: %w", err)
	case at.Addr().IsUnspecified():
		return fmt.Errorf("advertise gossip address: nobody can reach %q", address)
	}
	c.AdvertiseAddr = at.Addr().String()
	if at.Port() != 0 {
		c.AdvertisePort = int(at.Port())
	}
	return nil
}

func (g *Gossip) register(r prometheus.Registerer) error {
	g.unregister = func() {}
	if r == nil {
		return nil
	}
	c := newCollector(g)
	if err := r.Register(c); err != nil {
		return fmt.Errorf("register metrics of gossip: %w", err)
	}
	g.unregister = func() { r.Unregister(c) }
	return nil
}

// Address returns the host:port that others are told.
func (g *Gossip) Address() string { return g.address }

// SetStatus sets what this node says of itself; others know in about 0.3 s, and with its next answer
// at the latest. It does not block.
func (g *Gossip) SetStatus(s Status) {
	away := int64(0)
	if !s.AwaySince.IsZero() {
		away = s.AwaySince.UnixMilli()
	}
	if g.announce(func(a *announcement) {
		a.Session, a.ReachesStore, a.Fenced, a.AwaySince = s.Session, s.ReachesStore, s.Fenced, away
	}) {
		hint(g.spread)
	}
}

// announce changes what this node says of itself, for memberlist to fetch. It returns whether that
// made a difference.
func (g *Gossip) announce(change func(*announcement)) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	said := g.said
	change(&said)
	if said == g.said {
		return false
	}
	said.Number++
	g.said = said
	meta, err := said.encode()
	if err != nil {
		g.notes.add(zapcore.ErrorLevel, "gossip announces no session", zap.Error(err))
	}
	if said, err = decodeAnnouncement(meta); err != nil {
		panic(err) // it was encoded just now
	}
	g.saying.Store(&saying{said, meta})
	return true
}

// Peers returns all nodes but this one that were ever seen, sorted by name. Those that are dead or
// have left stay for an hour, or until Forget.
func (g *Gossip) Peers() []Peer { return g.table.list() }

// Forget drops a peer that is not alive from Peers.
func (g *Gossip) Forget(node string) { g.table.forget(node) }

// LastContact returns the newest moment at which this node asked a peer that then answered that it
// holds this node alive. It has a monotonic reading. Zero: there was none. It costs an atomic load.
func (g *Gossip) LastContact() time.Time { return g.contact.at() }

// Changes has a value after Peers has changed. It is a hint: several changes may be one value.
func (g *Gossip) Changes() <-chan struct{} { return g.table.changed }

func (g *Gossip) loop() {
	tick := time.NewTicker(g.timing.ProbeInterval)
	defer tick.Stop()
	defer g.notes.flush()
	for {
		select {
		case <-g.ctx.Done():
			return
		case line := <-g.notes.queue:
			g.notes.write(line)
		case m := <-g.inbox:
			g.receive(m)
		case <-g.spread:
			if g.life.TryLock() { // else it leaves, with all that is to be said, or is closed
				g.update(time.Nanosecond)
				g.life.Unlock()
			}
		case <-g.wake:
			g.look()
		case j := <-g.joins:
			g.joined(j)
			g.look()
		case <-tick.C:
			g.askAround()
			g.look()
			g.checkClashes()
			g.watchIsolation()
			g.table.forget("")
		}
	}
}

func (g *Gossip) receive(m message) {
	switch m.Kind {
	case ask:
		if p, alive := g.table.assure(m.From); alive {
			g.tell(p.Address, message{Kind: answer, Nonce: m.Nonce, Clock: time.Now().UnixMilli(), Said: announced{g.saying.Load().announcement}})
		}
	case answer:
		if sent, ok := g.contact.answered(m.Nonce, m.From); ok {
			ahead, known := skew(sent, time.Now(), m.Clock)
			g.table.answered(m.From, sent, ahead, known)
			g.table.told(m.From, m.Said.announcement)
		}
	case clash:
		if m.Name == g.node {
			g.clashes.suspect(m.Name, g.address, m.Address)
		}
	}
}

func (g *Gossip) askAround() {
	for _, p := range g.table.next(g.contact.last, askedPerRound, roundsPerTurn) {
		g.tell(p.Address, message{Kind: ask, Nonce: g.contact.question(p.Node)})
	}
}

// tell sends one packet. What can't be sent is lost, as what does not arrive is.
func (g *Gossip) tell(address string, m message) {
	m.From = g.node
	_ = g.list.SendToAddress(memberlist.Address{Addr: address}, m.encode())
}

// join exchanges all that is known with the node at an address.
func (g *Gossip) join(address string) error {
	ctx, cancel := context.WithTimeout(g.ctx, dialTimeout)
	defer cancel()
	at, err := resolve(ctx, address)
	if err != nil {
		return err
	}
	if _, err := g.list.Join([]string{at.String()}); err != nil {
		lines := strings.Split(strings.TrimSpace(err.Error()), "\n") // a list, of one here
		return errors.New(strings.TrimPrefix(strings.TrimSpace(lines[len(lines)-1]), "* "))
	}
	return nil
}

// update tells memberlist that the announcement has changed, and waits until it was sent, at most
// so long. When nobody is there to hear it, it does not wait. The caller holds g.life.
func (g *Gossip) update(wait time.Duration) {
	if !g.closed {
		_ = g.list.UpdateNode(wait) // the only error is that the time is over; then it is sent later
	}
}

// Leave tells the others that this node goes, so that it is not taken for dead. It waits until that
// was said, at most until the context ends or about 2 s. From then on nobody answers this node:
// LastContact grows old. Close comes next.
func (g *Gossip) Leave(ctx context.Context) error {
	g.announce(func(a *announcement) { a.Leaving = true })
	g.life.Lock()
	defer g.life.Unlock()
	if g.closed || g.left {
		return nil
	}
	g.update(waitAtMost(ctx))
	g.left = true
	if err := g.list.Leave(waitAtMost(ctx)); err != nil {
		return fmt.Errorf("leave gossip: %w", err)
	}
	return nil
}

// waitAtMost is a second, or what is left of the context; never 0, which memberlist takes for endless.
func waitAtMost(ctx context.Context) time.Duration {
	wait := time.Second
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline))
	}
	if ctx.Err() != nil {
		wait = 0
	}
	return max(wait, time.Nanosecond)
}

// Close ends it, without a word to others: unless Leave came before, they take this node for dead.
// It may be called more than once. It returns when everything has ended, which takes up to 2 s when
// a probe of a dead node is on its way.
func (g *Gossip) Close() error {
	g.life.Lock()
	already := g.closed
	g.closed = true
	g.life.Unlock()
	if already {
		return nil
	}
	g.unregister()
	return g.shutdown()
}

func (g *Gossip) shutdown() error {
	g.table.close()
	g.stop()
	g.busy.Wait()
	err := g.list.Shutdown()
	g.awaitSilence()
	if err != nil {
		return fmt.Errorf("close gossip: %w", err)
	}
	return nil
}

// awaitSilence waits for memberlist's goroutines: it gives them a sign, but no handle to wait for.
// Those that have our label are looked for in the profile of all.
func (g *Gossip) awaitSilence() {
	deadline := time.Now().Add(streamTimeout + maxAwareness*g.timing.ProbeInterval)
	for pause := time.Millisecond; time.Now().Before(deadline); pause = min(2*pause, 50*time.Millisecond) {
		var profile bytes.Buffer
		if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil || !bytes.Contains(profile.Bytes(), []byte(g.label())) {
			return
		}
		timer := time.NewTimer(pause)
		<-timer.C
	}
}
