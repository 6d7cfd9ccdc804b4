package scrape

import (
	"slices"

	"github.com/prometheus/prometheus/storage"

	"github.com/ringmaster-agent/ringmaster/series"
)

// cache maps what a target writes to series, and knows which series are open. It belongs to the
// goroutine that scrapes, except for the metadata.
//
// A target nearly always writes the same lines in the same order, so the cache is the list of the
// lines in the order of the last scrape that went well, and a line is first held against the one
// that is expected. Whatever else is needed to find lines exists during a scrape that needs it.
//
// A scrape ends with commit, or else with undo, after which it has never been: a series that ended
// in it is still open, and its marker is owed.
type cache struct {
	book      *series.Book // whose references these are; nil: they need not be held
	scrape    uint32       // number of the current one, from 2
	committed uint32       // the last one that was committed; at first 1

	lines   []line
	samples int // lines that are no comments
	before  int // lines there were when the scrape began
	next    int // place of the line that is expected
	inOrder int // so many lines were in the scrape and in their places
	touched int // lines that were in the scrape
	work    *workspace

	open      int  // lines that were tracked when the scrape began
	stillOpen int  // of those, so many are tracked again
	tracked   int  // lines that are tracked in this scrape
	busy      bool // a scrape has begun
	well      bool // its body was complete
	forced    bool // its body was not, but what it lacks is to be forgotten
	// successful is how many entries there were after the last scrape that went well.
	successful int
	orphans    []openSeries
	moved      *moved
	reports    [reportCount]storage.SeriesRef // 0: not known
	// synthesized is for the feature st-synthesis.
	synthesized map[lineKey]*synthesis
	textType    string // a content type that means Prometheus' text format; empty: none is known

	families families
}

// openSeries is a series that has samples, and no staleness marker yet.
type openSeries struct {
	ref    storage.SeriesRef
	report uint8 // which of the report series it is too, from 1; 0: none
}

// workspace is what a cache needs during a scrape only. It is reused by others.
type workspace struct {
	indexed  bool
	index    hashIndex
	order    []uint32 // places of the lines of the scrape, from the first on that is not in its place
	lines    []line
	families familyIndex
}

func (w *workspace) reset() {
	w.indexed, w.families.built = false, false
	w.order, w.lines = w.order[:0], w.lines[:0]
}

func newCache(book *series.Book) *cache { return &cache{book: book, committed: 1, scrape: 2} }

// successor is an empty cache, for other relabelling, whose first scrape ends the series that it
// does not have any more.
func (c *cache) successor(extraReports bool) *cache {
	s := newCache(c.book)
	open := c.openSeries()
	for i, ref := range c.reports {
		if !reportSeries[i].extra || extraReports {
			s.setReport(i, ref)
		} else if ref != 0 {
			open = append(open, openSeries{ref: ref})
		}
	}
	for _, o := range open {
		s.hold(o.ref)
	}
	s.orphans = open
	return s
}

// begin starts a scrape. A scrape that did not come to its commit is undone.
func (c *cache) begin(w *workspace) {
	c.undo()
	c.busy, c.work, c.before = true, w, len(c.lines)
	w.reset()
}

// get returns the place of the line of a series, -1 if it is not known, and whether it was in this
// scrape before.
func (c *cache) get(hash uint64, length int) (place int, repeated bool) {
	is := func(place int) bool {
		l := &c.lines[place]
		return l.hash == hash && l.length == uint32(length) && !l.kind.isComment()
	}
	for place = c.next; place < c.before && c.lines[place].kind.isComment(); {
		place++
	}
	if place >= c.before || !is(place) {
		if place = c.find(hash, is); place < 0 {
			return -1, false
		}
	}
	if place < c.before {
		c.next = place + 1
	}
	if c.lines[place].seen == c.scrape {
		return place, true
	}
	c.touch(place)
	return place, false
}

func (c *cache) find(hash uint64, is func(int) bool) int {
	w := c.work
	if !w.indexed {
		w.indexed = true
		w.index.empty(len(c.lines))
		for place := range c.lines {
			w.index.add(place, c.hash)
		}
	}
	return w.index.find(hash, is)
}

func (c *cache) hash(place int) uint64 { return c.lines[place].hash }

// touch tells that a line is in the current scrape.
func (c *cache) touch(place int) {
	c.lines[place].seen = c.scrape
	c.touched++
	if place == c.inOrder && len(c.work.order) == 0 {
		c.inOrder++
	} else {
		c.work.order = append(c.work.order, uint32(place))
	}
}

