package scrape

import (
	"cmp"
	"slices"
	"time"

	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	promscrape "github.com/prometheus/prometheus/scrape"
)

// Outcome is what became of a discovered target.
type Outcome string

// The outcomes.
const (
	Kept      Outcome = "kept"
	Dropped   Outcome = "dropped"   // by relabelling
	Invalid   Outcome = "invalid"   // relabelling has made of it what can't be scraped
	Elsewhere Outcome = "elsewhere" // it belongs to another slice
)

// FoundJob is what the discoveries of a job have found.
type FoundJob struct {
	Job string
	// Kept, Dropped, Invalid and Elsewhere are how many targets have each outcome.
	Kept, Dropped, Invalid, Elsewhere int
	// Targets are nil unless they were asked for; the dropped ones are first.
	Targets []FoundTarget
}

// FoundTarget is a discovered target and what became of it.
type FoundTarget struct {
	Outcome Outcome
	// Before are the labels as discovered, After those that the target has; empty if it has none.
	Before, After labels.Labels
	// Rule is the relabelling rule that dropped it, nil if none did; Number counts the job's rules
	// from 1.
	Rule   *relabel.Config
	Number int
	// Err is why it is invalid.
	Err error
}

// Discovered tells what is discovered at the moment, by job, and in detail which rule has dropped
// which target. In detail it relabels everything again. Any goroutine may call it.
func (s *Scraper) Discovered(detail bool) []FoundJob {
	s.mu.Lock()
	part := s.slicing
	s.mu.Unlock()
	builder := labels.NewBuilder(labels.EmptyLabels())
	var jobs []FoundJob
	for _, found := range s.discoveries.known() {
		job := FoundJob{Job: found.config.JobName}
		for _, group := range found.groups {
			s.explainGroup(&job, group, found.config, part, builder, detail)
		}
		slices.SortStableFunc(job.Targets, func(a, b FoundTarget) int {
			return cmp.Or(cmp.Compare(rank(a.Outcome), rank(b.Outcome)), labels.Compare(a.Before, b.Before))
		})
		jobs = append(jobs, job)
	}
	slices.SortFunc(jobs, func(a, b FoundJob) int { return cmp.Compare(a.Job, b.Job) })
	return jobs
}

// rank orders outcomes by how much they surprise.
func rank(o Outcome) int { return slices.Index([]Outcome{Invalid, Dropped, Elsewhere, Kept}, o) }

func (s *Scraper) explainGroup(found *FoundJob, group *targetgroup.Group, config *promconfig.ScrapeConfig, part *slicing, builder *labels.Builder, detail bool) {
	for _, own := range group.Targets {
		after, err := promscrape.PopulateLabels(builder, config, own, group.Labels)
		target := FoundTarget{Outcome: Kept, Err: err}
		switch {
		case err != nil:
			target.Outcome = Invalid
			found.Invalid++
		case !hasPublic(after):
			target.Outcome = Dropped
			found.Dropped++
		case !s.isOurs(after, config, part):
			target.Outcome = Elsewhere
			found.Elsewhere++
		default:
			found.Kept++
		}
		if !detail {
			continue
		}
		promscrape.PopulateDiscoveredLabels(builder, config, own, group.Labels)
		target.Before = builder.Labels()
		if target.Outcome == Dropped {
			target.Rule, target.Number = dropper(builder, config.RelabelConfigs)
		}
		builder.Reset(labels.EmptyLabels())
		after.Range(func(l labels.Label) {
			if !isReserved(l.Name) {
				builder.Set(l.Name, l.Value)
			}
		})
		target.After = builder.Labels()
		found.Targets = append(found.Targets, target)
	}
}

// isOurs says whether a target is in this slice now or later.
func (s *Scraper) isOurs(ls labels.Labels, config *promconfig.ScrapeConfig, part *slicing) bool {
	if part.undivided() {
		return true
	}
	t := newTarget(ls, &job{config: config, options: &s.options}, nil, nil)
	ours, _ := part.divide([]*target{t}, time.Now())
	return len(ours) > 0
}

// dropper is the first of the rules that drops what the builder has.
func dropper(builder *labels.Builder, rules []*relabel.Config) (rule *relabel.Config, number int) {
	for i, rule := range rules {
		if !relabel.ProcessBuilder(builder, rule) {
			return rule, i + 1
		}
	}
	return nil, 0
}
