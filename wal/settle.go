package wal

import (
	"math"
	"time"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/model/value"

	"github.com/ringmaster-agent/ringmaster/series"
)

// settle finds out what only the order of commits decides: which samples another appender's commit
// has overtaken, which leave the batch, and which series the active segment has yet to define. A
// batch that was encoded for an earlier segment is encoded anew.
func (l *Log) settle(a *appender, defs *definitions) {
	l.seriesMu.Lock()
	defer l.seriesMu.Unlock()
	t := &l.table
	refused := l.refused(a)
	if len(refused) > 0 || a.epoch != t.epoch {
		a.recode(refused)
	}
	defs.reset()
	for _, number := range t.ended {
		defs.place(tagEnded, uint64(number))
	}
	for i := range a.pending {
		t.settle(a.pending[i].ref, defs)
	}
	for i := range a.exemplars {
		t.settle(a.exemplars[i].ref, defs)
	}
}

// settle defines a series, if the active segment does not.
func (t *table) settle(r series.Ref, defs *definitions) {
	c := t.cells.At(r)
	if c.defined && c.epoch == t.epoch && !c.metadataChanged {
		return
	}
	number := t.number(c)
	if !c.defined {
		defs.series(number, t.book.Encoded(r))
	}
	if m := t.metadata.Get(r); m != nil {
		defs.metadata(number, m)
	}
	c.defined, c.metadataChanged = true, false
}

// refused returns the places of the samples that are not newer than what is committed, and counts
// them. It needs seriesMu.
func (l *Log) refused(a *appender) (refused []int) {
	var twice map[series.Ref]lastSample
	if a.contested {
		twice = map[series.Ref]lastSample{}
	}
	overtaken := uint64(0)
	for i := range a.pending {
		p := &a.pending[i]
		last := l.table.cells.At(p.ref).last
		if before, ok := twice[p.ref]; ok {
			last = before
		}
		if p.t > last.t {
			if a.contested {
				twice[p.ref] = p.lastSample
			}
			continue
		}
		refused = append(refused, i)
		if p.lastSample != last {
			overtaken++ // else it is in the log
		}
	}
	l.counts.overtaken(overtaken)
	return refused
}

// unsettle makes the next commit define the series again, because this one failed.
func (l *Log) unsettle(a *appender) {
	l.seriesMu.Lock()
	defer l.seriesMu.Unlock()
	t := &l.table
	undefine := func(r series.Ref) {
		if c := t.cells.At(r); c.defined {
			c.defined, c.metadataChanged = false, t.metadata.Get(r) != nil
		}
	}
	for i := range a.pending {
		undefine(a.pending[i].ref)
	}
	for i := range a.exemplars {
		undefine(a.exemplars[i].ref)
	}
}

// staleFor is how long a series is remembered after its staleness marker: long enough for the
// marker of an old scrape loop to be recognised as out of order, and as long as appenders are open.
const staleFor = maxOpen

// confirm makes the series remember a batch that is written.
func (l *Log) confirm(a *appender, now time.Time) {
	l.seriesMu.Lock()
	defer l.seriesMu.Unlock()
	t := &l.table
	t.ended = t.ended[:0]
	used := uint32(now.Unix())
	ending := uint32(now.Add(staleFor - forgetAfter).Unix())
	for i := range a.pending {
		p := &a.pending[i]
		c := t.cells.At(p.ref)
		c.last, c.used = p.lastSample, used
		if p.kind == kindFloat && value.IsStaleNaN(math.Float64frombits(p.bits)) {
			c.used = ending
		}
	}
	for i := range a.exemplars {
		x := &a.exemplars[i]
		last := t.exemplars.At(x.ref)
		if *last == nil {
			*last = new(lastExemplar)
		}
		if (*last).before(x.lastExemplar) {
			**last = x.lastExemplar
		}
	}
}

// recode encodes the batch again, without the refused samples and with the numbers of the present
// epoch. It needs seriesMu.
func (a *appender) recode(refused []int) {
	old := a.enc
	r := recoder{a: a, refused: refused}
	r.enc.buf = make([]byte, recordHeaderSize, len(old.buf)+64)
	var d decoder
	d.record(recordHeader{samples: old.samples, base: old.base, flags: flagVersion2}, old.buf[recordHeaderSize:], &r)
	a.enc, a.pending, a.epoch = r.enc, a.pending[:r.kept], a.log.table.epoch
}

// recoder is a Visitor that encodes what it is given. The references that it gets are numbers of
// the old encoding; which series they are is known by their order.
type recoder struct {
	a       *appender
	enc     encoder
	refused []int
	// next and kept count samples, and exemplars counts exemplars.
	next, kept, exemplars int
}

// keep says whether the next sample is kept, and returns the number of its series.
func (r *recoder) keep() (number uint64, kept bool) {
	i := r.next
	r.next++
	if len(r.refused) > 0 && r.refused[0] == i {
		r.refused = r.refused[1:]
		return 0, false
	}
	p := r.a.pending[i]
	r.a.pending[r.kept] = p
	r.kept++
	return r.number(p.ref), true
}

func (r *recoder) number(ref series.Ref) uint64 {
	t := &r.a.log.table
	return t.number(t.cells.At(ref))
}

func (r *recoder) Float(_ series.Ref, startTime, t int64, v float64) {
	if number, ok := r.keep(); ok {
		r.enc.float(number, startTime, t, v)
	}
}

func (r *recoder) Histogram(_ series.Ref, startTime, t int64, h *histogram.Histogram) {
	if number, ok := r.keep(); ok {
		r.enc.histogram(number, startTime, t, h)
	}
}

func (r *recoder) FloatHistogram(_ series.Ref, startTime, t int64, h *histogram.FloatHistogram) {
	if number, ok := r.keep(); ok {
		r.enc.floatHistogram(number, startTime, t, h)
	}
}

func (r *recoder) Exemplar(_ series.Ref, e exemplar.Exemplar) {
	r.enc.exemplar(r.number(r.a.exemplars[r.exemplars].ref), e)
	r.exemplars++
}

func (*recoder) Record(uint64)                          {}
func (*recoder) Series(series.Ref)                      {}
func (*recoder) Metadata(series.Ref, metadata.Metadata) {}
