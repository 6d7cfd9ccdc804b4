package remotewrite

import (
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
)

// lane collects the batches of one ordered sender during a round.
type lane struct {
	encoder encoder
	// raw holds the encoded items of the open batch.
	raw     []byte
	open    *batch
	sealed  []*batch
	account tally
}

// limits bound the batches and the round.
type limits struct {
	items int // per batch
	bytes int // per batch, uncompressed
	round int // uncompressed bytes of a whole round
	// oldest is the timestamp in milliseconds below which samples are too old.
	oldest        int64
	sendExemplars bool
	sendNative    bool
}

// round is what an endpoint reads, sends and accounts for as one step. It is the Visitor of the endpoint's Source. Rounds are pooled
// with all their buffers, so that in steady state nothing is allocated per sample.
type round struct {
	limits limits
	cache  *seriesCache
	lanes  []*lane
	// active is the number of lanes in use; the others keep their buffers.
	active int

	// account is what was dropped while reading; each lane has its own for what it sends.
	account tally
	// highestRead is the newest timestamp seen, in milliseconds.
	highestRead int64
	// from and end are the places between which the round has read.
	from, end Position
	records   int
	bytes     int
	full      bool

	builder *labels.Builder
	scratch []byte
	free    []*batch
}

func newRound() *round { return &round{builder: labels.NewBuilder(labels.EmptyLabels())} }

// begin prepares the round for use with n lanes.
func (r *round) begin(n int, l limits, cache *seriesCache, from Position, newEncoder func() encoder) {
	r.limits, r.cache, r.active = l, cache, n
	r.account, r.highestRead = tally{}, 0
	r.from, r.end, r.records, r.bytes, r.full = from, from, 0, 0, false
	for len(r.lanes) < n {
		r.lanes = append(r.lanes, &lane{})
	}
	for _, ln := range r.lanes[:n] {
		if ln.encoder == nil {
			ln.encoder = newEncoder()
		}
		ln.account = tally{}
	}
}

// recycle takes the batches back for the next round.
func (r *round) recycle() {
	for _, ln := range r.lanes {
		if ln.open != nil {
			ln.sealed = append(ln.sealed, ln.open)
			ln.open = nil
		}
		for i, b := range ln.sealed {
			b.reset()
			r.free = append(r.free, b)
			ln.sealed[i] = nil
		}
		ln.sealed, ln.raw = ln.sealed[:0], ln.raw[:0]
	}
}

// release ends the use by an endpoint. Buffers beyond most bytes are given up.
func (r *round) release(most int) {
	r.recycle()
	r.cache = nil
	r.builder.Reset(labels.EmptyLabels())
	kept := cap(r.scratch)
	if kept > most {
		r.scratch, kept = nil, 0
	}
	r.lanes = keep(r.lanes, &kept, most, func(ln *lane) int {
		ln.encoder = nil
		return cap(ln.raw)
	})
	r.free = keep(r.free, &kept, most, func(b *batch) int { return cap(b.body) + itemBytes*cap(b.items) })
}

// keep returns the part of list that fits in most bytes, of which kept are used.
func keep[T any](list []*T, kept *int, most int, size func(*T) int) []*T {
	for i, x := range list {
		n := size(x)
		if *kept+n > most {
			clear(list[i:])
			return list[:i]
		}
		*kept += n
	}
	return list
}

// delivered books a record that the source has delivered.
func (r *round) delivered(rec Record) {
	lost := rec.Lost.Damaged + rec.Lost.Truncated
	r.account.drop(Truncated, floatKind, rec.Lost.Truncated)
	r.account.drop(Damaged, floatKind, rec.Lost.Damaged)
	// The sequence is the authority for what was committed; what it counts and nobody delivered is lost too.
	if gap := rec.End.Seq - min(r.end.Seq, rec.End.Seq); gap > uint64(rec.Samples)+lost {
		r.account.drop(Damaged, floatKind, gap-uint64(rec.Samples)-lost)
	}
	r.end = rec.End
	r.records++
	r.cache.reached(rec.End.Segment)
}

// samples is the number of floats and histograms between the round's places.
func (r *round) samples() uint64 { return r.end.Seq - r.from.Seq }

// finish closes the open batches, after the last record.
func (r *round) finish() {
	for _, ln := range r.lanes[:r.active] {
		if ln.open != nil {
			r.seal(ln)
		}
	}
}

