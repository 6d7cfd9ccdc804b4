package series

import (
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/prometheus/prometheus/model/labels"
)

// Ref is the number of a series in a Book. 0 is none.
type Ref uint32

// entriesPerChunk keeps the book of a small instance small: 3 KB.
const entriesPerChunk = 128

// entry is what the book knows of a Ref.
type entry struct {
	// chunk, offset and size say where the labels lie. Of a free entry, offset is the next free Ref.
	chunk, offset, size uint32
	// hash is the lower half of the hash of the labels.
	hash uint32
	// holds is how many there are. 0: the entry is free.
	holds uint32
	// generation is how often the Ref was given out.
	generation uint32
}

// contents are what is read without a lock. Entries and bytes of series that are alive do not
// change; when series are moved, that is done in new contents, and those before stay as they are.
type contents struct {
	entries []*[entriesPerChunk]entry
	arenas  [][]byte
}

func (c *contents) entry(r Ref) *entry {
	return &c.entries[r/entriesPerChunk][r%entriesPerChunk]
}

func (c *contents) encoded(e *entry) []byte {
	end := e.offset + e.size
	return c.arenas[e.chunk][e.offset:end:end]
}

// Book is the series of one instance. See the package's documentation for the contract.
type Book struct {
	seed maphash.Seed
	now  atomic.Pointer[contents]

	mu    sync.Mutex
	index index
	// bound is the smallest Ref that was never given out.
	bound Ref
	// firstFree and lastFree are the ends of the list of free Refs, 0 if there are none.
	firstFree, lastFree Ref
	alive               int
	arena               arena
	scratch             []byte
}

// New returns an empty book.
func New() *Book {
	b := &Book{seed: maphash.MakeSeed(), bound: 1}
	b.now.Store(&contents{})
	return b
}

// Acquire returns the series with these labels, created if there was none, and holds it. The error
// is ErrInvalid.
func (b *Book) Acquire(ls labels.Labels) (Ref, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	enc, err := b.encode(ls)
	if err != nil {
		return 0, err
	}
	return b.acquire(enc), nil
}

// maxScratch is the size up to which the buffer for encoding is kept.
const maxScratch = 4 << 10

// encode returns bytes that are valid until its next call. It needs mu.
func (b *Book) encode(ls labels.Labels) ([]byte, error) {
	enc, err := Encode(b.scratch[:0], ls)
	if cap(enc) <= maxScratch {
		b.scratch = enc[:0]
	}
	return enc, err
}

// AcquireEncoded is Acquire for encoded labels, which must be in the form that Encode gives them;
// Check says whether bytes are. They are copied.
func (b *Book) AcquireEncoded(enc []byte) Ref {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.acquire(enc)
}

// Find is Acquire without creating: it returns 0, and holds nothing, if there is no such series.
func (b *Book) Find(ls labels.Labels) Ref {
	b.mu.Lock()
	defer b.mu.Unlock()
	enc, err := b.encode(ls)
	if err != nil {
		return 0
	}
	c := b.now.Load()
	r, _ := b.index.find(c, enc, b.hash(enc))
	if r != 0 {
		c.entry(r).holds++
	}
	return r
}

func (b *Book) hash(enc []byte) uint32 { return uint32(maphash.Bytes(b.seed, enc)) }

// acquire needs mu.
func (b *Book) acquire(enc []byte) Ref {
	c := b.now.Load()
	hash := b.hash(enc)
	r, slot := b.index.find(c, enc, hash)
	if r != 0 {
		c.entry(r).holds++
		return r
	}
	if b.index.full() {
		b.index.resize(c, b.alive+1)
		_, slot = b.index.find(c, enc, hash)
	}
	r = b.take()
	b.index.set(slot, r)
	e := b.now.Load().entry(r)
	e.chunk, e.offset = b.store(enc)
	e.size, e.hash, e.holds = uint32(len(enc)), hash, 1
	e.generation++
	b.alive++
	return r
}

// take returns a Ref for a new series: the one that is free for longest, or else the next one.
func (b *Book) take() Ref {
	c := b.now.Load()
	if r := b.firstFree; r != 0 {
		if b.firstFree = Ref(c.entry(r).offset); b.firstFree == 0 {
			b.lastFree = 0
		}
		return r
	}
	r := b.bound
	b.bound++
	if int(r/entriesPerChunk) == len(c.entries) {
		b.now.Store(&contents{entries: append(c.entries, new([entriesPerChunk]entry)), arenas: c.arenas})
	}
	return r
}

// Hold adds a hold to a series that the caller holds, or that somebody holds for him.
func (b *Book) Hold(r Ref) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.now.Load().entry(r); e.holds > 0 {
		e.holds++
		return
	}
	panic("series: Hold of a series that nobody holds")
}

// TryHold is Hold for a Ref that may be free: it says whether somebody holds the series.
func (b *Book) TryHold(r Ref) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r == 0 || r >= b.bound {
		return false
	}
	e := b.now.Load().entry(r)
	if e.holds == 0 {
		return false
	}
	e.holds++
	return true
}

// Release gives back one hold of each of refs. Zeros are passed over.
func (b *Book) Release(refs ...Ref) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range refs {
		if r != 0 {
			b.release(r)
		}
	}
	if b.arena.wasteful() {
		b.compact()
	}
}

// release needs mu.
func (b *Book) release(r Ref) {
	c := b.now.Load()
	e := c.entry(r)
	if e.holds == 0 {
		panic("series: Release of a series that nobody holds")
	}
	if e.holds--; e.holds > 0 {
		return
	}
	b.index.remove(c, r)
	b.drop(e)
	e.offset, e.size = 0, 0
	if b.lastFree == 0 {
		b.firstFree = r
	} else {
		c.entry(b.lastFree).offset = uint32(r)
	}
	b.lastFree = r
	b.alive--
}

// Encoded returns the labels of a series. The caller must not change them.
func (b *Book) Encoded(r Ref) []byte {
	c := b.now.Load()
	return c.encoded(c.entry(r))
}

// Labels returns the labels of a series, copied. The builder is reused.
func (b *Book) Labels(r Ref, builder *labels.ScratchBuilder) labels.Labels {
	return Decode(b.Encoded(r), builder)
}

// Generation says how often a Ref was given out: while it is the same, it means the same series.
// It is never 0 for a series that is alive.
func (b *Book) Generation(r Ref) uint32 { return b.now.Load().entry(r).generation }

// Bound is greater than every Ref that was given out so far.
func (b *Book) Bound() Ref {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bound
}

// Stats are what a book holds.
type Stats struct {
	// Series is how many are alive.
	Series int
	// LabelBytes is the size of their labels, and Bytes that of the whole book in memory.
	LabelBytes, Bytes int
}

// Stats are cheap enough for every scrape of the agent's own metrics.
func (b *Book) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.now.Load()
	const entryBytes = entriesPerChunk * 24
	return Stats{
		Series: b.alive, LabelBytes: b.arena.live,
		Bytes: b.arena.reserved + len(c.entries)*entryBytes + 4*len(b.index.slots),
	}
}
