package wal

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
)

// encoder builds the payload of one record. The first recordHeaderSize bytes of buf are left free
// for the header.
type encoder struct {
	buf     []byte
	base    int64  // the time of the first item, ms
	based   bool   // there is one
	last    uint64 // number of the last sample's series
	samples uint32
}

func (e *encoder) reset() {
	if cap(e.buf) < recordHeaderSize {
		e.buf = make([]byte, recordHeaderSize, 1024)
	}
	e.buf, e.base, e.based, e.last, e.samples = e.buf[:recordHeaderSize], 0, false, 0, 0
}

func (e *encoder) empty() bool { return len(e.buf) <= recordHeaderSize }

// place encodes reference and times of a sample to b and returns the flags that describe them.
func (e *encoder) place(b []byte, number uint64, startTime, t int64) ([]byte, byte) {
	var flags byte
	e.begin(t)
	if number == e.last+1 {
		flags |= placeNext
	} else {
		b = binary.AppendVarint(b, int64(number-(e.last+1)))
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
	e.last = number
	e.samples++
	return b, flags
}

// begin makes the time of the first item the one to which others are relative.
func (e *encoder) begin(t int64) {
	if !e.based {
		e.base, e.based = t, true
	}
}

func (e *encoder) float(number uint64, startTime, t int64, v float64) {
	at := len(e.buf)
	b, flags := e.place(append(e.buf, 0), number, startTime, t)
	b, n := appendTrimmed(b, v)
	b[at] = flags | n
	e.buf = b
}

// appendTrimmed appends v without the zero bytes at the end of its big-endian form and returns how
// many bytes it took. Small integers take two or three.
func appendTrimmed(b []byte, v float64) ([]byte, byte) {
	x := math.Float64bits(v)
	n := 8 - bits.TrailingZeros64(x)/8 // 0 has 64 trailing zeros: no byte
	b = binary.BigEndian.AppendUint64(b, x)
	return b[:len(b)-8+n], byte(n)
}

// exemplar encodes an exemplar.
func (e *encoder) exemplar(number uint64, x exemplar.Exemplar) {
	e.begin(x.Ts)
	b := append(e.buf, tagExemplar)
	b = binary.AppendVarint(b, int64(number-e.last))
	if x.HasTs {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	b = binary.AppendVarint(b, x.Ts-e.base)
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x.Value))
	e.buf = appendLabels(b, x.Labels)
}

func appendLabels(b []byte, ls labels.Labels) []byte {
	b = binary.AppendUvarint(b, uint64(ls.Len()))
	ls.Range(func(l labels.Label) {
		b = appendString(b, l.Name)
		b = appendString(b, l.Value)
	})
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}
