package wal

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
)

// encoder builds the payload of one record. The first recordHeaderSize bytes of buf are left free for the header.
type encoder struct {
	buf     []byte
	base    int64  // the time of the first sample, ms
	lastRef uint64 // of the last sample
	samples uint32
}

func (e *encoder) reset() {
	if cap(e.buf) < recordHeaderSize {
		e.buf = make([]byte, recordHeaderSize, 1024)
	}
	e.buf, e.base, e.lastRef, e.samples = e.buf[:recordHeaderSize], 0, 0, 0
}

func (e *encoder) empty() bool { return len(e.buf) <= recordHeaderSize }

// place encodes reference and times of a sample to b and returns the flags that describe them.
func (e *encoder) place(b []byte, ref uint64, startTime, t int64) ([]byte, byte) {
	var flags byte
	if e.samples == 0 {
		e.base = t
	}
	if ref == e.lastRef+1 {
		flags |= placeNext
	} else {
		b = binary.AppendVarint(b, int64(ref-(e.lastRef+1)))
	}
	if t == e.base {
		flags |= placeBase
	} else {
		b = binary.AppendVarint(b, t-e.base)
	}
	if startTime != 0 {
		flags |= placeStart
		b = binary.AppendVarint(b, t-startTime)
	}
	e.lastRef = ref
	e.samples++
	return b, flags
}

func (e *encoder) float(ref uint64, startTime, t int64, v float64) {
	at := len(e.buf)
	b, flags := e.place(append(e.buf, 0), ref, startTime, t)
	b, n := appendTrimmed(b, v)
	b[at] = flags | n
	e.buf = b
}

// appendTrimmed appends v without the zero bytes at the end of its big-endian form and returns how many bytes it took. Small
// integers take two or three.
func appendTrimmed(b []byte, v float64) ([]byte, byte) {
	x := math.Float64bits(v)
	n := 8 - bits.TrailingZeros64(x)/8 // 0 has 64 trailing zeros: no byte
	b = binary.BigEndian.AppendUint64(b, x)
	return b[:len(b)-8+n], byte(n)
}

// exemplar encodes e, which belongs to a series with a sample in this record.
func (e *encoder) exemplar(ref uint64, x exemplar.Exemplar) {
	b := append(e.buf, tagExemplar)
	b = binary.AppendVarint(b, int64(ref-e.lastRef))
	if x.HasTs {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	b = binary.AppendVarint(b, x.Ts-e.base)
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x.Value))
	e.buf = appendLabels(b, x.Labels)
}

func appendSeries(b []byte, ref uint64, ls labels.Labels) []byte {
	b = append(b, tagSeries)
	b = binary.AppendUvarint(b, ref)
	return appendLabels(b, ls)
}

func appendLabels(b []byte, ls labels.Labels) []byte {
	b = binary.AppendUvarint(b, uint64(ls.Len()))
	ls.Range(func(l labels.Label) {
		b = appendString(b, l.Name)
		b = appendString(b, l.Value)
	})
	return b
}

// appendMetadata appends m; last is what the last call for this record was given, nil at first.
func appendMetadata(b []byte, ref uint64, m, last *metadata.Metadata) []byte {
	if m == last {
		return binary.AppendUvarint(append(b, tagMetadataAgain), ref)
	}
	b = binary.AppendUvarint(append(b, tagMetadata), ref)
	b = appendString(b, string(m.Type))
	b = appendString(b, m.Unit)
	return appendString(b, m.Help)
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}
