package remotewrite

import (
	"encoding/binary"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/ringmaster-agent/ringmaster/series"
)

// table returns the strings of an uncompressed batch of protocol 2.0, by reference.
func (b *batch) table() [][]byte {
	if b.strings == nil {
		b.strings = stringsOf(b.plain[:b.head])
	}
	return b.strings
}

// stringsOf returns the strings of an encoded table.
func stringsOf(table []byte) (all [][]byte) {
	eachField(table, func(_ protowire.Number, _, s []byte) { all = append(all, s) })
	return all
}

// labelsOf2 returns the labels of an item in the form of protocol 1.0.
func labelsOf2(b *batch, i int) (encoded []byte) {
	_, _, tag := protowire.ConsumeTag(b.item(i))
	if tag < 0 {
		return nil
	}
	message, _ := protowire.ConsumeBytes(b.item(i)[tag:])
	eachField(message, func(number protowire.Number, _, content []byte) {
		if number != 1 {
			return
		}
		strings := b.table()
		for len(content) > 0 {
			name, n := protowire.ConsumeVarint(content)
			value, m := protowire.ConsumeVarint(content[max(n, 0):])
			if n < 0 || m < 0 || max(name, value) >= uint64(len(strings)) {
				return
			}
			encoded = series.AppendLabel(encoded, string(strings[name]), string(strings[value]))
			content = content[n+m:]
		}
	})
	return encoded
}

// bodyOf2 writes a body with some items and a table of the strings that they need.
func bodyOf2(b *batch, items []byte) []byte {
	c := cutter{from: b.table(), to: &symbols{}}
	items = c.items(items)
	return append(c.to.append(nil), items...)
}

// cutter copies messages from one table of strings to another.
type cutter struct {
	from [][]byte
	to   *symbols
}

func (c *cutter) items(encoded []byte) (items []byte) {
	eachField(encoded, func(_ protowire.Number, _, message []byte) {
		items = appendField(items, tagTimeSeries2, c.timeSeries(nil, message))
	})
	return items
}

func (c *cutter) ref(r uint64) uint64 {
	if r >= uint64(len(c.from)) {
		return 0
	}
	return uint64(c.to.ref(c.from[r]))
}

func (c *cutter) timeSeries(dst, message []byte) []byte {
	eachField(message, func(number protowire.Number, field, content []byte) {
		switch number {
		case 1:
			dst = c.labelRefs(dst, content)
		case 4:
			dst = appendField(dst, tagExemplar2, c.exemplar(nil, content))
		case 5:
			dst = appendField(dst, tagMetadata2, c.metadata(nil, content))
		default:
			dst = append(dst, field...)
		}
	})
	return dst
}

func (c *cutter) exemplar(dst, message []byte) []byte {
	eachField(message, func(number protowire.Number, field, content []byte) {
		if number == 1 {
			dst = c.labelRefs(dst, content)
		} else {
			dst = append(dst, field...)
		}
	})
	return dst
}

func (c *cutter) metadata(dst, message []byte) []byte {
	eachField(message, func(number protowire.Number, field, _ []byte) {
		if number != fieldHelp && number != fieldUnit {
			dst = append(dst, field...)
			return
		}
		ref, _ := protowire.ConsumeVarint(field[1:])
		dst = appendVarint(dst, byte(number), int64(c.ref(ref)))
	})
	return dst
}

// labelRefs appends the field of labels, which is the first in each message that has it.
func (c *cutter) labelRefs(dst, packed []byte) []byte {
	var refs []byte
	for len(packed) > 0 {
		ref, n := protowire.ConsumeVarint(packed)
		if n < 0 {
			break
		}
		refs = binary.AppendUvarint(refs, c.ref(ref))
		packed = packed[n:]
	}
	return appendField(dst, tagLabelRefs, refs)
}

func appendField(dst []byte, tag byte, content []byte) []byte {
	return append(binary.AppendUvarint(append(dst, tag), uint64(len(content))), content...)
}

// eachField calls f with each field of a message: all of its bytes, and the content if it has a
// length. It ends where the message is malformed, which one of ours is not.
func eachField(message []byte, f func(number protowire.Number, field, content []byte)) {
	for len(message) > 0 {
		number, kind, tag := protowire.ConsumeTag(message)
		if tag < 0 {
			return
		}
		n := protowire.ConsumeFieldValue(number, kind, message[tag:])
		if n < 0 {
			return
		}
		var content []byte
		if kind == protowire.BytesType {
			content, _ = protowire.ConsumeBytes(message[tag:])
		}
		f(number, message[:tag+n], content)
		message = message[tag+n:]
	}
}
