package wal

import (
	"fmt"
	"math"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/storage"

	"github.com/ringmaster-agent/ringmaster/series"
)

// sampleKind is part of a sample's value: a float and a histogram at the same time are never the
// same sample.
type sampleKind uint8

const (
	kindFloat sampleKind = iota
	kindHistogram
	kindFloatHistogram
)

// lastSample is what is needed to judge the next sample of a series.
type lastSample struct {
	t    int64  // ms; math.MinInt64: none
	bits uint64 // of the float, or the checksum of an encoded histogram
	kind sampleKind
}

// cell is what the log keeps of a series, by Ref. Its zero value is a series the log does not know.
type cell struct {
	// last is the newest sample that is committed.
	last lastSample
	// used is when the series was last appended to, in unix seconds.
	used uint32
	// generation is that of the Ref, which a reference of a storage.AppenderV2 carries.
	generation uint32
	// epoch says in which numbering number counts; see table.
	epoch, number uint32
	// appender is the open appender that last appended to the series, 0 if there is none, and index
	// is the place of that sample among its pending ones.
	appender, index uint32
	// known says that the log knows the series, and holds it in the book.
	known bool
	// defined says that the segment of this epoch has the definition.
	defined bool
	// metadataChanged says that metadata has to be written with the next commit.
	metadataChanged bool
}

// lastExemplar is what is needed to judge the next exemplar of a series.
type lastExemplar struct {
	t      int64
	value  float64
	labels uint64 // hash
	hasT   bool
}

func summarize(e exemplar.Exemplar) lastExemplar {
	return lastExemplar{t: e.Ts, value: e.Value, labels: e.Labels.Hash(), hasT: e.HasTs}
}

// equals follows exemplar.Exemplar.Equals: a time that was invented by the scrape does not count.
func (l lastExemplar) equals(o lastExemplar) bool {
	return l.labels == o.labels && l.value == o.value && (l.t == o.t || !l.hasT && !o.hasT)
}

// before is the order that the TSDB demands of one series' exemplars.
func (l lastExemplar) before(o lastExemplar) bool {
	if l.t != o.t {
		return l.t < o.t
	}
	if l.value != o.value {
		return l.value < o.value
	}
	return l.labels < o.labels
}

// table is the log's columns beside the book.
//
// A record names series by numbers that count from 1 in each segment, in the order in which they
// are first appended to, and never mean two series in one segment. An epoch is the time during
// which one numbering is given out: it ends with the segment. Numbers are given out when a sample
// is appended; a batch that is committed in a later epoch is encoded anew.
type table struct {
	book  *series.Book
	cells series.Column[cell]
	// metadata and exemplars are empty for logs that get none.
	metadata  series.Column[*metadata.Metadata]
	exemplars series.Column[*lastExemplar]
	// shared keeps one copy of what the series of a family have in common.
	shared map[metadata.Metadata]*metadata.Metadata
	known  int
	// created and removed count series that the log got to know and has forgotten.
	created, removed uint64
	// disordered counts samples that were older than the last of their series.
	disordered uint64

	epoch      uint32
	lastNumber uint32
	// ended are numbers of forgotten series that the active segment has yet to take note of.
	ended        []uint32
	lastAppender uint32
}

func newTable(book *series.Book) table {
	return table{book: book, epoch: 1, shared: map[metadata.Metadata]*metadata.Metadata{}}
}

// reference is what Append returns: the Ref, and its generation above it, so that a reference that
// is kept for too long is noticed.
func (t *table) reference(r series.Ref) storage.SeriesRef {
	return storage.SeriesRef(t.cells.At(r).generation)<<32 | storage.SeriesRef(r)
}

// resolve returns the series of a reference if it is that of ls, else the one of ls. Empty labels
// mean that the reference is to be trusted; without a generation whoever gives it holds the series.
func (t *table) resolve(reference storage.SeriesRef, ls labels.Labels) (series.Ref, error) {
	ref, generation := series.Ref(reference), uint32(reference>>32)
	if int(ref) < t.cells.Len() {
		c := t.cells.At(ref)
		if c.known && (ls.IsEmpty() && (generation == 0 || generation == c.generation) ||
			!ls.IsEmpty() && series.Equal(t.book.Encoded(ref), ls)) {
			return ref, nil
		}
	}
	if !ls.IsEmpty() || reference == 0 {
		return t.acquire(ls)
	}
	if !t.book.TryHold(ref) {
		return 0, fmt.Errorf("series reference %d: %w", reference, storage.ErrNotFound)
	}
	if generation != 0 && generation != t.book.Generation(ref) {
		t.book.Release(ref)
		return 0, fmt.Errorf("series reference %d: %w", reference, storage.ErrNotFound)
	}
	t.know(ref)
	return ref, nil
}

func (t *table) acquire(ls labels.Labels) (series.Ref, error) {
	ref, err := t.book.Acquire(ls)
	if err != nil {
		return 0, err
	}
	t.know(ref)
	return ref, nil
}

// know takes over a hold. The log keeps one of each series that it knows.
func (t *table) know(ref series.Ref) {
	c := t.cells.At(ref)
	if c.known {
		t.book.Release(ref)
		return
	}
	*c = cell{last: lastSample{t: math.MinInt64}, known: true, generation: t.book.Generation(ref)}
	t.known++
	t.created++
}

// number returns the number of a series in the current epoch.
func (t *table) number(c *cell) uint64 {
	if c.epoch != t.epoch {
		t.lastNumber++
		c.epoch, c.number, c.defined = t.epoch, t.lastNumber, false
	}
	return uint64(c.number)
}

// turn begins the next epoch.
func (t *table) turn() {
	t.epoch++
	t.lastNumber, t.ended = 0, t.ended[:0]
}

func (t *table) setMetadata(r series.Ref, m *metadata.Metadata) {
	if m.IsEmpty() {
		return
	}
	current := t.metadata.At(r)
	if *current == nil || **current != *m {
		*current = t.share(*m)
		t.cells.At(r).metadataChanged = true
	}
}

func (t *table) share(m metadata.Metadata) *metadata.Metadata {
	shared, ok := t.shared[m]
	if !ok {
		shared = &m
		t.shared[m] = shared
	}
	return shared
}

// forget drops the series that were not used since a time in unix seconds, whatever segments
// there are. An appender that is open for longer must not commit.
func (t *table) forget(since uint32) {
	var gone []series.Ref
	for r := 1; r < t.cells.Len(); r++ {
		ref := series.Ref(r)
		c := t.cells.At(ref)
		if !c.known || c.used >= since {
			continue
		}
		if c.epoch == t.epoch && c.defined {
			t.ended = append(t.ended, c.number)
		}
		*c = cell{}
		if r < t.metadata.Len() {
			*t.metadata.At(ref) = nil
		}
		if r < t.exemplars.Len() {
			*t.exemplars.At(ref) = nil
		}
		gone = append(gone, ref)
	}
	if len(gone) == 0 {
		return
	}
	t.known -= len(gone)
	t.removed += uint64(len(gone))
	t.book.Release(gone...)
	used := make(map[metadata.Metadata]*metadata.Metadata, len(t.shared))
	for r := 1; r < t.metadata.Len(); r++ {
		if m := t.metadata.Get(series.Ref(r)); m != nil {
			used[*m] = m
		}
	}
	t.shared = used
}

// release gives the book back what the log holds, when it is closed.
func (t *table) release() {
	t.forget(math.MaxUint32)
}
