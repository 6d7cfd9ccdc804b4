package scrape

import (
	"slices"
	"time"

	"github.com/prometheus/prometheus/discovery/targetgroup"
)

// inheritanceTime bounds how long what the discovery before has found stands in for what a changed
// one has not said yet.
const inheritanceTime = 5 * time.Minute

// inheritance is what the discovery before has found.
type inheritance struct {
	groups []*targetgroup.Group
	until  time.Time
}

// found appends the groups of the job's discoveries.
func (s *jobSources) found(groups []*targetgroup.Group, now time.Time) []*targetgroup.Group {
	for _, p := range s.providers {
		if before, ok := s.standsOn(p, now); ok {
			groups = append(groups, before.groups...)
			continue
		}
		groups = p.found(groups)
	}
	return groups
}

// standsOn returns what a provider has inherited, if that still stands in for it.
func (s *jobSources) standsOn(p *provider, now time.Time) (before inheritance, ok bool) {
	before, ok = s.inherited[p]
	return before, ok && !p.hasReported() && now.Before(before.until)
}

// inherit lets each provider that is new, and has not reported, stand on what one of the same kind
// has found that the job no longer has.
func (s *jobSources) inherit(before *jobSources, now time.Time) {
	s.inherited = map[*provider]inheritance{}
	usable := func(i inheritance) inheritance {
		i.groups = adaptRelabelled(i.groups, before.config, s.config)
		return i
	}
	gone := slices.Clone(before.providers)
	for _, p := range s.providers {
		if i := slices.Index(gone, p); i >= 0 {
			gone = slices.Delete(gone, i, i+1)
			if kept, ok := before.inherited[p]; ok {
				s.inherited[p] = usable(kept)
			}
		}
	}
	for _, p := range s.providers {
		i := slices.IndexFunc(gone, func(old *provider) bool { return old.config.Name() == p.config.Name() })
		if slices.Contains(before.providers, p) || i < 0 || p.hasReported() {
			continue
		}
		old := &jobSources{providers: gone[i : i+1], inherited: before.inherited}
		s.inherited[p] = usable(inheritance{old.found(nil, now), now.Add(inheritanceTime)})
		gone = slices.Delete(gone, i, i+1)
	}
}

// awaitInheritance sets the timer for the first inheritance that will be over. It needs mu.
func (d *discoveries) awaitInheritance(now time.Time) {
	if d.lapse != nil {
		d.lapse.Stop()
		d.lapse = nil
	}
	var first time.Time
	for i := range d.current.jobs {
		job := &d.current.jobs[i]
		for p := range job.inherited {
			if before, ok := job.standsOn(p, now); ok {
				first = earliest(first, before.until)
			}
		}
	}
	if !first.IsZero() {
		d.lapse = time.AfterFunc(first.Sub(now), d.endInheritance)
	}
}

// endInheritance delivers again when one is over.
func (d *discoveries) endInheritance() {
	defer d.recoverPanic("end what a changed discovery stands on")
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for i := range d.current.jobs {
		job := &d.current.jobs[i]
		for p := range job.inherited {
			if _, stands := job.standsOn(p, now); !stands {
				d.changed[p] = struct{}{}
			}
		}
	}
	d.schedule()
	d.awaitInheritance(now)
}

// complete reports whether every discovery has reported, or has stood on another's targets for as
// long as it may. It needs mu.
func (d *discoveries) complete(now time.Time) bool {
	for i := range d.current.jobs {
		job := &d.current.jobs[i]
		for _, p := range job.providers {
			before, inherits := job.inherited[p]
			over := inherits && !now.Before(before.until)
			if !p.hasReported() && !over {
				return false
			}
		}
	}
	return true
}
