package wal

import (
	"sync"
	"time"
)

// Syncer is what the logs of a process share: one goroutine that flushes those that were written to, the locks on their
// directories, and buffers. It has no goroutine while there is nothing to flush.
type Syncer struct {
	interval time.Duration
	stop     chan struct{}
	running  sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	active  bool
	pending map[*Log]struct{}

	locks dirLocks

	appenders, buffers, windows sync.Pool
}

// NewSyncer returns a Syncer that flushes each log at most interval after it was written to: its data and its cursors are made durable
// and its files are closed. An interval of 0 or less means a second.
func NewSyncer(interval time.Duration) *Syncer {
	if interval <= 0 {
		interval = time.Second
	}
	return &Syncer{
		interval: interval, stop: make(chan struct{}), pending: map[*Log]struct{}{},
		appenders: sync.Pool{New: func() any { return new(appender) }},
		buffers:   sync.Pool{New: func() any { return new([]byte) }},
		windows:   sync.Pool{New: func() any { return new(window) }},
	}
}

// Close ends the goroutine. Logs should be closed before; what they still write is made durable when they are closed.
func (s *Syncer) Close() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.stop)
	}
	s.mu.Unlock()
	s.running.Wait()
}

// mark makes sure that l is flushed soon.
func (s *Syncer) mark(l *Log) {
	if l.marked.Load() || l.marked.Swap(true) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending[l] = struct{}{}
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
		s.mu.Lock()
		logs := s.pending
		s.pending = map[*Log]struct{}{}
		s.active = len(logs) > 0 && !s.closed
		active := s.active
		s.mu.Unlock()
		if !active {
			return
		}
		for l := range logs {
			l.flush()
		}
		timer.Reset(s.interval)
	}
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