// Series implements Visitor.
func (r *round) Series(ref uint64, ls labels.Labels) { r.cache.define(ref, ls, r.builder) }

// Float implements Visitor.
func (r *round) Float(ref uint64, startTime, t int64, v float64) {
	ln, encoded := r.admit(ref, t, floatKind)
	if ln == nil {
		return
	}
	ln.raw = ln.encoder.float(ln.raw, encoded, startTime, t, v)
	r.added(ln, t, floatKind)
}

// Histogram implements Visitor.
func (r *round) Histogram(ref uint64, startTime, t int64, h *histogram.Histogram) {
	if !r.limits.sendNative {
		r.account.drop(HistogramsOff, histogramKind, 1)
		return
	}
	ln, encoded := r.admit(ref, t, histogramKind)
	if ln == nil || !r.carries(ln, h.Schema) {
		return
	}
	ln.raw = ln.encoder.histogram(ln.raw, encoded, startTime, t, h)
	r.added(ln, t, histogramKind)
}

// FloatHistogram implements Visitor.
func (r *round) FloatHistogram(ref uint64, startTime, t int64, h *histogram.FloatHistogram) {
	if !r.limits.sendNative {
		r.account.drop(HistogramsOff, histogramKind, 1)
		return
	}
	ln, encoded := r.admit(ref, t, histogramKind)
	if ln == nil || !r.carries(ln, h.Schema) {
		return
	}
	ln.raw = ln.encoder.floatHistogram(ln.raw, encoded, startTime, t, h)
	r.added(ln, t, histogramKind)
}

func (r *round) carries(ln *lane, schema int32) bool {
	if schema != histogram.CustomBucketsSchema || ln.encoder.customBuckets() {
		return true
	}
	r.account.drop(UnsupportedHistogram, histogramKind, 1)
	return false
}

// Exemplar implements Visitor.
func (r *round) Exemplar(ref uint64, e exemplar.Exemplar) {
	if !r.limits.sendExemplars {
		return
	}
	ln, encoded := r.admit(ref, e.Ts, exemplarKind)
	if ln == nil {
		return
	}
	ln.raw = ln.encoder.exemplar(ln.raw, encoded, e)
	r.added(ln, e.Ts, exemplarKind)
}

// Metadata implements Visitor. Protocol 1.0 doesn't send metadata with samples.
func (*round) Metadata(uint64, metadata.Metadata) {}

// admit finds the lane and the labels of an item, or drops it and returns nil.
func (r *round) admit(ref uint64, t int64, k kind) (*lane, []byte) {
	if t < r.limits.oldest {
		r.account.drop(TooOld, k, 1)
		return nil, nil
	}
	s, encoded, known := r.cache.lookup(ref)
	if encoded == nil {
		switch {
		case !known:
			r.account.drop(UnknownSeries, k, 1)
			return nil, nil
		case s.size == droppedSeries:
			r.account.drop(DroppedByRelabel, k, 1)
			return nil, nil
		}
	}
	ln := r.lanes[0]
	if r.active > 1 {
		ln = r.lanes[s.lane%uint32(r.active)]
	}
	if ln.open == nil {
		ln.open = r.batch()
	}
	return ln, encoded
}

// added notes that an item was appended to the lane's open batch.
func (r *round) added(ln *lane, t int64, k kind) {
	r.highestRead = max(r.highestRead, t)
	b := ln.open
	b.items = append(b.items, item{t: t, end: uint32(len(ln.raw)), kind: k})
	if len(b.items) >= r.limits.items || len(ln.raw) >= r.limits.bytes {
		r.seal(ln)
		r.full = true
	}
}

func (r *round) seal(ln *lane) {
	b := ln.open
	b.size = len(ln.raw)
	ln.raw = ln.encoder.trailer(ln.raw)
	r.scratch = b.seal(ln.raw, r.scratch)
	r.bytes += len(b.body)
	r.full = r.full || r.bytes >= r.limits.round
	ln.sealed = append(ln.sealed, b)
	ln.open, ln.raw = nil, ln.raw[:0]
}

func (r *round) batch() *batch {
	if n := len(r.free); n > 0 {
		b := r.free[n-1]
		r.free = r.free[:n-1]
		return b
	}
	return &batch{}
}
