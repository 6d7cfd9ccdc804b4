package scrape

import (
	"cmp"
	"slices"
	"time"

	"github.com/prometheus/common/model"
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
}

// Metadata is what a target says about one of its metrics. A plain value.
type Metadata struct {
	Family, Help, Unit string
	Type               model.MetricType
}

// Targets returns the active targets, sorted by job and URL. Until scraping starts they are what discovery has found so far, all
// of them unknown; after Stop there are none. While a reload or a stop waits for a running scrape, it returns what was before. Never
// blocks for long; any goroutine may call it.
func (s *Scraper) Targets() []Target {
	if !s.busy.TryRLock() {
		return s.snapshot.Load().targets
	}
	defer s.busy.RUnlock()
	return s.describe().targets
}

// DroppedTargets counts the discovered targets that relabelling dropped. Before Start it is 0. As Targets in everything else.
func (s *Scraper) DroppedTargets() int {
	if !s.busy.TryRLock() {
		return s.snapshot.Load().dropped
	}
	defer s.busy.RUnlock()
	return s.describe().dropped
}

// Metadata returns the distinct metadata of the active targets' metrics, sorted: remote write 1.0 sends them on a timer. While a
// reload or a stop waits for a running scrape, there are none. Never blocks for long; any goroutine may call it.
func (s *Scraper) Metadata() []Metadata {
	if !s.busy.TryRLock() {
		return nil
	}
	defer s.busy.RUnlock()
	seen := map[Metadata]struct{}{}
	all := []Metadata{}
	for _, targets := range s.manager.TargetsActive() {
		for _, target := range targets {
			for _, m := range target.ListMetadata() {
				metadata := Metadata{Family: m.MetricFamily, Help: m.Help, Unit: m.Unit, Type: m.Type}
				if _, known := seen[metadata]; !known {
					seen[metadata] = struct{}{}
					all = append(all, metadata)
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b Metadata) int {
		return cmp.Or(cmp.Compare(a.Family, b.Family), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Help, b.Help), cmp.Compare(a.Unit, b.Unit))
	})
	return all
}

// description is what is shown of a scraper.
type description struct {
	targets []Target
	dropped int
}

// describe asks the manager, which may hold its lock for long: call it with busy held.
func (s *Scraper) describe() description {
	d := description{targets: []Target{}}
	builder := labels.NewBuilder(labels.EmptyLabels())
	if active := s.manager.TargetsActive(); len(active) > 0 {
		for job, targets := range active {
			for _, target := range targets {
				d.targets = append(d.targets, describeTarget(job, target, builder))
			}
		}
		for _, n := range s.manager.TargetsDroppedCounts() {
			d.dropped += n
		}
	} else {
		for _, job := range s.discoveries.known() {
			d.targets = append(d.targets, futureTargets(job, builder)...)
		}
	}
	slices.SortFunc(d.targets, func(a, b Target) int {
		return cmp.Or(cmp.Compare(a.Job, b.Job), cmp.Compare(a.URL, b.URL), labels.Compare(a.Labels, b.Labels))
	})
	return d
}

// futureTargets are the targets that the manager will make of what is discovered. Groups whose targets can't be built are left
// out: the manager logs them once it runs.
func futureTargets(job jobTargets, builder *labels.Builder) []Target {
	var found []Target
	for _, group := range job.groups {
		targets, _ := promscrape.TargetsFromGroup(group, job.config, nil, builder)
		for _, target := range targets {
			described := describeTarget(job.config.JobName, target, builder)
			if !described.Labels.IsEmpty() {
				found = append(found, described)
			}
		}
	}
	return found
}

func describeTarget(job string, t *promscrape.Target, builder *labels.Builder) Target {
	described := Target{
		Job:              job,
		State:            State(t.Health()),
		Labels:           t.Labels(builder),
		DiscoveredLabels: t.DiscoveredLabels(builder),
		URL:              t.URL().String(),
		LastScrape:       t.LastScrape(),
		LastDuration:     t.LastScrapeDuration(),
	}
	if err := t.LastError(); err != nil {
		described.LastError = err.Error()
	}
	return described
}
