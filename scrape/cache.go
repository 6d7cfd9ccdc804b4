package scrape

import (
	"slices"
	"sync"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/storage"
)

// Metadata of a family is kept for so many scrapes after it was last seen.
const metadataScrapes = 10

// series is what is remembered of one series as a target writes it.
type series struct {
	raw      string
	labels   labels.Labels // after relabelling; empty: it is dropped
	ref      storage.SeriesRef
	seen     uint32 // scrape it was last in
	tracked  uint32 // scrape after which it ends with a staleness marker unless the next one has it
	position uint32 // in cache.current, or cache.previous after the scrape
}

// cache maps what a target writes to series, and knows which series are open. It belongs to the goroutine that scrapes, except
// for the metadata.
//
// A target nearly always writes the same series in the same order, so the list of the scrape before is tried before the map.
type cache struct {
	scrape     uint32 // number of the current one, from 1
	series     map[string]*series
	touched    int // series seen in the current scrape
	previous   []*series
	current    []*series
	next       int  // index in previous that is expected next
	done       bool // the current scrape is complete, but for its commit
	text       bool // the last body that was parsed was in Prometheus' text format
	successful int  // entries after the last scrape that went well
	orphans    []openSeries
	moved      *moved
	reports    [reportCount]openSeries

	families families
}

// openSeries is a series that has samples, and no staleness marker yet.
type openSeries struct {
	ref    storage.SeriesRef
	labels labels.Labels
}

func newCache() *cache {
	return &cache{scrape: 1, series: map[string]*series{}, families: families{byName: map[string]*family{}}}
}

// successor is an empty cache, for other relabelling, whose first scrape ends the series that it does not have any more.
func (c *cache) successor(extraReports bool) *cache {
	s := newCache()
	s.orphans = c.open()
	for i := range c.reports {
		if reportSeries[i].extra && !extraReports && c.reports[i].ref != 0 {
			s.orphans = append(s.orphans, c.reports[i])
		}
	}
	return s
}

// begin starts a scrape, if the last one did not come to its commit.
func (c *cache) begin() {
	if c.done {
		c.rotate()
	}
}

// rotate makes the current scrape the previous one.
func (c *cache) rotate() {
	c.previous, c.current = c.current, c.previous
	clear(c.current)
	c.current = c.current[:0]
	c.orphans, c.moved = nil, nil
	c.scrape++
	c.next, c.touched, c.done = 0, 0, false
}

// get returns what is known of a series, nil if nothing, and whether it was in the current scrape already.
func (c *cache) get(raw []byte) (s *series, repeated bool) {
	if c.next < len(c.previous) && c.previous[c.next].raw == string(raw) {
		s = c.previous[c.next]
		c.next++
	} else {
		if s = c.series[string(raw)]; s == nil {
			return nil, false
		}
		if i := int(s.position); i < len(c.previous) && c.previous[i] == s {
			c.next = i + 1
		}
	}
	if s.seen == c.scrape {
		return s, true
	}
	c.touch(s)
	return s, false
}

func (c *cache) touch(s *series) {
	s.seen, s.position = c.scrape, uint32(len(c.current))
	c.current = append(c.current, s)
	c.touched++
}

// add remembers a series. Without labels it is one to drop.
func (c *cache) add(raw []byte, ref storage.SeriesRef, ls labels.Labels) *series {
	s := &series{raw: string(raw), labels: ls, ref: ref}
	c.series[s.raw] = s
	c.touch(s)
	return s
}

// track lets a series end when the next scrape lacks it.
func (c *cache) track(s *series) { s.tracked = c.scrape }

// moved is what is needed when the storage gives known series new references. Nearly always that is nothing.
type moved struct {
	owners map[storage.SeriesRef]*series // of the previous scrape: of several raw series that are one, the last
	gone   map[storage.SeriesRef]struct{}
}

// move gives a series another reference. Of several raw series that are one, the last decides whether the old reference is still tracked.
func (c *cache) move(s *series, ref storage.SeriesRef) {
	if c.moved == nil {
		c.moved = &moved{owners: map[storage.SeriesRef]*series{}, gone: map[storage.SeriesRef]struct{}{}}
		for _, p := range c.previous {
			if p.tracked == c.scrape-1 {
				c.moved.owners[p.ref] = p
			}
		}
	}
	if c.moved.owners[s.ref] == s {
		c.moved.gone[s.ref] = struct{}{}
	} else if s.tracked == c.scrape-1 {
		s.tracked = 0
	}
	s.ref = ref
}

func (m *moved) has(ref storage.SeriesRef) bool {
	if m == nil {
		return false
	}
	_, found := m.gone[ref]
	return found
}

