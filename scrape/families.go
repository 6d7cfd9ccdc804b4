package scrape

import (
	"hash/maphash"
	"slices"
	"sync"
	"unique"

	"github.com/prometheus/common/model"
)

// metadataScrapes is for how many scrapes the metadata of a family is kept after it was last seen.
const metadataScrapes = 10

// family is what a target says about one metric. Many targets say the same, so each text is kept
// once for the process.
type family struct {
	said       unique.Handle[Metadata]
	help, kind uint64 // hashes of the lines that say so; 0: it was another format, or another line
	seen       uint32 // scrape
	typ        uint8  // its type's place in metricTypes
}

func newFamily(said Metadata) family {
	return family{said: unique.Make(said), typ: uint8(max(slices.Index(metricTypes[:], said.Type), 0))}
}

func (f *family) size() int {
	said := f.said.Value()
	return len(said.Help) + len(said.Unit) + len(said.Type)
}

// familyKey names a family and its type, on which it depends what series belong to it: its place in
// families.order plus one, and the type in the lower bits. 0: none.
type familyKey uint32

const typeBits = 4

// metricTypes are those that a familyKey can tell apart. One of a future format is like unknown.
var metricTypes = [...]model.MetricType{model.MetricTypeUnknown, model.MetricTypeCounter, model.MetricTypeGauge, model.MetricTypeHistogram,
	model.MetricTypeGaugeHistogram, model.MetricTypeSummary, model.MetricTypeInfo, model.MetricTypeStateset}

func (k familyKey) place() int { return int(k>>typeBits) - 1 }

// families belong to the goroutine that scrapes; mu is for others that read, and for it when it
// writes what they read.
type families struct {
	mu    sync.Mutex
	order []family
	last  int // place of the one that was last found, plus one
	bytes int
}

// key returns the key of the family at a place.
func (fs *families) key(place int) familyKey {
	return familyKey(place+1)<<typeBits | familyKey(fs.order[place].typ)
}

// find returns the place of the family of a name, a new one if there was none. The last one and the
// one after it are the likely ones.
func (fs *families) find(name []byte, scrape uint32, index *familyIndex) int {
	place := fs.last - 1
	if place < 0 || fs.name(place) != string(name) {
		if place++; place >= len(fs.order) || fs.name(place) != string(name) {
			if place = index.find(fs, name); place < 0 {
				place = fs.create(string(name))
				index.places.add(place, fs.hash)
			}
		}
		fs.last = place + 1
	}
	fs.order[place].seen = scrape
	return place
}

func (fs *families) name(place int) string { return fs.order[place].said.Value().Family }

func (fs *families) hash(place int) uint64 { return maphash.String(lineSeed, fs.name(place)) }

func (fs *families) create(name string) int {
	f := newFamily(Metadata{Family: name, Type: model.MetricTypeUnknown})
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.order = append(fs.order, f)
	fs.bytes += f.size()
	return len(fs.order) - 1
}

// change replaces what others may be reading.
func (fs *families) change(place int, said Metadata) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f := &fs.order[place]
	fs.bytes -= f.size()
	changed := newFamily(said)
	f.said, f.typ = changed.said, changed.typ
	fs.bytes += f.size()
}

// setType, setHelp and setUnit say something about the family at a place. line is the hash of the
// line that does, 0 if it is not to be remembered.
func (fs *families) setType(place int, t model.MetricType, line uint64) {
	if said := fs.order[place].said.Value(); said.Type != t {
		said.Type = t
		fs.change(place, said)
	}
	fs.order[place].kind = line
}

func (fs *families) setHelp(place int, help []byte, line uint64) {
	if said := fs.order[place].said.Value(); said.Help != string(help) {
		said.Help = string(help)
		fs.change(place, said)
	}
	fs.order[place].help = line
}

func (fs *families) setUnit(place int, unit []byte) {
	if said := fs.order[place].said.Value(); said.Unit != string(unit) {
		said.Unit = string(unit)
		fs.change(place, said)
	}
}

// forget drops what was not seen for long, and returns the new place of each family plus one, 0 if
// it has gone; nil if none has.
func (fs *families) forget(scrape uint32) (places []int) {
	fs.last = 0
	old := func(f family) bool { return scrape-f.seen > metadataScrapes }
	if !slices.ContainsFunc(fs.order, old) {
		return nil
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	places = make([]int, len(fs.order))
	kept := make([]family, 0, len(fs.order))
	for i, f := range fs.order {
		if old(f) {
			fs.bytes -= f.size()
			continue
		}
		kept = append(kept, f)
		places[i] = len(kept)
	}
	fs.order = kept
	return places
}

// list calls visit with each family. Any goroutine may call it.
func (fs *families) list(visit func(Metadata)) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for i := range fs.order {
		visit(fs.order[i].said.Value())
	}
}

// size returns how many families there are, and the bytes of their metadata.
func (fs *families) size() (entries, bytes int) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return len(fs.order), fs.bytes
}

// familyIndex finds families by name, in a scrape in which their order is not enough.
type familyIndex struct {
	places hashIndex
	built  bool
}

func (x *familyIndex) find(fs *families, name []byte) int {
	if !x.built {
		x.built = true
		x.places.empty(len(fs.order))
		for place := range fs.order {
			x.places.add(place, fs.hash)
		}
	}
	return x.places.find(hashOf(name), func(place int) bool { return fs.name(place) == string(name) })
}
