package scrape

import (
	"bytes"
	"compress/flate"
	"reflect"
	"time"

	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/series"
)

// relabelledSource is the source of a group whose targets are as relabelling left them. No
// discovery has one with a NUL in it.
const relabelledSource = "\x00carried"

// foundBy is what one discovery of a job has found.
type foundBy struct {
	config *promconfig.ScrapeConfig
	place  int
	groups []*targetgroup.Group
	until  time.Time
}

// forSuccessor returns what the discoveries have found that is worth carrying. What depends on the
// host is not.
func (d *discoveries) forSuccessor(now time.Time) (found []foundBy) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.filter != nil {
		return nil
	}
	for i := range d.current.jobs {
		job := &d.current.jobs[i]
		for place, p := range job.providers {
			f := foundBy{config: job.config, place: place, until: now.Add(carriedTime)}
			if before, ok := job.standsOn(p, now); ok {
				f.until = before.until
				f.groups = before.groups
			} else {
				f.groups = p.found(nil)
			}
			if len(f.groups) > 0 {
				found = append(found, f)
			}
		}
	}
	return found
}

// standOn lets discoveries that have not reported stand on what a scraper before has carried, if
// their job's config is the same.
func (d *discoveries) standOn(found []carriedTargets, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.filter != nil {
		return
	}
	for i := range d.current.jobs {
		job := &d.current.jobs[i]
		for _, f := range found {
			if f.job != job.config.JobName || f.discovery >= len(job.providers) || f.config != configDigest(job.config) {
				continue
			}
			p := job.providers[f.discovery]
			if p.hasReported() {
				continue
			}
			if job.inherited == nil {
				job.inherited = map[*provider]inheritance{}
			}
			until := now.Add(carriedTime)
			if f.until.Before(until) {
				until = f.until
			}
			job.inherited[p] = inheritance{append(job.inherited[p].groups, relabelledGroup(f.targets)), until}
		}
	}
	d.awaitInheritance(now)
}

func relabelledGroup(targets []labels.Labels) *targetgroup.Group {
	group := &targetgroup.Group{Source: relabelledSource}
	for _, ls := range targets {
		set := make(model.LabelSet, ls.Len())
		ls.Range(func(l labels.Label) { set[model.LabelName(l.Name)] = model.LabelValue(l.Value) })
		group.Targets = append(group.Targets, set)
	}
	return group
}

// relabelled makes the target of a relabelledGroup.
func relabelled(own model.LabelSet, j *job, builder *labels.Builder) *target {
	builder.Reset(labels.EmptyLabels())
	for name, v := range own {
		builder.Set(string(name), string(v))
	}
	return newTarget(builder.Labels(), j, own, nil)
}

// canBeTarget reports whether labels that come from elsewhere are those of a target.
func canBeTarget(ls labels.Labels) bool {
	interval, err := model.ParseDuration(ls.Get(model.ScrapeIntervalLabel))
	timeout, err2 := model.ParseDuration(ls.Get(model.ScrapeTimeoutLabel))
	return err == nil && err2 == nil && timeout > 0 && timeout <= interval && ls.Get(model.AddressLabel) != "" && hasPublic(ls)
}

// makesSameTargets reports whether two configs of a job make the same targets of what a discovery
// finds, intervals and timeouts aside.
func makesSameTargets(a, b *promconfig.ScrapeConfig) bool {
	type making struct{ path, scheme, params, relabelling any }
	of := func(c *promconfig.ScrapeConfig) making {
		return making{c.MetricsPath, c.Scheme, c.Params, c.RelabelConfigs}
	}
	return reflect.DeepEqual(of(a), of(b))
}

// adaptRelabelled makes groups of one config of a job those of another: carried targets get the new
// interval and timeout if they had those of the config before. They are left out if they can't be
// told from the new config, since it makes others of what is discovered.
func adaptRelabelled(groups []*targetgroup.Group, before, after *promconfig.ScrapeConfig) []*targetgroup.Group {
	same := makesSameTargets(before, after)
	if same && before.ScrapeInterval == after.ScrapeInterval && before.ScrapeTimeout == after.ScrapeTimeout {
		return groups
	}
	var adapted []*targetgroup.Group
	for _, g := range groups {
		switch {
		case g.Source != relabelledSource:
			adapted = append(adapted, g)
		case same:
			adapted = append(adapted, withTimes(g, before, after))
		}
	}
	return adapted
}

