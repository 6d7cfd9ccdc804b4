package actors

import (
	"errors"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors/reshard"
	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// parseBatch is how many documents one goroutine parses before it reports: enough to make the report cheap, few enough that the
// first instances of many start early.
const parseBatch = 32

// relistRestored is when a store that seems to have been restored is listed a second time.
const relistRestored = 10 * time.Second

// relistConfigs comes when that time has come.
type relistConfigs struct{}

// document is what the supervisor knows of one config.
type document struct {
	messages.Document
	// asked identifies the newest parsing of the document, which is the only one whose outcome counts; 0 if that has come.
	asked uint64
	// valid and config are the newest version that was valid. config is nil if there is none.
	valid  reshard.Version
	config *config.Instance
	// problem says why a newer version than valid is not.
	problem string
}

// slices is how many slices the newest valid version has, 0 if there is none.
func (d *document) slices() int {
	if d.config == nil {
		return 0
	}
	return d.config.Slices
}

// parsing is the work of the goroutines that parse.
type parsing struct {
	// waiting is the names to parse, each of which may be there more than once.
	waiting []string
	running int
	last    uint64
}

// parsed is what one of them found.
type parsed struct{ outcomes []outcome }

type outcome struct {
	document messages.Document
	asked    uint64
	config   *config.Instance
	err      error
}

func (s *supervisor) foldWatcher(c actor.Context, event messages.WatcherEvent) {
	switch e := event.(type) {
	case messages.ConfigPut:
		s.agenda.addConfig(e.Document.Name) // also if it is only no longer doubtful
		s.foldChanges(c, s.catalog.Put(e.Document))
	case messages.ConfigDeleted:
		s.foldChanges(c, s.catalog.Delete(e.Name, e.Revision))
	case messages.ConfigsListed:
		doubt := s.catalog.Doubt()
		s.storeProblem = ""
		if e.Afresh {
			s.catalog.Restored()
		}
		s.foldChanges(c, s.catalog.Listed(e.Documents, e.Revision))
		if now := s.catalog.Doubt(); now != "" && now != doubt {
			s.Logger.Warn("listing of configs is not believed", zap.String("reason", now), zap.Int64("revision", e.Revision))
		}
		if s.catalog.Restoring() {
			s.startTimer(c, "relist", relistRestored, relistConfigs{})
		}
		s.agenda.addEverything()
	case messages.ConfigsUnavailable:
		s.storeProblem = e.Reason
		s.memory.due = true
		s.goByMemory(c)
	}
	s.reconcileSoon(c)
}

func (s *supervisor) foldChanges(c actor.Context, changes []reshard.Change) {
	for _, change := range changes {
		s.refresh(change.Name)
		s.remember(c, change.Name)
	}
	s.parse(c)
}

func (s *supervisor) replaceLocal(c actor.Context, documents messages.List[messages.Document]) {
	before := s.local
	s.local = make(map[string]messages.Document, documents.Len())
	for d := range documents.All() {
		d.Local = true
		s.local[d.Name] = d
		s.refresh(d.Name)
	}
	for name := range before {
		s.refresh(name)
	}
	s.parse(c)
}

// refresh brings the document of that name up to date with what is known of the store and of the main file.
func (s *supervisor) refresh(name string) {
	newest, exists := s.local[name]
	if !exists {
		newest, _, exists = s.catalog.Get(name)
	}
	d, known := s.documents[name]
	switch {
	case !exists && !known:
		return
	case !exists:
		s.putInForce(d, nil)
		delete(s.documents, name)
		s.metrics.configsChanged.WithLabelValues(reshard.Deleted.String()).Inc()
		return
	case !known:
		d = &document{}
		s.documents[name] = d
		s.metrics.configsChanged.WithLabelValues(reshard.Created.String()).Inc()
	case d.Document == newest:
		return
	default:
		s.metrics.configsChanged.WithLabelValues(reshard.Updated.String()).Inc()
	}
	d.Document = newest
	s.agenda.addConfig(name)
	s.askToParse(d)
}

func (s *supervisor) askToParse(d *document) {
	if d.Problem != "" {
		d.asked = 0
		s.invalid(d, errors.New(d.Problem))
		return
	}
	s.parsing.last++
	d.asked = s.parsing.last
	s.parsing.waiting = append(s.parsing.waiting, d.Name)
}

// parse hands what waits to goroutines, one batch each, not more of them than there are processors.
func (s *supervisor) parse(c actor.Context) {
	p := &s.parsing
	for p.running < s.Runtime.Processors && len(p.waiting) > 0 {
		n := min(parseBatch, len(p.waiting))
		batch := make([]outcome, 0, n)
		for _, name := range p.waiting[:n] {
			if d, ok := s.documents[name]; ok && d.asked != 0 {
				batch = append(batch, outcome{document: d.Document, asked: d.asked})
			}
		}
		p.waiting = p.waiting[n:]
		p.running++
		s.do(c.Self(), func() error {
			for i := range batch {
				o := &batch[i]
				o.err = protect(func() (err error) {
					o.config, err = s.Parse(o.document)
					return err
				})
			}
			return nil
		}, func(error) any { return parsed{outcomes: batch} })
	}
	if len(p.waiting) == 0 {
		p.waiting = nil // don't keep the array of a big burst
	}
}

func (s *supervisor) foldParsed(c actor.Context, m parsed) {
	s.parsing.running--
	for _, o := range m.outcomes {
		d, ok := s.documents[o.document.Name]
		if !ok || d.asked != o.asked {
			continue
		}
		d.asked = 0
		switch {
		case o.err != nil:
			s.invalid(d, o.err)
		case o.config == nil:
			s.invalid(d, errors.New("the parser returned neither a config nor an error"))
		default:
			now, changed := s.now(), o.document.Changed
			if d.Local {
				changed = now // nobody else has it
			}
			d.problem = ""
			s.putInForce(d, succeed(d.config, o.config, changed, now))
			d.valid = reshard.Version{Revision: d.Revision, Digest: messages.Digest(o.config.Digest())}
		}
	}
	s.parse(c)
	s.reconcileSoon(c)
}

// putInForce makes c the config of the document, nil for none.
func (s *supervisor) putInForce(d *document, c *config.Instance) {
	if d.config != nil {
		s.valid--
	}
	if c != nil {
		s.valid++
		s.agenda.saw(messages.Unit{Config: d.Name, Slice: c.Slices - 1})
	}
	d.config = c
	s.metrics.activeConfigs.Set(float64(s.valid))
	s.agenda.addConfig(d.Name)
}

// invalid records why the newest version is not valid; the one before stays.
func (s *supervisor) invalid(d *document, err error) {
	if d.problem != err.Error() {
		s.Logger.Warn("config is not valid", zap.String("instance", d.Name), zap.Int64("revision", d.Revision), zap.Error(err), stackOf(err))
	}
	d.problem = err.Error()
	s.agenda.addConfig(d.Name)
}
