package remotewrite

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
)

// encoder writes the items of one request body. Each append call writes one whole item, so that a body can be cut between any two
// of them: any subset of items followed by the trailer is a valid message. series is what labels made of a series' labels.
//
// An encoder belongs to one lane and is not safe for concurrent use. It keeps no reference to its arguments.
type encoder interface {
	// labels appends the form in which the endpoint remembers a series.
	labels(dst []byte, ls labels.Labels) []byte
	float(dst, series []byte, startTime, t int64, v float64) []byte
	histogram(dst, series []byte, startTime, t int64, h *histogram.Histogram) []byte
	floatHistogram(dst, series []byte, startTime, t int64, h *histogram.FloatHistogram) []byte
	exemplar(dst, series []byte, e exemplar.Exemplar) []byte
	// trailer appends what the items of the body need in common, and forgets them.
	trailer(dst []byte) []byte
	// customBuckets reports whether the protocol can carry histograms with custom buckets.
	customBuckets() bool
}

// encoder1 writes prometheus.WriteRequest of protocol 1.0 by hand: one TimeSeries per item, as Prometheus' own sender does. The numbers
// are protobuf tags (field<<3 | wire type) of prompb/types.proto.
type encoder1 struct {
	// scratch holds a nested message until its length is known.
	scratch []byte
}

const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2

	tagTimeSeries = 1<<3 | wireBytes
	tagLabel      = 1<<3 | wireBytes
	tagSample     = 2<<3 | wireBytes
	tagExemplar   = 3<<3 | wireBytes
	tagHistogram  = 4<<3 | wireBytes
)

func (*encoder1) customBuckets() bool { return false }

func (*encoder1) trailer(dst []byte) []byte { return dst }

func (*encoder1) labels(dst []byte, ls labels.Labels) []byte {
	ls.Range(func(l labels.Label) { dst = appendLabel(dst, l) })
	return dst
}

func appendLabel(dst []byte, l labels.Label) []byte {
	dst = append(dst, tagLabel)
	dst = binary.AppendUvarint(dst, uint64(stringSize(l.Name)+stringSize(l.Value)))
	dst = appendString(dst, 1, l.Name)
	return appendString(dst, 2, l.Value)
}

func (*encoder1) float(dst, series []byte, _, t int64, v float64) []byte {
	// A sample is at most 9+11 bytes, so its length fits one byte.
	size := doubleSize(v) + varintSize(t)
	dst = append(dst, tagTimeSeries)
	dst = binary.AppendUvarint(dst, uint64(len(series)+2+size))
	dst = append(dst, series...)
	dst = append(dst, tagSample, byte(size))
	dst = appendDouble(dst, 1, v)
	return appendVarint(dst, 2, t)
}

func (e *encoder1) exemplar(dst, series []byte, x exemplar.Exemplar) []byte {
	m := e.scratch[:0]
	x.Labels.Range(func(l labels.Label) { m = appendLabel(m, l) })
	m = appendDouble(m, 2, x.Value)
	m = appendVarint(m, 3, x.Ts)
	return e.timeSeries(dst, series, tagExemplar, m)
}

func (e *encoder1) histogram(dst, series []byte, _, t int64, h *histogram.Histogram) []byte {
	m := e.scratch[:0]
	// The two counts are oneofs: they are written even if zero, because they tell integer from float histograms.
	m = binary.AppendUvarint(append(m, 1<<3|wireVarint), h.Count)
	m = appendDouble(m, 3, h.Sum)
	m = appendSint(m, 4, int64(h.Schema))
	m = appendDouble(m, 5, h.ZeroThreshold)
	m = binary.AppendUvarint(append(m, 6<<3|wireVarint), h.ZeroCount)
	m = appendSpans(m, 8, h.NegativeSpans)
	m = appendDeltas(m, 9, h.NegativeBuckets)
	m = appendSpans(m, 11, h.PositiveSpans)
	m = appendDeltas(m, 12, h.PositiveBuckets)
	m = appendVarint(m, 14, int64(h.CounterResetHint))
	m = appendVarint(m, 15, t)
	return e.timeSeries(dst, series, tagHistogram, m)
}

