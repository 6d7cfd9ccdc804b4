package scrape

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"go.uber.org/zap"
)

// pool is a job with its targets.
type pool struct {
	job     *job
	loops   map[uint64]*loop // by target
	others  int              // targets that belong to other slices
	dropped int              // targets
}

// forced is the error that takes the place of all scrapes, while there are too many targets.
func (p *pool) forced(m *loopMetrics) error {
	limit := p.job.config.TargetLimit
	found := len(p.loops) + p.others
	if limit == 0 || uint(found) <= limit {
		return nil
	}
	m.exceededTargetLimit.Inc()
	return fmt.Errorf("target_limit exceeded (number of targets: %d, limit: %d)", found, limit)
}

// sync makes the loops those of the targets found. Targets that stay go on as they are. It needs s.mu, and waits for nothing.
func (s *Scraper) sync(found []jobTargets) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	now := time.Now()
	if !s.resume.useful(now) {
		s.resume = nil
	}
	builder := labels.NewBuilder(labels.EmptyLabels())
	for _, f := range found {
		if p := s.pools[f.config.JobName]; p != nil {
			s.syncPool(p, f, builder, now)
		}
	}
}

func (s *Scraper) syncPool(p *pool, found jobTargets, builder *labels.Builder, now time.Time) {
	targets, failures := s.build(p, found, builder)
	targets, others := s.slicing.divide(targets, now)
	p.others = len(others)
	before := len(p.loops)
	p.reschedule(targets, now)
	kept := make(map[uint64]*target, len(targets))
	var fresh []*loop
	for _, t := range targets {
		if _, again := kept[t.id]; !again && p.loops[t.id] == nil {
			l, err := newLoop(s, t, p.job, nil)
			if err != nil {
				s.log.Error("target can't be scraped", zap.String("job", p.job.config.JobName), zap.Error(err))
				failures++
				continue
			}
			p.loops[t.id] = l
			fresh = append(fresh, l)
		}
		kept[t.id] = t
	}
	for id, l := range p.loops {
		if kept[id] == nil {
			delete(p.loops, id)
			s.resume.forget(id)
			_, moved := others[l.target.kin()]
			s.endLater(l, now, moved)
		}
	}
	forced := p.forced(s.options.Metrics.loops)
	for id, l := range p.loops {
		l.update(kept[id], forced)
		l.redivide(s.slicing, now)
	}
	for _, l := range fresh {
		l.start(now, s.resume)
	}
	for id, l := range p.loops {
		if l.hasLeft() {
			s.dismiss(p, id, l)
		}
	}
	m := p.job.metrics
	m.targets.Add(float64(len(p.loops) - before))
	m.syncsFailed.Add(float64(failures))
	m.syncs.Inc()
	took := time.Since(now).Seconds()
	m.syncLength.Observe(took)
	m.syncHistogram.Observe(took)
}

// dismissIfLeft removes a loop of which no tick is of this slice any more. Its series go on in another one.
func (s *Scraper) dismissIfLeft(l *loop) {
	if !l.hasLeft() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	job, id := l.place()
	if p := s.pools[job]; p != nil && p.loops[id] == l && l.hasLeft() {
		s.dismiss(p, id, l)
		p.job.metrics.targets.Dec()
	}
}

// dismiss needs s.mu.
func (s *Scraper) dismiss(p *pool, id uint64, l *loop) {
	delete(p.loops, id)
	s.resume.forget(id)
	l.end()
	l.retire()
	s.options.OnLeft()
}

// reschedule finds loops whose target is there again with another interval or timeout, and gives it to them.
func (p *pool) reschedule(targets []*target, now time.Time) {
	found := make(map[uint64]struct{}, len(targets))
	for _, t := range targets {
		found[t.id] = struct{}{}
	}
	gone := map[uint64]*loop{}
	for id, l := range p.loops {
		if _, still := found[id]; !still {
			gone[l.target.kin()] = l
		}
	}
	if len(gone) == 0 {
		return
	}
	for _, t := range targets {
		if p.loops[t.id] != nil {
			continue
		}
		kin := t.kin()
		if l := gone[kin]; l != nil {
			delete(gone, kin)
			delete(p.loops, l.target.id)
			p.loops[t.id] = l
			l.reschedule(t, now)
		}
	}
}

// build makes targets of groups, and counts those that can't be.
func (s *Scraper) build(p *pool, found jobTargets, builder *labels.Builder) (targets []*target, failures int) {
	p.dropped = 0
	for _, group := range found.groups {
		built, dropped, errs := targetsOf(group, p.job, builder)
		for _, err := range errs {
			s.log.Error("target can't be created", zap.String("job", p.job.config.JobName), zap.Stringer("group", group), zap.Error(err))
		}
		targets = append(targets, built...)
		p.dropped += dropped
		failures += len(errs)
	}
	return targets, failures
}

// endLater ends the loop of a target that has gone. Its series end at its next tick; the markers are written when
// the target, if it only changed or comes back, has been scraped again, so that series that go on have newer samples then and don't end.
// This is what Prometheus does. The series of a target that has moved to another slice don't end.
func (s *Scraper) endLater(l *loop, now time.Time, moved bool) {
	end := l.end
	if moved {
		end = func() <-chan struct{} { return l.endWithTick(now) }
	}
	running := end()
	next := l.schedule.latest(now) + 1
	at := l.schedule.at(next)
	s.ending[l] = time.AfterFunc(l.schedule.at(next+1).Add(l.target.interval/10).Sub(now), func() {
		defer func() {
			if v := recover(); v != nil {
				s.reportPanic(panicError("end series of a removed target", v))
			}
		}()
		if running != nil {
			<-running
		}
		s.mu.Lock()
		_, waiting := s.ending[l]
		delete(s.ending, l)
		s.mu.Unlock()
		if !waiting {
			return
		}
		if !moved {
			s.endSeries([]*loop{l}, at)
		}
		l.retire()
	})
}

// endSeries commits staleness markers for the series of loops that have ended.
func (s *Scraper) endSeries(loops []*loop, at time.Time) {
	s.gate.committing.RLock()
	defer s.gate.committing.RUnlock()
	if s.gate.closed() || !s.permitted() {
		return
	}
	if err := s.appendEnds(loops, at); err != nil {
		s.log.Warn("staleness markers of removed targets were not written", zap.Error(err))
	}
}

// appendEnds does it whatever the gate says.
func (s *Scraper) appendEnds(loops []*loop, at time.Time) (err error) {
	defer func() {
		if v := recover(); v != nil {
			s.gate.drop()
			s.reportPanic(panicError("append staleness markers", v))
			err = errAppenderPanicked
		}
	}()
	var app storage.AppenderV2
	for _, l := range loops {
		open, last := l.takeOpen()
		if len(open) == 0 {
			continue
		}
		if app == nil {
			app = s.options.Appendable.AppenderV2(context.Background())
		}
		// A clock may have been set back, or the last timestamp have been aligned to a tick just ahead.
		if err := appendMarkers(app, open, max(at.UnixMilli(), last.UnixMilli()+1), new(bool)); err != nil {
			_ = app.Rollback()
			return fmt.Errorf("append staleness markers: %w", err)
		}
	}
	if app == nil {
		return nil
	}
	if err := app.Commit(); err != nil {
		return fmt.Errorf("commit staleness markers: %w", err)
	}
	return nil
}
