package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/ringmaster-agent/ringmaster/actors"
	onpurpose "github.com/ringmaster-agent/ringmaster/actors/fault"
	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/cluster/lastknown"
	"github.com/ringmaster-agent/ringmaster/cluster/ring"
	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// tokensPerNode is fewer than a real node has, since the hash of many costs time here and shows
// nothing.
const tokensPerNode = 32

// host is where a node runs: what survives its process.
type host struct {
	world  *World
	name   string
	zone   string
	tokens []uint32
	link   link
	// echo is until when it hears of changes in the store again, blind that its next listing lacks
	// all configs.
	echo  time.Duration
	blind bool
	// deaf is until when it hears of no change in the store, which answers it.
	deaf time.Duration
	// usurped: a second process of its name finds no record of the first, which loses the store
	// then for so long, if that is more than a moment.
	usurped time.Duration
	// unheard is until when it can't gossip with other hosts.
	unheard map[string]time.Duration
	skew    time.Duration
	known   memory
	lives   int
	// unsent are the units of which something was left in a log when they ended here.
	unsent map[messages.Unit]bool
}

// silent reports whether gossip between the two is cut.
func (h *host) silent(other *host) bool {
	return h.world.now < max(h.unheard[other.name], other.unheard[h.name])
}

// reaches reports whether the process reaches the store.
func (n *node) reaches() bool {
	return n.world.now >= n.cutUntil && n.world.store.reachable(&n.host.link)
}

// beginWrite notes that a write waits for its answer until the function that it returns is called.
func (n *node) beginWrite() (end func()) {
	began := n.world.now
	n.writing++
	return func() {
		n.writing--
		if n.world.now-began > time.Second {
			n.cutAt = n.world.now
		}
	}
}

// node is one process.
type node struct {
	world   *World
	host    *host
	name    string
	address string
	gossip  *gossip
	options NodeOptions

	supervisor *actor.PID
	pids       []*actor.PID
	parked     []*routine
	// alone: it goes on because there was no other node when the store last told. It can't know of
	// one that has joined since.
	alone bool
	// storeless: it goes on because all that it knows of have lost the store.
	storeless bool
	// unlisted: it waits for a listing of claims, whose answer may be lost, or has not got one.
	unlisted bool
	// writing is how many of its writes wait for an answer: what else it has to write, of other units
	// too, may wait for them.
	writing int
	// knew is which session each member's record had when the store last renewed its own.
	knew map[string]string
	// passed is when others were last found to have joined unheard by it.
	passed time.Duration
	// answered is when it last asked the store to renew its session and was answered, registered when
	// its first session began.
	answered, registered time.Duration
	// session is the newest that it has opened, cutAt when it last could not renew it, or found that
	// a write had got no answer.
	session string
	cutAt   time.Duration
	// cutUntil is until when the process, and not its host, does not reach the store.
	cutUntil time.Duration
	// lost counts the sessions that it has lost, writes the calls of the store by which it has written.
	lost      int
	writes    int
	pipelines map[messages.Unit]*pipeline
	// generations are the newest of each unit.
	generations map[messages.Unit]uint64

	// dead: the process is no more. stalled: it stands still, and missed is what will happen when
	// it goes on. stopping: it was told to end.
	dead, stalled, stopping bool
	missed                  []*event
	// full: there is no room on its disk.
	full bool
	// ambushed: it goes on when somebody is about to end its session.
	ambushed bool
	// slept is for how long its machine was suspended.
	slept time.Duration
	// mishap is what will happen to a message; nil: nothing.
	mishap *mishap
	// astray are the units of which it has lost news of a claim, since when, until it lists the registry.
	astray map[messages.Unit]time.Duration
	// woke is when it last went on after it stood still; 0: never.
	woke time.Duration
	// condemned is when its record was taken away while it stood still; 0: never.
	condemned time.Duration
	// panicked is when an actor of it last panicked.
	panicked time.Duration
	// unplanned: it has had an accident, so its instances may stop for no other reason.
	unplanned bool
}

