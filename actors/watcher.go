package actors

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors/async"
	"github.com/ringmaster-agent/ringmaster/cluster"
)

const (
	// listPatience is how long a listing may take before the log says that the store has not
	// answered. One that was asked for meanwhile takes its place then.
	listPatience = 2 * time.Second
	// listTimeout is when a listing is given up and tried again.
	listTimeout = 30 * time.Second
	// relistFirst and relistLongest bound the wait after a listing that failed.
	relistFirst   = 500 * time.Millisecond
	relistLongest = 15 * time.Second
)

// watcher turns a stream of the store into events for other actors. It lists, then watches from the
// listing's revision; it lists again when events were lost and, to be safe, every reshard interval.
// It never gives up.
type watcher struct {
	*tree
	feed   feed
	to     []*actor.PID
	ctx    context.Context
	cancel context.CancelFunc
	calls  calls

	listings
	following
	// at is the point of the newest listing or event. afresh: the store has said since that it is
	// not the one it was.
	at     cluster.Point
	afresh bool
}

// listings is where a watcher is with its listings.
type listings struct {
	// listing is the number of the newest; outcomes of others are stale.
	listing uint64
	// busy: one is under way, the newest of which began then. again: another was asked for meanwhile.
	busy, again bool
	began       time.Time
	// failures in a row. next brings the next listing, impatient says that one takes its time.
	failures  int
	next      Timer
	impatient Timer
	// giveUp ends the one under way. superseded is how many had to give way to another one since
	// one was quick.
	giveUp     context.CancelFunc
	superseded int
}

// following is where it is with its streams.
type following struct {
	// streaming is the number of the newest; outcomes of others are stale.
	streaming uint64
	// watched: one is open. endStream ends it.
	watched   bool
	endStream context.CancelFunc
}

// feed is what a watcher reads: the configs, or the registry.
type feed interface {
	// what it is, for the log.
	what() string
	// list returns everything as a message, as of a point.
	list(ctx context.Context, afresh bool) (message any, at cluster.Point, err error)
	// watch delivers what was changed after the revision, until ctx is over.
	watch(ctx context.Context, after int64) iter.Seq[news]
	// unavailable is the message that says that the store can't be read; nil if nobody wants to know.
	unavailable(reason string) any
}

// news is one change, as a message, or that changes were lost, which it has no message for.
type news struct {
	message  any
	revision int64
}

// Private messages of the watcher to itself.
type (
	// listed is the outcome of a listing. after is what was known when it was begun.
	listed struct {
		number  uint64
		afresh  bool
		after   cluster.Point
		message any
		at      cluster.Point
		err     error
	}
	// listNow asks for a listing.
	listNow struct{}
	// listAfresh asks for a listing, because the store may not be the one it was.
	listAfresh struct{}
	// notListed says that a listing takes its time.
	notListed struct{ number uint64 }
	// streamed is one event of a stream.
	streamed struct {
		number uint64
		news   news
	}
	// streamEnded says that a stream came to its end.
	streamEnded struct {
		number uint64
		err    error
	}
)

func newWatcher(t *tree, f feed, to ...*actor.PID) *watcher {
	ctx, cancel := context.WithCancel(context.Background())
	return &watcher{tree: t, feed: f, to: to, ctx: ctx, cancel: cancel}
}

// Receive implements actor.Actor.
func (w *watcher) Receive(c actor.Context) {
	switch m := c.Message().(type) {
	case *actor.Started:
		w.list(c)
	case *actor.Stopping:
		w.cancel()
		stopTimer(w.next)
		stopTimer(w.impatient)
	case check:
		w.makeGood(c)
	case ended:
		if outcome := w.calls.take(m); outcome != nil {
			w.route(c, outcome)
		}
	default:
		w.route(c, m)
	}
}

// route takes in what the watcher is told, or has found.
func (w *watcher) route(c actor.Context, message any) {
	switch m := message.(type) {
	case listNow:
		w.list(c)
	case listAfresh:
		w.afresh = true
		w.list(c)
	case notListed:
		if w.busy && m.number == w.listing {
			w.unavailable(c, "the store has not answered for "+w.patience().String())
			w.supersede(c)
		}
	case listed:
		if m.number == w.listing {
			w.listed(c, m)
		}
	case streamed:
		if m.number == w.streaming {
			w.event(c, m.news)
		}
	case streamEnded:
		if m.number == w.streaming && w.ctx.Err() == nil {
			w.watched = false
			w.failed(c, m.err)
		}
	}
}

// makeGood goes on from where the watcher waits for a message that was lost.
func (w *watcher) makeGood(c actor.Context) {
	for _, outcome := range w.calls.lost() {
		w.route(c, outcome)
	}
	if !w.busy && w.now().Sub(w.began) > w.ReshardInterval+time.Second {
		w.list(c)
	}
	w.supersede(c)
}

