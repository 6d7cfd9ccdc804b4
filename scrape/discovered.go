package scrape

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/targetgroup"
)

const (
	// bytesPerLabel and bytesPerTarget are about what a label and a target take besides the text of
	// the labels.
	bytesPerLabel, bytesPerTarget = 32, 64
	// askAgainAfter is how long the agent waits after a refusal before it starts the discovery again.
	askAgainAfter = time.Minute
	// freshAfter is how long a discovery that was started again has, from its first update on, to
	// report all of its groups. Then these replace the groups from before the refusal.
	freshAfter = time.Minute
)

// groupSet is a set of groups by source.
type groupSet struct {
	groups map[string]*targetgroup.Group // one that is reported again without a change stays the same
	size   discovered
}

func newGroupSet() *groupSet { return &groupSet{groups: map[string]*targetgroup.Group{}} }

// discovered is how much a discovery has found.
type discovered struct {
	bytes, targets int64
}

func (d discovered) plus(o discovered) discovered {
	return discovered{d.bytes + o.bytes, d.targets + o.targets}
}

func (d discovered) minus(o discovered) discovered {
	return discovered{d.bytes - o.bytes, d.targets - o.targets}
}

// sizeOf is what a group takes once its targets are built: each of them has the group's labels, too.
func sizeOf(g *targetgroup.Group) discovered {
	n := int64(len(g.Targets))
	size := discovered{bytes: sizeOfLabels(g.Labels) * max(n, 1), targets: n}
	for _, t := range g.Targets {
		size.bytes += bytesPerTarget + sizeOfLabels(t)
	}
	return size
}

func sizeOfLabels(ls model.LabelSet) (bytes int64) {
	for name, value := range ls {
		bytes += bytesPerLabel + int64(len(name)+len(value))
	}
	return bytes
}

// with returns the size of the update itself, and that of the set once the update is applied.
func (s *groupSet) with(update []*targetgroup.Group) (reported, after discovered) {
	after = s.size
	latest := map[string]discovered{} // an update may name a source twice
	for _, g := range update {
		if g == nil {
			continue
		}
		before, again := latest[g.Source]
		if held := s.groups[g.Source]; !again && held != nil {
			before = sizeOf(held)
		}
		size := sizeOf(g)
		reported = reported.plus(size)
		if len(g.Targets) == 0 { // the source is gone
			size = discovered{}
		}
		latest[g.Source] = size
		after = after.plus(size).minus(before)
	}
	return reported, after
}

// apply replaces the group of each source. An empty group removes it.
func (s *groupSet) apply(update []*targetgroup.Group) (changed bool) {
	for _, group := range update {
		if group == nil { // some discoverers do that
			continue
		}
		switch before, known := s.groups[group.Source]; {
		case len(group.Targets) > 0 && (!known || !sameGroup(before, group)):
			s.groups[group.Source] = group
			changed = true
		case len(group.Targets) == 0 && known:
			delete(s.groups, group.Source)
			changed = true
		}
	}
	return changed
}

// admit refuses an update if it is too large, or if the discoveries of its config would then have
// found too much. An update that adds nothing is not refused for the latter. Only the goroutine
// that reads the updates calls it.
func (p *provider) admit(update []*targetgroup.Group) error {
	m := p.payer()
	if m == nil {
		return nil
	}
	p.mu.Lock()
	into := p.current
	if p.fresh != nil {
		into = p.fresh
	}
	p.mu.Unlock()
	before := into.size
	reported, after := into.with(update)
	budget := m.inForce()
	p.shared.mu.Lock()
	others := p.shared.foundByOthers(p)
	over := budget.discovered(reported)
	if over == nil && (after.bytes > before.bytes || after.targets > before.targets) {
		over = budget.discovered(after.plus(others))
	}
	if over == nil {
		p.held = after
	}
	p.shared.mu.Unlock()
	if over != nil {
		m.note(over, time.Now())
		return over
	}
	into.size = after
	return nil
}

// foundByOthers is what the other discoveries of the same config have found. It needs mu.
func (s *providers) foundByOthers(p *provider) (sum discovered) {
	if p.origin == "" {
		return sum
	}
	for _, other := range s.byOrigin[p.origin] {
		if other != p {
			sum = sum.plus(other.held)
		}
	}
	return sum
}

