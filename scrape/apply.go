package scrape

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	promconfig "github.com/prometheus/prometheus/config"
	"go.uber.org/zap"
)

var errStopped = errors.New("scraper is stopped")

// Config is what to scrape. Immutable once applied, everything it points to included.
type Config struct {
	// Jobs have all defaults filled in (intervals, timeouts, limits, protocols) and distinct names.
	Jobs []*promconfig.ScrapeConfig
	// HostFilter, if any, is applied to static and to discovered targets.
	HostFilter *HostFilter
	// LabelsAsWritten takes le and quantile as a target writes them in text, where Prometheus 3
	// writes 1 as 1.0.
	LabelsAsWritten bool
	// Slices is into how many parts the targets of all jobs are divided, by a hash of their labels
	// and URLs, and Slice is which of them, from 0, is scraped here. Of k slices, one more takes
	// over one (k+1)-th of the targets, and none changes between the others. Up to 1: there is one
	// slice. A target limit counts the targets of all slices. A target that moves to another slice
	// leaves no staleness markers.
	Slice, Slices int
	// Earlier is how the targets are divided until Slices is in force, in the order of time; empty:
	// it is at once. A tick is taken by the slice that its target is in when the tick is due, so
	// that scrapers that are told of a change some time before it miss none and take none twice.
	Earlier []Division
	// Origin is what the slices of one config have in common, its name for example: scrapers with
	// the same origin and the same Shared share their discoveries, if these have equal configs.
	// Empty: none are shared. It stays as the first Apply has it.
	Origin string
	// Budget is what all targets may cost together.
	Budget Budget
}

// Apply makes c what is scraped. The first Apply prepares: discoveries run from then on and Targets
// shows what they find, but nothing is scraped before Start. A later one reloads in place: a target
// that both configs have keeps its ticks, and its cache and connection unless its job has changed
// in what these depend on. A scrape that runs goes on under the old config. The series of a removed
// job get staleness markers.
//
// An error that is not about ctx means that c was refused and that what ran before goes on; it
// names the job. When ctx is over first, which takes a commit that hangs, c is in force, and the
// staleness markers of removed jobs are left to the next Apply or Stop.
func (s *Scraper) Apply(ctx context.Context, c *Config) (err error) {
	s.life.Lock()
	defer s.life.Unlock()
	if s.stopped {
		return errStopped
	}
	if s.config != nil && c.equal(s.config) && !c.logsFailures() && len(s.removed) == 0 {
		return nil
	}
	defer func() {
		if v := recover(); v != nil {
			err = panicError("apply scrape config", v)
		}
	}()
	if err := s.apply(c); err != nil {
		return fmt.Errorf("apply scrape config: %w", err)
	}
	s.config = c
	if err := s.endRemoved(ctx); err != nil {
		return fmt.Errorf("apply scrape config: %w", err)
	}
	return nil
}

// apply makes everything that can fail, then puts it in force.
func (s *Scraper) apply(c *Config) error {
	jobs, err := s.prepare(c)
	if err != nil {
		return err
	}
	discovered, err := s.discoveries.plan(c.Origin, c.Jobs)
	if err != nil {
		s.releaseNew(jobs)
		return err
	}
	logs, err := openFailureLogs(c.Jobs)
	if err != nil {
		s.discoveries.forget(discovered)
		s.releaseNew(jobs)
		return err
	}
	s.failures.replace(logs)
	s.meter.adopt(c.Budget, time.Now())
	s.adopt(jobs, c.slicing())
	s.discoveries.adopt(discovered, c.HostFilter)
	return nil
}

// prepare returns the job of each config: the one there is, if it has not changed.
func (s *Scraper) prepare(c *Config) ([]*job, error) {
	var (
		jobs []*job
		errs []error
	)
	for _, config := range c.Jobs {
		if p := s.pools[config.JobName]; p != nil && p.job.same(config) && p.job.labelsAsWritten == c.LabelsAsWritten {
			jobs = append(jobs, p.job)
			continue
		}
		j, err := newJob(config, &s.options)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		j.labelsAsWritten = c.LabelsAsWritten
		jobs = append(jobs, j)
	}
	if err := errors.Join(errs...); err != nil {
		s.releaseNew(jobs)
		return nil, err
	}
	return jobs, nil
}

// releaseNew gives jobs back that will not be used.
func (s *Scraper) releaseNew(jobs []*job) {
	for _, j := range jobs {
		if p := s.pools[j.config.JobName]; p == nil || p.job != j {
			j.release()
		}
	}
}

// adopt makes jobs the ones to scrape for.
func (s *Scraper) adopt(jobs []*job, part *slicing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !part.equal(s.slicing) {
		s.slicing = part
	}
	m := s.options.Metrics.loops
	wanted := make(map[string]bool, len(jobs))
	for _, j := range jobs {
		name := j.config.JobName
		wanted[name] = true
		p := s.pools[name]
		switch {
		case p == nil:
			s.pools[name] = &pool{job: j, loops: map[uint64]*loop{}}
			m.pools.Inc()
		case p.job != j:
			start := time.Now()
			before := p.job
			p.job = j
			for _, l := range p.loops {
				if err := l.adopt(j); err != nil {
					s.log.Error("target keeps its old HTTP client", zap.String("job", name), zap.Error(err))
				}
			}
			before.release()
			m.reloaded(j.config.ScrapeInterval, time.Since(start))
		}
	}
	for name, p := range s.pools {
		if wanted[name] {
			continue
		}
		delete(s.pools, name)
		s.remove(p)
	}
}

// remove ends a job: what runs is cut off. It needs s.mu.
func (s *Scraper) remove(p *pool) {
	now := s.options.Shared.now()
	for _, l := range p.loops {
		running := l.end()
		l.abort()
		s.removed = append(s.removed, endingLoop{loop: l, running: running, why: ofRemovedJob, at: now})
	}
	p.job.metrics.targets.Sub(float64(len(p.loops)))
	p.job.release()
}

// endRemoved ends the series of removed jobs.
func (s *Scraper) endRemoved(ctx context.Context) error {
	for _, r := range s.removed {
		if !await(ctx, r.running) {
			return ctx.Err()
		}
	}
	s.gate.committing.RLock()
	defer s.gate.committing.RUnlock()
	s.end(s.removed...)
	s.removed = nil
	return nil
}

// await reports whether a channel was closed before ctx was over.
func await(ctx context.Context, running <-chan struct{}) bool {
	if running == nil {
		return true
	}
	select {
	case <-running:
		return true
	default:
	}
	select {
	case <-running:
		return true
	case <-ctx.Done():
		return false
	}
}

func (c *Config) slicing() *slicing {
	return &slicing{slice: c.Slice, slices: c.Slices, earlier: c.Earlier}
}

// equal compares deeply, secrets included.
func (c *Config) equal(other *Config) bool {
	return c.Budget == other.Budget && c.slicing().equal(other.slicing()) && c.LabelsAsWritten == other.LabelsAsWritten &&
		reflect.DeepEqual(c.Jobs, other.Jobs) && reflect.DeepEqual(c.HostFilter, other.HostFilter)
}

// logsFailures reports whether files have to be opened again, which is promised for each reload so
// that they can be rotated.
func (c *Config) logsFailures() bool {
	for _, job := range c.Jobs {
		if job.ScrapeFailureLogFile != "" {
			return true
		}
	}
	return false
}
