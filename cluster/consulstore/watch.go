package consulstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/consul/api"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

// blockFor is how long Consul may keep a watch waiting for a change. Each time it is over, Consul
// sends the names of the keys once. It is also how late a watch may learn that Consul was emptied
// or restored, if that happens between two of its questions: Consul waits for an index that it has
// not reached, too.
const blockFor = 10 * time.Second

// watch is one cluster.Store.Watch: it lists again and again, each time when Consul says that
// something has changed, and tells the difference. For a slow reader it keeps one listing.
type watch struct {
	store  *Store
	prefix string
	out    chan<- cluster.Event
	pacer  pacer
	// after is the revision from which to tell, until begun.
	after int64
	begun bool
	// keys are the keys that the reader knows, with the revision of each.
	keys map[string]int64
	// index is that of the newest listing: Consul answers when its own is higher.
	index int64
	// newest is the highest revision that was seen. A store whose revision is lower has lost its
	// history.
	newest int64
	// doubt is set when the store may not be where the watch left it: at the beginning, after an
	// error, and when an index went back, which also happens when Consul forgets a deletion.
	doubt      bool
	complaints complaints
}

// Watch implements cluster.Store.
func (s *Store) Watch(ctx context.Context, prefix string, after int64) <-chan cluster.Event {
	out := make(chan cluster.Event)
	after = max(after, 0)
	w := &watch{store: s, prefix: prefix, out: out, after: after, newest: after, doubt: after > 0,
		pacer:      newPacer(s.config.WatchRateLimit, s.config.WatchBurstSize),
		complaints: complaints{store: s, message: "watch is interrupted; it will go on where it was"}}
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
	for sleep(ctx, w.pacer.next(time.Now())) {
		events, err := w.look(ctx)
		if err != nil {
			w.doubt = true
			w.complaints.failed(ctx, err, zap.String("prefix", w.prefix), zap.Int64("revision", w.newest))
			sleep(ctx, retryPause)
			continue
		}
		w.complaints.succeeded()
		for _, ev := range events {
			select {
			case w.out <- ev:
			case <-ctx.Done():
				return
			}
		}
	}
}

// look waits for a change, or in doubt takes what there is, and returns what to tell of it.
func (w *watch) look(ctx context.Context) ([]cluster.Event, error) {
	if w.begun && !w.doubt {
		asked := time.Now()
		index, err := w.await(ctx)
		if err != nil {
			return nil, err
		}
		if index == w.index {
			// Consul answers before its time with what was, when a snapshot replaces its state.
			w.doubt = time.Since(asked) < blockFor
			return nil, nil
		}
		w.doubt = index < w.index
	}
	var l listing
	var present int64
	replaced := false
	err := w.store.call(ctx, fmt.Sprintf("list %q for a watch", w.prefix), 0, func(ctx context.Context) (err error) {
		if w.doubt {
			if present, err = w.store.present(ctx, w.prefix, true); err != nil {
				return err
			}
		}
		l, err = w.store.list(ctx, w.prefix, &api.QueryOptions{RequireConsistent: w.doubt || w.store.config.ConsistentReads})
		if err != nil || !w.doubt {
			return err
		}
		again, err := w.store.present(ctx, w.prefix, true)
		replaced = again < present
		return err
	})
	if err != nil || replaced {
		return nil, err // what was listed may be of either store; the doubt stays
	}
	if w.begun && !w.doubt && l.index < w.index {
		w.doubt = true
		return nil, nil
	}
	rewound := w.doubt && max(present, l.index) < w.newest
	w.doubt = false
	return w.take(l, max(l.index, present), rewound), nil
}