// withTimes is a relabelledGroup with the interval and the timeout of another config.
func withTimes(g *targetgroup.Group, before, after *promconfig.ScrapeConfig) *targetgroup.Group {
	adapted := &targetgroup.Group{Source: relabelledSource}
	for _, set := range g.Targets {
		set = set.Clone()
		if string(set[model.ScrapeIntervalLabel]) == before.ScrapeInterval.String() {
			set[model.ScrapeIntervalLabel] = model.LabelValue(after.ScrapeInterval.String())
		}
		if string(set[model.ScrapeTimeoutLabel]) == before.ScrapeTimeout.String() {
			set[model.ScrapeTimeoutLabel] = model.LabelValue(after.ScrapeTimeout.String())
		}
		interval, _ := model.ParseDuration(string(set[model.ScrapeIntervalLabel])) // both have been read before
		timeout, _ := model.ParseDuration(string(set[model.ScrapeTimeoutLabel]))
		if timeout <= interval {
			adapted.Targets = append(adapted.Targets, set)
		}
	}
	return adapted
}

// carry collects what a successor is told beside ticks. No scrape is running.
func (s *Scraper) carry(found []foundBy, ended []endingLoop, how StopMode) *carried {
	if how == EndSeries || how == Fence {
		return nil
	}
	c := &carried{}
	s.carryTargets(c, found)
	if s.options.Book == nil {
		return c
	}
	for _, e := range ended {
		if e.why != ofMovedTarget {
			if open := e.carriedSeries(s.options.Book); len(open.open) > 0 {
				c.series = append(c.series, open)
			}
		}
	}
	return c
}

func (s *Scraper) carryTargets(c *carried, found []foundBy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range found {
		p := s.pools[f.config.JobName]
		config := configDigest(f.config)
		if p == nil || config == 0 {
			continue
		}
		t := carriedTargets{job: f.config.JobName, config: config, discovery: f.place, until: f.until}
		for _, group := range f.groups {
			ours, _ := s.slicing.divide(p.built[group].targets, s.options.Shared.now())
			for _, one := range ours {
				t.targets = append(t.targets, one.labels)
			}
		}
		if len(t.targets) > 0 {
			c.found = append(c.found, t)
		}
	}
}

// carriedSeries returns the open series of a loop that has ended.
func (l *loop) carriedSeries(book *series.Book) (s carriedSeries) {
	open, last := l.openSeries()
	l.mu.Lock()
	defer l.mu.Unlock()
	s.target, s.last = l.target.id, last
	plain := len(open)
	for _, report := range l.cache.reports {
		if report != 0 {
			plain--
		}
	}
	for _, o := range open[:max(plain, 0)] {
		s.open = append(s.open, carriedOne{labels: book.Encoded(series.Ref(o.ref)), kind: o.report})
	}
	if last.IsZero() {
		return s
	}
	for i, report := range l.cache.reports {
		if report != 0 {
			s.open = append(s.open, carriedOne{labels: book.Encoded(series.Ref(report)), kind: reportSeriesItself + byte(i) + 1})
		}
	}
	return s
}

// pack packs what is carried, as far as there is room.
func (s *Scraper) pack(c *carried) []byte {
	if c == nil || len(c.found)+len(c.series) == 0 {
		return nil
	}
	shared := s.options.Shared
	w, ok := shared.deflaters.Get().(*flate.Writer)
	if !ok {
		w, _ = flate.NewWriter(nil, flate.DefaultCompression) // the level is valid
	}
	defer shared.deflaters.Put(w)
	packed, targets, open := c.pack(w, shared.carrying.left(time.Now()))
	w.Reset(nil)
	shared.carrying.spend(len(packed))
	if targets+open > 0 {
		s.options.Metrics.loops.notCarried.Add(float64(targets + open))
		s.log.Info("handover has no room for all targets and open series",
			zap.Int("targets_left_out", targets), zap.Int("series_left_out", open))
	}
	return bytes.Clone(packed)
}

