package actors

import (
	"context"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors/reshard"
	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/cluster/ring"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// recordBytes is more than a claim needs besides its unit's name and its handover.
const recordBytes = 512

// lookInterval is how often the ring actor looks at its session and its peers.
const lookInterval = 250 * time.Millisecond

// ringActor is the node's place in the cluster: it holds the session, registers the node as a member, folds members and
// gossip into a settled ring, writes claims and intents, and decides whether the node may scrape.
type ringActor struct {
	*tree
	*Cluster
	ctx    context.Context
	cancel context.CancelFunc

	registry *reshard.Registry
	seats    seats
	settling settling
	presence presence
	writes   writes
	watch    lookout
	timer    Timer
}

// Messages from the supervisor to the ring actor.
type (
	// writeRecords asks for claims and intents to be written. Answered by recordsWritten, in one or several parts.
	writeRecords struct{ writes []reshard.Write }
	// nodeReady says that the node knows all configs, so that it may get its part of the ring.
	nodeReady struct{}
	// leaveRing asks for the node to be taken out of the ring. What it runs it keeps until it is taken over.
	leaveRing struct{}
	// adoptSession says which session the node had before it was restarted, while the store does not answer.
	adoptSession struct {
		id      string
		renewed time.Time
	}
	// endSession asks for the session to be ended. Answered by sessionEnded.
	endSession struct{}
)

// Messages from the ring actor to the supervisor.
type (
	// sessionChanged says by which session the node claims from now on. Session is empty if it has none.
	sessionChanged struct {
		session string
		permit  *permit
		// lapsed: before, the node was without permission for so long that others may have run its units.
		lapsed bool
	}
	// ringChanged brings the settled ring.
	ringChanged struct{ ring *ring.Ring }
	// recordsWritten says what became of writes. Those of records that are not told in events did not happen, or it is not known.
	recordsWritten struct {
		records []reshard.Record
		events  []messages.RegistryEvent
		err     error
	}
	// clusterProblem says why the node can't take its place; empty if it can.
	clusterProblem struct{ reason string }
	// storeAway says that the store does not answer any more, and when the session was renewed last.
	storeAway struct{ renewed time.Time }
	// sessionEnded answers endSession.
	sessionEnded struct{}
)

// look is the ring actor's message to itself to look at its session and its peers.
type look struct{}

func newRingActor(t *tree) *ringActor {
	ctx, cancel := context.WithCancel(context.Background())
	return &ringActor{
		tree: t, Cluster: t.Cluster, ctx: ctx, cancel: cancel,
		registry: reshard.NewRegistry(), seats: seats{}, watch: lookout{ending: map[string]bool{}, sessions: map[string]string{}},
	}
}

// Receive implements actor.Actor.
func (r *ringActor) Receive(c actor.Context) {
	switch m := c.Message().(type) {
	case *actor.Started:
		r.look(c)
	case *actor.Stopping:
		r.stop()
	case messages.ClaimPut, messages.ClaimGone, messages.IntentPut, messages.IntentGone:
		// The supervisor's. There are a thousand of them to a change of the members.
	case messages.RegistryEvent:
		if listed, ok := m.(messages.RegistryListed); ok {
			m = messages.RegistryListed{Members: listed.Members, Revision: listed.Revision, Afresh: listed.Afresh}
		}
		if r.registry.Fold(m) {
			r.membersChanged(c)
		}
	case look:
		r.look(c)
	case settled:
		r.settle(c)
	case nodeReady:
		r.presence.ready = true
		r.beMember(c)
	case leaveRing:
		r.presence.leaving = true
		r.beMember(c)
		r.membersChanged(c)
	case adoptSession:
		r.adoptSession(c, m)
	case endSession:
		r.endSession(c)
	case sessionClosed:
		r.sessionClosed(c, m)
	case sessionOpened:
		r.sessionOpened(c, m)
	case sessionReplaced:
		r.presence.opening = false
		r.beMember(c)
	case memberWritten:
		r.memberWritten(c, m)
	case writeRecords:
		r.writes.waiting = append(r.writes.waiting, m.writes...)
		r.write(c)
	case written:
		r.written(c, m)
	case revoked:
		r.revoked(m)
	}
}

// stop gives the session up without waiting: it is the end of the tree, or of this actor after a panic.
func (r *ringActor) stop() {
	stopTimer(r.timer)
	stopTimer(r.settling.timer)
	p := r.presence.permit
	if p == nil || r.KeepClaims {
		r.cancel()
		return
	}
	p.void.Store(true)
	r.Runtime.Go(func() {
		ctx, cancel := r.Runtime.Timeout(r.ctx, storeTimeout)
		defer r.cancel()
		defer cancel()
		_ = p.session.Close(ctx) // it runs out by itself
	})
}

// look is what is done four times a second: nothing, on a quiet node, but comparing times.
func (r *ringActor) look(c actor.Context) {
	r.timer = r.after(lookInterval, c.Self(), look{})
	r.watch.wake(r.now())
	r.checkSession(c)
	r.checkPermit(c)
	r.checkPeers(c)
	r.beMember(c)
	if r.seats.anyGone() {
		r.membersChanged(c)
	}
}

// writes is the claims and intents on their way to the store: one batch at a time.
type writes struct {
	waiting []reshard.Write
	busy    bool
}

// written is the outcome of one batch.
type written struct {
	records []reshard.Record
	events  []messages.RegistryEvent
	err     error
}

// write sends the next batch.
func (r *ringActor) write(c actor.Context) {
	w := &r.writes
	if w.busy || len(w.waiting) == 0 {
		return
	}
	batch := w.waiting[:batchSize(w.waiting)]
	w.waiting = w.waiting[len(batch):]
	out := written{records: make([]reshard.Record, len(batch))}
	requests := make([]cluster.RecordWrite, len(batch))
	for i, one := range batch {
		out.records[i], requests[i] = one.Record(), recordWrite(one)
	}
	p := r.presence.permit
	if p == nil || r.presence.adopted {
		out.err = cluster.ErrSessionLost
		c.Send(c.Self(), out)
		return
	}
	w.busy = true
	node, now := r.Node, r.now()
	r.do(c.Self(), func() (err error) {
		ctx, cancel := r.Runtime.Timeout(r.ctx, storeTimeout)
		defer cancel()
		out.events, err = r.Registry.Write(ctx, node, p.session, now, requests)
		return err
	}, func(err error) any { out.err = err; return out })
}

// batchSize is how many of the writes the store takes in one step: at least one.
func batchSize(waiting []reshard.Write) int {
	bytes := 0
	for i, w := range waiting {
		bytes += 2*len(w.Handover) + len(w.Unit.Config) + recordBytes // JSON may escape what is handed over
		if i > 0 && (i == cluster.MaxBatch || bytes > cluster.BatchBytes) {
			return i
		}
	}
	return len(waiting)
}

func recordWrite(w reshard.Write) cluster.RecordWrite {
	out := cluster.RecordWrite{Unit: w.Unit, If: cluster.Condition{Revision: w.Revision, Absent: w.Revision == 0}}
	switch w.Kind {
	case reshard.ReleaseUnit:
		out.Released, out.Handover = true, w.Handover
	case reshard.RemoveClaim:
		out.Delete = true
	case reshard.IntendUnit:
		out.Intent, out.If = true, cluster.Condition{}
	case reshard.WithdrawIntent:
		out.Intent, out.Delete = true, true
	}
	return out
}

func (r *ringActor) written(c actor.Context, m written) {
	r.writes.busy = false
	if m.err != nil {
		r.Logger.Warn("claims could not be written", zap.Int("records", len(m.records)), zap.Error(m.err))
	}
	r.checkSession(c)
	c.Send(r.supervisor, recordsWritten(m))
	r.write(c)
}
