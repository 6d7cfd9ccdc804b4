package actors

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/cluster/lastknown"
	"github.com/ringmaster-agent/ringmaster/messages"
)

const (
	// recallAfter is how long the store may take for its first answer before the node goes by what
	// it remembers.
	recallAfter = 3 * time.Second
	// saveAfter gathers changes before they are written.
	saveAfter = time.Second
)

// Memory is where a tree keeps what it knew of its store; *lastknown.Memory is one. Calls are made
// one at a time.
type Memory interface {
	Load() ([]messages.Document, lastknown.Cluster, error)
	Save(lastknown.Change) error
}

// memory is the supervisor's side of it.
type memory struct {
	*desk
	documents  *documents
	membership *membership
	// recalled is what was known when the process before ended, until the store has answered. due:
	// the store has had its time.
	recalled *recalled
	due      bool
	// began is when it was asked for.
	began time.Time
	// changed is the names of configs to be written, cluster that the rest is to be.
	changed map[string]bool
	cluster bool
	// asked: a saving is on its way. saving: one is under way.
	asked, saving bool
	failed        bool
}

// Private messages of the supervisor to itself.
type (
	// recalled is what Memory had.
	recalled struct {
		documents []messages.Document
		cluster   lastknown.Cluster
		err       error
	}
	// recallNow comes when the store has had time enough to answer.
	recallNow struct{}
	// saveNow comes when changes have been gathered.
	saveNow struct{}
	// saved is the outcome of a saving.
	saved struct {
		change lastknown.Change
		err    error
	}
)

// recall reads what the process before knew.
func (m *memory) recall(c actor.Context) {
	if m.Memory == nil {
		return
	}
	var out recalled
	m.begin(c, func() (err error) {
		out.documents, out.cluster, err = m.Memory.Load()
		return err
	}, func(err error) any { out.err = err; return out })
	m.began = m.now()
	m.startTimer(c, "recall", recallAfter, recallNow{})
}

// takeRecalled returns what there is to go by if the store has not answered in time, once.
func (m *memory) takeRecalled() *recalled {
	known := m.recalled
	if known == nil || !m.due || m.documents.complete() {
		return nil
	}
	m.recalled = nil
	if len(known.documents) == 0 && known.cluster.Session == "" {
		return nil
	}
	return known
}

// remember has configs, or what is known of the cluster, written soon.
func (m *memory) remember(c actor.Context, names ...string) {
	if m.Memory != nil && m.note(names) {
		m.startTimer(c, "save", saveAfter, saveNow{})
	}
}

// note gathers what is to be written, and reports whether nobody has asked for that yet.
func (m *memory) note(names []string) bool {
	if m.changed == nil {
		m.changed = map[string]bool{}
	}
	for _, name := range names {
		m.changed[name] = true
	}
	m.cluster = m.cluster || len(names) == 0
	before := m.asked
	m.asked = true
	return !before
}

// take returns what there is to be written, as it stands.
func (m *memory) take() lastknown.Change {
	change := lastknown.Change{Cluster: m.membership.remembered()}
	for name := range m.changed {
		switch d, _, known := m.documents.stored.Get(name); {
		case !known:
			change.Gone = append(change.Gone, name)
		case d.Problem == "":
			change.Written = append(change.Written, d)
		}
	}
	clear(m.changed)
	m.cluster, m.saving = false, true
	return change
}

// saved takes in what became of it. What is left to be written is written soon.
func (m *memory) saved(c actor.Context, out saved) {
	m.saving = false
	if out.err != nil {
		if !m.failed {
			m.Logger.Warn("cannot save the last known configs; a restart without the store would not have them", zap.Error(out.err))
		}
		for _, d := range out.change.Written {
			m.changed[d.Name] = true
		}
		for _, name := range out.change.Gone {
			m.changed[name] = true
		}
		m.cluster = true
	}
	m.failed = out.err != nil
	m.asked = len(m.changed) > 0 || m.cluster
	if m.asked {
		m.startTimer(c, "save", saveAfter, saveNow{})
	}
}

// save writes what was gathered.
func (m *memory) save(c actor.Context) {
	m.asked = false
	if m.saving || !m.documents.complete() {
		return // what was remembered is better than half of what is
	}
	change := m.take()
	m.begin(c, func() error { return m.Memory.Save(change) }, func(err error) any { return saved{change: change, err: err} })
}
