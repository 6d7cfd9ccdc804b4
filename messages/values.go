package messages

import (
	"encoding/hex"
	"fmt"
	"iter"
	"slices"
	"time"
)

// List is an immutable list. The zero value is empty.
type List[T any] struct{ items []T }

// NewList copies items, so that nobody else can change the list.
func NewList[T any](items ...T) List[T] { return List[T]{items: slices.Clone(items)} }

// ListOf makes a list of n items, each of which item gives. It spares a long list the copy that
// NewList makes.
func ListOf[T any](n int, item func(i int) T) List[T] {
	items := make([]T, n)
	for i := range items {
		items[i] = item(i)
	}
	return List[T]{items: items}
}

// Len is the number of items.
func (l List[T]) Len() int { return len(l.items) }

// At returns the i-th item; like a slice, it panics when there is none.
func (l List[T]) At(i int) T { return l.items[i] }

// All ranges over the items in order.
func (l List[T]) All() iter.Seq[T] { return slices.Values(l.items) }

// Equal reports whether both lists have equal items in the same order.
func (l List[T]) Equal(other List[T]) bool {
	return slices.EqualFunc(l.items, other.items, func(a, b T) bool { return any(a) == any(b) })
}

// String prints the items with their own methods, which hide what must not be printed.
func (l List[T]) String() string { return fmt.Sprint(l.items) }

// GoString prints the items with their own methods, which hide what must not be printed.
func (l List[T]) GoString() string { return fmt.Sprintf("%#v", l.items) }

// Digest identifies the content of a config together with the defaults in force. Equal digests:
// nothing to reload. The zero value means that there is none.
type Digest [32]byte

// String is the digest in hex.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// IsZero reports whether there is no digest.
func (d Digest) IsZero() bool { return d == Digest{} }

// Text is the text of a config. It may hold secrets, so it prints as its length wherever a message
// is logged; convert it to a string to read it.
type Text string

// String hides the text.
func (t Text) String() string { return fmt.Sprintf("<%d bytes>", len(t)) }

// GoString hides the text.
func (t Text) GoString() string { return t.String() }

// MarshalText hides the text from JSON and structured logs.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// Handover says which ticks of a unit were taken on the node that stopped scraping it, so that the
// next one takes none of them again and makes up for one that fell between. It is opaque to
// everybody but the scrape loop. Empty: nothing is known.
type Handover string

// Document is a named config as somebody wrote it.
type Document struct {
	Name string
	// Local: it comes from the main file and not from a store.
	Local bool
	// Text is empty if Problem is set.
	Text Text
	// Revision is the store's revision at which the document was last written. It has no meaning
	// for a local one.
	Revision int64
	// Written is when a stored document was last written, to the second, by the clock of who wrote
	// it; all nodes see the same. Zero: it is not known. It is in UTC: documents are compared as
	// values.
	Written time.Time
	// Changed is Written if the document was there before. Zero: it is new, or it is not known.
	Changed time.Time
	// Problem says why the stored value could not be decoded. Such a document changes nothing that
	// runs.
	Problem string
}

// Config is a validated config, ready to run. Whoever creates one promises that the value inside is
// never modified again; to this package it is opaque.
type Config struct {
	digest Digest
	value  any
}

// NewConfig wraps a value that is immutable from now on.
func NewConfig(digest Digest, immutable any) Config { return Config{digest: digest, value: immutable} }

// Digest identifies the content.
func (c Config) Digest() Digest { return c.digest }

// Value is what NewConfig was given.
func (c Config) Value() any { return c.value }

// String is the digest: the value may hold secrets.
func (c Config) String() string { return c.digest.String() }

// GoString is the digest: the value may hold secrets.
func (c Config) GoString() string { return c.digest.String() }
