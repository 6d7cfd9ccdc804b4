package remotewrite

import (
	"bytes"
	"encoding/binary"
	"math"

	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/storage/remote"

	"github.com/ringmaster-agent/ringmaster/series"
)

// protocol2 is remote write 2.0. A body is a table of strings and items that refer to it, so that a
// body that is cut gets a table of its own, and those who join write with one encoder.
func protocol2() *protocol {
	return &protocol{
		version:     remote.RemoteWriteVersion20HeaderValue,
		contentType: "application/x-protobuf;proto=" + string(remoteapi.WriteV2MessageType),
		newEncoder:  func() encoder { return &encoder2{} },
		labelsOf:    labelsOf2, bodyOf: bodyOf2, tabled: true, attaches: true, confirms: true,
	}
}

// encoder2 writes io.prometheus.write.v2.Request by hand: one TimeSeries per item, which is a
// sample or a histogram with its exemplars and the metadata of its series. The numbers are protobuf
// tags of prompb/io/prometheus/write/v2/types.proto.
type encoder2 struct {
	symbols symbols
	// refs and message are scratch.
	refs, message []byte
	// before are the labels of the series before: most of the next one's are equal, since series
	// come in the order of the scrape.
	before []sentLabel
	// described is the metadata whose encoded field is description: the series of a family follow
	// each other.
	described   *metadata.Metadata
	description []byte
}

const (
	tagTimeSeries2  = 5<<3 | wireBytes
	tagLabelRefs    = 1<<3 | wireBytes
	tagSample2      = 2<<3 | wireBytes
	tagHistogram2   = 3<<3 | wireBytes
	tagExemplar2    = 4<<3 | wireBytes
	tagMetadata2    = 5<<3 | wireBytes
	fieldHelp       = 3
	fieldUnit       = 4
	fieldStart      = 3
	fieldCustom     = 16
	fieldHistoStart = 17
)

func (*encoder2) customBuckets() bool { return true }

func (e *encoder2) reset() {
	e.symbols.reset()
	e.forget()
}

// forget ends what is kept of the series before, which may be another endpoint's. The table stays.
func (e *encoder2) forget() {
	clear(e.before)
	e.before, e.described = e.before[:0], nil
}

// strings is a copy of the table.
func (e *encoder2) strings() [][]byte { return stringsOf(e.symbols.append(nil)) }

// rewrite copies items that were written with another table.
func (e *encoder2) rewrite(items []byte, from [][]byte) []byte {
	c := cutter{from: from, to: &e.symbols}
	return c.items(items)
}

// lentEncoder is an encoder whose table outlives the batches of the lane that writes with it.
type lentEncoder struct{ *encoder2 }

func (e lentEncoder) header(dst []byte) []byte { return e.symbols.append(dst) }

func (lentEncoder) reset() {}

func (e *encoder2) overhead() int { return e.symbols.size() }

func (e *encoder2) memory() int { return e.symbols.memory() + cap(e.message) + cap(e.refs) }

func (e *encoder2) header(dst []byte) []byte {
	dst = e.symbols.append(dst)
	e.reset()
	return dst
}

func (e *encoder2) float(dst []byte, s sentSeries, startTime, t int64, v float64) []byte {
	m := appendDouble(e.message[:0], 1, v)
	m = appendVarint(m, 2, t)
	m = appendVarint(m, fieldStart, startTime)
	return e.timeSeries(dst, s, tagSample2, m)
}

func (e *encoder2) histogram(dst []byte, s sentSeries, startTime, t int64, h *histogram.Histogram) []byte {
	m := appendHistogram(e.message[:0], t, h)
	return e.timeSeries(dst, s, tagHistogram2, appendHistogram2(m, startTime, h.CustomValues))
}

func (e *encoder2) floatHistogram(dst []byte, s sentSeries, startTime, t int64, h *histogram.FloatHistogram) []byte {
	m := appendFloatHistogram(e.message[:0], t, h)
	return e.timeSeries(dst, s, tagHistogram2, appendHistogram2(m, startTime, h.CustomValues))
}

// appendHistogram2 appends the fields that protocol 1.0 doesn't have or that we don't send with it.
func appendHistogram2(m []byte, startTime int64, bounds []float64) []byte {
	if len(bounds) > 0 {
		m = binary.AppendUvarint(m, fieldCustom<<3|wireBytes)
		m = binary.AppendUvarint(m, uint64(8*len(bounds)))
		for _, v := range bounds {
			m = appendFixed64(m, v)
		}
	}
	if startTime != 0 {
		m = binary.AppendUvarint(m, fieldHistoStart<<3|wireVarint)
		m = binary.AppendUvarint(m, uint64(startTime))
	}
	return m
}

