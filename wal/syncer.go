package wal

import (
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// fewLogs is how many logs are made durable one by one; more are by one call for their file
	// system, where the operating system has it.
	fewLogs = 8
	// syncWorkers make logs durable in parallel: a file system writes many at once in little more
	// time than one.
	syncWorkers = 32
)

// Syncer is what the logs of a process share: one goroutine that flushes those that were written
// to, the locks on their directories, and buffers. It has no goroutine while there is nothing to
// flush.
type Syncer struct {
	interval time.Duration
	stop     chan struct{}
	running  sync.WaitGroup

	mu     sync.Mutex
	closed bool
	active bool
	// pending has since when a log was not flushed; flushing is the oldest such time among those
	// that are being flushed, zero if none are.
	pending  map[*Log]time.Time
	flushing time.Time

	locks dirLocks
	// tails is how many bytes the tails of all logs have.
	tails atomic.Int64

	appenders, buffers, windows sync.Pool
}

// NewSyncer returns a Syncer that flushes each log at most interval after it was written to: its
// data and its cursors are made durable and its files are closed. An interval of 0 or less means a
// second.
func NewSyncer(interval time.Duration) *Syncer {
	if interval <= 0 {
		interval = time.Second
	}
	return &Syncer{
		interval: interval, stop: make(chan struct{}), pending: map[*Log]time.Time{},
		appenders: sync.Pool{New: func() any { return new(appender) }},
		buffers:   sync.Pool{New: func() any { return new([]byte) }},
		windows:   sync.Pool{New: func() any { return new(window) }},
	}
}

// Close ends the goroutine. Logs should be closed before; what they still write is made durable
// when they are closed.
func (s *Syncer) Close() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.stop)
	}
	s.mu.Unlock()
	s.running.Wait()
}

// OldestUnsynced is for how long the oldest write of any log has not been durable: what a loss of
// power would cost now.
func (s *Syncer) OldestUnsynced() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	oldest := s.flushing
	for _, since := range s.pending {
		if oldest.IsZero() || since.Before(oldest) {
			oldest = since
		}
	}
	if oldest.IsZero() {
		return 0
	}
	return time.Since(oldest)
}

// mark makes sure that l is flushed soon.
func (s *Syncer) mark(l *Log) {
	if l.marked.Load() || l.marked.Swap(true) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending[l] = time.Now()
	if !s.active && !s.closed {
		s.active = true
		s.running.Add(1)
		go s.run()
	}
}

// forget undoes mark.
func (s *Syncer) forget(l *Log) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pending, l)
}

func (s *Syncer) run() {
	defer s.running.Done()
	timer := time.NewTimer(s.interval)
	defer timer.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-timer.C:
		}
		start := time.Now()
		logs := s.takePending()
		if len(logs) == 0 {
			return
		}
		s.flush(logs)
		s.mu.Lock()
		s.flushing = time.Time{}
		s.mu.Unlock()
		timer.Reset(max(s.interval-time.Since(start), s.interval/10))
	}
}

// takePending returns the logs to flush. If there are none, the goroutine has to end.
func (s *Syncer) takePending() []*Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	logs := make([]*Log, 0, len(s.pending))
	for l, since := range s.pending {
		logs = append(logs, l)
		if s.flushing.IsZero() || since.Before(s.flushing) {
			s.flushing = since
		}
	}
	clear(s.pending)
	s.active = len(logs) > 0 && !s.closed
	if !s.active {
		return nil
	}
	return logs
}

// flush makes logs durable: many of one file system by one call, others by some workers.
func (s *Syncer) flush(logs []*Log) {
	detached := make([]unsynced, 0, len(logs))
	for _, l := range logs {
		l.flushMu.Lock()
		l.marked.Store(false)
		if l.closed.Load() {
			l.flushMu.Unlock()
			continue
		}
		detached = append(detached, l.detach())
	}
	durable := syncTogether(detached)
	work := make(chan int)
	var workers sync.WaitGroup
	for range min(syncWorkers, len(detached)) {
		workers.Go(func() {
			for i := range work {
				u := &detached[i]
				u.log.flushed(u.finish(durable[filepath.Dir(u.log.dir)]))
				u.log.flushMu.Unlock()
			}
		})
	}
	for i := range detached {
		work <- i
	}
	close(work)
	workers.Wait()
}

// syncTogether makes durable what there is in directories with many logs to be synced. It returns
// the directories for which that went well; logs in others have to be synced one by one.
func syncTogether(detached []unsynced) (durable map[string]bool) {
	parents := map[string][]*Log{}
	for i := range detached {
		if u := &detached[i]; !u.nothing() && u.log.o.Sync != SyncNever {
			parent := filepath.Dir(u.log.dir)
			parents[parent] = append(parents[parent], u.log)
		}
	}
	durable = map[string]bool{}
	for parent, logs := range parents {
		if len(logs) > fewLogs && logs[0].fs.SyncFS(parent) == nil {
			durable[parent] = true
			for _, l := range logs {
				l.named.Store(true)
			}
		}
	}
	return durable
}

func (s *Syncer) lock(dir string) error { return s.locks.lock(dir) }
func (s *Syncer) unlock(dir string)     { s.locks.unlock(dir) }

func (s *Syncer) appender() *appender { return s.appenders.Get().(*appender) }

func (s *Syncer) releaseAppender(a *appender) {
	a.reset()
	a.log = nil // a second Commit is a bug, and shall not write to somebody else's log
	if cap(a.enc.buf) <= maxPooled && cap(a.pending) <= maxPooled/64 {
		s.appenders.Put(a)
	}
}

func (s *Syncer) buffer() *[]byte { return s.buffers.Get().(*[]byte) }

func (s *Syncer) releaseBuffer(b *[]byte) {
	if cap(*b) <= maxPooled {
		*b = (*b)[:0]
		s.buffers.Put(b)
	}
}

func (s *Syncer) window() *window { return s.windows.Get().(*window) }

func (s *Syncer) release(w *window) {
	w.forget()
	if cap(w.buf) <= maxPooled {
		s.windows.Put(w)
	}
}
