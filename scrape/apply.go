package scrape

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"sync"
	"time"

	config_util "github.com/prometheus/common/config"
	"github.com/prometheus/common/promslog"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/util/logging"
)

var errStopped = errors.New("scraper is stopped")

// Config is what to scrape. Immutable once applied, everything it points to included.
type Config struct {
	// Jobs have all defaults filled in (intervals, timeouts, limits, protocols) and distinct names.
	Jobs []*promconfig.ScrapeConfig
	// Global is used for its external labels only, which are part of where in the interval a target is scraped.
	Global promconfig.GlobalConfig
	// HostFilter, if any, is applied to static and to discovered targets.
	HostFilter *HostFilter
}

// Apply makes c what is scraped. The first Apply prepares: discoveries run from then on and Targets shows what they find, but
// nothing is scraped before Start. A later one reloads in place: a job that has not changed keeps its loops, caches and
// schedule, and so does a target of a job in which only targets have changed; in a job that has changed otherwise, targets keep
// their place in the interval. The series of a removed job get staleness markers.
//
// An error that is not about ctx means that c was refused and that what ran before goes on; it names the job. When ctx is over
// first, c may yet come into force: apply again, or stop.
//
// It may take as long as a running scrape of a changed job. Prometheus also looks up this host's name each time, so with a
// broken DNS and no entry in /etc/hosts it takes the resolver's timeouts.
func (s *Scraper) Apply(ctx context.Context, c *Config) error {
	s.life.Lock()
	defer s.life.Unlock()
	if s.stopped {
		return errStopped
	}
	if s.settled && c.equal(s.config) && !c.logsFailures() {
		return nil
	}
	if err := s.checkClients(c.Jobs); err != nil {
		return fmt.Errorf("apply scrape config: %w", err)
	}
	s.settled = false
	s.wanted.Store(c)
	done := make(chan error, 1)
	go func() {
		defer func() {
			if v := recover(); v != nil {
				done <- panicError("apply scrape config", v)
			}
		}()
		done <- s.apply(c)
	}()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("apply scrape config: %w", err)
		}
		s.config, s.settled = c, true
		return nil
	case <-ctx.Done():
		return fmt.Errorf("apply scrape config: %w", ctx.Err())
	}
}

// apply hands c to the manager first: it must know a job before it gets targets for it.
func (s *Scraper) apply(c *Config) error {
	s.applying.Lock()
	defer s.applying.Unlock()
	if s.wanted.Load() != c {
		return errors.New("another config was applied meanwhile")
	}
	managed, err := c.forManager()
	if err != nil {
		return err
	}
	discovered, err := s.discoveries.plan(c.Jobs)
	if err != nil {
		return err
	}
	s.keepBusy(func() {
		err = s.failureLogs.reopen(func() error { return s.manager.ApplyConfig(managed) })
	})
	if err != nil {
		return err
	}
	s.discoveries.adopt(discovered, c.HostFilter)
	return s.gate.endRemovedSeries(time.Now().UnixMilli())
}

// checkClients builds and forgets the HTTP client of each job: the manager, which builds the real ones, would only log that a
// job can't be scraped.
func (s *Scraper) checkClients(jobs []*promconfig.ScrapeConfig) error {
	var errs []error
	for _, job := range jobs {
		if _, err := config_util.NewClientFromConfig(job.HTTPClientConfig, job.JobName, s.clientOptions()...); err != nil {
			errs = append(errs, fmt.Errorf("build HTTP client of job %q: %w", job.JobName, err))
		}
	}
	return errors.Join(errs...)
}

// equal compares deeply, secrets included.
func (c *Config) equal(other *Config) bool {
	return reflect.DeepEqual(c.Jobs, other.Jobs) && reflect.DeepEqual(c.HostFilter, other.HostFilter) &&
		reflect.DeepEqual(c.Global, other.Global)
}

// logsFailures reports whether files have to be opened again, which is promised for each reload so that they can be rotated.
func (c *Config) logsFailures() bool {
	for _, job := range c.Jobs {
		if job.ScrapeFailureLogFile != "" {
			return true
		}
	}
	return false
}

// forManager puts c into the form that scrape.Manager takes, without the discoveries: the manager does not use them, and would
// restart all loops of a job in which only the list of targets has changed.
func (c *Config) forManager() (*promconfig.Config, error) {
	managed, err := promconfig.Load("", promslog.NewNopLogger()) // only a loaded config is accepted
	if err != nil {
		return nil, fmt.Errorf("load empty config: %w", err)
	}
	managed.GlobalConfig = c.Global
	for _, job := range c.Jobs {
		bare := *job
		bare.ServiceDiscoveryConfigs = nil
		managed.ScrapeConfigs = append(managed.ScrapeConfigs, &bare)
	}
	return managed, nil
}

// failureLogs are the files of scrape_failure_log_file. The manager opens them, closes them on a reload, and forgets them when it
// stops.
type failureLogs struct {
	mu    sync.Mutex
	files []io.Closer
}

func (l *failureLogs) open(name string) (*logging.JSONFileLogger, error) {
	file, err := logging.NewJSONFileLogger(name)
	if err == nil && file != nil {
		l.mu.Lock()
		l.files = append(l.files, file)
		l.mu.Unlock()
	}
	return file, err
}

// reopen calls load, which opens the new files and closes the old ones. Closing one twice is harmless.
func (l *failureLogs) reopen(load func() error) error {
	l.mu.Lock()
	before := l.files
	l.files = nil
	l.mu.Unlock()
	err := load()
	if err != nil {
		l.mu.Lock()
		l.files = append(l.files, before...)
		l.mu.Unlock()
	}
	return err
}

func (l *failureLogs) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, file := range l.files {
		_ = file.Close()
	}
	l.files = nil
}
