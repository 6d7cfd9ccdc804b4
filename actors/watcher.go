package actors

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"
)

const (
	// listPatience is how long a listing may take before the log says that the store has not answered.
	listPatience = 2 * time.Second
	// listTimeout is when a listing is given up and tried again.
	listTimeout = 30 * time.Second
	// relistFirst and relistLongest bound the wait after a listing that failed.
	relistFirst   = 500 * time.Millisecond
	relistLongest = 15 * time.Second
)

// watcher turns a stream of the store into events for other actors. It lists, then watches from the listing's revision; it
// lists again when events were lost and, to be safe, every reshard interval. It never gives up.
type watcher struct {
	*tree
	feed   feed
	to     []*actor.PID
	ctx    context.Context
	cancel context.CancelFunc

	// listing is the number of the newest listing, streaming that of the newest stream; outcomes of others are stale.
	listing, streaming uint64
	// busy: a listing is under way. again: another was asked for meanwhile.
	busy, again bool
	// watched: a stream is open. endStream ends it.
	watched   bool
	endStream context.CancelFunc
	// revision is that of the newest listing or event. afresh: the store has said since that it is not the one it was.
	revision  int64
	afresh    bool
	failures  int
	next      Timer
	impatient Timer
}

// feed is what a watcher reads: the configs, or the registry.
type feed interface {
	// what it is, for the log.
	what() string
	// list returns everything as a message, as of a revision.
	list(ctx context.Context, afresh bool) (message any, revision int64, err error)
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
	// listed is the outcome of a listing.
	listed struct {
		number   uint64
		afresh   bool
		message  any
		revision int64
		err      error
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
	case *actor.Started, listNow:
		w.list(c)
	case listAfresh:
		w.afresh = true
		w.list(c)
	case *actor.Stopping:
		w.cancel()
		stopTimer(w.next)
		stopTimer(w.impatient)
	case notListed:
		if w.busy && m.number == w.listing {
			w.unavailable(c, "the store has not answered for "+listPatience.String())
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

func (w *watcher) list(c actor.Context) {
	if w.busy {
		w.again = true
		return
	}
	w.busy, w.again = true, false
	w.listing++
	stopTimer(w.next)
	out := listed{number: w.listing, afresh: w.afresh}
	w.impatient = w.after(listPatience, c.Self(), notListed{number: w.listing})
	w.do(c.Self(), func() (err error) {
		ctx, cancel := w.Runtime.Timeout(w.ctx, listTimeout)
		defer cancel()
		out.message, out.revision, err = w.feed.list(ctx, out.afresh)
		return err
	}, func(err error) any { out.err = err; return out })
}

func (w *watcher) listed(c actor.Context, m listed) {
	w.busy = false
	stopTimer(w.impatient)
	if m.err != nil {
		w.failed(c, m.err)
		return
	}
	if w.failures > 0 {
		w.Logger.Info("store answers again", zap.String("what", w.feed.what()), zap.Int("failures", w.failures))
	}
	w.failures, w.revision = 0, m.revision
	if m.afresh {
		w.afresh = false
	}
	w.tell(c, m.message)
	if !w.watched || m.afresh {
		w.stream(c, m.revision)
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
	w.Logger.Warn("store can't be read; what runs goes on running", zap.String("what", w.feed.what()), zap.String("reason", reason))
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
	w.do(self, func() error {
		for n := range w.feed.watch(ctx, after) {
			w.root.Send(self, streamed{number: number, news: n})
		}
		return errors.New("the stream of changes ended")
	}, func(err error) any { return streamEnded{number: number, err: err} })
}

func (w *watcher) event(c actor.Context, n news) {
	if n.message != nil {
		w.revision = max(w.revision, n.revision)
		w.tell(c, n.message)
		return
	}
	w.Logger.Info("changes were missed; listing again", zap.String("what", w.feed.what()), zap.Int64("revision", n.revision))
	w.afresh = w.afresh || n.revision < w.revision
	w.list(c)
}

func stopTimer(t Timer) {
	if t != nil {
		t.Stop()
	}
}