// add remembers a line, and returns its place.
func (c *cache) add(l line) int {
	c.hold(l.ref)
	place := len(c.lines)
	c.lines = append(c.lines, l)
	if !l.kind.isComment() {
		c.samples++
	}
	if c.work.indexed {
		c.work.index.add(place, c.hash)
	}
	c.touch(place)
	return place
}

// comment remembers a comment that was read. If it is the expected line, that one goes on.
func (c *cache) comment(l line) {
	if place := c.next; place < c.before && c.lines[place].hash == l.hash && c.lines[place].length == l.length && c.lines[place].kind.isComment() {
		c.lines[place].kind, c.lines[place].family = l.kind, l.family
		c.touch(place)
		c.next++
		return
	}
	c.add(l)
}

// track lets a series end when the next scrape lacks it.
func (c *cache) track(l *line) {
	switch l.tracked {
	case c.scrape:
		return
	case c.committed:
		l.flags |= wasOpen
		c.stillOpen++
	default:
		l.flags &^= wasOpen
	}
	l.tracked = c.scrape
	c.tracked++
}

// isOpen reports whether a line was tracked when the scrape began.
func (c *cache) isOpen(l *line) bool {
	return l.tracked == c.committed || l.tracked == c.scrape && l.flags&wasOpen != 0
}

// moved is what is needed when the storage gives known series new references. Nearly always that is
// nothing.
type moved struct {
	owners map[storage.SeriesRef]int // places of what was tracked before: of several lines that are one series, the last
	gone   map[storage.SeriesRef]struct{}
}

// move gives a series another reference. Of several lines that are one series, the last decides
// whether the old reference is still tracked.
func (c *cache) move(place int, ref storage.SeriesRef) {
	l := &c.lines[place]
	if c.moved == nil {
		c.moved = &moved{owners: map[storage.SeriesRef]int{}, gone: map[storage.SeriesRef]struct{}{}}
		for i := range c.lines {
			if p := &c.lines[i]; p.tracked == c.committed {
				c.moved.owners[p.ref] = i
			}
		}
	}
	if owner, found := c.moved.owners[l.ref]; found && owner == place {
		c.moved.gone[l.ref] = struct{}{}
	} else if l.tracked == c.committed {
		l.tracked = 0
	}
	c.hold(ref)
	c.letGo(l.ref)
	l.ref = ref
}

func (m *moved) has(ref storage.SeriesRef) bool {
	if m == nil {
		return false
	}
	_, found := m.gone[ref]
	return found
}

// ended returns the series that were open when the scrape began and are not in it. Several lines
// may be one series, which has not ended while one of them is there. Orphans of an earlier config
// end with the first scrape that commits no samples, also if they were in the part of its body that
// could be read.
func (c *cache) ended(withoutSamples bool) []openSeries {
	var orphans, gone []openSeries
	if withoutSamples {
		orphans = c.orphans
	} else {
		gone = slices.Clone(c.orphans)
	}
	if c.stillOpen == c.open && c.moved == nil && len(gone) == 0 {
		return orphans
	}
	here := make(map[storage.SeriesRef]struct{}, len(orphans))
	for i := range c.lines {
		switch l := &c.lines[i]; {
		case l.tracked == c.scrape:
			here[c.key(l.ref)] = struct{}{}
		case l.tracked == c.committed && !c.moved.has(l.ref):
			gone = append(gone, openSeries{l.ref, l.kind.report()})
		}
	}
	for _, o := range orphans {
		here[c.key(o.ref)] = struct{}{}
	}
	return append(slices.DeleteFunc(gone, func(o openSeries) bool {
		_, found := here[c.key(o.ref)]
		here[c.key(o.ref)] = struct{}{}
		return found
	}), orphans...)
}

// key is what tells series apart whose references the cache holds: an appendable may add to a
// reference of the book.
func (c *cache) key(ref storage.SeriesRef) storage.SeriesRef {
	if c.book == nil {
		return ref
	}
	return storage.SeriesRef(series.Ref(ref))
}

// openSeries returns the series that are open after the last committed scrape, without the reports.
func (c *cache) openSeries() []openSeries {
	c.undo()
	open := slices.Clone(c.orphans)
	for i := range c.lines {
		if l := &c.lines[i]; c.isOpen(l) {
			open = append(open, openSeries{l.ref, l.kind.report()})
		}
	}
	return open
}

