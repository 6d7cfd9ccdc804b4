package actors

import (
	"slices"
	"sync"

	"github.com/ringmaster-agent/ringmaster/messages"
)

// Directory tells which pipelines are scraping on this node, for those who need samples or targets:
// these don't travel through mailboxes. Instances enter and leave it; everybody else reads. All
// methods may be called concurrently.
//
// A pipeline that was found may be closed at any moment after; its methods have to bear that.
type Directory struct {
	mu      sync.RWMutex
	running map[string]Entry
}

// Entry is one running pipeline.
type Entry struct {
	Unit     messages.Unit
	Pipeline Pipeline

	generation uint64
}

// NewDirectory returns an empty directory. Don't share it between supervisors that run units of the
// same name.
func NewDirectory() *Directory { return &Directory{running: map[string]Entry{}} }

// Get returns the running pipeline of the unit with this key.
func (d *Directory) Get(key string) (Pipeline, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	e, ok := d.running[key]
	return e.Pipeline, ok
}

// All returns what runs, ordered by unit.
func (d *Directory) All() []Entry {
	d.mu.RLock()
	entries := make([]Entry, 0, len(d.running))
	for _, e := range d.running {
		entries = append(entries, e)
	}
	d.mu.RUnlock()
	slices.SortFunc(entries, func(a, b Entry) int { return a.Unit.Compare(b.Unit) })
	return entries
}

// Names returns the keys of the units that run, sorted.
func (d *Directory) Names() []string {
	d.mu.RLock()
	names := make([]string, 0, len(d.running))
	for key := range d.running {
		names = append(names, key)
	}
	d.mu.RUnlock()
	slices.Sort(names)
	return names
}

func (d *Directory) put(u messages.Unit, generation uint64, p Pipeline) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running[u.Key()] = Entry{Unit: u, Pipeline: p, generation: generation}
}

// remove removes the unit if it is still there with this generation, and not with a later one.
func (d *Directory) remove(u messages.Unit, generation uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.running[u.Key()].generation == generation {
		delete(d.running, u.Key())
	}
}
