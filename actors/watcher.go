package actors

import (
	"context"
	"errors"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/messages"
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

// watcher turns the store's stream into events for the supervisor. It lists, then watches from the listing's revision; it
// lists again when events were lost and, to be safe, every reshard interval. It never gives up.
type watcher struct {
	*tree
	ctx    context.Context
	cancel context.CancelFunc

	// listing is the number of the newest listing, streaming that of the newest stream; outcomes of others are stale.
	listing, streaming uint64
	// busy: a listing is under way. again: another was asked for meanwhile.
	busy, again bool
	// watched: a stream is open.
	watched   bool
	failures  int
	next      Timer
	impatient Timer
}

// Private messages of the watcher to itself.
type (
	// listed is the outcome of a listing.
	listed struct {
		number   uint64
		configs  []cluster.StoredConfig
		revision int64
		err      error
	}
	// listNow asks for a listing.
	listNow struct{}
	// notListed says that a listing takes its time.
	notListed struct{ number uint64 }
	// streamed is one event of a stream.
	streamed struct {
		number uint64
		event  cluster.ConfigEvent
	}
	// streamEnded says that a stream came to its end.
	streamEnded struct {
		number uint64
		err    error
	}
)

func newWatcher(t *tree) *watcher {
	ctx, cancel := context.WithCancel(context.Background())
	return &watcher{tree: t, ctx: ctx, cancel: cancel}
}

// Receive implements actor.Actor.
func (w *watcher) Receive(c actor.Context) {
	switch m := c.Message().(type) {
	case *actor.Started, listNow:
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
			w.event(c, m.event)
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
	out := listed{number: w.listing}
	w.impatient = w.after(listPatience, c.Self(), notListed{number: w.listing})
	w.do(c.Self(), func() (err error) {
		ctx, cancel := context.WithTimeout(w.ctx, listTimeout)
		defer cancel()
		out.configs, out.revision, err = w.Configs.List(ctx)
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
		w.Logger.Info("store of configs answers again", zap.Int("failures", w.failures))
	}
	w.failures = 0
	documents := make([]messages.Document, len(m.configs))
	for i, stored := range m.configs {
		documents[i] = documentOf(stored)
	}
	c.Send(w.supervisor, messages.ConfigsListed{Documents: messages.NewList(documents...), Revision: m.revision})
	if !w.watched {
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
	w.Logger.Warn("store of configs can't be read; what runs goes on running", zap.String("reason", reason))
	c.Send(w.supervisor, messages.ConfigsUnavailable{Reason: reason})
}

// stream reads the store's events in a goroutine that lives as long as the stream does.
func (w *watcher) stream(c actor.Context, after int64) {
	w.watched = true
	w.streaming++
	number, self := w.streaming, c.Self()
	w.do(self, func() error {
		for event := range w.Configs.Watch(w.ctx, after) {
			w.root.Send(self, streamed{number: number, event: event})
		}
		return errors.New("the stream of changes ended")
	}, func(err error) any { return streamEnded{number: number, err: err} })
}

func (w *watcher) event(c actor.Context, e cluster.ConfigEvent) {
	switch e.Kind {
	case cluster.EventPut:
		c.Send(w.supervisor, messages.ConfigPut{Document: documentOf(e.Config)})
	case cluster.EventDelete:
		c.Send(w.supervisor, messages.ConfigDeleted{Name: e.Config.Name, Revision: e.Config.Revision})
	case cluster.EventRelist:
		w.Logger.Info("changes of configs were missed; listing again", zap.Int64("revision", e.Config.Revision))
		w.list(c)
	}
}

func documentOf(stored cluster.StoredConfig) messages.Document {
	d := messages.Document{Name: stored.Name, Text: messages.Text(stored.Text), Revision: stored.Revision}
	if stored.Err != nil {
		d.Text, d.Problem = "", stored.Err.Error()
	}
	return d
}

func stopTimer(t Timer) {
	if t != nil {
		t.Stop()
	}
}
