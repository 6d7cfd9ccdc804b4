package remotewrite

import (
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"

	"github.com/ringmaster-agent/ringmaster/series"
)

// lane collects the batches of one ordered sender during a round.
type lane struct {
	encoder encoder
	// version is that of the encoder's protocol.
	version string
	// due: the open batch is full. It takes the exemplars of its last item, and nothing else.
	due bool
	// raw holds the encoded items of the open batch; it is borrowed while the round is read.
	raw    []byte
	open   *batch
	sealed []*batch
	// mark is how far the lane was when the round began.
	mark mark
}

// limits bound the batches and the round.
type limits struct {
	items int // per batch
	bytes int // per batch, uncompressed
	round int // compressed bytes of a whole round
	// oldest is the timestamp in milliseconds below which samples are too old.
	oldest        int64
	sendExemplars bool
	sendNative    bool
}

// press is what a round needs while it is read and not while it is sent: the uncompressed bytes.
// Few exist at a time.
type press struct {
	raws    [][]byte
	scratch []byte
	// headed is a body with what precedes its items. joined are the items of several endpoints, and
	// shared is the encoder with which all of them write: while they are read, nobody else uses it.
	headed  []byte
	joined  []byte
	shared  encoder2
	builder *labels.Builder
}

func newPress() *press { return &press{builder: labels.NewBuilder(labels.EmptyLabels())} }

// round is what an endpoint reads, sends and accounts for as one step. It is the Visitor of the
// endpoint's Source. Rounds are pooled with all their buffers, so that in steady state nothing is
// allocated per sample.
type round struct {
	limits limits
	cache  *seriesCache
	// protocol is the one in which the round's batches are written.
	protocol *protocol
	lanes    []*lane
	// active is the number of lanes in use; the others keep their buffers.
	active int
	press  *press

	// account is what was dropped while reading and belongs to no lane; it is booked when the round
	// has ended.
	account tally
	// highestRead is the newest timestamp seen, in milliseconds.
	highestRead int64
	// from and end are the places between which the round has read.
	from, end Position
	// seq is the number of the next sample.
	seq     uint64
	records int
	bytes   int
	full    bool
	last    lastItem
	// only is the lane whose items are taken; -1 is all. The round does not settle the others then.
	only int
	// whole is the number up to which has to be read, so that what is in doubt is sent again as it was.
	whole uint64
	// single: only one record is read, because each is in doubt for itself.
	single bool
	// until is where the round's track ends; the zero Position is the end of the log.
	until Position

	free []*batch
}

func newRound() *round { return &round{} }

// begin prepares the round for use with a lane per mark.
func (r *round) begin(marks []mark, only int, l limits, cache *seriesCache, from Position, p *protocol) {
	r.limits, r.cache, r.active, r.protocol = l, cache, len(marks), p
	r.account, r.highestRead = tally{}, 0
	r.from, r.end, r.seq, r.records, r.bytes, r.full = from, from, from.Seq, 0, 0, false
	for len(r.lanes) < len(marks) {
		r.lanes = append(r.lanes, &lane{})
	}
	r.only, r.whole, r.single, r.until = only, 0, false, Position{}
	for i, ln := range r.lanes[:len(marks)] {
		if ln.mark = marks[i]; ln.version != p.version {
			ln.encoder, ln.version = p.newEncoder(), p.version
		}
		ln.encoder.reset()
		switch {
		case only >= 0 && only != i:
		case marks[i].records:
			r.single = true
		case !marks[i].parts:
			r.whole = max(r.whole, marks[i].doubt)
		}
	}
}

// borrow takes the buffers for reading.
func (r *round) borrow(p *press) {
	r.press = p
	for i, ln := range r.lanes[:r.active] {
		if i == len(p.raws) {
			p.raws = append(p.raws, nil)
		}
		ln.raw = p.raws[i][:0]
	}
}

// giveBack ends the use of the buffers for reading.
func (r *round) giveBack() *press {
	p := r.press
	for i, ln := range r.lanes[:r.active] {
		p.raws[i], ln.raw = ln.raw[:0], nil
	}
	p.builder.Reset(labels.EmptyLabels())
	r.press = nil
	return p
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
		ln.sealed, ln.raw, ln.due = ln.sealed[:0], ln.raw[:0], false
	}
}

