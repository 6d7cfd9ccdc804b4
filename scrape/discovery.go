package scrape

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/targetgroup"
)

// Discovered groups are passed on at once after a quiet time, then at growing distances while
// updates keep coming. The longest is what Prometheus uses.
const (
	minUpdateGap = 100 * time.Millisecond
	maxUpdateGap = 5 * time.Second
)

// jobTargets is what was found for one job.
type jobTargets struct {
	config *promconfig.ScrapeConfig
	groups []*targetgroup.Group
}

func (j jobTargets) count() (n int) {
	for _, group := range j.groups {
		n += len(group.Targets)
	}
	return n
}

// discoveries runs the service discoveries of one scraper and merges what they find with the static
// targets.
//
// Prometheus' discovery.Manager does the same with a goroutine that wakes every 100 ms for ever,
// which for some thousand instances is the largest part of the CPU used; here nothing runs between
// two updates. The discoverers, their order of events and their metrics are Prometheus'.
type discoveries struct {
	log      *slog.Logger
	instance string
	metrics  *Metrics
	onPanic  func(error)
	shared   *providers
	meter    *meter          // nil: answers may be of any length, and work on them takes no turns
	ctx      context.Context // of that work

	mu      sync.Mutex
	stopped bool
	current plan
	filter  *HostFilter
	news    chan struct{} // closed and replaced when a provider has reported

	deliver  func([]jobTargets, bool) // nil until started; called with mu held, must not block
	changed  map[*provider]struct{}   // since the last delivery
	pending  *time.Timer              // of the next delivery; nil when nothing is to be delivered
	gap      time.Duration
	lastSent time.Time
	lapse    *time.Timer // of the next inheritance that is over; nil: there is none

	counts                 map[string]int // targets by job, as last delivered
	failed, received, sent int
}

// plan is what is discovered for which job.
type plan struct {
	jobs      []jobSources
	providers []*provider // of all jobs, each once
}

// jobSources is where the targets of one job come from.
type jobSources struct {
	config    *promconfig.ScrapeConfig
	static    []*targetgroup.Group
	providers []*provider
	inherited map[*provider]inheritance // of those that have replaced others
}

func newDiscoveries(log *slog.Logger, instance string, metrics *Metrics, onPanic func(error), shared *providers) *discoveries {
	return &discoveries{log: log, instance: instance, metrics: metrics, onPanic: onPanic, shared: shared,
		news: make(chan struct{}), gap: minUpdateGap, changed: map[*provider]struct{}{}, counts: map[string]int{}}
}

// plan finds or creates the provider of each dynamic discovery config of jobs; equal configs share
// one. Adopt the plan, or forget it. After an error it is forgotten.
func (d *discoveries) plan(origin string, jobs []*promconfig.ScrapeConfig) (plan, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var (
		wanted plan
		errs   []error
	)
	for _, job := range jobs {
		sources := jobSources{config: job}
		for _, config := range job.ServiceDiscoveryConfigs {
			if static, ok := config.(discovery.StaticConfig); ok {
				sources.static = append(sources.static, static...)
				continue
			}
			p := cmp.Or(findProvider(wanted.providers, config), findProvider(d.current.providers, config))
			if p == nil {
				var err error
				if p, err = d.shared.join(d, origin, job.JobName, config); err != nil {
					errs = append(errs, err)
					continue
				}
			}
			sources.providers = append(sources.providers, p)
			if !slices.Contains(wanted.providers, p) {
				wanted.providers = append(wanted.providers, p)
			}
		}
		d.continueFrom(&sources)
		wanted.jobs = append(wanted.jobs, sources)
	}
	if d.failed = len(errs); d.failed > 0 {
		d.leaveOthers(wanted.providers, d.current.providers)
	}
	return wanted, errors.Join(errs...)
}

// continueFrom lets the sources of a job go on with what those before have. It needs mu.
func (d *discoveries) continueFrom(sources *jobSources) {
	for i := range d.current.jobs {
		before := &d.current.jobs[i]
		if before.config.JobName != sources.config.JobName {
			continue
		}
		sources.inherit(before, time.Now())
		if slices.EqualFunc(before.static, sources.static, func(a, b *targetgroup.Group) bool {
			return a != nil && b != nil && sameGroup(a, b)
		}) {
			sources.static = before.static // the same groups, so that their targets need not be built again
		}
	}
}

// forget gives a plan up.
func (d *discoveries) forget(p plan) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.leaveOthers(p.providers, d.current.providers)
}

// leaveOthers leaves those of list that are not to be kept.
func (d *discoveries) leaveOthers(list, kept []*provider) {
	for _, p := range list {
		if !slices.Contains(kept, p) {
			p.leave(d)
		}
	}
}

// adopt carries out a plan: providers that are in it already go on with what they have found, new
// ones are started, others ended.
func (d *discoveries) adopt(wanted plan, filter *HostFilter) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped {
		d.leaveOthers(wanted.providers, nil)
		return
	}
	d.leaveOthers(d.current.providers, wanted.providers)
	d.current, d.filter = wanted, filter
	d.awaitInheritance(time.Now())
	for _, p := range wanted.providers {
		p.run()
	}
	clear(d.counts)
	if d.deliver != nil {
		d.deliverNow()
	}
}

