package wal

import (
	"encoding/binary"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/metadata"

	"github.com/ringmaster-agent/ringmaster/series"
)

// maxRatio is how much smaller than the definitions the compressed block may be. What compresses
// better is stored as it is, so that a reader need not believe a small block that says that it is
// huge.
const maxRatio = 256

// definitions builds the definitions of one record.
type definitions struct {
	raw   []byte
	last  uint64
	again *metadata.Metadata // the last in this record
}

func (d *definitions) reset() { d.raw, d.last, d.again = d.raw[:0], 0, nil }

func (d *definitions) place(tag byte, number uint64) {
	d.raw = binary.AppendVarint(append(d.raw, tag), int64(number-(d.last+1)))
	d.last = number
}

func (d *definitions) series(number uint64, encoded []byte) {
	d.place(tagSeries, number)
	d.raw = append(binary.AppendUvarint(d.raw, uint64(len(encoded))), encoded...)
}

func (d *definitions) metadata(number uint64, m *metadata.Metadata) {
	if m == d.again {
		d.place(tagMetadataAgain, number)
		return
	}
	d.place(tagMetadata, number)
	d.raw = appendString(d.raw, string(m.Type))
	d.raw = appendString(d.raw, m.Unit)
	d.raw = appendString(d.raw, m.Help)
	d.again = m
}

// appendTo appends the block to b.
func (d *definitions) appendTo(b []byte) []byte {
	compressed := s2.EncodeBetter(nil, d.raw)
	size := len(compressed)
	if size >= len(d.raw) || size < len(d.raw)/maxRatio {
		compressed, size = d.raw, 0
	}
	b = binary.AppendUvarint(b, uint64(len(d.raw)))
	b = binary.AppendUvarint(b, uint64(size))
	return append(b, compressed...)
}

// definitions reads the definitions at the start of a payload and returns what follows them. ok is
// false if they are malformed; what follows is nothing then.
func (d *decoder) definitions(h recordHeader, payload []byte, v Visitor) (items []byte, ok bool) {
	if h.flags&flagVersion2 == 0 {
		b := input{b: payload}
		for d.definition1(&b, v) {
		}
		return b.b, true
	}
	if h.flags&flagDefinitions == 0 {
		return payload, true
	}
	in := input{b: payload}
	size, stored := in.uvarint(), in.uvarint()
	n := stored
	if stored == 0 {
		n = size
	}
	if in.bad || n > uint64(len(in.b)) || size > maxPayload || stored > 0 && size/maxRatio > stored {
		return nil, false
	}
	raw, items := in.b[:n], in.b[n:]
	if stored > 0 {
		decoded, err := s2.DecodedLen(raw)
		if err != nil || uint64(decoded) != size {
			return nil, false
		}
		if raw, err = s2.Decode(d.raw[:cap(d.raw)], raw); err != nil {
			return nil, false
		}
		if cap(raw) <= maxPooled {
			d.raw = raw
		}
	}
	return items, d.block(raw, v)
}

// block reads decompressed definitions. It returns false if they are malformed.
func (d *decoder) block(raw []byte, v Visitor) bool {
	in := input{b: raw}
	var last uint64
	for len(in.b) > 0 {
		tag := in.byte()
		last += 1 + uint64(in.varint())
		switch tag {
		case tagSeries:
			n := in.count(1)
			if !d.define(last, in.b[:n], v) {
				return false
			}
			in.b = in.b[n:]
		case tagMetadata:
			d.metadata = metadata.Metadata{Type: model.MetricType(in.copy()), Unit: in.copy(), Help: in.copy()}
			fallthrough
		case tagMetadataAgain:
			d.tellMetadata(last, in.bad, v)
		case tagEnded:
			d.refs.end(last)
		default:
			return false
		}
		if in.bad {
			return false
		}
	}
	return true
}

// define makes a number mean a series.
func (d *decoder) define(number uint64, encoded []byte, v Visitor) bool {
	if series.Check(encoded) != nil {
		return false
	}
	r := d.refs.book.AcquireEncoded(encoded)
	d.refs.set(number, r)
	v.Series(r)
	return true
}

func (d *decoder) tellMetadata(number uint64, bad bool, v Visitor) {
	if r := d.refs.get(number); r != 0 && !bad {
		v.Metadata(r, d.metadata)
	}
}

// definition1 reads one definition of version 1. It returns false if there is none or it is
// malformed, and consumes nothing then.
func (d *decoder) definition1(in *input, v Visitor) bool {
	b := *in
	tag := b.byte()
	if b.bad || tag < tagSeries || tag > tagMetadataAgain {
		return false
	}
	number := b.uvarint()
	switch tag {
	case tagSeries:
		encoded, err := series.Encode(nil, d.labels(&b))
		if b.bad || err != nil || !d.define(number, encoded, v) {
			return false
		}
	case tagMetadata:
		d.metadata = metadata.Metadata{Type: model.MetricType(b.copy()), Unit: b.copy(), Help: b.copy()}
		fallthrough
	case tagMetadataAgain:
		d.tellMetadata(number, b.bad, v)
	}
	if b.bad {
		return false
	}
	*in = b
	return true
}
