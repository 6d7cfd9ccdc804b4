package knowledge

import (
	"fmt"

	"github.com/ringmaster-agent/ringmaster/messages"
)

// believableBelow is the size of a set of which any part may vanish between two listings, as long
// as something is left.
const believableBelow = 4

// ChangeKind says how a document changed.
type ChangeKind uint8

// The kinds of Change.
const (
	Created ChangeKind = iota
	Updated
	Deleted
)

// String is the kind as the metric's label shows it.
func (k ChangeKind) String() string { return [...]string{"created", "updated", "deleted"}[k] }

// Change is one document that is different now.
type Change struct {
	Name string
	Kind ChangeKind
}

// Catalog is what is known of the stored documents. Create one with NewCatalog.
type Catalog struct {
	docs map[string]*stored
	// deleted remembers deletions newer than the last believed listing, so that an older listing or
	// put does not undo them.
	deleted map[string]int64
	// listed is the revision of the last believed listing, recalled the newest of what was known
	// before a restart.
	listed   int64
	recalled int64
	complete bool
	// behind is the revision of a listing that was older than the one before it, 0 if the last was not.
	behind int64
	// lacking: that listing had less than half of what is known.
	lacking bool
	// restored: the store has said that it is not the one it was, and that is not taken into
	// account yet.
	restored bool
	doubt    string
}

// Standing says whether the store still has a document that is known.
type Standing uint8

// The standings.
const (
	// Present: the store has it, as far as is known.
	Present Standing = iota
	// Vanished: it is missing from a listing that is not believed yet.
	Vanished
	// Orphaned: it is missing, and the store is not the one that had it.
	Orphaned
)

type stored struct {
	document messages.Document
	vanished bool
	// earlier: it was heard of from the store before the present one.
	earlier bool
}

// NewCatalog returns a catalog of which nothing is known.
func NewCatalog() *Catalog {
	return &Catalog{docs: map[string]*stored{}, deleted: map[string]int64{}}
}

// Complete reports whether a listing has been believed.
func (c *Catalog) Complete() bool { return c.complete }

// Doubt says why something in the last listing is not believed, in words; empty if all of it is.
func (c *Catalog) Doubt() string { return c.doubt }

// Restoring reports whether the newest listing was older than the one before it and has most of
// what is known, so that another one is needed, and needn't wait. One that lacks much is not to be
// believed soon.
func (c *Catalog) Restoring() bool { return c.behind != 0 && !c.lacking }

// Get returns a document by name, and whether the store still has it.
func (c *Catalog) Get(name string) (doc messages.Document, standing Standing, known bool) {
	s, ok := c.docs[name]
	switch {
	case !ok:
		return messages.Document{}, Present, false
	case s.vanished && s.earlier:
		return s.document, Orphaned, true
	case s.vanished:
		return s.document, Vanished, true
	default:
		return s.document, Present, true
	}
}

// Recall takes over documents as they were known before a restart. They are evidence of the past:
// whatever a store says of them later counts more, and what is not among them may exist. Those that
// are known already stay as they are. Once a listing has been believed, the past says nothing any
// more.
func (c *Catalog) Recall(documents []messages.Document) []Change {
	if c.complete {
		return nil
	}
	var changes []Change
	for _, d := range documents {
		if _, known := c.docs[d.Name]; !known {
			c.recalled = max(c.recalled, d.Revision)
			d.Revision = 0
			changes = append(changes, c.set(d)...)
		}
	}
	return changes
}

// Put folds in that a document was written. A write older than what is known is dropped.
func (c *Catalog) Put(d messages.Document) []Change {
	known, ok := c.docs[d.Name]
	switch {
	case ok && d.Revision < known.document.Revision:
		return nil
	case !ok && (d.Revision <= c.listed || d.Revision <= c.deleted[d.Name]):
		return nil
	}
	delete(c.deleted, d.Name)
	return c.set(d)
}

// Delete folds in that a document was deleted at a revision. That is positive evidence, also for a
// document that had vanished. A deletion older than the last write is dropped.
func (c *Catalog) Delete(name string, revision int64) []Change {
	known, ok := c.docs[name]
	if ok && known.document.Revision > revision {
		return nil
	}
	c.deleted[name] = max(revision, c.deleted[name])
	if !ok {
		return nil
	}
	delete(c.docs, name)
	return []Change{{Name: name, Kind: Deleted}}
}

