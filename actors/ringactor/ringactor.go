package ringactor

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors/async"
	"github.com/ringmaster-agent/ringmaster/actors/presence"
	"github.com/ringmaster-agent/ringmaster/messages"
)

const (
	// lookInterval is how often the ring actor looks at its session and its peers.
	lookInterval = 250 * time.Millisecond
	// storeTimeout bounds one call of the store.
	storeTimeout = 5 * time.Second
)

// Options is everything the ring actor touches.
type Options struct {
	// Cluster says who the node is, and has its store and its gossip. Call WithDefaults first.
	Cluster
	// Sender and Jitter are time, concurrency and chance.
	async.Sender
	Jitter func() float64
	Logger *zap.Logger
	// Supervisor hears everything that is in messages.RingEvent.
	Supervisor *actor.PID
	// Permits are brought up to date.
	Permits *Permits
	// SessionsOpened counts the sessions that this node has opened, SessionsEnded those of others
	// that it has ended. ClockSkew is how far the clock of a peer is from this node's.
	SessionsOpened, SessionsEnded prometheus.Counter
}

// ringActor is the node's place in the cluster. It lets presence decide, performs what that says, and
// tells its rooms what they have to know.
type ringActor struct {
	*base
	state      presence.State
	own        *own
	members    *members
	writes     *writes
	peers      *peerHealth
	orders     *orders
	clocks     *clocks
	permission *permission
	told       told
}

// members are who is on the ring, and who counts.
type members struct {
	ring presence.Ring
	roll presence.Roll
}

// told is what the supervisor has heard, as far as it matters, and what it asks for.
type told struct {
	// number is that of the newest TakePlace.
	number uint64
	// ring is the number of the newest RingChanged.
	ring uint64
	// unfit and declines are what the member record is to say.
	unfit    string
	declines messages.List[string]
	// again is when the ring has to be looked at again; zero: never.
	again time.Time
	// looked is when the actor last looked, timer brings the next look.
	looked time.Time
	timer  async.Timer
}

// Messages of the ring actor to itself.
type (
	// look comes four times a second.
	look struct{}
	// callEnded is a hint that there is an outcome. Lost: the next look takes it up.
	callEnded struct{}
)

// New returns the actor, to be spawned once.
func New(o Options) actor.Actor {
	b, own, members, clocks := newBase(o), &own{}, &members{}, &clocks{}
	peers := newPeerHealth(b, own, members, clocks)
	return &ringActor{
		base: b, own: own, members: members, clocks: clocks, peers: peers, orders: &orders{base: b, peers: peers},
		writes: &writes{base: b, own: own}, permission: &permission{base: b, own: own, peers: peers, clocks: clocks},
	}
}

// Receive implements actor.Actor.
func (r *ringActor) Receive(c actor.Context) {
	switch m := c.Message().(type) {
	case *actor.Started:
		r.look(c)
		return
	case *actor.Stopping:
		r.stop()
		return
	case messages.RegistryEvent:
		r.fold(c, m)
	case messages.TakePlace:
		r.takePlace(c, m)
	case messages.WriteRecords:
		for w := range m.Writes.All() {
			r.writes.waiting = append(r.writes.waiting, w)
		}
		r.writes.write(c)
	case messages.AskStore:
		r.writes.askStore(c, m.Asked)
	case messages.ForgetMember:
		r.peers.forgetMember(c, m)
	case messages.Order:
		r.orders.order(c, m)
	case look:
		r.look(c)
	case callEnded:
	default:
		return
	}
	r.takeOutcomes(c)
	if r.now().Sub(r.told.looked) > 2*lookInterval {
		r.look(c) // the message that was to bring it is lost
	}
}

// fold takes in what the store tells. Claims, intents and holds are the supervisor's; there are a
// thousand of them to a change of the members.
func (r *ringActor) fold(c actor.Context, event messages.RegistryEvent) {
	switch e := event.(type) {
	case messages.ClaimPut, messages.ClaimGone, messages.IntentPut, messages.IntentGone, messages.HoldPut, messages.HoldGone:
		return
	case messages.RegistryListed:
		event = messages.RegistryListed{Members: e.Members, Cordons: e.Cordons, Revision: e.Revision, Afresh: e.Afresh}
	}
	if r.registry.Fold(event) {
		r.membersChanged(c)
	}
}

