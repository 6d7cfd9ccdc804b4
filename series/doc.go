// Package series holds the book of an instance's series: which label sets there are, each once,
// each under a small number. Scrape, log and remote write import it instead of each other.
//
// # What it owns, and what it refuses to
//
// A Book owns the labels and says how long a number means them. It knows nothing of samples: last
// values, places in a segment or lanes are columns of whoever needs them, slices that a Ref
// indexes. Nobody keeps a map by Ref, and nobody keeps labels of a series beside the book.
//
// # References
//
// A Ref is dense: 0 is no series, and Refs are given out from 1 on in the order in which series
// are first seen, which is the order of the scrape. A series lives while somebody holds it. Each
// Acquire and each Hold is one hold, which exactly one Release gives back; the last Release frees
// the series, and its Ref will mean another series later. Freed Refs are given out again oldest
// first, so that the columns stay as long as the greatest number of series alive at once.
//
// Who stores a Ref either holds it, or is told in time by somebody who does. Generation tells two
// series apart that had the same Ref one after the other.
//
// # Form of labels
//
// The labels of a series are the bytes that the field "labels" takes in a TimeSeries message of
// remote write 1.0: for each label, sorted by name, 0x0a, the length of what follows, 0x0a, length
// and name, 0x12, length and value; lengths are uvarints. So sending a series is copying it,
// defining it in a log is writing the same bytes, and two series are equal if their bytes are.
// Labels with empty values are not there, and names are unique and not empty.
//
// # Cost
//
// A series costs its bytes and 24 to 36 more, and nothing to the garbage collector: labels lie one
// after the other in chunks without pointers. Looking up Encoded takes no lock. What freed series
// leave behind in chunks is given back when it is more than what is alive.
//
// # Concurrency
//
// All methods of Book may be called by any goroutine. Encoded, Labels and Generation ask for a Ref
// that the caller holds, or that somebody holds for him: they read what nobody writes while the
// series lives. Their result stays valid for ever. A Column belongs to whoever owns its lock.
//
// # Tests
//
// A property test holds the book against a map of strings through random acquires, holds and
// releases; another reads labels while series come and go, for the race detector; FuzzCheck feeds
// Check arbitrary bytes.
package series