// finish ends the reading of a body. What was not in it is forgotten with the commit, if it went
// well, or if failed ones made the cache grow. It reports whether it is forced by the latter.
func (c *cache) finish(well bool) (forced bool) {
	count := c.samples + c.knownReports() + len(c.families.order)
	c.well, c.forced = well, !well && count > 2*c.successful+1000
	if well {
		c.successful = count
	}
	return c.forced
}

func (c *cache) knownReports() (n int) {
	for _, ref := range c.reports {
		if ref != 0 {
			n++
		}
	}
	return n
}

// commit ends a scrape that is in the appendable.
func (c *cache) commit() {
	if c.well || c.forced {
		c.compact(false)
		c.renumber(c.families.forget(c.scrape))
	} else if len(c.work.order) > 0 || len(c.lines) > c.before {
		c.compact(true)
	}
	c.forgetSynthesized()
	for _, o := range c.orphans {
		c.letGo(o.ref)
	}
	c.open, c.committed, c.orphans = c.tracked, c.scrape, nil
	c.end()
}

// undo makes a scrape that did not come to its commit one that has never been.
func (c *cache) undo() {
	if !c.busy {
		return
	}
	for _, l := range c.lines[c.before:] {
		c.letGo(l.ref)
	}
	c.lines = c.lines[:c.before]
	for i := range c.lines {
		if l := &c.lines[i]; l.tracked == c.scrape {
			l.tracked = 0
			if l.flags&wasOpen != 0 {
				l.tracked = c.committed
			}
		}
	}
	c.count()
	c.end()
}

func (c *cache) end() {
	c.scrape++
	c.busy, c.well, c.forced, c.work, c.moved = false, false, false, nil, nil
	c.next, c.inOrder, c.touched, c.tracked, c.stillOpen = 0, 0, 0, 0, 0
}

// compact puts the lines that were in the scrape in its order. The others are forgotten, or come
// behind: without new comments then, since a body that was not read to its end says little about
// where the next one has them.
func (c *cache) compact(keepOthers bool) {
	if c.touched < len(c.lines) || len(c.work.order) > 0 {
		w := c.work
		for _, place := range w.order {
			if l := c.lines[place]; !keepOthers || int(place) < c.before || !l.kind.isComment() {
				w.lines = append(w.lines, l)
			}
		}
		for _, l := range c.lines[c.inOrder:] {
			switch {
			case l.seen == c.scrape:
			case keepOthers:
				w.lines = append(w.lines, l)
			default:
				c.letGo(l.ref)
			}
		}
		c.lines = append(c.lines[:c.inOrder], w.lines...)
		c.count()
	}
	if spare := cap(c.lines) - len(c.lines); spare > len(c.lines)/4+8 {
		c.lines = append(make([]line, 0, len(c.lines)), c.lines...)
	}
}

// count counts the lines that are no comments.
func (c *cache) count() {
	c.samples = 0
	for i := range c.lines {
		if !c.lines[i].kind.isComment() {
			c.samples++
		}
	}
}

// renumber follows families to their new places, if some have gone.
func (c *cache) renumber(places []int) {
	if places == nil {
		return
	}
	for i := range c.lines {
		l := &c.lines[i]
		if l.family == 0 {
			continue
		}
		place := places[l.family.place()]
		if place == 0 {
			l.family = 0
			continue
		}
		l.family = familyKey(place)<<typeBits | l.family&(1<<typeBits-1)
	}
}

// setReport remembers the reference of a report series.
func (c *cache) setReport(i int, ref storage.SeriesRef) {
	if before := c.reports[i]; before != ref {
		c.hold(ref)
		c.letGo(before)
		c.reports[i] = ref
	}
}

// hold and letGo keep references from meaning other series while the cache has them.
func (c *cache) hold(ref storage.SeriesRef) {
	if c.book != nil && ref != 0 {
		c.book.Hold(series.Ref(ref))
	}
}

func (c *cache) letGo(ref storage.SeriesRef) {
	if c.book != nil && ref != 0 {
		c.book.Release(series.Ref(ref))
	}
}

// release lets go of everything. The cache is not used any more.
func (c *cache) release() {
	if c.book == nil {
		return
	}
	refs := make([]series.Ref, 0, len(c.lines)+len(c.orphans)+reportCount)
	for i := range c.lines {
		refs = append(refs, series.Ref(c.lines[i].ref))
	}
	for _, o := range c.orphans {
		refs = append(refs, series.Ref(o.ref))
	}
	for _, ref := range c.reports {
		refs = append(refs, series.Ref(ref))
	}
	c.book.Release(refs...)
	c.lines, c.orphans, c.reports = nil, nil, [reportCount]storage.SeriesRef{}
}