// ended returns the series that were tracked in the previous scrape and are not in this one. Several raw series may be one
// series, which has not ended while one of them is there. Orphans of an earlier config end with the first scrape that commits no
// samples, also if they were in the part of its body that could be read.
func (c *cache) ended(withoutSamples bool) []openSeries {
	var orphans, gone []openSeries
	if withoutSamples {
		orphans = c.orphans
	} else {
		gone = slices.Clone(c.orphans)
	}
	for _, s := range c.previous {
		if s.tracked == c.scrape-1 && !c.moved.has(s.ref) {
			gone = append(gone, openSeries{s.ref, s.labels})
		}
	}
	if len(gone) == 0 {
		return orphans
	}
	here := make(map[storage.SeriesRef]struct{}, len(c.current)+len(gone))
	for _, s := range c.current {
		if s.tracked == c.scrape {
			here[s.ref] = struct{}{}
		}
	}
	for _, o := range orphans {
		here[o.ref] = struct{}{}
	}
	return append(slices.DeleteFunc(gone, func(o openSeries) bool {
		_, found := here[o.ref]
		here[o.ref] = struct{}{}
		return found
	}), orphans...)
}

// open returns the tracked series of the last committed scrape, without the reports.
func (c *cache) open() []openSeries {
	open := slices.Clone(c.orphans)
	for _, s := range c.previous {
		if s.tracked+1 >= c.scrape && s.tracked != 0 {
			open = append(open, openSeries{s.ref, s.labels})
		}
	}
	return open
}

// finish ends a scrape: what was not in it is forgotten, if it went well, or if failed ones made the cache grow. It reports
// whether it was forced by the latter.
func (c *cache) finish(well bool) (forced bool) {
	count := len(c.series) + c.knownReports() + len(c.families.byName)
	switch {
	case well:
		c.successful = count
	case count > 2*c.successful+1000:
		forced = true
	}
	if well || forced {
		if c.touched < len(c.series) {
			for raw, s := range c.series {
				if s.seen != c.scrape {
					delete(c.series, raw)
				}
			}
		}
		c.families.forget(c.scrape)
	}
	c.done = true
	return forced
}

func (c *cache) knownReports() (n int) {
	for i := range c.reports {
		if c.reports[i].ref != 0 {
			n++
		}
	}
	return n
}

// family is what a target says about one metric.
type family struct {
	metadata.Metadata
	name  string
	seen  uint32
	index int // in families.order
}

func (f *family) size() int { return len(f.Help) + len(f.Unit) + len(f.Type) }

// families belong to the goroutine that scrapes; mu is for others that read, and for it when it writes what they read.
type families struct {
	mu     sync.Mutex
	byName map[string]*family
	order  []*family
	last   *family
	bytes  int
}

// find returns the family of a name, new if there was none. The last one and the one after it are the likely ones.
func (fs *families) find(name []byte, scrape uint32) *family {
	f := fs.last
	if f == nil || f.name != string(name) {
		next := 0
		if f != nil {
			next = f.index + 1
		}
		if next < len(fs.order) && fs.order[next].name == string(name) {
			f = fs.order[next]
		} else if f = fs.byName[string(name)]; f == nil {
			f = fs.create(string(name))
		}
		fs.last = f
	}
	f.seen = scrape
	return f
}

func (fs *families) create(name string) *family {
	f := &family{name: name, Metadata: metadata.Metadata{Type: model.MetricTypeUnknown}, index: len(fs.order)}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.byName[name] = f
	fs.order = append(fs.order, f)
	fs.bytes += f.size()
	return f
}

// change replaces what others may be reading.
func (fs *families) change(f *family, change func(*metadata.Metadata)) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.bytes -= f.size()
	change(&f.Metadata)
	fs.bytes += f.size()
}

func (fs *families) setType(name []byte, t model.MetricType, scrape uint32) *family {
	f := fs.find(name, scrape)
	if f.Type != t {
		fs.change(f, func(m *metadata.Metadata) { m.Type = t })
	}
	return f
}

func (fs *families) setHelp(name, help []byte, scrape uint32) *family {
	f := fs.find(name, scrape)
	if f.Help != string(help) {
		fs.change(f, func(m *metadata.Metadata) { m.Help = string(help) })
	}
	return f
}

func (fs *families) setUnit(name, unit []byte, scrape uint32) *family {
	f := fs.find(name, scrape)
	if f.Unit != string(unit) {
		fs.change(f, func(m *metadata.Metadata) { m.Unit = string(unit) })
	}
	return f
}

// forget drops what was not seen for long.
func (fs *families) forget(scrape uint32) {
	fs.last = nil
	old := func(f *family) bool { return scrape-f.seen > metadataScrapes }
	if !slices.ContainsFunc(fs.order, old) {
		return
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.order = slices.DeleteFunc(fs.order, func(f *family) bool {
		if old(f) {
			fs.bytes -= f.size()
			delete(fs.byName, f.name)
			return true
		}
		return false
	})
	for i, f := range fs.order {
		f.index = i
	}
}

// list calls visit with each family. Any goroutine may call it.
func (fs *families) list(visit func(Metadata)) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for _, f := range fs.order {
		visit(Metadata{Family: f.name, Help: f.Help, Unit: f.Unit, Type: f.Type})
	}
}

// size returns how many families there are, and the bytes of their metadata.
func (fs *families) size() (entries, bytes int) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return len(fs.order), fs.bytes
}
