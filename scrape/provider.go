package scrape

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/targetgroup"
)

// provider is one discoverer. Jobs with equal discovery configs share it, and so do the scrapers of
// one origin.
type provider struct {
	shared  *providers
	origin  string
	config  discovery.Config
	job     string // the first that wanted it: what it calls itself in logs and metrics
	log     *slog.Logger
	metrics discovery.DiscovererMetrics

	// Guarded by shared.mu.
	users  map[*discoveries]struct{}
	start  discovery.Discoverer // nil once it is running
	cancel context.CancelFunc   // nil until then
	held   discovered           // what it has found, as far as it counts against the budget

	// Only the goroutine that reads the updates uses these. fresh is what is found since a new start
	// that followed a refusal, nil while it is not collected. missing are the current groups that no
	// start has reported since that time, because each was refused, by source.
	fresh      *groupSet
	freshSince time.Time // its first update; zero: none yet
	missing    map[string]time.Time

	mu      sync.Mutex
	current *groupSet // what is scraped; only that goroutine changes it
	ready   bool      // has reported at least once
}

// providers are the discoverers of a process that have an origin. Each lives as long as somebody
// uses it.
type providers struct {
	// intercept is set before the first of them runs; nil: every update is passed on.
	intercept Intercept

	mu       sync.Mutex
	byOrigin map[string][]*provider
}

// join makes d a user of the origin's provider with this config, which may be a new one, not
// running yet. Each join is to be made good by one leave.
func (s *providers) join(d *discoveries, origin, job string, config discovery.Config) (*provider, error) {
	if p := s.known(d, origin, config); p != nil {
		return p, nil
	}
	name := config.Name()
	p := &provider{shared: s, origin: origin, config: config, job: job, log: d.log.With("discovery", name, "config", job),
		metrics: d.metrics.mechanisms.MechanismMetrics[name], users: map[*discoveries]struct{}{d: {}}, current: newGroupSet()}
	discoverer, err := p.create()
	if err != nil {
		return nil, fmt.Errorf("create %s discovery of job %q: %w", name, job, err)
	}
	p.start = discoverer
	d.metrics.useRefresh(name, job)
	if origin != "" {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.byOrigin[origin] = append(s.byOrigin[origin], p)
	}
	return p, nil
}

// create makes the discoverer, and bounds what it reads where its client can be found.
func (p *provider) create() (discovery.Discoverer, error) {
	d, err := p.config.NewDiscoverer(discovery.DiscovererOptions{Logger: p.log, Metrics: p.metrics, SetName: p.job})
	if err != nil {
		return nil, err
	}
	boundAnswers(d, p.payer)
	return d, nil
}

// known joins a provider that is there already. Two that were made at the same time are both good.
func (s *providers) known(d *discoveries, origin string, config discovery.Config) *provider {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := findProvider(s.byOrigin[origin], config)
	if p != nil {
		p.users[d] = struct{}{}
	}
	return p
}

func findProvider(in []*provider, config discovery.Config) *provider {
	for _, p := range in {
		if reflect.DeepEqual(p.config, config) {
			return p
		}
	}
	return nil
}

// payer is one of the users, whose budget bounds the next answer.
func (p *provider) payer() *meter {
	p.shared.mu.Lock()
	defer p.shared.mu.Unlock()
	for d := range p.users {
		return d.meter
	}
	return nil
}

// leave ends what join has begun. The last user's leave ends the discoverer.
func (p *provider) leave(d *discoveries) {
	p.shared.mu.Lock()
	defer p.shared.mu.Unlock()
	delete(p.users, d)
	if len(p.users) > 0 {
		return
	}
	p.shared.forget(p)
	if p.cancel != nil {
		p.cancel()
	}
	d.metrics.forgetRefresh(p.config.Name(), p.job)
}

// forget lets nobody else join. It needs mu.
func (s *providers) forget(p *provider) {
	left := slices.DeleteFunc(s.byOrigin[p.origin], func(other *provider) bool { return other == p })
	if len(left) == 0 {
		delete(s.byOrigin, p.origin)
	} else {
		s.byOrigin[p.origin] = left
	}
}

// run starts the provider unless it is running: the discoverer on one goroutine, its reader on another.
func (p *provider) run() {
	p.shared.mu.Lock()
	defer p.shared.mu.Unlock()
	if p.start == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	discoverer := p.start
	p.start = nil
	go func() {
		defer p.recoverPanic()
		p.follow(ctx, discoverer)
	}()
}

// recoverPanic tells all users. Who restarts gets another provider.
func (p *provider) recoverPanic() {
	v := recover()
	if v == nil {
		return
	}
	err := panicError(fmt.Sprintf("run %s discovery of job %q", p.config.Name(), p.job), v)
	p.shared.mu.Lock()
	p.shared.forget(p)
	users := slices.Collect(maps.Keys(p.users))
	p.shared.mu.Unlock()
	for _, d := range users {
		d.onPanic(err)
	}
}

// emptied is the groups, without targets if they are to be empty.
func emptied(groups []*targetgroup.Group, empty bool) []*targetgroup.Group {
	if !empty {
		return groups
	}
	var out []*targetgroup.Group
	for _, g := range groups {
		if g != nil {
			out = append(out, &targetgroup.Group{Source: g.Source})
		}
	}
	return out
}

// sameGroup reports whether two groups of one source say the same.
func sameGroup(a, b *targetgroup.Group) bool {
	return a.Labels.Equal(b.Labels) && slices.EqualFunc(a.Targets, b.Targets, model.LabelSet.Equal)
}

// found appends what there is now.
func (p *provider) found(groups []*targetgroup.Group) []*targetgroup.Group {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.AppendSeq(groups, maps.Values(p.current.groups))
}

// hasReported reports whether the discoverer has said anything.
func (p *provider) hasReported() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ready
}