// Restored notes that the store has said that it is not the one it was: it was emptied, or restored
// from a backup. So the next listing is older than what is known, also if its revision is not, and
// is taken as such.
func (c *Catalog) Restored() { c.restored, c.behind = c.complete, 0 }

// Listed folds in a complete listing. What it holds is believed document by document; what it lacks
// is gone, unless
//
//   - it lacks more than half of four documents or more, or all of any number, or something that the listing before it
//     had at the same revision: then what it lacks counts as there until a second listing in a row lacks it too;
//   - it is older than the listing before it (a store that answers from a lagging replica, or was replaced, emptied or restored from a
//     backup): then nothing of it is believed until a second listing in a row, not older than this one, says the same. What a
//     store lacks that is not the one it was says nothing about deletions: such documents stay until they are written or deleted there.
func (c *Catalog) Listed(docs messages.List[messages.Document], revision int64) []Change {
	restored := revision < c.listed || c.restored
	if restored && (c.behind == 0 || revision < c.behind) {
		c.behind, c.lacking = revision, docs.Len()*2 < len(c.docs)
		c.doubt = fmt.Sprintf("the store answered with revision %d after revision %d; waiting for a second listing", revision, c.listed)
		return nil
	}
	if restored {
		// Confirmed: the store has gone back in time, so the revisions that are known mean nothing
		// any longer.
		clear(c.deleted)
		for _, s := range c.docs {
			s.document.Revision, s.earlier = 0, true
		}
	}
	for _, s := range c.docs {
		// What was recalled is of another store if that one was ahead.
		s.earlier = s.earlier || s.document.Revision == 0 && revision < c.recalled
	}
	listed := make(map[string]bool, docs.Len())
	var changes []Change
	known := len(c.docs)
	for d := range docs.All() {
		listed[d.Name] = true
		if s, ok := c.docs[d.Name]; ok && s.document.Revision > revision {
			s.vanished, s.earlier = false, false
			continue
		}
		if c.deleted[d.Name] <= revision {
			changes = append(changes, c.set(d)...)
		}
	}
	changes = append(changes, c.forget(listed, revision, known)...)
	for name, at := range c.deleted {
		if at <= revision {
			delete(c.deleted, name)
		}
	}
	c.listed, c.recalled, c.behind, c.restored, c.complete = revision, 0, 0, false, true
	return changes
}

// forget removes what the listing lacks, or marks it as vanished.
func (c *Catalog) forget(listed map[string]bool, revision int64, known int) []Change {
	var missing []string
	for name, s := range c.docs {
		// A document written after the listing was made can't be in it.
		if !listed[name] && s.document.Revision <= revision {
			missing = append(missing, name)
		}
	}
	tooMany := len(missing) == known || known >= believableBelow && len(missing)*2 > known
	doubtful := tooMany || c.complete && revision == c.listed
	var changes []Change
	held, orphaned := 0, 0
	for _, name := range missing {
		s := c.docs[name]
		if s.earlier {
			s.vanished = true
			orphaned++
			continue
		}
		if doubtful && !s.vanished {
			s.vanished = true
			held++
			continue
		}
		delete(c.docs, name)
		changes = append(changes, Change{Name: name, Kind: Deleted})
	}
	c.doubt = ""
	switch {
	case orphaned > 0:
		c.doubt = fmt.Sprintf("%d of %d configs are missing from the store, which is not the one that had them; they go on until they are written or deleted there",
			orphaned, known)
	case held > 0:
		c.doubt = fmt.Sprintf("%d of %d configs are missing from the listing at revision %d; waiting for a second listing", len(missing), known, revision)
	}
	return changes
}

func (c *Catalog) set(d messages.Document) []Change {
	s, ok := c.docs[d.Name]
	if !ok {
		c.docs[d.Name] = &stored{document: d}
		return []Change{{Name: d.Name, Kind: Created}}
	}
	switch {
	case !d.Changed.IsZero():
	case s.earlier:
		d.Changed = d.Written // it is new in this store, and was in the one before
	case d.Revision == s.document.Revision:
		d.Changed = s.document.Changed
	}
	s.vanished, s.earlier = false, false
	same := s.document == d
	s.document = d
	if same {
		return nil
	}
	return []Change{{Name: d.Name, Kind: Updated}}
}
