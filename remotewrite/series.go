package remotewrite

import (
	"math"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/model/relabel"

	"github.com/ringmaster-agent/ringmaster/series"
)

// cell is what an endpoint keeps of one series.
type cell struct {
	// generation is that of the book when the cell was filled.
	generation uint32
	// lane is a hash of the labels as they are sent, so that series that relabelling makes equal
	// share a lane.
	lane uint32
	// offset and size place the labels in the arena. size may be one of the values below.
	offset, size uint32
}

const (
	// unknownSeries: the cell was never filled.
	unknownSeries = 0
	// droppedSeries: write_relabel_configs drop it.
	droppedSeries = math.MaxUint32
	// plainSeries: it is sent with the labels that the book has.
	plainSeries = math.MaxUint32 - 1
)

// seriesCache is a column beside the instance's book of series. An endpoint that adds and changes
// no labels keeps 16 bytes per series; any other also keeps the labels that it sends, in one arena.
// It is not safe for concurrent use.
type seriesCache struct {
	external []labels.Label
	relabel  []*relabel.Config
	book     *series.Book
	// stopwatch measures relabelling; nil: nothing does.
	stopwatch Stopwatch

	cells series.Column[cell]
	arena []byte
	// metadata is that of the series, in one copy per family. It is kept only if keepsMetadata.
	keepsMetadata bool
	metadata      series.Column[*metadata.Metadata]
	families      map[metadata.Metadata]*metadata.Metadata
	// garbage is the number of arena bytes that no series uses any more.
	garbage int

	scratch labels.ScratchBuilder
}

func newSeriesCache(external labels.Labels, rules []*relabel.Config) *seriesCache {
	c := &seriesCache{relabel: rules}
	external.Range(func(l labels.Label) { c.external = append(c.external, l) })
	return c
}

// open begins to read from a log with this book.
func (c *seriesCache) open(book *series.Book) {
	c.book, c.cells, c.arena, c.garbage = book, series.Column[cell]{}, nil, 0
	c.metadata, c.families = series.Column[*metadata.Metadata]{}, nil
}

// define notes that ref is used from now on. If it was, and means the same series, that costs next
// to nothing. b is scratch.
func (c *seriesCache) define(ref series.Ref, b *labels.Builder) {
	generation, s := c.book.Generation(ref), c.cells.At(ref)
	if s.size != unknownSeries && s.generation == generation {
		return
	}
	c.release(*s)
	*s = cell{generation: generation, size: droppedSeries}
	if int(ref) < c.metadata.Len() {
		*c.metadata.At(ref) = nil
	}
	if len(c.external) == 0 && len(c.relabel) == 0 {
		s.size, s.lane = plainSeries, uint32(seriesKey(c.book.Encoded(ref)))
		return
	}
	ls, keep := c.finish(c.book.Labels(ref, &c.scratch), b)
	if !keep || ls.IsEmpty() {
		return
	}
	start := len(c.arena)
	c.arena = appendLabels(c.arena, ls)
	s.offset, s.size = uint32(start), uint32(len(c.arena)-start)
	s.lane = uint32(seriesKey(c.arena[start:]))
}

// finish turns labels as scraped into labels as sent, in Prometheus' order: external labels that
// the series doesn't have, then relabelling.
func (c *seriesCache) finish(ls labels.Labels, b *labels.Builder) (labels.Labels, bool) {
	b.Reset(ls)
	for _, l := range c.external {
		if b.Get(l.Name) == "" {
			b.Set(l.Name, l.Value)
		}
	}
	if !c.process(b) {
		return labels.EmptyLabels(), false
	}
	return b.Labels(), true
}

// process relabels once per series, so that it can be measured each time.
func (c *seriesCache) process(b *labels.Builder) (keep bool) {
	if c.stopwatch == nil || len(c.relabel) == 0 {
		return relabel.ProcessBuilder(b, c.relabel...)
	}
	from := c.stopwatch.BeginWork()
	defer func() { c.stopwatch.EndWork(from) }()
	return relabel.ProcessBuilder(b, c.relabel...)
}

// describe notes the metadata of a series that was defined.
func (c *seriesCache) describe(ref series.Ref, m metadata.Metadata) {
	if s := c.cells.Get(ref); !c.keepsMetadata || s.size == unknownSeries || s.size == droppedSeries {
		return
	}
	known, ok := c.families[m]
	if !ok {
		if c.families == nil {
			c.families = map[metadata.Metadata]*metadata.Metadata{}
		}
		known = &m
		c.families[m] = known
	}
	*c.metadata.At(ref) = known
}

// lookup returns a series as it is sent; the labels are valid until the next define. They are nil
// if it is unknown or dropped.
func (c *seriesCache) lookup(ref series.Ref) (s cell, sent sentSeries) {
	s = c.cells.Get(ref)
	switch s.size {
	case unknownSeries, droppedSeries:
		return s, sent
	case plainSeries:
		sent.labels = c.book.Encoded(ref)
	default:
		sent.labels = c.arena[s.offset : s.offset+s.size]
	}
	if c.keepsMetadata {
		sent.metadata = c.metadata.Get(ref)
	}
	return s, sent
}

func (c *seriesCache) release(s cell) {
	if s.hasLabels() {
		c.garbage += int(s.size)
	}
}

func (s cell) hasLabels() bool { return s.size != unknownSeries && s.size < plainSeries }

// trim gives back what the arena reserved for growth if that is more than an eighth of it.
func (c *seriesCache) trim() {
	if cap(c.arena)-len(c.arena) > len(c.arena)/8 || c.garbage > len(c.arena)/4 {
		c.compact()
	}
	if len(c.families) > leastFamilies && len(c.families) > c.metadata.Len() {
		c.forgetFamilies()
	}
}

// leastFamilies is a number of families that is not worth a search for those that no series has.
const leastFamilies = 256

func (c *seriesCache) forgetFamilies() {
	used := make(map[metadata.Metadata]*metadata.Metadata)
	for ref := range c.metadata.Len() {
		if m := c.metadata.Get(series.Ref(ref)); m != nil {
			used[*m] = m
		}
	}
	c.families = used
}

func (c *seriesCache) compact() {
	fresh := make([]byte, 0, len(c.arena)-c.garbage)
	for ref := range c.cells.Len() {
		s := c.cells.At(series.Ref(ref))
		if !s.hasLabels() {
			continue
		}
		start := len(fresh)
		fresh = append(fresh, c.arena[s.offset:s.offset+s.size]...)
		s.offset = uint32(start)
	}
	c.arena, c.garbage = fresh, 0
}
