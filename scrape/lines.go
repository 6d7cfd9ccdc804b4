package scrape

import (
	"hash/maphash"
	"math/bits"

	"github.com/prometheus/prometheus/storage"
)

// line is what is remembered of one line that a target writes: 40 bytes without a pointer, so that
// a million of them cost the garbage collector nothing. The text itself is not kept. Its hash is,
// with a seed that each process makes up for itself, so that no target can write another text with
// the same hash.
type line struct {
	hash    uint64 // of the series as written; of a comment, of the whole line
	ref     storage.SeriesRef
	seen    uint32 // scrape it was last in
	tracked uint32 // scrape after which it ends with a staleness marker unless the next one has it
	length  uint32 // of what is hashed
	kind    lineKind
	flags   lineFlags
	family  familyKey // that the series was last found to belong to, or not to belong to
}

type lineKind uint8

const (
	ofSample  lineKind = iota // of a series that the appendable knows
	ofDropped                 // of a series that relabelling drops
	ofHelp
	ofType
	ofComment
	ofReport // and the next ones: of a series that is also a report series, the first and the next ones
)

// isComment reports whether the line has no sample.
func (k lineKind) isComment() bool { return k >= ofHelp && k <= ofComment }

// report is which report series it is, from 1; 0: none.
func (k lineKind) report() uint8 { return uint8(max(k, ofReport-1) - (ofReport - 1)) }

type lineFlags uint8

const (
	readAsText lineFlags = 1 << iota // last, in Prometheus' text format
	wasOpen                          // before the scrape it is tracked in
	inFamily                         // the series belongs to line.family
)

// lineSeed makes hashes of lines unpredictable.
var lineSeed = maphash.MakeSeed()

func hashOf(text []byte) uint64 { return maphash.Bytes(lineSeed, text) }

// hashIndex finds entries of a list by their hashes, with open addressing. The entries are outside;
// it holds their places.
type hashIndex struct {
	slots []uint32 // place + 1; 0: free
	used  int
}

// empty makes the index one of nothing, with room for so many entries.
func (x *hashIndex) empty(room int) {
	size := 1 << bits.Len(uint(max(2*room, 32)-1))
	if cap(x.slots) < size || cap(x.slots) > 16*size {
		x.slots = make([]uint32, size)
	} else {
		x.slots = x.slots[:size]
		clear(x.slots)
	}
	x.used = 0
}

// add tells of the entry at a place. hash gives the hash of any place told of so far.
func (x *hashIndex) add(place int, hash func(int) uint64) {
	if 2*(x.used+1) > len(x.slots) {
		old := x.slots
		x.slots = make([]uint32, 2*len(old))
		x.used = 0
		for _, slot := range old {
			if slot != 0 {
				x.put(slot, hash(int(slot-1)))
			}
		}
	}
	x.put(uint32(place+1), hash(place))
}

func (x *hashIndex) put(slot uint32, hash uint64) {
	mask := uint64(len(x.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		if x.slots[i] == 0 {
			x.slots[i] = slot
			x.used++
			return
		}
	}
}

// find returns the first place with this hash that is as wanted, -1 if there is none.
func (x *hashIndex) find(hash uint64, wanted func(int) bool) int {
	mask := uint64(len(x.slots) - 1)
	for i := hash & mask; x.slots[i] != 0; i = (i + 1) & mask {
		if place := int(x.slots[i] - 1); wanted(place) {
			return place
		}
	}
	return -1
}