// await returns when the index of the prefix is above that of the newest listing, or after
// blockFor, with the index. It asks for names only, because the answer has everything under the
// prefix even if nothing has changed.
func (w *watch) await(ctx context.Context) (index int64, err error) {
	// The server may add a sixteenth to the time it waits.
	err = w.store.call(ctx, fmt.Sprintf("watch %q", w.prefix), blockFor+blockFor/16, func(ctx context.Context) error {
		q := &api.QueryOptions{
			RequireConsistent: w.store.config.ConsistentReads, WaitIndex: uint64(w.index), WaitTime: blockFor,
		}
		_, meta, err := w.store.consul.KV().Keys(urlPrefix(w.prefix), "", q.WithContext(ctx))
		if err != nil {
			return err
		}
		index = int64(meta.LastIndex)
		return plausible(meta)
	})
	return index, err
}

// take makes a listing the newest, and returns what to tell of it. revision is the store's then, or
// lower.
func (w *watch) take(l listing, revision int64, rewound bool) []cluster.Event {
	known := w.keys
	// What is new is newer than the listing that lacked it, unless the store went back.
	rewound = rewound || w.begun && slices.ContainsFunc(l.entries, func(e cluster.Entry) bool {
		return known[e.Key] != e.Revision && e.Revision <= w.index
	})
	ok := !rewound
	if ok && !w.begun {
		known, ok = w.beginning(l, revision)
	}
	w.begun, w.keys, w.index = true, l.keys(), l.index
	if !ok {
		if rewound {
			w.store.logger.Warn("the store went back to an older revision, was it restored or emptied? The watch starts over",
				zap.String("store", w.store.where), zap.String("prefix", w.prefix), zap.Int64("from", w.newest), zap.Int64("to", revision))
		}
		w.newest = revision
		return []cluster.Event{{Kind: cluster.EventRelist, Entry: cluster.Entry{Revision: revision}}}
	}
	w.newest = max(w.newest, revision)
	return difference(known, l, revision)
}

// beginning returns what the reader knows at the revision from which it watches, and false if
// nobody can tell.
func (w *watch) beginning(l listing, revision int64) (map[string]int64, bool) {
	if w.after == 0 {
		return nil, true
	}
	if known, ok := w.store.memory.recall(w.prefix, w.after); ok {
		return known, true
	}
	return l.keys(), w.after == revision // then nothing has happened since, anywhere
}

// difference returns what changed from known to l: first what was written, in the order of
// revisions, then what is gone, at the given revision.
func difference(known map[string]int64, l listing, revision int64) []cluster.Event {
	var events []cluster.Event
	there := make(map[string]struct{}, len(l.entries))
	for _, e := range l.entries {
		there[e.Key] = struct{}{}
		if known[e.Key] != e.Revision {
			events = append(events, cluster.Event{Kind: cluster.EventPut, Entry: e})
		}
	}
	slices.SortStableFunc(events, func(a, b cluster.Event) int { return cmp.Compare(a.Entry.Revision, b.Entry.Revision) })
	written := len(events)
	for key := range known {
		if _, ok := there[key]; !ok {
			events = append(events, cluster.Event{Kind: cluster.EventDelete, Entry: cluster.Entry{Key: key, Revision: revision}})
		}
	}
	slices.SortFunc(events[written:], func(a, b cluster.Event) int { return cmp.Compare(a.Entry.Key, b.Entry.Key) })
	return events
}

// pacer limits how often something is done: on average once per interval, burst times at once after
// a pause.
type pacer struct {
	interval time.Duration // 0: no limit
	burst    int
	// due is when the next would be due if all were done evenly.
	due time.Time
}

func newPacer(perSecond float64, burst int) pacer {
	p := pacer{burst: burst}
	if perSecond > 0 {
		p.interval = time.Duration(float64(time.Second) / perSecond)
	}
	return p
}

// next returns how long to wait before doing it once.
func (p *pacer) next(now time.Time) time.Duration {
	if p.due.Before(now) {
		p.due = now
	}
	wait := p.due.Add(-time.Duration(p.burst-1) * p.interval).Sub(now)
	p.due = p.due.Add(p.interval)
	return max(wait, 0)
}
