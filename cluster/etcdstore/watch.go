package etcdstore

import (
	"context"
	"math/rand/v2"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

const (
	// retryPause is the mean time between two attempts of a watch or a session to go on.
	retryPause = 250 * time.Millisecond
	// maxQueued is how many bytes of events wait for a slow reader before it is told to list again.
	maxQueued = 64 << 20
	// eventOverhead is about what an event costs beside its key and value.
	eventOverhead = 128
)

// watch is one cluster.Store.Watch. etcd's client buffers without bound for a reader that doesn't
// read, so its events are taken at once, into a queue that has one.
type watch struct {
	store  *Store
	prefix string
	out    chan<- cluster.Event
	// after is the revision up to which everything was delivered or queued.
	after int64
	// lost is set when events are missing, until an EventRelist is queued.
	lost   bool
	queue  []cluster.Event
	queued int // bytes, about
	// complaint is the last error that was logged.
	complaint string
}

// Watch implements cluster.Store.
func (s *Store) Watch(ctx context.Context, prefix string, after int64) <-chan cluster.Event {
	out := make(chan cluster.Event)
	w := &watch{store: s, prefix: prefix, out: out, after: max(after, 0)}
	ok := s.start(func() {
		defer close(out)
		w.run(ctx)
	})
	if !ok {
		close(out)
	}
	return out
}

func (w *watch) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(w.store.ctx, cancel)
	defer stop()
	for ctx.Err() == nil {
		rewound, err := w.begin(ctx)
		if err == nil {
			err = w.follow(ctx, rewound)
		}
		w.complain(ctx, err)
		w.flush(ctx)
		pause(ctx, retryPause)
	}
}

// begin finds out whether the store still is where the watch left it. The channel is closed when it
// is not any more. It is taken before the revision is read: a store that goes back in between would
// otherwise be watched from a revision that it has not reached, in silence.
func (w *watch) begin(ctx context.Context) (rewound <-chan struct{}, err error) {
	rewound = w.store.history.Rewound()
	present, err := w.store.revision(ctx, w.prefix)
	if err != nil {
		return nil, err
	}
	select {
	case <-rewound: // it went back just now, as this answer may have been the first to tell
		w.lost = true
		return w.begin(ctx)
	default:
	}
	if w.lost || present < w.after {
		w.after, w.lost = present, false
		w.queue, w.queued = nil, 0
		w.push(cluster.Event{Kind: cluster.EventRelist, Entry: cluster.Entry{Revision: present}})
	}
	return rewound, nil
}

// follow delivers events until the server ends the watch or events are lost.
func (w *watch) follow(ctx context.Context, rewound <-chan struct{}) error {
	// A member that has lost its leader ends the watch instead of being silent.
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	responses := w.store.client.Watch(ctx, w.prefix,
		clientv3.WithPrefix(), clientv3.WithRev(w.after+1), clientv3.WithProgressNotify())
	for {
		var send chan<- cluster.Event
		var head cluster.Event
		if len(w.queue) > 0 {
			send, head = w.out, w.queue[0]
		}
		select {
		case resp, ok := <-responses:
			if !ok {
				return nil
			}
			if err := w.take(resp); err != nil || w.lost {
				return err
			}
		case send <- head:
			w.pop()
		case <-rewound:
			w.lost = true
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// take queues a response's events.
func (w *watch) take(resp clientv3.WatchResponse) error {
	if resp.CompactRevision != 0 {
		w.lost = true
		return nil
	}
	if err := resp.Err(); err != nil {
		return err
	}
	if resp.IsProgressNotify() {
		// Everything up to here was sent; so a compaction up to here loses nothing.
		w.after = max(w.after, resp.Header.Revision)
		return nil
	}
	for _, ev := range resp.Events {
		w.after = ev.Kv.ModRevision
		if ev.Type == clientv3.EventTypeDelete {
			w.push(cluster.Event{Kind: cluster.EventDelete, Entry: cluster.Entry{Key: string(ev.Kv.Key), Revision: ev.Kv.ModRevision}})
		} else {
			w.push(cluster.Event{Kind: cluster.EventPut, Entry: entry(ev.Kv)})
		}
	}
	w.lost = w.queued > maxQueued
	return nil
}

func (w *watch) push(ev cluster.Event) {
	w.queue = append(w.queue, ev)
	w.queued += size(ev)
}

func (w *watch) pop() {
	w.queued -= size(w.queue[0])
	w.queue[0] = cluster.Event{} // lets its value go
	w.queue = w.queue[1:]
}

func size(ev cluster.Event) int { return len(ev.Entry.Key) + len(ev.Entry.Value) + eventOverhead }

// flush delivers what is queued, unless a relist makes it superfluous: while the store is away, the
// reader has all there is.
func (w *watch) flush(ctx context.Context) {
	for !w.lost && len(w.queue) > 0 {
		select {
		case w.out <- w.queue[0]:
			w.pop()
		case <-ctx.Done():
			return
		}
	}
}

// complain logs why the watch was interrupted, once per reason. That the store is away is the
// monitor's to say.
func (w *watch) complain(ctx context.Context, err error) {
	if err == nil || ctx.Err() != nil || unreachable(err) {
		return
	}
	if text := err.Error(); text != w.complaint {
		w.complaint = text
		w.store.logger.Warn("watch was interrupted, it will go on where it was",
			zap.String("store", w.store.where), zap.String("prefix", w.prefix), zap.Int64("revision", w.after), zap.NamedError("err", err))
	}
}

// pause waits for about d, or until ctx is over.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d/2 + rand.N(d))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