// NodeOptions are how a process is started.
type NodeOptions struct {
	// KeepClaims: its end is the beginning of a restart.
	KeepClaims bool
	// Moved: it has another address than the process before.
	Moved bool
	// JoinAfter is how long it waits before it joins.
	JoinAfter time.Duration
	// Remembers: it keeps what it knows of the store on disk.
	Remembers bool
}

func (o NodeOptions) memory(h *host) actors.Memory {
	if !o.Remembers {
		return nil
	}
	return &h.known
}

// predecessor is the session that the host's memory has at the start of a process.
func (o NodeOptions) predecessor(h *host) func() string {
	if !o.Remembers {
		return nil
	}
	session := h.known.cluster.Session
	return func() string { return session }
}

// Host adds a place for a node to run.
func (w *World) Host(name string) *host {
	state := ring.Key(name)
	draw := func() uint32 { state = ring.Key(fmt.Sprint(name, state)); return state }
	h := &host{world: w, name: name, tokens: ring.NewTokens(tokensPerNode, nil, draw), unheard: map[string]time.Duration{}, unsent: map[messages.Unit]bool{}, known: memory{documents: map[string]messages.Document{}}}
	w.hosts = append(w.hosts, h)
	return h
}

// left is an actors.Options.Leftovers.
func (h *host) left(units []messages.Unit, counts map[string]int) []messages.Unit {
	found := slices.DeleteFunc(slices.Clone(units), func(u messages.Unit) bool { return !h.unsent[u] })
	for u, unsent := range h.unsent {
		if n, known := counts[u.Config]; unsent && known && u.Slice >= n {
			found = append(found, u)
		}
	}
	slices.SortFunc(found, messages.Unit.Compare)
	return slices.Compact(found)
}

// node is the living process of that name, the first if there are two.
func (w *World) node(name string) *node {
	for _, n := range w.nodes {
		if n.name == name && !n.dead {
			return n
		}
	}
	return nil
}

// living are all processes that have not ended, in order of their start.
func (w *World) living() []*node {
	return slices.DeleteFunc(slices.Clone(w.nodes), func(n *node) bool { return n.dead })
}

// Start starts a process on the host.
func (h *host) Start(o NodeOptions) *node {
	w := h.world
	h.lives++
	n := &node{world: w, host: h, name: h.name, address: h.name + ":80", options: o, pipelines: map[messages.Unit]*pipeline{}, generations: map[messages.Unit]uint64{}}
	if o.Moved {
		n.address = fmt.Sprintf("%s-%d:80", h.name, h.lives)
	}
	w.nodes = append(w.nodes, n)
	n.gossip = newGossip(n)
	w.say(n.name, "starts at %s", n.address)
	store := client{server: w.store, node: n}
	var sessions actors.Sessions = store
	if w.options.NoIdle {
		sessions = struct{ actors.Sessions }{store}
	}
	var gossip actors.Gossip
	if !w.options.NoGossip {
		gossip = n.gossip
	}
	logger := zap.NewNop()
	if !w.options.Scale {
		logger = zap.New(core{LevelEnabler: zapcore.InfoLevel, node: n})
	}
	n.supervisor = w.system.Root.Spawn(actors.Props(actors.Options{
		Configs: configs{store}, Parse: w.system.parse, NewPipeline: n.open, Leftovers: h.left, Probe: n.probe, Logger: logger,
		ReshardInterval: w.options.Reshard, RestartBackoff: 500 * time.Millisecond, FlushDeadline: 5 * time.Second, ConcurrentOpens: 1 << 20,
		Jitter: w.rnd.Float64, Memory: o.memory(h), Runtime: n.runtime(), Middleware: n.middleware(), Faults: n.faults(),
		Cluster: &actors.Cluster{
			Node: n.name, Incarnation: fmt.Sprintf("%s.%d", n.name, h.lives), Predecessor: o.predecessor(h), Address: n.address,
			Scheme: "http", Zone: h.zone, Version: "sim", Settings: "same", Tokens: h.tokens, ZoneAware: w.options.ZoneAware,
			Registry: registry{Registry: cluster.NewRegistry(store, registryPrefix), client: store}, Sessions: sessions, Gossip: gossip,
			JoinAfter: o.JoinAfter, Replicas: max(w.options.Replicas, 1), StopWhenIsolated: !w.options.Continue, KeepClaims: o.KeepClaims,
		},
	}))
	w.after(n, w.upTo(gossipRound), n.gossip.round)
	return n
}

