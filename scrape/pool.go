package scrape

import (
	"fmt"
	"time"

	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/model/labels"
	"go.uber.org/zap"
)

// pool is a job with its targets.
type pool struct {
	job     *job
	loops   map[uint64]*loop // by target
	others  int              // targets that belong to other slices
	dropped int              // targets

	built    map[*targetgroup.Group]builtGroup // what the groups of the last delivery have become
	builtFor *job
}

// builtGroup is what a group has become.
type builtGroup struct {
	targets []*target
	dropped int
	errs    []error
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

// sync makes the loops those of the targets found. Targets that stay go on as they are. It needs
// s.mu, and waits for nothing.
func (s *Scraper) sync(found []jobTargets, complete bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	now := s.options.Shared.now()
	if !s.resume.useful(now) {
		s.resume = nil
	}
	builder := labels.NewBuilder(labels.EmptyLabels())
	for _, f := range found {
		if p := s.pools[f.config.JobName]; p != nil {
			s.syncPool(p, f, builder, now)
		}
	}
	if complete {
		s.endLeftLater(now)
	}
}

func (s *Scraper) syncPool(p *pool, found jobTargets, builder *labels.Builder, now time.Time) {
	start := time.Now()
	targets, failures := s.build(p, found, builder)
	all := targets
	targets, others := s.slicing.divide(all, now)
	p.others = len(others)
	s.leaveToOthers(all, others)
	before := len(p.loops)
	p.reschedule(targets, now)
	kept := make(map[uint64]*target, len(targets))
	var fresh []*loop
	for _, t := range targets {
		if _, again := kept[t.id]; !again && p.loops[t.id] == nil {
			l, err := newLoop(s, t, p.job)
			if err != nil {
				s.log.Error("target can't be scraped", zap.String("job", p.job.config.JobName), zap.Error(err))
				failures++
				continue
			}
			p.loops[t.id] = l
			fresh = append(fresh, l)
			if left, ok := s.left[t.id]; ok {
				delete(s.left, t.id)
				l.inherit(left)
			}
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
	took := time.Since(start).Seconds()
	m.syncLength.Observe(took)
	m.syncHistogram.Observe(took)
}

// dismissIfLeft removes a loop of which no tick is of this slice any more. Its series go on in
// another one.
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

// reschedule finds loops whose target is there again with another interval or timeout, and gives it
// to them.
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
	before := p.built
	if p.builtFor != p.job {
		before = nil
	}
	p.built, p.builtFor = make(map[*targetgroup.Group]builtGroup, len(found.groups)), p.job
	for _, group := range found.groups {
		b, known := before[group]
		if !known {
			b.targets, b.dropped, b.errs = targetsOf(group, p.job, builder)
			for _, err := range b.errs {
				s.log.Error("target can't be created", zap.String("job", p.job.config.JobName), zap.Stringer("group", group), zap.Error(err))
			}
		}
		p.built[group] = b
		targets = append(targets, b.targets...)
		p.dropped += b.dropped
		failures += len(b.errs)
	}
	return targets, failures
}