func (w *watcher) list(c actor.Context) {
	if w.busy {
		w.again = true
		w.supersede(c)
		return
	}
	w.busy, w.again, w.began = true, false, w.now()
	w.listing++
	stopTimer(w.next)
	out := listed{number: w.listing, afresh: w.afresh, after: w.at}
	w.impatient = w.after(w.patience(), c.Self(), notListed{number: w.listing})
	unlessSuperseded, giveUp := context.WithCancel(w.ctx)
	w.giveUp = giveUp
	w.calls.begin(w.tree, c.Self(), func() (err error) {
		defer giveUp()
		ctx, cancel := w.Runtime.Timeout(unlessSuperseded, listTimeout)
		defer cancel()
		out.message, out.at, err = w.feed.list(ctx, out.afresh)
		return err
	}, func(err error) any { out.err = err; return out })
}

// supersede gives up a listing that has taken its time, if another one was asked for meanwhile: its
// answer may be lost, and says nothing about what the other one was asked for.
func (w *watcher) supersede(c actor.Context) {
	if !w.busy || !w.again || w.now().Sub(w.began) < w.patience() {
		return
	}
	w.giveUp()
	stopTimer(w.impatient)
	w.busy = false
	w.superseded++
	w.list(c)
}

// patience is how long a listing may take before it gives way to another one. It doubles each time,
// until a listing is quick again, so that a store that takes long is listed at last, however often
// that is asked for.
func (l *listings) patience() time.Duration {
	return min(listPatience<<min(l.superseded, 4), listTimeout)
}

func (w *watcher) listed(c actor.Context, m listed) {
	w.busy = false
	stopTimer(w.impatient)
	if w.now().Sub(w.began) < listPatience {
		w.superseded = 0
	}
	if m.err != nil {
		w.failed(c, m.err)
		return
	}
	if w.failures > 0 {
		w.Logger.Info("store answers again", zap.String("what", w.feed.what()), zap.Int("failures", w.failures))
	}
	w.failures = 0
	if !m.at.Follows(m.after) && !m.afresh {
		// A listing can't be older than an event that was heard before it was begun, unless the
		// store is not the one it was.
		w.Logger.Warn("store went back to an older revision; was it emptied, replaced or restored?", zap.String("what", w.feed.what()),
			zap.Int64("revision", m.at.Revision), zap.Int64("seen", m.after.Revision))
		w.afresh = true
		w.list(c)
		return
	}
	w.at = m.at
	if m.afresh {
		w.afresh = false
	}
	w.tell(c, m.message)
	if !w.watched || m.afresh {
		w.stream(c, m.at.Revision)
	}
	if w.again {
		w.list(c)
		return
	}
	w.next = w.after(w.ReshardInterval, c.Self(), listNow{})
}

// failed tells that the store could not be read, and tries again after a while.
func (w *watcher) failed(c actor.Context, err error) {
	w.unavailable(c, err.Error())
	wait := relistLongest
	if w.failures < 6 {
		wait = min(relistFirst<<w.failures, relistLongest)
	}
	w.failures++
	wait = wait/2 + time.Duration(w.Jitter()*float64(wait/2))
	stopTimer(w.next)
	w.next = w.after(wait, c.Self(), listNow{})
}

func (w *watcher) unavailable(c actor.Context, reason string) {
	w.Logger.Warn("cannot read the store; running configs keep running", zap.String("what", w.feed.what()), zap.String("reason", reason))
	if message := w.feed.unavailable(reason); message != nil {
		w.tell(c, message)
	}
}

func (w *watcher) tell(c actor.Context, message any) {
	for _, to := range w.to {
		c.Send(to, message)
	}
}

// stream reads the store's events in a goroutine that lives as long as the stream does.
func (w *watcher) stream(c actor.Context, after int64) {
	w.watched = true
	w.streaming++
	if w.endStream != nil {
		w.endStream()
	}
	var ctx context.Context
	ctx, w.endStream = context.WithCancel(w.ctx)
	number, self := w.streaming, c.Self()
	w.calls.begin(w.tree, self, func() error {
		for n := range w.feed.watch(ctx, after) {
			w.root.Send(self, streamed{number: number, news: n})
		}
		return errors.New("the stream of changes ended")
	}, func(err error) any { return streamEnded{number: number, err: err} })
}

func (w *watcher) event(c actor.Context, n news) {
	if n.message != nil {
		w.at.Revision = max(w.at.Revision, n.revision)
		w.tell(c, n.message)
		return
	}
	w.Logger.Info("watch missed changes; listing again", zap.String("what", w.feed.what()), zap.Int64("revision", n.revision))
	w.afresh = w.afresh || n.revision < w.at.Revision
	w.list(c)
}

func stopTimer(t Timer) { async.StopTimer(t) }
