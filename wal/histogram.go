package wal

import (
	"encoding/binary"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
)

// The content of a histogram: byte (bits 0-1 counter reset hint), varint schema, number zero
// threshold, count zero count, count count, number sum, spans positive, spans negative, buckets
// positive, buckets negative, numbers custom values.
//
// A number is a byte n and the n first bytes of a float, as for samples. In an integer histogram a
// count is a uvarint and buckets are varints (they are deltas), in a float histogram both are
// numbers. Lists start with their length as uvarint; a span is varint offset, uvarint length.

func (e *encoder) histogram(number uint64, startTime, t int64, h *histogram.Histogram) (content []byte) {
	at := len(e.buf)
	b, flags := e.place(append(e.buf, tagHistogram, 0), number, startTime, t)
	b[at+1] = flags
	start := len(b)
	b = appendHistogramHead(b, h.CounterResetHint, h.Schema, h.ZeroThreshold)
	b = binary.AppendUvarint(b, h.ZeroCount)
	b = binary.AppendUvarint(b, h.Count)
	b = appendNumber(b, h.Sum)
	b = appendSpans(b, h.PositiveSpans)
	b = appendSpans(b, h.NegativeSpans)
	b = appendDeltas(b, h.PositiveBuckets)
	b = appendDeltas(b, h.NegativeBuckets)
	e.buf = appendNumbers(b, h.CustomValues)
	return e.buf[start:]
}

func (e *encoder) floatHistogram(number uint64, startTime, t int64, h *histogram.FloatHistogram) (content []byte) {
	at := len(e.buf)
	b, flags := e.place(append(e.buf, tagFloatHistogram, 0), number, startTime, t)
	b[at+1] = flags
	start := len(b)
	b = appendHistogramHead(b, h.CounterResetHint, h.Schema, h.ZeroThreshold)
	b = appendNumber(b, h.ZeroCount)
	b = appendNumber(b, h.Count)
	b = appendNumber(b, h.Sum)
	b = appendSpans(b, h.PositiveSpans)
	b = appendSpans(b, h.NegativeSpans)
	b = appendNumbers(b, h.PositiveBuckets)
	b = appendNumbers(b, h.NegativeBuckets)
	e.buf = appendNumbers(b, h.CustomValues)
	return e.buf[start:]
}

func appendHistogramHead(b []byte, hint histogram.CounterResetHint, schema int32, zeroThreshold float64) []byte {
	b = append(b, byte(hint)&3)
	b = binary.AppendVarint(b, int64(schema))
	return appendNumber(b, zeroThreshold)
}

func appendNumber(b []byte, v float64) []byte {
	at := len(b)
	b, n := appendTrimmed(append(b, 0), v)
	b[at] = n
	return b
}

func appendNumbers(b []byte, vs []float64) []byte {
	b = binary.AppendUvarint(b, uint64(len(vs)))
	for _, v := range vs {
		b = appendNumber(b, v)
	}
	return b
}

func appendDeltas(b []byte, vs []int64) []byte {
	b = binary.AppendUvarint(b, uint64(len(vs)))
	for _, v := range vs {
		b = binary.AppendVarint(b, v)
	}
	return b
}

func appendSpans(b []byte, spans []histogram.Span) []byte {
	b = binary.AppendUvarint(b, uint64(len(spans)))
	for _, s := range spans {
		b = binary.AppendVarint(b, int64(s.Offset))
		b = binary.AppendUvarint(b, uint64(s.Length))
	}
	return b
}

// histogramScratch holds what decoding reuses from one histogram to the next.
type histogramScratch struct {
	h  histogram.Histogram
	fh histogram.FloatHistogram
	// custom is the last list of custom values. It is given out and never written to again: users
	// of histograms copy it by reference.
	custom, customBuf []float64
}

// The decoding below sets b.bad on malformed input; values are then meaningless.

func (s *histogramScratch) decode(b *input) *histogram.Histogram {
	h := &s.h
	h.CounterResetHint = histogram.CounterResetHint(b.byte() & 3)
	h.Schema = int32(b.varint())
	h.ZeroThreshold = b.number()
	h.ZeroCount = b.uvarint()
	h.Count = b.uvarint()
	h.Sum = b.number()
	h.PositiveSpans = b.spans(h.PositiveSpans)
	h.NegativeSpans = b.spans(h.NegativeSpans)
	h.PositiveBuckets = b.deltas(h.PositiveBuckets)
	h.NegativeBuckets = b.deltas(h.NegativeBuckets)
	h.CustomValues = s.customValues(b)
	return h
}

func (s *histogramScratch) decodeFloat(b *input) *histogram.FloatHistogram {
	h := &s.fh
	h.CounterResetHint = histogram.CounterResetHint(b.byte() & 3)
	h.Schema = int32(b.varint())
	h.ZeroThreshold = b.number()
	h.ZeroCount = b.number()
	h.Count = b.number()
	h.Sum = b.number()
	h.PositiveSpans = b.spans(h.PositiveSpans)
	h.NegativeSpans = b.spans(h.NegativeSpans)
	h.PositiveBuckets = b.numbers(h.PositiveBuckets)
	h.NegativeBuckets = b.numbers(h.NegativeBuckets)
	h.CustomValues = s.customValues(b)
	return h
}

func (s *histogramScratch) customValues(b *input) []float64 {
	s.customBuf = b.numbers(s.customBuf)
	if len(s.customBuf) == 0 {
		return nil
	}
	if !slices.Equal(s.customBuf, s.custom) {
		s.custom = slices.Clone(s.customBuf)
	}
	return s.custom
}
