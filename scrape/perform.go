package scrape

import (
	"errors"
	"time"

	"go.uber.org/zap"
)

// perform scrapes once: fetch, append, report, commit. A scrape that is aborted or vetoed on the way leaves nothing behind, neither in
// the appendable nor in what is shown.
func (s *Scraper) perform(r *attempt) {
	l := r.loop
	in := s.options.Shared.ingester()
	in.job, in.target, in.cache, in.now = r.job, r.target, l.cache, r.timestamp.UnixMilli()
	in.aborted = func() bool { return s.gate.closed() || l.aborted.Load() }
	defer func() {
		if v := recover(); v != nil {
			s.panicked(r, in, v)
			return // an ingester that has panicked is not used again
		}
		s.options.Shared.release(in)
	}()
	if in.aborted() {
		return
	}
	if r.vetoed = !s.permitted(); r.vetoed {
		return
	}
	l.observeInterval(r)
	in.cache.begin()

	var o outcome
	var answer response
	if r.forced != nil {
		o.err = r.forced
	} else if answer, o.err = r.fetch(); answer.body != nil {
		defer s.options.Shared.bodies.put(answer.body)
	}
	if in.aborted() {
		return
	}
	s.account(r, &answer, &o)
	if !s.append(in, answer, &o) {
		return
	}
	o.duration = time.Since(r.began)
	l.show(r, &o)
	s.finish(in, r, &o)
}

// observeInterval measures the time since the scrape before.
func (l *loop) observeInterval(r *attempt) {
	l.mu.Lock()
	before, interval := l.shown.began, l.interval
	l.shown.began = r.began
	l.mu.Unlock()
	if !before.IsZero() {
		interval.observe(r.began.Sub(before).Seconds())
	}
}

// account keeps what is known once the response is there.
func (s *Scraper) account(r *attempt, answer *response, o *outcome) {
	switch {
	case r.forced != nil:
	case o.err == nil:
		o.bytes = len(answer.bytes)
		if o.bytes > 0 {
			r.loop.bodySize = o.bytes
		}
	default:
		if errors.Is(o.err, errBodySizeLimit) {
			o.bytes = -1
			s.options.Metrics.loops.bodySize.Inc()
		}
		s.failures.log(r, o.err)
	}
}

// append gives the body to a new appender, in in.app. A body that can't be appended, or was not fetched, counts as an empty one:
// the series of the target end. It reports false if the scrape was aborted.
func (s *Scraper) append(in *ingester, answer response, o *outcome) bool {
	s.open(in)
	var content []byte
	if answer.body != nil {
		content = answer.bytes
	}
	err := in.safely(func() error { return in.ingest(content, answer.contentType) }, s)
	o.counts = in.counts
	if errors.Is(err, errAborted) {
		s.rollback(in)
		return false
	}
	s.warn(in)
	if err == nil {
		return true
	}
	if o.err == nil {
		o.err = err
	}
	s.rollback(in)
	s.open(in)
	if err := in.ingest(nil, ""); err != nil {
		s.log.Warn("staleness markers were refused", zap.String("job", in.job.config.JobName), zap.Error(err))
		s.rollback(in)
		s.open(in)
	}
	return true
}

// finish appends the report and commits.
func (s *Scraper) finish(in *ingester, r *attempt, o *outcome) {
	if err := in.appendReport(o, r); err != nil {
		s.log.Warn("report of a scrape was refused", zap.String("job", r.job.config.JobName), zap.Error(err))
		s.rollback(in)
		return
	}
	committed, err := s.gate.commit(in, r, s.permitted)
	if r.job.config.ExtraScrapeMetricsEnabled() {
		s.options.Metrics.loops.duration.Observe(time.Since(r.began).Seconds())
	}
	if err != nil {
		s.log.Error("scrape was not committed", zap.String("job", r.job.config.JobName), zap.Error(err))
	}
	if committed {
		in.cache.rotate()
		r.loop.commitDone(r)
	}
	r.loop.measureMetadata(r.job.metrics)
}

// measureMetadata keeps the process' totals up to date.
func (l *loop) measureMetadata(m *jobMetrics) {
	entries, bytes := l.cache.families.size()
	if entries != l.metadata.entries || bytes != l.metadata.bytes {
		m.metadata(entries-l.metadata.entries, bytes-l.metadata.bytes)
		l.metadata.entries, l.metadata.bytes = entries, bytes
	}
}

// open begins a transaction.
func (s *Scraper) open(in *ingester) {
	in.inside = true
	in.app = s.options.Appendable.AppenderV2(s.ctx)
	in.inside = false
}

// rollback ends the transaction.
func (s *Scraper) rollback(in *ingester) {
	in.inside = true
	_ = in.app.Rollback()
	in.inside = false
	in.app = nil
}

// permitted asks whoever can veto scrapes.
func (s *Scraper) permitted() bool {
	if s.options.Permit == nil || s.options.Permit() {
		return true
	}
	s.options.Metrics.loops.vetoed.Inc()
	return false
}

// warn says in one line what the appender refused.
func (s *Scraper) warn(in *ingester) {
	r := &in.refused
	if r.outOfOrder+r.duplicates+r.outOfBounds+r.exemplars == 0 {
		return
	}
	s.log.Warn("samples of a target were refused", zap.String("job", in.job.config.JobName), zap.String("target", in.target.address()),
		zap.Int("out_of_order", r.outOfOrder), zap.Int("duplicate", r.duplicates), zap.Int("out_of_bounds", r.outOfBounds),
		zap.Int("exemplars_out_of_order", r.exemplars))
}

// safely turns a panic of the parser or of relabelling into a failed scrape. One of the appender is not for here.
func (in *ingester) safely(ingest func() error, s *Scraper) (err error) {
	defer func() {
		if in.inside {
			return
		}
		if v := recover(); v != nil {
			report := panicError("scrape target "+in.target.address(), v)
			s.reportPanic(report)
			err = errScrapePanicked
		}
	}()
	return ingest()
}

// panicked is told that a scrape has panicked, in the appender or where nothing should.
func (s *Scraper) panicked(r *attempt, in *ingester, v any) {
	doing := "scrape target " + r.target.address()
	o := outcome{err: errScrapePanicked, duration: time.Since(r.began)}
	if in.inside {
		doing = "append samples"
		o.err = errAppenderPanicked
		s.gate.drop()
		if app := in.app; app != nil {
			defer func() { _ = recover() }()
			defer func() { _ = app.Rollback() }()
		}
	}
	r.loop.show(r, &o)
	s.reportPanic(panicError(doing, v))
}

// reportPanic tells the owner of the first panic; what follows is the same one most of the time.
func (s *Scraper) reportPanic(err error) {
	if s.gate.panicked.CompareAndSwap(false, true) {
		s.options.OnPanic(err)
	}
}