// probe is an actors.Options.Probe.
func (n *node) probe() error {
	if n.full {
		return errDisk
	}
	return nil
}

// faults are the rules of the world as they are in force on the node; nil if there are none.
func (n *node) faults() *onpurpose.Registry {
	w := n.world
	if len(w.options.Faults) == 0 {
		return nil
	}
	r := onpurpose.New(onpurpose.Options{
		Node:      n.name,
		Now:       func() time.Time { return epoch.Add(w.now) },
		AfterFunc: func(d time.Duration, f func()) onpurpose.Timer { return n.runtime().AfterFunc(d, f) },
	})
	for _, rule := range w.options.Faults {
		if err := r.Put(rule); err != nil {
			w.fail("rule %q: %v", rule.Name, err)
		}
	}
	return r
}

// clock is the node's time.
func (n *node) clock() time.Time {
	now := epoch.Add(n.world.now + n.host.skew - n.slept)
	if computed := n.world.options.Computed; computed != nil {
		now = now.Add(computed() - n.world.began)
	}
	return now
}

// Stop tells the node to end in good order.
func (n *node) Stop(within time.Duration) {
	n.world.say(n.name, "is told to stop")
	n.stopping = true
	n.world.system.Root.Send(n.supervisor, messages.StopTree{Within: within})
}

// Crash ends the process. What it has sent to the store may still be done.
func (n *node) Crash() {
	n.world.say(n.name, "crashes")
	n.kill()
}

// kill ends the process: no event of it happens any more, and its coroutines return.
func (n *node) kill() {
	if n.dead {
		return
	}
	n.dead, n.missed = true, nil
	for len(n.parked) > 0 {
		n.parked[0].resume()
	}
	for _, pid := range n.pids {
		n.world.system.ProcessRegistry.Remove(pid)
	}
	n.pids = nil
}

// Stall makes the process stand still while its clock goes on; Resume lets it go on.
func (n *node) Stall() {
	n.world.say(n.name, "stands still")
	n.stalled = true
}

// Resume lets everything happen that was due meanwhile.
func (n *node) Resume() {
	if n.dead || !n.stalled {
		return
	}
	n.world.say(n.name, "goes on, with %d things to do", len(n.missed))
	n.stalled, n.woke = false, n.world.now
	n.world.goesOn(n)
	missed := n.missed
	n.missed = nil
	for i, e := range missed {
		if e.f != nil {
			// The very event, since its owner may yet cancel it.
			e.at = n.world.now + time.Duration(i)*time.Microsecond
			n.world.queue.push(e)
		}
	}
}