// exemplar writes an exemplar whose sample is not there. Prometheus refuses such an item and takes
// the rest of the request.
func (e *encoder2) exemplar(dst []byte, s sentSeries, x exemplar.Exemplar) []byte {
	return e.timeSeries(dst, s, tagExemplar2, e.exemplarMessage(x))
}

func (e *encoder2) exemplarMessage(x exemplar.Exemplar) []byte {
	e.refs = e.refs[:0]
	x.Labels.Range(func(l labels.Label) {
		e.refs = binary.AppendUvarint(e.refs, uint64(e.symbols.ref([]byte(l.Name))))
		e.refs = binary.AppendUvarint(e.refs, uint64(e.symbols.ref([]byte(l.Value))))
	})
	m := e.message[:0]
	if len(e.refs) > 0 {
		m = binary.AppendUvarint(append(m, tagLabelRefs), uint64(len(e.refs)))
		m = append(m, e.refs...)
	}
	m = appendDouble(m, 2, x.Value)
	return appendVarint(m, 3, x.Ts)
}

// attach makes an exemplar part of the item that begins at start, the last one.
func (e *encoder2) attach(dst []byte, start int, x exemplar.Exemplar) []byte {
	before := len(dst)
	m := e.exemplarMessage(x)
	dst = binary.AppendUvarint(append(dst, tagExemplar2), uint64(len(m)))
	dst = append(dst, m...)
	e.message = m[:0]

	size, n := binary.Uvarint(dst[start+1:])
	size += uint64(len(dst) - before)
	if more := uvarintSize(size) - n; more > 0 {
		body := start + 1 + n
		dst = append(dst, make([]byte, more)...)
		copy(dst[body+more:], dst[body:])
	}
	binary.PutUvarint(dst[start+1:], size)
	return dst
}

// timeSeries appends one TimeSeries with message m, and keeps m's memory for the next one.
func (e *encoder2) timeSeries(dst []byte, s sentSeries, tag byte, m []byte) []byte {
	e.refer(s.labels)
	e.describe(s.metadata)
	size := fieldSize(e.refs) + fieldSize(m) + len(e.description)
	dst = binary.AppendUvarint(append(dst, tagTimeSeries2), uint64(size))
	dst = binary.AppendUvarint(append(dst, tagLabelRefs), uint64(len(e.refs)))
	dst = append(dst, e.refs...)
	dst = binary.AppendUvarint(append(dst, tag), uint64(len(m)))
	dst = append(dst, m...)
	e.message = m[:0]
	return append(dst, e.description...)
}

// sentLabel is an encoded label with the references of its name and value.
type sentLabel struct {
	encoded     []byte
	name, value uint32
}

// refer makes refs the references of a series' labels.
func (e *encoder2) refer(encoded []byte) {
	e.refs = e.refs[:0]
	n := 0
	for len(encoded) > 0 {
		if n == len(e.before) {
			e.before = append(e.before, sentLabel{})
		}
		l := &e.before[n]
		// The form says where a label ends, so that one can't begin with another.
		if len(l.encoded) == 0 || !bytes.HasPrefix(encoded, l.encoded) {
			name, value, size, ok := series.Next(encoded)
			if !ok {
				break
			}
			*l = sentLabel{encoded: encoded[:size], name: e.symbols.ref(name), value: e.symbols.ref(value)}
		}
		e.refs = binary.AppendUvarint(binary.AppendUvarint(e.refs, uint64(l.name)), uint64(l.value))
		encoded = encoded[len(l.encoded):]
		n++
	}
}

// fieldSize is the size of a field with a tag of one byte.
func fieldSize(content []byte) int { return 1 + uvarintSize(uint64(len(content))) + len(content) }

// describe makes description the metadata field of m.
func (e *encoder2) describe(m *metadata.Metadata) {
	if m == nil {
		e.described, e.description = nil, e.description[:0]
		return
	}
	if m == e.described {
		return
	}
	// At most 2 + 2×6 bytes, so that the length takes one byte.
	d := append(e.description[:0], tagMetadata2, 0)
	d = appendVarint(d, 1, int64(writev2.FromMetadataType(m.Type)))
	d = appendVarint(d, fieldHelp, int64(e.symbols.ref([]byte(m.Help))))
	d = appendVarint(d, fieldUnit, int64(e.symbols.ref([]byte(m.Unit))))
	d[1] = byte(len(d) - 2)
	e.described, e.description = m, d
}

// maxAttached is how many exemplars an item can have.
const maxAttached = math.MaxUint16
