package remotewrite

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/prompb"
)

// encoder writes the items of one request body. Each append call writes one whole item, so that a
// body can be cut between any two of them: the header followed by any subset of items is a valid
// message.
//
// An encoder belongs to one lane and is not safe for concurrent use. It keeps no reference to its
// arguments, except that a series' metadata must not change.
type encoder interface {
	float(dst []byte, s sentSeries, startTime, t int64, v float64) []byte
	histogram(dst []byte, s sentSeries, startTime, t int64, h *histogram.Histogram) []byte
	floatHistogram(dst []byte, s sentSeries, startTime, t int64, h *histogram.FloatHistogram) []byte
	exemplar(dst []byte, s sentSeries, e exemplar.Exemplar) []byte
	// attach makes an exemplar part of the last item, which begins at start. Only if the protocol
	// attaches.
	attach(dst []byte, start int, e exemplar.Exemplar) []byte
	// header appends what precedes the items of the body, and begins the next body.
	header(dst []byte) []byte
	// overhead is the size of the header so far.
	overhead() int
	// reset begins the next body, and memory is how many bytes the encoder keeps for it.
	reset()
	memory() int
	// customBuckets reports whether the protocol can carry histograms with custom buckets.
	customBuckets() bool
}

// sentSeries is a series as an endpoint sends it.
type sentSeries struct {
	// labels are in the form of protocol 1.0.
	labels []byte
	// metadata is nil if it is unknown or not sent.
	metadata *metadata.Metadata
}

// encoder1 writes prometheus.WriteRequest of protocol 1.0 by hand: one TimeSeries per item, as
// Prometheus' own sender does. The numbers are protobuf tags (field<<3 | wire type) of
// prompb/types.proto.
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

func (*encoder1) header(dst []byte) []byte { return dst }

func (*encoder1) overhead() int { return 0 }

func (*encoder1) reset() {}

func (e *encoder1) memory() int { return cap(e.scratch) }

// carries leaves an admitted histogram out if the protocol can't carry it. The batch answers for
// it: when the round is read again, to be sent by another protocol, what became of it is known.
func (ln *lane) carries(schema int32, t int64) bool {
	if schema != histogram.CustomBucketsSchema || ln.encoder.customBuckets() {
		return true
	}
	ln.open.unsupported++
	ln.open.unsupportedAt.include(t, t)
	return false
}

// attach is not part of protocol 1.0.
func (*encoder1) attach(dst []byte, _ int, _ exemplar.Exemplar) []byte { return dst }

// appendLabels appends the form in which an endpoint remembers a series, for either protocol.
func appendLabels(dst []byte, ls labels.Labels) []byte {
	ls.Range(func(l labels.Label) { dst = appendLabel(dst, l) })
	return dst
}

func appendLabel(dst []byte, l labels.Label) []byte {
	dst = append(dst, tagLabel)
	dst = binary.AppendUvarint(dst, uint64(stringSize(l.Name)+stringSize(l.Value)))
	dst = appendString(dst, 1, l.Name)
	return appendString(dst, 2, l.Value)
}

func (*encoder1) float(dst []byte, s sentSeries, _, t int64, v float64) []byte {
	// A sample is at most 9+11 bytes, so its length fits one byte.
	size := doubleSize(v) + varintSize(t)
	dst = append(dst, tagTimeSeries)
	dst = binary.AppendUvarint(dst, uint64(len(s.labels)+2+size))
	dst = append(dst, s.labels...)
	dst = append(dst, tagSample, byte(size))
	dst = appendDouble(dst, 1, v)
	return appendVarint(dst, 2, t)
}

func (e *encoder1) exemplar(dst []byte, s sentSeries, x exemplar.Exemplar) []byte {
	m := e.scratch[:0]
	x.Labels.Range(func(l labels.Label) { m = appendLabel(m, l) })
	m = appendDouble(m, 2, x.Value)
	m = appendVarint(m, 3, x.Ts)
	return e.timeSeries(dst, s, tagExemplar, m)
}

func (e *encoder1) histogram(dst []byte, s sentSeries, _, t int64, h *histogram.Histogram) []byte {
	return e.timeSeries(dst, s, tagHistogram, appendHistogram(e.scratch[:0], t, h))
}

// appendHistogram appends the fields of a histogram that both protocols have.
func appendHistogram(m []byte, t int64, h *histogram.Histogram) []byte {
	// The two counts are oneofs: they are written even if zero, because they tell integer from
	// float histograms.
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
	return appendVarint(m, 15, t)
}

func (e *encoder1) floatHistogram(dst []byte, s sentSeries, _, t int64, h *histogram.FloatHistogram) []byte {
	return e.timeSeries(dst, s, tagHistogram, appendFloatHistogram(e.scratch[:0], t, h))
}

func appendFloatHistogram(m []byte, t int64, h *histogram.FloatHistogram) []byte {
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
	return appendVarint(m, 15, t)
}

// timeSeries appends one TimeSeries whose only content is message m, and keeps m's memory for the
// next one.
func (e *encoder1) timeSeries(dst []byte, s sentSeries, tag byte, m []byte) []byte {
	dst = append(dst, tagTimeSeries)
	dst = binary.AppendUvarint(dst, uint64(len(s.labels)+1+uvarintSize(uint64(len(m)))+len(m)))
	dst = append(dst, s.labels...)
	dst = append(dst, tag)
	dst = binary.AppendUvarint(dst, uint64(len(m)))
	dst = append(dst, m...)
	e.scratch = m[:0]
	return dst
}

// labels1 is the part of an encoded TimeSeries that holds its labels.
func labels1(item []byte) []byte {
	if len(item) == 0 {
		return nil
	}
	_, n := binary.Uvarint(item[1:])
	item = item[1+max(n, 0):]
	end := 0
	for end < len(item) && item[end] == tagLabel {
		size, n := binary.Uvarint(item[end+1:])
		if n <= 0 || size > uint64(len(item)-end-1-n) {
			break
		}
		end += 1 + n + int(size)
	}
	return item[:end]
}

// describe names a series for people, by its labels as labels1 returns them.
func describe(encoded []byte) string {
	var ts prompb.TimeSeries
	if err := ts.Unmarshal(encoded); err != nil {
		return ""
	}
	var b strings.Builder
	b.WriteByte('{')
	for i, l := range ts.Labels {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(l.Name + "=" + strconv.Quote(l.Value))
	}
	b.WriteByte('}')
	return b.String()
}

// The append functions below leave out a zero value, as protobuf does. Fields are below 16, so that
// a tag is one byte.

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