// middleware watches what the node's actors are told.
func (n *node) middleware() []actor.ReceiverMiddleware {
	w := n.world
	watch := func(next actor.ReceiverFunc) actor.ReceiverFunc {
		return func(c actor.ReceiverContext, envelope *actor.MessageEnvelope) {
			switch m := envelope.Message.(type) {
			case *actor.Started:
				n.pids = append(n.pids, c.Self())
			case *actor.Stopped:
				if c.Self().Equal(n.supervisor) {
					w.after(nil, 0, n.ended)
				}
			case messages.InstanceCommand:
				w.commanded(n, m)
			}
			if _, ok := envelope.Message.(messages.RegistryListed); ok && c.Self().Equal(n.supervisor) {
				clear(n.astray)
			}
			n.echo(c, envelope.Message)
			if n.befall(c, envelope.Message, func() { next(c, envelope) }) {
				return
			}
			if !w.options.Garble || !n.garble(c, envelope.Message) {
				next(c, envelope)
			}
		}
	}
	out := []actor.ReceiverMiddleware{watch}
	if w.options.Middleware != nil {
		out = append(out, w.options.Middleware(n.name)...)
	}
	return out
}

// garble loses, delays or doubles a message, if it is only a hint. It reports whether the message
// is not to be received now.
func (n *node) garble(c actor.ReceiverContext, message any) bool {
	if !hint(message) {
		return false
	}
	w, self := n.world, c.Self()
	switch x := w.rnd.Float64(); {
	case x < 0.02:
		w.say(n.name, "a hint is lost: %T", message)
		n.misses(message)
		return true
	case x < 0.06:
		lost := w.store.lost
		w.after(n, w.upTo(2*time.Second), func() {
			if w.store.lost == lost { // what is of before a loss of data comes before the listing that tells of it
				w.system.Root.Send(self, message)
			}
		})
		return x < 0.04
	default:
		return false
	}
}

// misses notes that it will not hear of a claim.
func (n *node) misses(message any) {
	var unit messages.Unit
	switch e := message.(type) {
	case messages.ClaimGone:
		unit = e.Unit
	case messages.ClaimPut:
		unit = e.Claim.Unit
	default:
		return
	}
	if n.astray == nil {
		n.astray = map[messages.Unit]time.Duration{}
	}
	n.astray[unit] = n.world.now
}

// ended is called when the supervisor has ended.
func (n *node) ended() {
	if n.dead {
		return
	}
	n.world.say(n.name, "has ended")
	if !n.stopping {
		n.world.fail("the supervisor of %s has ended although nobody told it to", n.name)
	}
	n.kill()
}

// memory is what a host keeps on disk. It implements actors.Memory.
type memory struct {
	// broken: nothing can be read or written.
	broken    bool
	documents map[string]messages.Document
	cluster   lastknown.Cluster
}

// Load implements actors.Memory.
func (m *memory) Load() ([]messages.Document, lastknown.Cluster, error) {
	if m.broken {
		return nil, lastknown.Cluster{}, errDisk
	}
	documents := slices.SortedFunc(maps.Values(m.documents), func(a, b messages.Document) int { return strings.Compare(a.Name, b.Name) })
	return documents, m.cluster, nil
}

// Save implements actors.Memory.
func (m *memory) Save(c lastknown.Change) error {
	if m.broken {
		return errDisk
	}
	for _, d := range c.Written {
		m.documents[d.Name] = d
	}
	for _, name := range c.Gone {
		delete(m.documents, name)
	}
	if c.Cluster != nil {
		m.cluster = *c.Cluster
		sortBy(m.cluster.Members, func(m messages.Member) string { return m.Node })
		sortBy(m.cluster.Claims, func(c messages.Claim) string { return c.Unit.Key() })
	}
	return nil
}

func sortBy[T any](list []T, key func(T) string) {
	slices.SortFunc(list, func(a, b T) int { return strings.Compare(key(a), key(b)) })
}

// parse is the real parser, whose outcomes are kept.
func (s System) parse(d messages.Document) (*config.Instance, error) {
	key := [2]string{d.Name, string(d.Text)}
	if len(d.Text) > 0 && d.Text[0] == '#' {
		key[0] = "" // of very many that are alike
	}
	known, ok := s.parsed[key]
	if !ok {
		known.config, known.err = config.ParseInstance(d.Name, string(d.Text), config.InstanceOptions{})
		s.parsed[key] = known
	}
	return known.config, known.err
}
