package series

import "bytes"

// index finds a Ref by labels. It is an open-addressing table with linear probing: a slot is a Ref
// or 0, and the place where a series is looked for first is its hash.
type index struct {
	slots []Ref // their number is 0 or a power of two
	used  int
}

const minSlots = 16

// full says that one more would make the table slow: it is at most three quarters full.
func (x *index) full() bool { return (x.used+1)*4 > len(x.slots)*3 }

// find returns the series with these labels, or 0 and the slot for it.
func (x *index) find(c *contents, enc []byte, hash uint32) (r Ref, slot uint32) {
	if len(x.slots) == 0 {
		return 0, 0
	}
	mask := uint32(len(x.slots) - 1)
	for slot = hash & mask; x.slots[slot] != 0; slot = (slot + 1) & mask {
		e := c.entry(x.slots[slot])
		if e.hash == hash && bytes.Equal(c.encoded(e), enc) {
			return x.slots[slot], slot
		}
	}
	return 0, slot
}

func (x *index) set(slot uint32, r Ref) {
	x.slots[slot] = r
	x.used++
}

// resize makes a table for n series that is at most half full.
func (x *index) resize(c *contents, n int) {
	size := minSlots
	for size < 2*n {
		size *= 2
	}
	old := x.slots
	x.slots = make([]Ref, size)
	mask := uint32(size - 1)
	for _, r := range old {
		if r == 0 {
			continue
		}
		slot := c.entry(r).hash & mask
		for x.slots[slot] != 0 {
			slot = (slot + 1) & mask
		}
		x.slots[slot] = r
	}
}

// remove takes r out, and moves up those behind it that would not be found any more.
func (x *index) remove(c *contents, r Ref) {
	mask := uint32(len(x.slots) - 1)
	hole := c.entry(r).hash & mask
	for x.slots[hole] != r {
		hole = (hole + 1) & mask
	}
	for next := (hole + 1) & mask; x.slots[next] != 0; next = (next + 1) & mask {
		// It may move if the hole lies between where it is looked for first and where it is.
		home := c.entry(x.slots[next]).hash & mask
		if (next-home)&mask >= (next-hole)&mask {
			x.slots[hole] = x.slots[next]
			hole = next
		}
	}
	x.slots[hole] = 0
	x.used--
}