// discovered says whether discoveries may find this much.
func (b Budget) discovered(d discovered) *overBudget {
	switch {
	case b.DiscoveredTargets > 0 && d.targets > int64(b.DiscoveredTargets):
		return exceeded(overDiscoveredTargets, "service discovery has found %d targets, %d are allowed",
			d.targets, b.DiscoveredTargets)
	case b.DiscoveredBytes > 0 && d.bytes > b.DiscoveredBytes:
		return exceeded(overDiscoveredBytes,
			"the labels of the targets that service discovery has found take %d bytes, %d are allowed", d.bytes, b.DiscoveredBytes)
	}
	return nil
}

// follow runs the discoverer until ctx is over. If an update is refused, it ends the discoverer and
// makes another one later: many discoverers report a group only when it has changed, so the refused
// update would be missing for ever.
func (p *provider) follow(ctx context.Context, d discovery.Discoverer) {
	for p.hear(ctx, d) {
		p.giveUpFresh()
		for d = nil; d == nil; {
			if !pause(ctx, askAgainAfter) {
				return
			}
			var err error
			if d, err = p.create(); err != nil {
				p.log.Error("discovery could not be started again", slog.Any("err", err))
			}
		}
		p.mu.Lock()
		if p.ready {
			p.fresh = newGroupSet()
		}
		p.mu.Unlock()
	}
}

// giveUpFresh forgets what a discoverer has reported that was then refused.
func (p *provider) giveUpFresh() {
	p.mu.Lock()
	p.fresh = nil
	kept := p.current.size
	p.mu.Unlock()
	p.shared.mu.Lock()
	defer p.shared.mu.Unlock()
	p.held = kept
}

// pause reports whether that long has passed before ctx was over.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// hear runs a discoverer and applies its updates. It returns when ctx is over, when the discoverer
// has ended, or when an update was refused, which it reports.
func (p *provider) hear(ctx context.Context, d discovery.Discoverer) (refused bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	updates := make(chan []*targetgroup.Group)
	go func() {
		defer p.recoverPanic()
		d.Run(ctx, updates)
	}()
	var complete <-chan time.Time // when a discoverer that was started again has reported everything
	for {
		select {
		case <-ctx.Done():
			return false
		case <-complete:
			p.replace()
			complete = nil
		case groups, ok := <-updates:
			if !ok {
				if p.isFresh() {
					p.replace()
				}
				return false
			}
			if p.take(ctx, groups) != nil {
				return true
			}
			if complete == nil && p.isFresh() {
				complete = time.After(freshAfter)
			}
		}
	}
}

// take passes an update on, unless a fault on purpose changes it.
func (p *provider) take(ctx context.Context, groups []*targetgroup.Group) (err error) {
	f := p.shared.intercept
	if f == nil {
		return p.update(groups)
	}
	f(ctx, p.config.Name(), func(empty bool) {
		if failed := p.update(emptied(groups, empty)); failed != nil {
			err = failed
		}
	})
	return err
}

// update applies an update of the discoverer, or refuses it as a whole.
func (p *provider) update(groups []*targetgroup.Group) error {
	if err := p.admit(groups); err != nil {
		return err
	}
	p.mu.Lock()
	changed := !p.ready
	if p.fresh != nil {
		p.fresh.apply(groups)
	} else if p.current.apply(groups) {
		changed = true
	}
	p.ready = true
	p.mu.Unlock()
	p.tell(changed)
	return nil
}

// isFresh reports whether the groups are collected beside those from before a refusal.
func (p *provider) isFresh() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fresh != nil
}

// replace puts the groups that were reported since the new start in the place of those from before
// the refusal.
func (p *provider) replace() {
	p.mu.Lock()
	p.current, p.fresh = p.fresh, nil
	p.mu.Unlock()
	p.tell(true)
}

// tell tells all users that the discoverer has reported.
func (p *provider) tell(changed bool) {
	p.shared.mu.Lock()
	users := slices.Collect(maps.Keys(p.users))
	p.shared.mu.Unlock()
	for _, d := range users {
		d.heard(p, changed)
	}
}
