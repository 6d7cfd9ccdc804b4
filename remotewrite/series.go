package remotewrite

import (
	"math"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
)

// series is what an endpoint remembers of one series: where its encoded labels lie, and which lane is its.
type series struct {
	// source is the hash of the labels as they were scraped, to recognise a repeated definition.
	source uint64
	// lane is a hash of the labels as they are sent, so that series that relabelling makes equal share a lane.
	lane uint32
	// offset and size place the labels in the arena. size is droppedSeries if write_relabel_configs drop the series.
	offset, size uint32
	// generation is when it was last defined.
	generation uint32
}

const droppedSeries = math.MaxUint32

// seriesCache maps a log's references to encoded labels. All labels of an endpoint lie in one arena, since a thousand idle endpoints
// must cost little: 24 bytes and a map entry per series, plus the labels. It is not safe for concurrent use.
type seriesCache struct {
	external []labels.Label
	relabel  []*relabel.Config
	encode   func(dst []byte, ls labels.Labels) []byte

	byRef map[uint64]series
	arena []byte
	// garbage is the number of arena bytes that no series uses any more.
	garbage    int
	generation uint32
	segment    uint64
}

func newSeriesCache(external labels.Labels, rules []*relabel.Config, encode func([]byte, labels.Labels) []byte) *seriesCache {
	c := &seriesCache{relabel: rules, encode: encode, byRef: map[uint64]series{}}
	external.Range(func(l labels.Label) { c.external = append(c.external, l) })
	return c
}

// define notes the labels of ref. A repeated definition costs one hash. b is scratch.
func (c *seriesCache) define(ref uint64, ls labels.Labels, b *labels.Builder) {
	source := ls.Hash()
	old, known := c.byRef[ref]
	if known && old.source == source {
		old.generation = c.generation
		c.byRef[ref] = old
		return
	}
	if known {
		c.release(old)
	}
	s := series{source: source, generation: c.generation, size: droppedSeries}
	if ls, keep := c.finish(ls, b); keep {
		start := len(c.arena)
		c.arena = c.encode(c.arena, ls)
		s.offset, s.size = uint32(start), uint32(len(c.arena)-start)
		s.lane = uint32(xxhash.Sum64(c.arena[start:]))
	}
	c.byRef[ref] = s
}

// finish turns labels as scraped into labels as sent, in Prometheus' order: external labels that the series doesn't have, then
// relabelling.
func (c *seriesCache) finish(ls labels.Labels, b *labels.Builder) (labels.Labels, bool) {
	if len(c.external) == 0 && len(c.relabel) == 0 {
		return ls, true
	}
	b.Reset(ls)
	for _, l := range c.external {
		if b.Get(l.Name) == "" {
			b.Set(l.Name, l.Value)
		}
	}
	if !relabel.ProcessBuilder(b, c.relabel...) {
		return labels.EmptyLabels(), false
	}
	return b.Labels(), true
}

// lookup returns the encoded labels of ref, valid until the next define or reached.
func (c *seriesCache) lookup(ref uint64) (s series, encoded []byte, known bool) {
	s, known = c.byRef[ref]
	if !known || s.size == droppedSeries {
		return s, nil, known
	}
	return s, c.arena[s.offset : s.offset+s.size], true
}

// reached tells the cache that a record of this segment was read to its end. Every segment defines what it uses, so what was last
// defined two segments ago is forgotten. (Two, because the first record of a segment is read before its number is known.)
func (c *seriesCache) reached(segment uint64) {
	if segment == c.segment {
		return
	}
	first := c.segment == 0
	c.segment = segment
	c.generation++
	if first {
		return
	}
	for ref, s := range c.byRef {
		if c.generation-s.generation >= 2 {
			c.release(s)
			delete(c.byRef, ref)
		}
	}
	if c.garbage > len(c.arena)/4 {
		c.compact()
	}
}

func (c *seriesCache) release(s series) {
	if s.size != droppedSeries {
		c.garbage += int(s.size)
	}
}

// trim gives back what the arena reserved for growth if that is more than an eighth of it.
func (c *seriesCache) trim() {
	if cap(c.arena)-len(c.arena) > len(c.arena)/8 || c.garbage > len(c.arena)/4 {
		c.compact()
	}
}

func (c *seriesCache) compact() {
	fresh := make([]byte, 0, len(c.arena)-c.garbage)
	for ref, s := range c.byRef {
		if s.size == droppedSeries {
			continue
		}
		start := len(fresh)
		fresh = append(fresh, c.arena[s.offset:s.offset+s.size]...)
		s.offset = uint32(start)
		c.byRef[ref] = s
	}
	c.arena, c.garbage = fresh, 0
}
