package series

// A chunk of labels is a quarter of all labels, but not smaller or larger than this, so that a
// small book wastes little and a large one has few chunks.
const (
	minChunk = 4 << 10
	maxChunk = 256 << 10
)

// minWaste is what freed series may leave behind in any case.
const minWaste = 32 << 10

// arena is the account of the chunks that labels lie in. Chunks are only ever appended to: what
// was once written stays as it is for those who read it without a lock.
type arena struct {
	// chunks has how many bytes of each chunk are alive.
	chunks []int
	// live and reserved are the sums of what is alive and of what chunks take.
	live, reserved int
	// empty are the numbers of chunks that were given back.
	empty []uint32
	// current is the chunk that is appended to, if open says that there is one, and used how much
	// of it was.
	current uint32
	open    bool
	used    int
}

func (a *arena) wasteful() bool { return a.reserved-a.live > a.live+minWaste }

// store appends labels to the chunk in use, or to a new one. It needs mu.
func (b *Book) store(enc []byte) (chunk, offset uint32) {
	a, c := &b.arena, b.now.Load()
	if !a.open || a.used+len(enc) > len(c.arenas[a.current]) {
		b.openChunk(max(len(enc), min(max(a.live/4, minChunk), maxChunk)))
		c = b.now.Load()
	}
	chunk, offset = a.current, uint32(a.used)
	a.used += copy(c.arenas[chunk][a.used:], enc)
	a.chunks[chunk] += len(enc)
	a.live += len(enc)
	return chunk, offset
}

func (b *Book) openChunk(size int) {
	a, c := &b.arena, b.now.Load()
	if a.open && a.chunks[a.current] == 0 {
		b.closeChunk(a.current)
	}
	fresh := make([]byte, size)
	a.reserved += size
	a.open, a.used = true, 0
	if n := len(a.empty); n > 0 {
		a.current = a.empty[n-1]
		a.empty = a.empty[:n-1]
		c.arenas[a.current] = fresh
		return
	}
	a.current = uint32(len(a.chunks))
	a.chunks = append(a.chunks, 0)
	b.now.Store(&contents{entries: c.entries, arenas: append(c.arenas, fresh)})
}

// closeChunk gives back a chunk in which nothing is alive.
func (b *Book) closeChunk(chunk uint32) {
	a, c := &b.arena, b.now.Load()
	a.reserved -= len(c.arenas[chunk])
	c.arenas[chunk] = nil
	a.empty = append(a.empty, chunk)
}

// drop books that the labels of e are not needed any more. It needs mu.
func (b *Book) drop(e *entry) {
	a := &b.arena
	a.live -= int(e.size)
	a.chunks[e.chunk] -= int(e.size)
	if a.chunks[e.chunk] == 0 && e.chunk != a.current {
		b.closeChunk(e.chunk)
	}
}

// compact moves all labels, in the order of the Refs, into new chunks. Whoever reads meanwhile
// reads the old ones. It needs mu.
func (b *Book) compact() {
	old := b.now.Load()
	fresh := &contents{entries: make([]*[entriesPerChunk]entry, len(old.entries))}
	for i, chunk := range old.entries {
		moved := *chunk
		fresh.entries[i] = &moved
	}
	b.now.Store(fresh)
	b.arena = arena{}
	for r := Ref(1); r < b.bound; r++ {
		if e := b.now.Load().entry(r); e.holds > 0 {
			e.chunk, e.offset = b.store(old.encoded(old.entry(r)))
		}
	}
	if len(b.index.slots) > 4*max(b.alive, minSlots) {
		b.index.resize(b.now.Load(), b.alive)
	}
}
