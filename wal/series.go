package wal

import (
	"fmt"
	"math"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
)

// sampleKind is part of a sample's value: a float and a histogram at the same time are never the same sample.
type sampleKind uint8

const (
	kindFloat sampleKind = iota
	kindHistogram
	kindFloatHistogram
)

// lastSample is what a series remembers of the newest sample that was appended, committed or not.
type lastSample struct {
	t    int64  // ms; math.MinInt64: none
	bits uint64 // of the float, or the checksum of an encoded histogram
	kind sampleKind
}

var noSample = lastSample{t: math.MinInt64}

// series is one entry of the table, 112 bytes and the labels. Everything but ref and labels is guarded by Log.seriesMu.
type series struct {
	ref    uint64
	labels labels.Labels
	// last is set when a sample is appended and put back when its appender is rolled back.
	last lastSample
	// committed is the time of the newest sample in the log. It is not the same as last.t while several appenders are open.
	committed int64
	// segment is the number of the newest segment that defines the series, which is the newest that uses it. 0: none.
	segment uint64
	// used is when the series was last committed or created, in unix seconds.
	used uint32
	// metadataChanged says that metadata has to be written with the next commit.
	metadataChanged bool
	metadata        *metadata.Metadata
	exemplar        *lastExemplar
	// sameHash is the next series whose labels have the same hash.
	sameHash *series
}

// lastExemplar is what is needed to refuse the next exemplar.
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

// table holds the series of a log by reference and by labels. References count up from 1 and are never given twice.
type table struct {
	byRef   map[uint64]*series
	byHash  map[uint64]*series
	lastRef uint64
	// metadata keeps one copy of what the series of a family have in common.
	metadata map[metadata.Metadata]*metadata.Metadata
}

func newTable() table {
	return table{byRef: map[uint64]*series{}, byHash: map[uint64]*series{}, metadata: map[metadata.Metadata]*metadata.Metadata{}}
}

// find returns the series of ref if it is that of ls, else the one of ls, else nil. Empty labels mean that ref is to be trusted.
func (t *table) find(ref uint64, ls labels.Labels) *series {
	// For a scrape both labels share their memory, so that this comparison does not look at it.
	if s := t.byRef[ref]; s != nil && (labels.Equal(s.labels, ls) || ls.IsEmpty()) {
		return s
	}
	for s := t.byHash[ls.Hash()]; s != nil; s = s.sameHash {
		if labels.Equal(s.labels, ls) {
			return s
		}
	}
	return nil
}

// create adds a series that find did not find. The labels are kept.
func (t *table) create(ls labels.Labels, now uint32) (*series, error) {
	ls = ls.WithoutEmpty()
	if ls.IsEmpty() {
		return nil, fmt.Errorf("%w: no labels", ErrInvalidLabels)
	}
	if name, dup := ls.HasDuplicateLabelNames(); dup {
		return nil, fmt.Errorf("%w: label name %q is not unique", ErrInvalidLabels, name)
	}
	if s := t.find(0, ls); s != nil {
		return s, nil // it was known, but for its empty labels
	}
	t.lastRef++
	hash := ls.Hash()
	s := &series{ref: t.lastRef, labels: ls, last: noSample, committed: math.MinInt64, used: now, sameHash: t.byHash[hash]}
	t.byRef[s.ref], t.byHash[hash] = s, s
	return s, nil
}

func (t *table) setMetadata(s *series, m metadata.Metadata) {
	if s.metadata != nil && *s.metadata == m {
		return
	}
	shared, ok := t.metadata[m]
	if !ok {
		shared = &m
		t.metadata[m] = shared
	}
	s.metadata, s.metadataChanged = shared, true
}

// forget drops the series that no segment from number on uses and that were not used since a time in unix seconds. An open
// appender may still hold one: it is defined again when that commits.
func (t *table) forget(number uint64, since uint32) {
	used := make(map[metadata.Metadata]*metadata.Metadata, len(t.metadata))
	for ref, s := range t.byRef {
		if s.segment >= number || s.used >= since {
			if s.metadata != nil {
				used[*s.metadata] = s.metadata
			}
			continue
		}
		delete(t.byRef, ref)
		t.unlinkHash(s)
	}
	t.metadata = used
}

func (t *table) unlinkHash(s *series) {
	hash := s.labels.Hash()
	if head := t.byHash[hash]; head != s {
		for head.sameHash != s {
			head = head.sameHash
		}
		head.sameHash = s.sameHash
		return
	}
	if s.sameHash == nil {
		delete(t.byHash, hash)
	} else {
		t.byHash[hash] = s.sameHash
	}
}
