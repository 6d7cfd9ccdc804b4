package actors

import (
	"cmp"
	"errors"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors/knowledge"
	"github.com/ringmaster-agent/ringmaster/actors/reshard"
	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// parseBatch is how many documents one goroutine parses before it reports: enough to make the
// report cheap, few enough that the first instances of many start early.
const parseBatch = 32

// documents is what is known of all configs: the stored ones, those of the main file, and what the
// parser said of both. Its methods return what is different, and leave it to the supervisor to act
// on that.
type documents struct {
	logger *zap.Logger
	stored *knowledge.Catalog
	// storeless: there is no store, so all configs are known.
	storeless bool
	local     map[string]messages.Document
	known     map[string]*document
	// hiding is the names that both the main file and the store have.
	hiding map[string]bool
	// valid is how many of them have a config.
	valid   int
	parsing parsing
	// problem is the newest error of the store, empty if it answered last time.
	problem string
	// runs reports whether this node runs a unit of the config, or should. Only these configs are
	// kept as a whole.
	runs func(name string) bool
}

// document is what is known of one config.
type document struct {
	messages.Document
	// asked identifies the newest parsing of the document, which is the only one whose outcome
	// counts; 0 if that has come.
	asked uint64
	// valid is the newest version that was valid, and inForce its document. config is its outline,
	// nil if there is none.
	valid   reshard.Version
	inForce messages.Document
	config  *config.Instance
	// whole is all that inForce says; nil while this node does not run it. askedWhole identifies
	// the parsing that fetches it; 0 if there is none.
	whole      *config.Instance
	askedWhole uint64
	// refused: inForce could not be fetched. It is tried again at each tick. outline is what config
	// was before: by it the slices are divided if the version comes back.
	refused bool
	outline *config.Instance
	// problem says why a newer version than valid is not.
	problem string
	// since is when the first valid version was parsed; zero if none was.
	since time.Time
}

// newFor is how long a config is new: many times what a claim takes.
const newFor = 10 * time.Second

// isNew: the document came a moment ago.
func (d *document) isNew(now time.Time) bool {
	if d.since.IsZero() {
		return d.asked != 0
	}
	return now.Sub(d.since) < newFor
}

// different is what is different about configs.
type different struct {
	// configs are to be decided about, or all are.
	configs    []string
	everything bool
	// kinds is how documents have changed.
	kinds []knowledge.ChangeKind
	// stored is the names of the stored documents that have changed.
	stored []string
	// relist: the store is to be listed soon.
	relist bool
}

func newDocuments(logger *zap.Logger, storeless bool) *documents {
	return &documents{
		logger: logger, storeless: storeless, stored: knowledge.NewCatalog(), local: map[string]messages.Document{},
		known: map[string]*document{}, hiding: map[string]bool{}, runs: func(string) bool { return true },
	}
}

// slices is how many slices the newest valid version has, 0 if there is none.
func (d *document) slices() int {
	if d.config == nil {
		return 0
	}
	return d.config.Slices
}

// complete reports whether every stored config is known.
func (k *documents) complete() bool { return k.storeless || k.stored.Complete() }

// fold takes in what the watcher tells.
func (k *documents) fold(event messages.WatcherEvent) different {
	switch e := event.(type) {
	case messages.ConfigPut:
		d := k.changed(k.stored.Put(e.Document))
		d.configs = append(d.configs, e.Document.Name) // also if it is only no longer doubtful
		return d
	case messages.ConfigDeleted:
		return k.changed(k.stored.Delete(e.Name, e.Revision))
	case messages.ConfigsListed:
		return k.listed(e)
	case messages.ConfigsUnavailable:
		k.problem = e.Reason
	}
	return different{}
}

func (k *documents) listed(e messages.ConfigsListed) different {
	doubt := k.stored.Doubt()
	k.problem = ""
	if e.Afresh {
		k.stored.Restored()
	}
	d := k.changed(k.stored.Listed(e.Documents, e.Revision))
	if now := k.stored.Doubt(); now != "" && now != doubt {
		k.logger.Warn("ignoring a list of configs that lacks too many; listing again", zap.String("reason", now), zap.Int64("revision", e.Revision))
	}
	d.everything, d.relist = true, k.stored.Restoring()
	return d
}

// recall takes over what was known before a restart.
func (k *documents) recall(documents []messages.Document) different {
	return k.changed(k.stored.Recall(documents))
}

func (k *documents) changed(changes []knowledge.Change) different {
	var d different
	for _, change := range changes {
		k.refresh(change.Name, &d)
		d.stored = append(d.stored, change.Name)
	}
	return d
}

// replaceLocal takes over the documents of the main file.
func (k *documents) replaceLocal(documents messages.List[messages.Document]) different {
	var d different
	before := k.local
	k.local = make(map[string]messages.Document, documents.Len())
	for one := range documents.All() {
		one.Local = true
		k.local[one.Name] = one
		k.refresh(one.Name, &d)
	}
	for name := range before {
		k.refresh(name, &d)
	}
	return d
}

// refresh brings the document of that name up to date with what is known of the store and of the
// main file.
func (k *documents) refresh(name string, out *different) {
	newest, exists := k.local[name]
	stored, _, isStored := k.stored.Get(name)
	switch {
	case !exists:
		newest, exists = stored, isStored
		delete(k.hiding, name)
	case isStored:
		k.hiding[name] = true
	default:
		delete(k.hiding, name)
	}
	d, known := k.known[name]
	switch {
	case !exists && !known:
		return
	case !exists:
		k.putInForce(d, nil)
		delete(k.known, name)
		out.kinds = append(out.kinds, knowledge.Deleted)
		out.configs = append(out.configs, name)
		return
	case !known:
		d = &document{}
		k.known[name] = d
		out.kinds = append(out.kinds, knowledge.Created)
	case d.Document == newest:
		return
	default:
		out.kinds = append(out.kinds, knowledge.Updated)
	}
	d.Document = newest
	out.configs = append(out.configs, name)
	k.askToParse(d)
}

// parseAgain has every document parsed anew, since what the parser goes by has changed.
func (k *documents) parseAgain() {
	for _, d := range k.known {
		if d.Problem == "" {
			k.askToParse(d)
		}
	}
}

// putInForce makes c the outline of the document, nil for none.
func (k *documents) putInForce(d *document, c *config.Instance) {
	if d.config != nil {
		k.valid--
	}
	if c != nil {
		k.valid++
	}
	d.config = c
}

// invalid records why the newest version is not valid; the one before stays.
func (k *documents) invalid(d *document, err error) {
	if d.problem != err.Error() {
		k.logger.Warn("config is not valid", zap.String("instance", d.Name), zap.Int64("revision", d.Revision), zap.Error(err), stackOf(err))
	}
	d.problem = err.Error()
}

// unitsOf are the units of a known config, of which stored ones have so many replicas.
func (k *documents) unitsOf(name string, replicas int) []messages.Unit {
	d := k.known[name]
	if d.Local {
		replicas = 1
	}
	return reshard.Units(name, d.slices(), replicas)
}

// view is the document as the decision sees it.
func (k *documents) view(d *document) reshard.Document {
	_, standing, _ := k.stored.Get(d.Name)
	return reshard.Document{
		Local: d.Local, Hides: k.hiding[d.Name], Vanished: standing == knowledge.Vanished && !d.Local, Orphaned: standing == knowledge.Orphaned && !d.Local,
		Slices: d.slices(), Redivided: d.redivided(), Valid: d.valid, Problem: d.problem,
	}
}

// parsing is the work of the goroutines that parse.
type parsing struct {
	// waiting is what to parse; the same may be there more than once.
	waiting []request
	running int
	last    uint64
}

// request is for the newest document of a name or, if fetch is set, for all that the one in force says.
type request struct {
	name  string
	fetch bool
}

// parsed is what one of them found.
type parsed struct{ outcomes []outcome }

type outcome struct {
	document messages.Document
	asked    uint64
	// whole: config is all that the document says. fetched: that is all that was asked for.
	whole, fetched bool
	config         *config.Instance
	err            error
}

func (k *documents) askToParse(d *document) {
	if d.Problem != "" {
		d.asked = 0
		k.invalid(d, errors.New(d.Problem))
		return
	}
	k.parsing.last++
	d.asked = k.parsing.last
	k.parsing.waiting = append(k.parsing.waiting, request{name: d.Name})
}

// nextBatch takes the next documents to parse by a goroutine of their own, if there may be another
// one; none is nil.
func (k *documents) nextBatch(atMost int) []outcome {
	p := &k.parsing
	for p.running < atMost && len(p.waiting) > 0 {
		n := min(parseBatch, len(p.waiting))
		batch := make([]outcome, 0, n)
		for _, r := range p.waiting[:n] {
			switch d, ok := k.known[r.name]; {
			case ok && !r.fetch && d.asked != 0:
				batch = append(batch, outcome{document: d.Document, asked: d.asked, whole: d.Local || k.runs(r.name)})
			case ok && r.fetch && d.askedWhole != 0:
				whole := !d.refused || d.Local || k.runs(r.name)
				batch = append(batch, outcome{document: d.inForce, asked: d.askedWhole, whole: whole, fetched: true})
			}
		}
		p.waiting = p.waiting[n:]
		if len(p.waiting) == 0 {
			p.waiting = nil // don't keep the array of a big burst
		}
		if len(batch) > 0 {
			p.running++
			return batch
		}
	}
	return nil
}

// parse hands what waits to goroutines, not more of them than there are processors.
func (k *documents) parse(c actor.Context, d *desk) {
	for batch := k.nextBatch(d.Runtime.Processors); batch != nil; batch = k.nextBatch(d.Runtime.Processors) {
		d.begin(c, func() error {
			for i := range batch {
				o := &batch[i]
				o.err = protect(func() (err error) {
					if o.whole {
						o.config, err = d.Parse(o.document)
					} else {
						o.config, err = d.Outline(o.document)
					}
					return err
				})
			}
			return nil
		}, func(error) any { return parsed{outcomes: batch} })
	}
}

// foldParsed takes in what a goroutine has found.
func (k *documents) foldParsed(m parsed, now time.Time) different {
	var out different
	k.parsing.running--
	for _, o := range m.outcomes {
		d, ok := k.known[o.document.Name]
		switch {
		case ok && o.fetched && d.askedWhole == o.asked:
			k.foldFetched(d, o, now)
		case ok && !o.fetched && d.asked == o.asked:
			k.foldNewest(d, o, now)
		default:
			continue
		}
		out.configs = append(out.configs, d.Name)
	}
	return out
}

// foldNewest takes in what the newest version says.
func (k *documents) foldNewest(d *document, o outcome, now time.Time) {
	d.asked = 0
	if err := o.problem(); err != nil {
		k.invalid(d, err)
		return
	}
	changed := o.document.Changed
	if d.Local {
		changed = now // nobody else has it
	}
	d.problem, d.refused = "", false
	if d.since.IsZero() {
		d.since = now
	}
	k.putInForce(d, succeed(cmp.Or(d.config, d.outline), o.config.Outline(), changed, now))
	d.outline = nil
	before := d.valid.Digest
	d.valid, d.inForce, d.askedWhole = reshard.Version{Revision: d.Revision, Digest: messages.Digest(o.config.Digest())}, o.document, 0
	switch {
	case o.whole:
		d.whole = o.config
	case d.valid.Digest != before:
		d.whole = nil
	}
}

func (o outcome) problem() error {
	if o.err == nil && o.config == nil {
		return errors.New("the parser returned neither a config nor an error")
	}
	return o.err
}
