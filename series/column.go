package series

// Column is what one user keeps of each series: a slice that grows to the Refs it is asked for.
// The zero value is empty. It is not safe for concurrent use.
type Column[T any] struct{ cells []T }

// At returns the cell of a Ref, zero at first. It is valid until the next call with a greater Ref.
// A cell keeps its content when the series is freed: whoever starts to use a Ref sets it.
func (c *Column[T]) At(r Ref) *T {
	if int(r) >= len(c.cells) {
		c.grow(int(r) + 1)
	}
	return &c.cells[r]
}

// Get returns the content of a cell, zero if it was never set.
func (c *Column[T]) Get(r Ref) (v T) {
	if int(r) < len(c.cells) {
		v = c.cells[r]
	}
	return v
}

// grow makes room for n cells, and for an eighth more.
func (c *Column[T]) grow(n int) {
	if n > cap(c.cells) {
		grown := make([]T, n, n+n/8+16)
		copy(grown, c.cells)
		c.cells = grown
		return
	}
	c.cells = c.cells[:n]
}

// Reset makes all cells zero.
func (c *Column[T]) Reset() { clear(c.cells) }

// Len is greater than every Ref whose cell was asked for.
func (c *Column[T]) Len() int { return len(c.cells) }