// leftSeries are open series of one target that the scraper before had. Their references are held.
type leftSeries struct {
	open    []openSeries
	reports [reportCount]storage.SeriesRef
	last    time.Time
}

// takeOver takes in what the scraper before has carried.
func (s *Scraper) takeOver() {
	s.mu.Lock()
	c, useful := s.carried, s.resume.useful(time.Now())
	s.carried = nil
	s.mu.Unlock()
	if c == nil || !useful {
		return
	}
	s.discoveries.standOn(c.found, time.Now()) // whose lock comes first
	if s.options.Book == nil || len(c.series) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = map[uint64]leftSeries{}
	for _, carried := range c.series {
		left := s.left[carried.target]
		left.last = later(left.last, carried.last)
		for _, one := range carried.open {
			left.add(s.options.Book, one)
		}
		s.left[carried.target] = left
	}
	s.leftEnd = time.AfterFunc(inheritanceTime, s.endLeft)
}

// add holds one more open series, once.
func (l *leftSeries) add(book *series.Book, one carriedOne) {
	ref := storage.SeriesRef(book.AcquireEncoded(one.labels))
	if one.kind > reportSeriesItself {
		place := one.kind - reportSeriesItself - 1
		if l.reports[place] != 0 {
			book.Release(series.Ref(ref))
			return
		}
		l.reports[place] = ref
		return
	}
	l.open = append(l.open, openSeries{ref: ref, report: one.kind})
}

// inherit makes the open series of the scraper before those of a loop that is new.
func (l *loop) inherit(left leftSeries) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = left.last
	for i, ref := range left.reports {
		if ref != 0 && (l.job == nil || reportSeries[i].extra && !l.job.extraMetrics()) {
			left.open = append(left.open, openSeries{ref: ref})
			left.reports[i] = 0
		}
	}
	l.cache.orphans, l.cache.reports = left.open, left.reports
}

// leaveToOthers forgets open series of targets that are of other slices, where they go on: the
// scraper before may have had fewer. It needs mu.
func (s *Scraper) leaveToOthers(targets []*target, others map[uint64]struct{}) {
	if len(s.left) == 0 || len(others) == 0 {
		return
	}
	for _, t := range targets {
		left, ok := s.left[t.id]
		if _, other := others[t.kin()]; ok && other {
			delete(s.left, t.id)
			s.endedWith(t.id, left).retire()
		}
	}
}

// endedWith is a loop that has ended with the open series of the scraper before.
func (s *Scraper) endedWith(id uint64, left leftSeries) *loop {
	l := &loop{scraper: s, target: &target{id: id}, cache: newCache(s.options.Book)}
	l.alarm.loop = l
	l.inherit(left)
	return l
}

// takeLeft returns what no loop has taken over, as loops that have ended. It needs mu.
func (s *Scraper) takeLeft() (ended []endingLoop) {
	if s.leftEnd != nil {
		s.leftEnd.Stop()
	}
	for id, left := range s.left {
		ended = append(ended, endingLoop{loop: s.endedWith(id, left), why: ofUnknownTarget})
	}
	s.left = nil
	return ended
}

// endLeft ends the series of targets that the scraper before had, and that were not found again.
func (s *Scraper) endLeft() {
	defer func() {
		if v := recover(); v != nil {
			s.reportPanic(panicError("end series of the scraper before", v))
		}
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLeftLater(s.options.Shared.now())
}

// endLeftLater ends them when each target that is there has been scraped: a target that has another
// interval now is not the one that was carried, but has its series. It needs mu.
func (s *Scraper) endLeftLater(now time.Time) {
	if s.ended || len(s.left) == 0 {
		return
	}
	longest := time.Duration(0)
	for _, p := range s.pools {
		for _, l := range p.loops {
			longest = max(longest, l.target.interval)
		}
	}
	for _, e := range s.takeLeft() {
		s.endAt(e.loop, nil, ofRemovedTarget, now, 2*longest+longest/10)
	}
}
