package remotewrite

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
)

// tagSymbols is the field of a Request that holds one string of the table.
const tagSymbols = 4<<3 | wireBytes

// leastSlots is the size of the smallest table: that of an instance with few series.
const leastSlots = 256

// symbols is the table of strings of one body of protocol 2.0, in the form in which it is sent: a
// field per string, each string once. The empty string has the reference 0 and comes first.
//
// Strings are label values that targets choose, so the hash has a key.
type symbols struct {
	seed maphash.Seed
	// slots is an open hash table, at most half full. Its size is a power of two.
	slots []symbolSlot
	// used is the number of strings without the empty one.
	used uint32
	// raw holds the encoded strings without the empty one.
	raw []byte
}

// symbolSlot says where in raw a string lies. Its ref is 0 if the slot is free.
type symbolSlot struct{ hash, offset, size, ref uint32 }

func (t *symbols) reset() {
	if t.used > 0 {
		clear(t.slots)
	}
	t.used, t.raw = 0, t.raw[:0]
}

// ref returns the reference of a string, which is added if it is new.
func (t *symbols) ref(s []byte) uint32 {
	if len(s) == 0 {
		return 0
	}
	if int(t.used+1)*2 > len(t.slots) {
		t.grow()
	}
	hash := uint32(maphash.Bytes(t.seed, s))
	at := t.place(hash, s)
	if slot := &t.slots[at]; slot.ref != 0 {
		return slot.ref
	}
	t.used++
	t.raw = binary.AppendUvarint(append(t.raw, tagSymbols), uint64(len(s)))
	t.slots[at] = symbolSlot{hash: hash, offset: uint32(len(t.raw)), size: uint32(len(s)), ref: t.used}
	t.raw = append(t.raw, s...)
	return t.used
}

// place finds the slot of a string, or the free one in which it belongs.
func (t *symbols) place(hash uint32, s []byte) uint32 {
	mask := uint32(len(t.slots) - 1)
	for at := hash & mask; ; at = (at + 1) & mask {
		slot := &t.slots[at]
		if slot.ref == 0 || slot.hash == hash && bytes.Equal(t.raw[slot.offset:slot.offset+slot.size], s) {
			return at
		}
	}
}

func (t *symbols) grow() {
	old := t.slots
	if old == nil {
		t.seed = maphash.MakeSeed()
	}
	t.slots = make([]symbolSlot, max(leastSlots, 2*len(old)))
	mask := uint32(len(t.slots) - 1)
	for _, slot := range old {
		if slot.ref == 0 {
			continue
		}
		at := slot.hash & mask
		for t.slots[at].ref != 0 {
			at = (at + 1) & mask
		}
		t.slots[at] = slot
	}
}

// size is how many bytes the table takes in a body.
func (t *symbols) size() int { return 2 + len(t.raw) }

// memory is how many bytes the table reserves.
func (t *symbols) memory() int { return 16*len(t.slots) + cap(t.raw) }

// append appends the table as it is sent.
func (t *symbols) append(dst []byte) []byte { return t.appendFirst(dst, t.size()) }

// appendFirst appends what the table was when it had that size.
func (t *symbols) appendFirst(dst []byte, size int) []byte {
	return append(append(dst, tagSymbols, 0), t.raw[:size-2]...)
}
