package series

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/prometheus/prometheus/model/labels"
)

// ErrInvalid is returned for labels that no series can have: none at all, or a name that is empty
// or occurs twice.
var ErrInvalid = errors.New("invalid labels")

// The tags of protobuf's wire format, field<<3 | 2, that the encoding consists of.
const (
	tagLabel = 1<<3 | 2 // in TimeSeries
	tagName  = 1<<3 | 2 // in Label
	tagValue = 2<<3 | 2
)

// Encode appends the encoded form of ls to dst. Labels with empty values are left out.
func Encode(dst []byte, ls labels.Labels) ([]byte, error) {
	start, last := len(dst), ""
	var err error
	ls.Range(func(l labels.Label) {
		switch {
		case l.Value == "":
		case l.Name == "":
			err = fmt.Errorf("%w: empty label name", ErrInvalid)
		case l.Name <= last && len(dst) > start:
			err = fmt.Errorf("%w: label name %q is not unique or not in order", ErrInvalid, l.Name)
		default:
			dst = AppendLabel(dst, l.Name, l.Value)
			last = l.Name
		}
	})
	if err == nil && len(dst) == start {
		err = fmt.Errorf("%w: no labels", ErrInvalid)
	}
	if err != nil {
		return dst[:start], err
	}
	return dst, nil
}

// AppendLabel appends one label, of which neither part may be empty.
func AppendLabel(dst []byte, name, value string) []byte {
	dst = append(dst, tagLabel)
	dst = binary.AppendUvarint(dst, uint64(fieldSize(len(name))+fieldSize(len(value))))
	dst = append(dst, tagName)
	dst = binary.AppendUvarint(dst, uint64(len(name)))
	dst = append(dst, name...)
	dst = append(dst, tagValue)
	dst = binary.AppendUvarint(dst, uint64(len(value)))
	return append(dst, value...)
}

// fieldSize is the size of a field with n bytes.
func fieldSize(n int) int {
	size := 2 + n
	for n >= 0x80 {
		size++
		n >>= 7
	}
	return size
}

// Next returns the first label of encoded labels, which share their memory with enc, and what
// follows it. size is how many bytes of enc the label takes. ok is false at the end, and where enc
// is malformed; Check tells the two apart.
func Next(enc []byte) (name, value []byte, size int, ok bool) {
	label, rest, ok := field(enc, tagLabel)
	if !ok {
		return nil, nil, 0, false
	}
	name, label, ok = field(label, tagName)
	if !ok {
		return nil, nil, 0, false
	}
	value, label, ok = field(label, tagValue)
	if !ok || len(label) > 0 {
		return nil, nil, 0, false
	}
	return name, value, len(enc) - len(rest), true
}

// field cuts a field with a tag off b.
func field(b []byte, tag byte) (content, rest []byte, ok bool) {
	if len(b) < 2 || b[0] != tag {
		return nil, nil, false
	}
	n, used := uint64(b[1]), 1
	if n >= 0x80 {
		if n, used = binary.Uvarint(b[1:]); used <= 0 {
			return nil, nil, false
		}
	}
	b = b[1+used:]
	if n > uint64(len(b)) {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}

// Check says whether bytes that come from elsewhere are the encoded labels of a series, in the one
// form that they have here. The error is ErrInvalid.
func Check(enc []byte) error {
	var last []byte
	for rest := enc; len(rest) > 0; {
		name, value, size, ok := Next(rest)
		if !ok || size != labelSize(name, value) {
			return fmt.Errorf("%w: malformed encoding", ErrInvalid)
		}
		if len(name) == 0 || len(value) == 0 || last != nil && string(name) <= string(last) {
			return fmt.Errorf("%w: label %q is empty or not in order", ErrInvalid, name)
		}
		last, rest = name, rest[size:]
	}
	if last == nil {
		return fmt.Errorf("%w: no labels", ErrInvalid)
	}
	return nil
}

// labelSize is the size of a label if its lengths are encoded as short as they can be.
func labelSize(name, value []byte) int {
	return fieldSize(fieldSize(len(name)) + fieldSize(len(value)))
}

// Decode returns labels whose strings are copies. The builder is reused.
func Decode(enc []byte, b *labels.ScratchBuilder) labels.Labels {
	b.Reset()
	for {
		name, value, size, ok := Next(enc)
		if !ok {
			return b.Labels()
		}
		// With some implementations of labels the builder keeps the strings it is given.
		b.Add(string(name), string(value))
		enc = enc[size:]
	}
}

// Value returns the value of a label, empty if the series does not have it. It shares enc's
// memory.
func Value(enc []byte, label string) []byte {
	for {
		name, value, size, ok := Next(enc)
		if !ok || string(name) > label {
			return nil
		}
		if string(name) == label {
			return value
		}
		enc = enc[size:]
	}
}

// Equal says whether enc is the encoded form of ls. It does not allocate.
func Equal(enc []byte, ls labels.Labels) bool {
	equal := true
	ls.Range(func(l labels.Label) {
		if l.Value == "" || !equal {
			return
		}
		name, value, size, ok := Next(enc)
		equal = ok && string(name) == l.Name && string(value) == l.Value
		enc = enc[size:]
	})
	return equal && len(enc) == 0
}
