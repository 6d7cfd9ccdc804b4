package wal

import (
	"encoding/binary"
	"math"
	"unsafe"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"

	"github.com/ringmaster-agent/ringmaster/series"
)

// Visitor takes the content of one record. A reference is one of the log's Book, and is held by the
// reader at least until the next call of Next. Series says that the reader has met the definition
// of a series: it comes before the first sample of the series in each segment, and may come again
// after a Seek. Arguments other than strings and exemplar labels live only for the duration of the
// call. Times are in milliseconds.
type Visitor interface {
	// Record comes before the items of a record, with the number of samples committed before its
	// first one.
	Record(first uint64)
	Series(ref series.Ref)
	// Float is a sample of a counter, gauge or any other float. startTime is 0 if unknown.
	Float(ref series.Ref, startTime, t int64, v float64)
	Histogram(ref series.Ref, startTime, t int64, h *histogram.Histogram)
	FloatHistogram(ref series.Ref, startTime, t int64, h *histogram.FloatHistogram)
	Exemplar(ref series.Ref, e exemplar.Exemplar)
	Metadata(ref series.Ref, m metadata.Metadata)
}

// decoder gives the items of payloads to a Visitor. It is as untrusting of its input as if there
// was no checksum.
type decoder struct {
	// refs says which series numbers are. nil: the numbers are delivered as they are.
	refs *refTable

	builder  labels.ScratchBuilder
	scratch  histogramScratch
	metadata metadata.Metadata // the last in this record
	raw      []byte
}

// record delivers a whole payload and returns how many samples were. Fewer than h.samples means
// that series were not known or that the payload is malformed.
func (d *decoder) record(h recordHeader, payload []byte, v Visitor) (samples int) {
	items, ok := d.definitions(h, payload, v)
	if !ok {
		return 0
	}
	b := input{b: items}
	last, left := uint64(0), h.samples
	for len(b.b) > 0 {
		tag := b.b[0]
		switch {
		case tag < 0x80 || tag == tagHistogram || tag == tagFloatHistogram:
			if left == 0 {
				return samples
			}
			left--
			b.b = b.b[1:]
			var ok bool
			if last, ok = d.sample(&b, tag, last, h.base, v); ok {
				samples++
			}
		case tag == tagExemplar:
			b.b = b.b[1:]
			d.exemplar(&b, last, h.base, v)
		default:
			return samples
		}
		if b.bad {
			return samples
		}
	}
	return samples
}

// sample decodes one sample behind its tag. ok means it was delivered.
func (d *decoder) sample(b *input, tag byte, last uint64, base int64, v Visitor) (number uint64, ok bool) {
	flags := tag
	if tag >= 0x80 {
		flags = b.byte()
	}
	number, t, startTime := last+1, base, int64(0)
	if flags&placeMask != placeNext|placeBase {
		if flags&placeNext == 0 {
			number += uint64(b.varint())
		}
		if flags&placeBase == 0 {
			t += b.varint()
		}
		if flags&placeStart != 0 {
			startTime = t - b.varint()
		}
	}
	ref, deliver := d.ref(number)
	switch tag {
	case tagHistogram:
		if h := d.scratch.decode(b); deliver && !b.bad {
			v.Histogram(ref, startTime, t, h)
		}
	case tagFloatHistogram:
		if h := d.scratch.decodeFloat(b); deliver && !b.bad {
			v.FloatHistogram(ref, startTime, t, h)
		}
	default:
		if x := b.trimmed(tag & 0x0f); deliver && !b.bad {
			v.Float(ref, startTime, t, x)
		}
	}
	return number, deliver && !b.bad
}

func (d *decoder) exemplar(b *input, last uint64, base int64, v Visitor) {
	number := last + uint64(b.varint())
	e := exemplar.Exemplar{HasTs: b.byte()&1 != 0, Ts: base + b.varint(), Value: math.Float64frombits(b.uint64())}
	e.Labels = d.labels(b)
	if ref, deliver := d.ref(number); deliver && !b.bad {
		v.Exemplar(ref, e)
	}
}

func (d *decoder) labels(b *input) labels.Labels {
	d.builder.Reset()
	for n := b.count(2); n > 0; n-- {
		// The builder copies when it builds.
		name, value := b.string(), b.string()
		d.builder.Add(name, value)
	}
	if b.bad {
		return labels.EmptyLabels()
	}
	return d.builder.Labels()
}

func (d *decoder) ref(number uint64) (r series.Ref, deliver bool) {
	if d.refs == nil {
		return series.Ref(number), true
	}
	r = d.refs.get(number)
	return r, r != 0
}

// input is a byte slice that is consumed from the front. Reading more than there is, or nonsense,
// sets bad and empties it.
type input struct {
	b   []byte
	bad bool
}

func (in *input) fail() { in.b, in.bad = nil, true }

func (in *input) byte() byte {
	if len(in.b) == 0 {
		in.fail()
		return 0
	}
	c := in.b[0]
	in.b = in.b[1:]
	return c
}

func (in *input) uvarint() uint64 {
	x, n := binary.Uvarint(in.b)
	if n <= 0 {
		in.fail()
		return 0
	}
	in.b = in.b[n:]
	return x
}

func (in *input) varint() int64 {
	x, n := binary.Varint(in.b)
	if n <= 0 {
		in.fail()
		return 0
	}
	in.b = in.b[n:]
	return x
}

func (in *input) uint64() uint64 {
	if len(in.b) < 8 {
		in.fail()
		return 0
	}
	x := binary.LittleEndian.Uint64(in.b)
	in.b = in.b[8:]
	return x
}

// trimmed reads a float of which the n first bytes are stored.
func (in *input) trimmed(n byte) float64 {
	if n > 8 || int(n) > len(in.b) {
		in.fail()
		return 0
	}
	var x uint64
	if len(in.b) >= 8 {
		x = binary.BigEndian.Uint64(in.b) &^ (math.MaxUint64 >> (8 * n))
	} else {
		for i := range n {
			x |= uint64(in.b[i]) << (56 - 8*i)
		}
	}
	in.b = in.b[n:]
	return math.Float64frombits(x)
}

func (in *input) number() float64 { return in.trimmed(in.byte()) }

// count reads the length of a list whose elements take at least size bytes each, so that a lie
// can't cost memory.
func (in *input) count(size int) int {
	n := in.uvarint()
	if n > uint64(len(in.b)/size) {
		in.fail()
		return 0
	}
	return int(n)
}

// string returns a string that shares memory with the input.
func (in *input) string() string {
	n := in.count(1)
	if n == 0 {
		return ""
	}
	s := unsafe.String(&in.b[0], n)
	in.b = in.b[n:]
	return s
}

func (in *input) copy() string {
	n := in.count(1)
	s := string(in.b[:n])
	in.b = in.b[n:]
	return s
}

func (in *input) numbers(to []float64) []float64 {
	to = to[:0]
	for n := in.count(1); n > 0; n-- {
		to = append(to, in.number())
	}
	return to
}

func (in *input) deltas(to []int64) []int64 {
	to = to[:0]
	for n := in.count(1); n > 0; n-- {
		to = append(to, in.varint())
	}
	return to
}

func (in *input) spans(to []histogram.Span) []histogram.Span {
	to = to[:0]
	for n := in.count(2); n > 0; n-- {
		to = append(to, histogram.Span{Offset: int32(in.varint()), Length: uint32(in.uvarint())})
	}
	return to
}
