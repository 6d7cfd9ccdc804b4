package wal

import "github.com/ringmaster-agent/ringmaster/series"

// refTable says which series the numbers in one segment are, for one reader. It holds what it names.
type refTable struct {
	book  *series.Book
	dense []series.Ref // by number
	// sparse has the numbers that are so large that a slice up to them could cost any amount of
	// memory, which no writer makes.
	sparse map[uint64]series.Ref
	count  int
	// ended says that some number was taken out again.
	ended bool
}

// get returns the series of a number, 0 if it is not known.
func (t *refTable) get(number uint64) series.Ref {
	if number < uint64(len(t.dense)) {
		if r := t.dense[number]; r != 0 || t.sparse == nil {
			return r
		}
	}
	return t.sparse[number]
}

// set makes number mean r, which the caller has acquired. What it meant is let go.
func (t *refTable) set(number uint64, r series.Ref) {
	old := t.get(number)
	if old == 0 {
		t.count++
	} else {
		t.book.Release(old)
	}
	switch {
	case number < uint64(len(t.dense)):
		t.dense[number] = r
	case number <= 64*uint64(t.count+64):
		for uint64(len(t.dense)) < number {
			t.dense = append(t.dense, 0)
		}
		t.dense = append(t.dense, r)
	default:
		if t.sparse == nil {
			t.sparse = map[uint64]series.Ref{}
		}
		t.sparse[number] = r
	}
}

// end takes a number out.
func (t *refTable) end(number uint64) {
	r := t.get(number)
	if r == 0 {
		return
	}
	t.ended = true
	t.count--
	t.book.Release(r)
	if number < uint64(len(t.dense)) {
		t.dense[number] = 0
	}
	delete(t.sparse, number)
}

// clear lets go of everything.
func (t *refTable) clear() {
	t.book.Release(t.dense...)
	for _, r := range t.sparse {
		t.book.Release(r)
	}
	clear(t.dense)
	t.dense, t.sparse, t.count, t.ended = t.dense[:0], nil, 0, false
}