// look is what is done four times a second: nothing, on a quiet node, but comparing times.
func (r *ringActor) look(c actor.Context) {
	async.StopTimer(r.told.timer)
	r.told.timer = r.After(lookInterval, c.Self(), look{})
	now := r.now()
	r.told.looked = now
	r.takeOutcomes(c)
	r.permission.wake()
	r.peers.look(c)
	r.followRoll()
	r.checkSession(c)
	r.checkPermit(c)
	r.peers.check(c)
	r.step(c, presence.Input{Kind: presence.Looked})
	if r.members.ring.Unsure() || !r.told.again.IsZero() && !now.Before(r.told.again) {
		r.membersChanged(c)
	}
}

// takePlace takes in what the supervisor wants, and tells it what it has not heard.
func (r *ringActor) takePlace(c actor.Context, m messages.TakePlace) {
	if m.Number <= r.told.number {
		return
	}
	r.told.number, r.told.unfit, r.told.declines = m.Number, m.Unfit, m.Declines
	if m.Earlier.ID != "" {
		r.adopt(c, m.Earlier)
	}
	r.step(c, presence.Input{Kind: presence.Told, Place: m.Place, JoinAfter: r.JoinAfter})
	if m.Place >= messages.PlaceLeaving {
		r.membersChanged(c)
	}
	if m.Session != r.own.id() {
		r.tellSession(c)
	}
	if m.Ring != r.told.ring && r.told.ring > 0 {
		r.tellRing(c)
	}
	r.tell(c, messages.ClusterProblem{Reason: r.reported})
	r.tell(c, messages.RecordsPending{Number: m.Number, Records: r.writes.pending()})
	if r.state.Phase == presence.Gone {
		r.tell(c, messages.SessionEnded{})
	}
}

// membersChanged has the ring follow the members' records.
func (r *ringActor) membersChanged(c actor.Context) {
	if !r.registry.Listed() {
		return
	}
	now := r.now()
	r.followRoll()
	view := presence.RingView{Now: now, Settle: r.Settle, Records: r.registry.Members(), Alive: r.peers.mayGoOn}
	if r.state.Place >= messages.PlaceLeaving {
		view.Without = r.Node
	}
	var changed bool
	if changed, r.told.again = r.members.ring.Follow(view); !changed {
		return
	}
	names := make([]string, 0, len(r.members.ring.Members()))
	for _, m := range r.members.ring.Members() {
		names = append(names, m.Node)
	}
	r.Logger.Info("ring changed", zap.Strings("members", names))
	r.told.ring++
	r.tellRing(c)
}

// followRoll brings up to date who counts.
func (r *ringActor) followRoll() {
	if r.registry.Listed() {
		r.members.roll.Follow(r.now(), r.Node, r.registry.Members(), r.SessionTTL)
	}
}

func (r *ringActor) tellRing(c actor.Context) {
	r.tell(c, messages.RingChanged{Number: r.told.ring, Members: messages.NewList(r.members.ring.Members()...)})
}

// stop ends what the actor holds without waiting: it is the end of the tree, or of this actor after
// a panic. A session that was meant to be kept has been let go of before.
func (r *ringActor) stop() {
	async.StopTimer(r.told.timer)
	session := r.own.session
	if session == nil || r.state.Phase == presence.Gone {
		r.Permits.clear()
		r.cancel()
		return
	}
	r.Permits.clear()
	r.Runtime.Go(func() {
		ctx, cancel := r.Runtime.Timeout(r.ctx, storeTimeout)
		defer r.cancel()
		defer cancel()
		_ = session.Close(ctx) // it runs out by itself
	})
}

// takeOutcomes takes up what has ended, in the order in which it was begun.
func (r *ringActor) takeOutcomes(c actor.Context) {
	for _, outcome := range r.ended() {
		switch o := outcome.(type) {
		case sessionOpened:
			r.sessionOpened(c, o)
		case memberWritten:
			r.memberWritten(c, o)
		case sessionClosed:
			r.sessionClosed(c, o)
		case written:
			r.written(c, o)
		case storeAsked:
			if o.err == nil {
				r.tell(c, messages.StoreAnswered{Asked: o.asked})
			}
		case peerLookedAt:
			r.peers.lookedAt(o)
		case ordered:
			r.orders.ordered(c, o)
		case forgotten:
			r.peers.forgotten(c, o)
		}
	}
}

// written takes in what became of a batch, and has the next one written.
func (r *ringActor) written(c actor.Context, out written) {
	r.writes.busy = nil
	r.checkSession(c)
	r.writes.tellWritten(c, out)
	r.writes.write(c)
}

// checkPermit lets fencing decide whether the node may scrape, and does what it says.
func (r *ringActor) checkPermit(c actor.Context) {
	if r.own.id() != "" {
		if verdict := r.permission.decide(); verdict.Fenced {
			r.step(c, presence.Input{Kind: presence.Fenced})
		}
	}
	r.peers.sayStatus(c, r.state.Phase == presence.GivenUp)
}
