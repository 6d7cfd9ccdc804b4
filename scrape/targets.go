package scrape

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	promscrape "github.com/prometheus/prometheus/scrape"
)

// State is what the last scrape of a target said about it.
type State string

// The states of a target. A target is unknown until its first scrape has ended.
const (
	StateUp      State = "up"
	StateDown    State = "down"
	StateUnknown State = "unknown"
)

// Target is one endpoint that is scraped, or will be once scraping starts. A plain value.
type Target struct {
	Job              string        // the scrape config's job_name, whatever relabelling made of the job label
	State            State         //
	Labels           labels.Labels // what its series carry: after relabelling, without the reserved ones
	DiscoveredLabels labels.Labels // before relabelling
	URL              string        // of the scrape, with parameters
	LastScrape       time.Time     // start of the last scrape; zero before the first
	LastDuration     time.Duration // of the last scrape
	LastError        string        // of the last scrape; empty if it went well
	Samples          int           // of the last scrape, before relabelling
	ID               uint64        // by which Glance finds it; of labels and URL
	Refused          string        // the first series of the last scrape that was refused, as the target wrote it, and why; empty: none was
}

// Metadata is what a target says about one of its metrics. A plain value.
type Metadata struct {
	Family, Help, Unit string
	Type               model.MetricType
}

// States counts the targets that are scraped by state; those before the first scrape are unknown.
// Any goroutine may call it.
func (s *Scraper) States() map[State]int {
	counts := map[State]int{}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pools {
		for _, l := range p.loops {
			counts[l.currentState()]++
		}
	}
	return counts
}

// Counts is how many of Targets are in each state. It describes none of those that are scraped.
// Any goroutine may call it.
func (s *Scraper) Counts() map[State]int {
	if s.started.Load() {
		return s.States()
	}
	return map[State]int{StateUnknown: len(s.Targets())}
}

// Targets returns the active targets, sorted by job and URL. Until scraping starts they are what
// discovery has found so far, all of them unknown; after Stop there are none. Never blocks for
// long; any goroutine may call it.
func (s *Scraper) Targets() []Target {
	builder := labels.NewBuilder(labels.EmptyLabels())
	targets := []Target{}
	if s.started.Load() {
		s.mu.Lock()
		for _, p := range s.pools {
			for _, l := range p.loops {
				targets = append(targets, l.describe(p.job.config, builder))
			}
		}
		s.mu.Unlock()
	} else {
		s.mu.Lock()
		part := s.slicing
		s.mu.Unlock()
		for _, found := range s.discoveries.known() {
			targets = append(targets, s.future(found, part, builder)...)
		}
	}
	slices.SortFunc(targets, func(a, b Target) int {
		return cmp.Or(cmp.Compare(a.Job, b.Job), cmp.Compare(a.URL, b.URL), labels.Compare(a.Labels, b.Labels))
	})
	return targets
}

// future are the targets that will be scraped. Those that can't be built are left out: they are
// logged once scraping starts.
func (s *Scraper) future(found jobTargets, part *slicing, builder *labels.Builder) []Target {
	var described []Target
	for _, group := range found.groups {
		targets, _, _ := targetsOf(group, &job{config: found.config, options: &s.options}, builder)
		ours, _ := part.divide(targets, time.Now())
		for _, t := range ours {
			described = append(described, describe(found.config, t, t.own, t.group, builder))
		}
	}
	return described
}

// describe fills in what does not depend on scrapes.
func describe(config *promconfig.ScrapeConfig, t *target, own, group model.LabelSet, builder *labels.Builder) Target {
	promscrape.PopulateDiscoveredLabels(builder, config, own, group)
	described := Target{ID: t.id, Job: config.JobName, State: StateUnknown, DiscoveredLabels: builder.Labels(), URL: t.address()}
	builder.Reset(labels.EmptyLabels())
	t.labels.Range(func(l labels.Label) {
		if !isReserved(l.Name) {
			builder.Set(l.Name, l.Value)
		}
	})
	described.Labels = builder.Labels()
	return described
}

// DroppedTargets counts the discovered targets that relabelling dropped. Before Start and after
// Stop it is 0. Never blocks for long; any goroutine may call it.
func (s *Scraper) DroppedTargets() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pools {
		n += p.dropped
	}
	return n
}

// Metadata returns the distinct metadata of the active targets' metrics, sorted: remote write 1.0
// sends them on a timer. Never blocks for long; any goroutine may call it.
func (s *Scraper) Metadata() []Metadata {
	seen := map[Metadata]struct{}{}
	for _, fs := range s.allFamilies() {
		fs.list(func(m Metadata) { seen[m] = struct{}{} })
	}
	return slices.SortedFunc(maps.Keys(seen), func(a, b Metadata) int {
		return cmp.Or(cmp.Compare(a.Family, b.Family), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Help, b.Help), cmp.Compare(a.Unit, b.Unit))
	})
}

func (s *Scraper) allFamilies() []*families {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*families
	for _, p := range s.pools {
		for _, l := range p.loops {
			l.mu.Lock()
			all = append(all, &l.cache.families)
			l.mu.Unlock()
		}
	}
	return all
}

// LastTicks returns the last tick of each target that this scraper has committed, also after Stop.
// Any goroutine may call it.
func (s *Scraper) LastTicks() []Tick {
	s.mu.Lock()
	defer s.mu.Unlock()
	ticks := slices.Clone(s.stoppedAt)
	for _, p := range s.pools {
		for _, l := range p.loops {
			ticks = appendTick(ticks, l)
		}
	}
	return ticks
}

func appendTick(ticks []Tick, l *loop) []Tick {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.committed.Interval == 0 {
		return ticks
	}
	return append(ticks, l.committed)
}