// release ends the use by an endpoint. Buffers beyond most bytes are given up.
func (r *round) release(most int) {
	r.recycle()
	r.cache, r.protocol, r.last = nil, nil, lastItem{}
	kept := 0
	for _, ln := range r.lanes {
		if ln.encoder == nil {
			continue
		}
		ln.encoder.reset() // nothing of the endpoint's series stays
		if kept += ln.encoder.memory(); kept > most {
			ln.encoder, ln.version = nil, ""
		}
	}
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
	rec = r.within(rec)
	lost := rec.Lost.Damaged + rec.Lost.Truncated
	r.account.drop(Truncated, floatKind, rec.Lost.Truncated, r.highestRead)
	r.account.drop(Damaged, floatKind, rec.Lost.Damaged, r.highestRead)
	// The sequence is the authority for what was committed; what it counts and nobody delivered is
	// lost too.
	if gap := rec.End.Seq - min(r.end.Seq, rec.End.Seq); gap > uint64(rec.Samples)+lost {
		r.account.drop(Damaged, floatKind, gap-uint64(rec.Samples)-lost, r.highestRead)
	}
	r.end, r.seq = rec.End, rec.End.Seq
	r.records++
	r.full = r.full || r.single
}

// memory is how many bytes the round's batches hold.
func (r *round) memory() (n int) {
	for _, ln := range r.lanes[:r.active] {
		for _, b := range ln.sealed {
			n += len(b.body) + itemBytes*len(b.items)
		}
	}
	return n
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

// Record implements Visitor.
func (r *round) Record(first uint64) { r.seq, r.last = first, lastItem{} }

// Series implements Visitor.
func (r *round) Series(ref series.Ref) { r.cache.define(ref, r.press.builder) }

// Float implements Visitor.
func (r *round) Float(ref series.Ref, startTime, t int64, v float64) {
	r.next(ref)
	s, ln, sent := r.admit(ref, t, floatKind)
	if ln == nil {
		return
	}
	ln.raw = ln.encoder.float(ln.raw, sent, startTime, t, v)
	r.added(ln, s, t, floatKind)
}

// Histogram implements Visitor.
func (r *round) Histogram(ref series.Ref, startTime, t int64, h *histogram.Histogram) {
	r.next(ref)
	if r.beyond() || !r.sendsHistograms(t) {
		return
	}
	s, ln, sent := r.admit(ref, t, histogramKind)
	if ln == nil || !ln.carries(h.Schema, t) {
		return
	}
	ln.raw = ln.encoder.histogram(ln.raw, sent, startTime, t, h)
	r.added(ln, s, t, histogramKind)
}

// FloatHistogram implements Visitor.
func (r *round) FloatHistogram(ref series.Ref, startTime, t int64, h *histogram.FloatHistogram) {
	r.next(ref)
	if r.beyond() || !r.sendsHistograms(t) {
		return
	}
	s, ln, sent := r.admit(ref, t, histogramKind)
	if ln == nil || !ln.carries(h.Schema, t) {
		return
	}
	ln.raw = ln.encoder.floatHistogram(ln.raw, sent, startTime, t, h)
	r.added(ln, s, t, histogramKind)
}

// sendsHistograms drops a histogram if the endpoint sends none.
func (r *round) sendsHistograms(t int64) bool {
	if !r.limits.sendNative {
		r.account.drop(HistogramsOff, histogramKind, 1, t)
	}
	return r.limits.sendNative
}

// Exemplar implements Visitor.
func (r *round) Exemplar(ref series.Ref, e exemplar.Exemplar) {
	if !r.limits.sendExemplars || r.beyond() {
		return
	}
	if r.protocol.attaches && r.last.ref == ref {
		r.attach(e)
		return
	}
	s, ln, sent := r.admit(ref, e.Ts, exemplarKind)
	if ln == nil {
		return
	}
	ln.raw = ln.encoder.exemplar(ln.raw, sent, e)
	r.added(ln, s, e.Ts, exemplarKind)
}

// attach adds an exemplar to the sample before it, whose fate it shares.
func (r *round) attach(e exemplar.Exemplar) {
	ln := r.last.lane
	if ln == nil {
		if s, _ := r.cache.lookup(r.last.ref); s.size == droppedSeries {
			r.account.drop(DroppedByRelabel, exemplarKind, 1, e.Ts)
		}
		return
	}
	b := ln.open
	it := &b.items[len(b.items)-1]
	if it.exemplars == maxAttached {
		r.account.drop(TooLarge, exemplarKind, 1, e.Ts)
		return
	}
	start := 0
	if n := len(b.items); n > 1 {
		start = int(b.items[n-2].end)
	}
	ln.raw = ln.encoder.attach(ln.raw, start, e)
	it.exemplars++
	it.end = uint32(len(ln.raw))
}

// Metadata implements Visitor.
func (r *round) Metadata(ref series.Ref, m metadata.Metadata) { r.cache.describe(ref, m) }

// lastItem is the last sample of the record that was visited, and the lane in whose open batch it
// is; nil if it isn't sent.
type lastItem struct {
	ref  series.Ref
	lane *lane
}

// next goes on to the next sample.
func (r *round) next(ref series.Ref) {
	r.seq++
	r.last = lastItem{ref: ref}
}

// admit finds the lane and the labels of an item, or books why it is not sent and returns nil.
// r.seq is behind the item already; an exemplar has the number of the sample before it.
func (r *round) admit(ref series.Ref, t int64, k kind) (cell, *lane, sentSeries) {
	s, sent := r.cache.lookup(ref)
	if r.beyond() {
		return s, nil, sent
	}
	switch s.size {
	case unknownSeries:
		r.account.drop(UnknownSeries, k, 1, t)
		return s, nil, sent
	case droppedSeries:
		r.account.drop(DroppedByRelabel, k, 1, t)
		return s, nil, sent
	}
	at := 0
	if r.active > 1 {
		at = int(s.lane % uint32(r.active))
	}
	ln := r.lanes[at]
	if r.only >= 0 && r.only != at {
		return s, nil, sent
	}
	behind := r.seq
	if k == exemplarKind {
		// Rather twice than not at all: an exemplar has no number of its own.
		behind++
	}
	if behind <= ln.mark.settled {
		return s, nil, sent
	}
	doubt := behind <= ln.mark.doubt
	if ln.open != nil && (ln.due || ln.open.doubt && !doubt) {
		r.seal(ln)
	}
	if ln.open == nil {
		ln.open = r.batch()
		ln.open.doubt, ln.open.parts = doubt, doubt && ln.mark.parts
	}
	ln.open.last = r.seq
	if t < r.limits.oldest {
		ln.open.old[k]++
		return s, nil, sent
	}
	return s, ln, sent
}

// added notes that an item was appended to the lane's open batch.
func (r *round) added(ln *lane, s cell, t int64, k kind) {
	r.highestRead = max(r.highestRead, t)
	b := ln.open
	b.items = append(b.items, item{t: t, end: uint32(len(ln.raw)), hash: s.lane, kind: k, maybe: b.doubt})
	if k != exemplarKind {
		r.last.lane = ln
	}
	if b.doubt && !b.parts || len(b.items) < r.limits.items && len(ln.raw)+ln.encoder.overhead() < r.limits.bytes {
		return
	}
	r.full = true
	if ln.due = r.protocol.attaches; !ln.due {
		r.seal(ln)
	}
}

func (r *round) seal(ln *lane) {
	b, p, raw := ln.open, r.press, ln.raw
	head := 0
	if p.headed = ln.encoder.header(p.headed[:0]); len(p.headed) > 0 {
		head = len(p.headed)
		p.headed = append(p.headed, raw...)
		raw = p.headed
	}
	p.scratch = b.seal(raw, head, p.scratch)
	r.bytes += len(b.body)
	r.full = r.full || r.bytes >= r.limits.round
	ln.sealed = append(ln.sealed, b)
	ln.open, ln.raw, ln.due = nil, ln.raw[:0], false
}

func (r *round) batch() *batch {
	b := &batch{}
	if n := len(r.free); n > 0 {
		b = r.free[n-1]
		r.free = r.free[:n-1]
	}
	b.protocol = r.protocol
	return b
}