func (d *discoveries) recoverPanic(doing string) {
	if v := recover(); v != nil {
		d.onPanic(panicError(doing, v))
	}
}

// heard is called when a provider has reported, which may be what it said before.
func (d *discoveries) heard(p *provider, changed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Contains(d.current.providers, p) {
		return
	}
	d.received++
	if !changed {
		return
	}
	d.changed[p] = struct{}{}
	close(d.news)
	d.news = make(chan struct{})
	d.schedule()
}

// warm returns when every discoverer has reported once, or when ctx is over.
func (d *discoveries) warm(ctx context.Context) error {
	for {
		d.mu.Lock()
		news, waiting := d.news, ""
		for _, p := range d.current.providers {
			if !p.hasReported() {
				waiting = fmt.Sprintf("%s discovery of job %q", p.config.Name(), p.job)
			}
		}
		d.mu.Unlock()
		if waiting == "" {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", waiting, ctx.Err())
		}
	}
}

// startDelivery delivers all sets now and whenever they change; complete says that every discovery
// has reported. deliver must not block.
func (d *discoveries) startDelivery(deliver func(found []jobTargets, complete bool)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.deliver = deliver
	d.deliverNow()
}

// schedule delivers soon, with mu held.
func (d *discoveries) schedule() {
	if d.deliver == nil || d.pending != nil || d.stopped {
		return
	}
	d.pending = time.AfterFunc(d.nextDelay(time.Now()), func() {
		defer d.recoverPanic("deliver target groups")
		work := turn{meter: d.meter, ctx: d.ctx}
		if work.begin() != nil {
			return // the scraper has stopped
		}
		defer work.end()
		work.letGo()
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.pending != nil {
			d.deliverJobs(d.isChanged)
		}
	})
}

// nextDelay says how long to wait for more updates, and lets the distance between deliveries grow.
// An instance that has used up its processor time has to wait for that, too.
func (d *discoveries) nextDelay(now time.Time) time.Duration {
	quiet := now.Sub(d.lastSent)
	if quiet > maxUpdateGap {
		d.gap = minUpdateGap
	}
	delay := max(minUpdateGap, d.gap-quiet)
	d.gap = min(2*d.gap, maxUpdateGap)
	if d.meter != nil {
		delay = max(delay, d.meter.cpuPause(now))
	}
	return delay
}

// isChanged reports whether one of a job's discoveries has something new. It needs mu.
func (d *discoveries) isChanged(job *jobSources) bool {
	return slices.ContainsFunc(job.providers, func(p *provider) bool {
		_, changed := d.changed[p]
		return changed
	})
}

// deliverNow delivers what there is of all jobs. It needs mu.
func (d *discoveries) deliverNow() {
	work := turn{meter: d.meter}
	work.work()
	defer work.end()
	d.deliverJobs(func(*jobSources) bool { return true })
}

// deliverJobs delivers what there is of the wanted jobs. It needs mu.
func (d *discoveries) deliverJobs(wanted func(*jobSources) bool) {
	if d.pending != nil {
		d.pending.Stop()
		d.pending = nil
	}
	if d.stopped {
		return
	}
	d.lastSent = time.Now()
	d.sent++
	found := d.found(wanted)
	clear(d.changed)
	for _, job := range found {
		d.counts[job.config.JobName] = job.count()
	}
	d.deliver(found, d.complete(d.lastSent))
}

// found is called with mu held. Every wanted job has an entry, if only to make its last targets go.
func (d *discoveries) found(wanted func(*jobSources) bool) []jobTargets {
	found := make([]jobTargets, 0, len(d.current.jobs))
	now := time.Now()
	for i := range d.current.jobs {
		job := &d.current.jobs[i]
		if !wanted(job) {
			continue
		}
		groups := []*targetgroup.Group{}
		for _, group := range job.static {
			if group != nil {
				groups = append(groups, group)
			}
		}
		groups = job.found(groups, now)
		found = append(found, jobTargets{job.config, d.filter.apply(groups)})
	}
	return found
}

// known returns what is found so far.
func (d *discoveries) known() []jobTargets {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.found(func(*jobSources) bool { return true })
}

// stop ends all discoverers that nobody else uses, and deliveries. It does not wait for a
// discoverer that is slow to end: nobody hears it any more.
func (d *discoveries) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopped = true
	d.leaveOthers(d.current.providers, nil)
	d.current = plan{}
	clear(d.counts)
	for _, timer := range []*time.Timer{d.pending, d.lapse} {
		if timer != nil {
			timer.Stop()
		}
	}
	d.pending, d.lapse = nil, nil
}

// addTo adds what these discoveries have found and done.
func (d *discoveries) addTo(t *discoveryTotals) {
	d.mu.Lock()
	defer d.mu.Unlock()
	updated := float64(d.lastSent.UnixMilli()) / 1e3
	for name, n := range d.counts {
		key := jobKey{d.instance, name}
		job := t.jobs[key]
		t.jobs[key] = discoveredJob{job.targets + n, max(job.updated, updated)}
	}
	t.failed += d.failed
	t.received += d.received
	t.sent += d.sent
}
