package scrape

import (
	"cmp"
	"errors"
	"time"

	"go.uber.org/zap"
)

// perform scrapes once: fetch, append, report, commit. A scrape that is aborted or vetoed on the
// way leaves nothing behind, neither in the appendable nor in what is shown.
func (s *Scraper) perform(r *attempt) {
	l := r.loop
	in := s.options.Shared.ingester()
	in.job, in.target, in.cache, in.now, in.meter = r.job, r.target, l.cache, r.timestamp.UnixMilli(), s.meter
	in.turn = &r.turn
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
	in.cache.begin(&in.workspace)

	var o outcome
	var answer response
	s.trace(r)
	defer func() { r.traced(&o, in.aborted()) }()
	defer r.reserved.release()
	if o.err = r.forced; o.err == nil {
		o.err = s.meter.admit(r.began)
	}
	if o.err == nil {
		if answer, o.err = r.fetch(); answer.body != nil {
			defer s.options.Shared.bodies.put(answer.body)
		}
	}
	if in.aborted() {
		return
	}
	s.account(r, &answer, &o)
	if !s.append(in, r, answer, &o) {
		return
	}
	s.meter.note(o.err, r.began)
	o.duration = time.Since(r.began)
	s.logState(r, l.show(r, &o), &o)
	s.finish(in, r, &o)
}

// logState says in one line that a target has changed its state. Of one instance at most so many in
// a minute are said: its targets often change together.
func (s *Scraper) logState(r *attempt, before State, o *outcome) {
	state := StateUp
	if o.err != nil {
		state = StateDown
	}
	if state == before || before == StateUnknown && state == StateUp {
		return
	}
	said, left := s.states.allow(r.began)
	if !said {
		return
	}
	fields := []zap.Field{zap.String("job", r.job.config.JobName), zap.String("target", r.target.address()), zap.String("from", string(before)),
		zap.String("to", string(state)), zap.Error(o.err)}
	if left > 0 {
		fields = append(fields, zap.Int("changes_not_logged", left))
	}
	s.log.Info("target changed its state", fields...)
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

// append gives the body to a new appender, in in.app. A body that can't be appended, or was not
// fetched, counts as an empty one: the series of the target end. It reports false if the scrape was
// aborted.
func (s *Scraper) append(in *ingester, r *attempt, answer response, o *outcome) bool {
	s.open(in)
	var content []byte
	if answer.body != nil {
		content = answer.bytes
	}
	err := in.safely(func() error { return s.ingestInTurn(in, r, content, answer.contentType) }, s)
	o.counts, o.refused = in.counts, in.refused.first
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

// ingestInTurn ingests when there are processors for it. To end series it needs none.
func (s *Scraper) ingestInTurn(in *ingester, r *attempt, content []byte, contentType string) error {
	if len(content) == 0 {
		return in.ingest(content, contentType)
	}
	if err := r.turn.begin(); err != nil {
		if in.aborted() {
			return errAborted
		}
		return cmp.Or(r.reserved.cutOff(), err)
	}
	defer r.turn.end()
	return in.ingest(content, contentType)
}

// finish appends the report and commits.
func (s *Scraper) finish(in *ingester, r *attempt, o *outcome) {
	if err := in.appendReport(o, r); err != nil {
		s.log.Warn("report of a scrape was refused", zap.String("job", r.job.config.JobName), zap.Error(err))
		s.rollback(in)
		return
	}
	commit := s.traceCommit(r)
	committed, err := s.gate.commit(in, r, s.permitted)
	tracedCommit(commit, in.counts.kept+in.markers, committed, err)
	if r.job.extraMetrics() {
		s.options.Metrics.loops.duration.Observe(time.Since(r.began).Seconds())
	}
	if err != nil {
		s.log.Error("scrape was not committed", zap.String("job", r.job.config.JobName), zap.Error(err))
	}
	if committed {
		s.meter.spend(in.counts.kept + in.markers)
		in.cache.commit()
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
	s.log.Debug("first series of a target that was refused", zap.String("job", in.job.config.JobName),
		zap.String("target", in.target.address()), zap.String("series", r.first))
	s.log.Warn("samples of a target were refused", zap.String("job", in.job.config.JobName), zap.String("target", in.target.address()),
		zap.Int("out_of_order", r.outOfOrder), zap.Int("duplicate", r.duplicates), zap.Int("out_of_bounds", r.outOfBounds),
		zap.Int("exemplars_out_of_order", r.exemplars))
}

// safely turns a panic of the parser or of relabelling into a failed scrape. One of the appender is
// not for here.
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