func (e *encoder1) floatHistogram(dst, series []byte, _, t int64, h *histogram.FloatHistogram) []byte {
	m := e.scratch[:0]
	m = appendFixed64(append(m, 2<<3|wireFixed64), h.Count)
	m = appendDouble(m, 3, h.Sum)
	m = appendSint(m, 4, int64(h.Schema))
	m = appendDouble(m, 5, h.ZeroThreshold)
	m = appendFixed64(append(m, 7<<3|wireFixed64), h.ZeroCount)
	m = appendSpans(m, 8, h.NegativeSpans)
	m = appendDoubles(m, 10, h.NegativeBuckets)
	m = appendSpans(m, 11, h.PositiveSpans)
	m = appendDoubles(m, 13, h.PositiveBuckets)
	m = appendVarint(m, 14, int64(h.CounterResetHint))
	m = appendVarint(m, 15, t)
	return e.timeSeries(dst, series, tagHistogram, m)
}

// timeSeries appends one TimeSeries whose only content is message m, and keeps m's memory for the next one.
func (e *encoder1) timeSeries(dst, series []byte, tag byte, m []byte) []byte {
	dst = append(dst, tagTimeSeries)
	dst = binary.AppendUvarint(dst, uint64(len(series)+1+uvarintSize(uint64(len(m)))+len(m)))
	dst = append(dst, series...)
	dst = append(dst, tag)
	dst = binary.AppendUvarint(dst, uint64(len(m)))
	dst = append(dst, m...)
	e.scratch = m[:0]
	return dst
}

// The append functions below leave out a zero value, as protobuf does. Fields are below 16, so that a tag is one byte.

func appendString(dst []byte, field byte, s string) []byte {
	if s == "" {
		return dst
	}
	dst = append(dst, field<<3|wireBytes)
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func stringSize(s string) int {
	if s == "" {
		return 0
	}
	return 1 + uvarintSize(uint64(len(s))) + len(s)
}

// appendDouble writes negative zero, which is not the default value.
func appendDouble(dst []byte, field byte, v float64) []byte {
	if math.Float64bits(v) == 0 {
		return dst
	}
	return appendFixed64(append(dst, field<<3|wireFixed64), v)
}

func doubleSize(v float64) int {
	if math.Float64bits(v) == 0 {
		return 0
	}
	return 9
}

func appendFixed64(dst []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
}

func appendVarint(dst []byte, field byte, v int64) []byte {
	if v == 0 {
		return dst
	}
	return binary.AppendUvarint(append(dst, field<<3|wireVarint), uint64(v))
}

func varintSize(v int64) int {
	if v == 0 {
		return 0
	}
	return 1 + uvarintSize(uint64(v))
}

func uvarintSize(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

func zigzag(v int64) uint64 { return uint64(v<<1) ^ uint64(v>>63) }

func appendSint(dst []byte, field byte, v int64) []byte {
	if v == 0 {
		return dst
	}
	return binary.AppendUvarint(append(dst, field<<3|wireVarint), zigzag(v))
}

func appendSpans(dst []byte, field byte, spans []histogram.Span) []byte {
	for _, s := range spans {
		size := 0
		if s.Offset != 0 {
			size += 1 + uvarintSize(zigzag(int64(s.Offset)))
		}
		size += varintSize(int64(s.Length))
		dst = append(dst, field<<3|wireBytes, byte(size))
		dst = appendSint(dst, 1, int64(s.Offset))
		dst = appendVarint(dst, 2, int64(s.Length))
	}
	return dst
}

func appendDeltas(dst []byte, field byte, deltas []int64) []byte {
	if len(deltas) == 0 {
		return dst
	}
	size := 0
	for _, d := range deltas {
		size += uvarintSize(zigzag(d))
	}
	dst = append(dst, field<<3|wireBytes)
	dst = binary.AppendUvarint(dst, uint64(size))
	for _, d := range deltas {
		dst = binary.AppendUvarint(dst, zigzag(d))
	}
	return dst
}

func appendDoubles(dst []byte, field byte, values []float64) []byte {
	if len(values) == 0 {
		return dst
	}
	dst = append(dst, field<<3|wireBytes)
	dst = binary.AppendUvarint(dst, uint64(8*len(values)))
	for _, v := range values {
		dst = appendFixed64(dst, v)
	}
	return dst
}
