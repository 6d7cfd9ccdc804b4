package scrape

import (
	"cmp"
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
	// report all of its groups. Then those from before that it has not reported are gone. A group is
	// gone, too, if no discovery reports it for so long because each is refused before it does.
	freshAfter = inheritanceTime
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

// atLeast returns the larger of each number.
func (d discovered) atLeast(o discovered) discovered {
	return discovered{max(d.bytes, o.bytes), max(d.targets, o.targets)}
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

// put applies an update to one of the provider's sets, or refuses it as a whole: if it is too large,
// or if the discoveries of its config would then have found too much. An update that adds nothing is
// not refused for the latter. Only the goroutine that reads the updates calls it.
func (p *provider) put(into *groupSet, update []*targetgroup.Group) (changed bool, over *overBudget) {
	if m := p.payer(); m != nil {
		reported, after := into.with(update)
		if over := p.count(m.inForce(), into, reported, after); over != nil {
			return false, over
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return into.apply(update), nil
}

// count counts what a set will hold against the budget, unless that is too much.
func (p *provider) count(budget Budget, into *groupSet, reported, after discovered) *overBudget {
	p.shared.mu.Lock()
	defer p.shared.mu.Unlock()
	over := budget.discovered(reported)
	if over == nil && (after.bytes > into.size.bytes || after.targets > into.size.targets) {
		over = budget.discovered(after.plus(p.shared.foundByOthers(p)))
	}
	if over != nil {
		return over
	}
	into.size = after
	p.held = p.current.size
	if p.fresh != nil {
		p.held = p.held.atLeast(p.fresh.size)
	}
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
		for d = nil; d == nil; {
			if !pause(ctx, askAgainAfter) {
				return
			}
			var err error
			if d, err = p.create(); err != nil {
				p.log.Error("discovery could not be started again", slog.Any("err", err))
			}
		}
		p.fresh, p.freshSince = newGroupSet(), time.Time{}
	}
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
	// complete is when a discoverer that was started again has reported everything. One that reports
	// nothing, perhaps because its server is down, says nothing about the groups from before.
	var complete <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return false
		case <-complete:
			p.replace()
			complete = nil
		case groups, ok := <-updates:
			if !ok {
				if complete != nil {
					p.replace()
				}
				return false
			}
			if p.take(ctx, groups) != nil {
				return true
			}
			if complete == nil && p.fresh != nil {
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
	if p.fresh != nil {
		return p.collect(groups)
	}
	changed, over := p.put(p.current, groups)
	if over != nil {
		return p.refuse(over)
	}
	p.reported(changed)
	return nil
}

// collect applies an update of a discoverer that was started again. What it reports is scraped at
// once if there is room beside the groups from before.
func (p *provider) collect(groups []*targetgroup.Group) error {
	if p.freshSince.IsZero() {
		p.freshSince = time.Now()
	}
	if _, over := p.put(p.fresh, groups); over != nil {
		p.settle(groups, time.Now())
		return p.refuse(over)
	}
	changed, over := p.put(p.current, groups)
	if over != nil {
		changed = p.putEach(p.current, groups)
	}
	p.reported(changed)
	return nil
}

// refuse counts a refusal.
func (p *provider) refuse(over *overBudget) error {
	if m := p.payer(); m != nil {
		m.note(over, time.Now())
	}
	return over
}

// putEach applies the groups that fit.
func (p *provider) putEach(into *groupSet, groups []*targetgroup.Group) (changed bool) {
	for _, g := range groups {
		one, _ := p.put(into, []*targetgroup.Group{g})
		changed = changed || one
	}
	return changed
}

// fill applies what fits of each group, part of a group included: some discoveries report all of
// their targets as one group.
func (p *provider) fill(into *groupSet, groups []*targetgroup.Group) (changed bool) {
	for _, g := range groups {
		one, over := p.put(into, []*targetgroup.Group{g})
		if over != nil {
			one, _ = p.put(into, []*targetgroup.Group{p.cut(into, g)})
		}
		changed = changed || one
	}
	return changed
}

// cut returns the group with as many targets as the set has room for. These are the first by address, so
// that the same ones are chosen each time, whatever their order in the update.
func (p *provider) cut(into *groupSet, g *targetgroup.Group) *targetgroup.Group {
	m := p.payer()
	if m == nil {
		return g
	}
	budget := m.inForce()
	p.shared.mu.Lock()
	others := p.shared.foundByOthers(p)
	p.shared.mu.Unlock()
	_, size := into.with([]*targetgroup.Group{{Source: g.Source}})
	size = size.plus(others)
	common := sizeOfLabels(g.Labels)
	targets := slices.Clone(g.Targets)
	slices.SortStableFunc(targets, func(a, b model.LabelSet) int {
		return cmp.Compare(a[model.AddressLabel], b[model.AddressLabel])
	})
	for i, t := range targets {
		size = size.plus(discovered{bytes: bytesPerTarget + common + sizeOfLabels(t), targets: 1})
		if budget.discovered(size) != nil {
			targets = slices.Clone(targets[:i]) // so that the others' labels are not kept
			break
		}
	}
	if len(targets) == 0 {
		return &targetgroup.Group{Source: g.Source}
	}
	return &targetgroup.Group{Source: g.Source, Labels: g.Labels, Targets: targets}
}

// settle ends the collection when a discoverer that was started again has found too much, with the
// refused update. A group from before that was not reported may only have been late, so it stays
// while that was so for a short time, and new groups get the room that is left. The targets would
// otherwise change with each new start of a discoverer that reports its groups in any order.
func (p *provider) settle(refused []*targetgroup.Group, now time.Time) {
	var known, added []*targetgroup.Group
	heard := map[string]bool{}
	sort := func(g *targetgroup.Group) {
		heard[g.Source] = true
		if p.current.groups[g.Source] != nil {
			known = append(known, g)
		} else {
			added = append(added, g)
		}
	}
	for _, source := range slices.Sorted(maps.Keys(p.fresh.groups)) {
		sort(p.fresh.groups[source])
	}
	for _, g := range refused {
		if g != nil {
			sort(g)
		}
	}
	p.endFresh()
	changed := p.putEach(p.current, p.overdue(heard, now))
	changed = p.fill(p.current, known) || changed
	changed = p.fill(p.current, added) || changed
	if len(p.current.groups) > 0 {
		p.reported(changed)
	} else {
		p.tell(changed)
	}
}

// overdue returns an empty group for each that no start has reported for too long.
func (p *provider) overdue(heard map[string]bool, now time.Time) (gone []*targetgroup.Group) {
	missing := map[string]time.Time{}
	for source := range p.current.groups {
		if heard[source] {
			continue
		}
		since, before := p.missing[source]
		if !before {
			since = p.freshSince
		}
		missing[source] = since
		if now.Sub(since) >= freshAfter {
			gone = append(gone, &targetgroup.Group{Source: source})
		}
	}
	p.missing = missing
	return gone
}

// replace puts the groups that were reported since the new start in the place of those from before
// the refusal.
func (p *provider) replace() {
	p.mu.Lock()
	p.current = p.fresh
	p.mu.Unlock()
	p.missing = nil
	p.endFresh()
	p.tell(true)
}

// endFresh ends the collection beside the current groups.
func (p *provider) endFresh() {
	p.fresh = nil
	p.shared.mu.Lock()
	defer p.shared.mu.Unlock()
	p.held = p.current.size
}

// reported notes that the discoverer has reported, and tells all users.
func (p *provider) reported(changed bool) {
	p.mu.Lock()
	changed = changed || !p.ready
	p.ready = true
	p.mu.Unlock()
	p.tell(changed)
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
