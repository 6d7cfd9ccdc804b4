package actors

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/cluster/lastknown"
	"github.com/ringmaster-agent/ringmaster/messages"
)

const (
	// recallAfter is how long the store may take for its first answer before the node goes by what it remembers.
	recallAfter = 3 * time.Second
	// saveAfter gathers changes before they are written.
	saveAfter = time.Second
)

// Memory is where a tree keeps what it knew of its store; *lastknown.Memory is one. Calls are made one at a time.
type Memory interface {
	Load() ([]messages.Document, lastknown.Cluster, error)
	Save(lastknown.Change) error
}

// memory is the supervisor's side of it.
type memory struct {
	// recalled is what was known when the process before ended, until the store has answered. due: the store has had its time.
	recalled *recalled
	due      bool
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
func (s *supervisor) recall(c actor.Context) {
	if s.Memory == nil {
		return
	}
	var out recalled
	s.do(c.Self(), func() (err error) {
		out.documents, out.cluster, err = s.Memory.Load()
		return err
	}, func(err error) any { out.err = err; return out })
	s.startTimer(c, "recall", recallAfter, recallNow{})
}

func (s *supervisor) recalled(c actor.Context, m recalled) {
	if m.err != nil {
		s.Logger.Warn("last known configs can't be read; the node waits for the store", zap.Error(m.err))
		return
	}
	s.memory.recalled = &m
	s.goByMemory(c)
}

// goByMemory goes by what is remembered if the store has not answered in time. It is evidence of the past: nothing is deleted by it, and
// what the store says later counts more.
func (s *supervisor) goByMemory(c actor.Context) {
	m := s.memory.recalled
	if m == nil || !s.memory.due || s.complete() {
		return
	}
	s.memory.recalled = nil
	if len(m.documents) == 0 && m.cluster.Session == "" {
		return
	}
	s.Logger.Warn("store has not answered; going by the last known configs", zap.Int("configs", len(m.documents)), zap.Int("claims", len(m.cluster.Claims)))
	s.foldChanges(c, s.catalog.Recall(m.documents))
	if s.membership != nil && !s.membership.registry.Listed() && m.cluster.Session != "" {
		listing := messages.RegistryListed{
			Members: messages.NewList(m.cluster.Members...), Claims: messages.NewList(m.cluster.Claims...), Revision: m.cluster.Revision,
		}
		s.foldRegistry(c, listing)
		if s.membership.ring != nil {
			c.Send(s.membership.ring, listing)
			c.Send(s.membership.ring, adoptSession{id: m.cluster.Session, renewed: m.cluster.Renewed})
		}
	}
	s.reconcileSoon(c)
}

// remember has configs, or what is known of the cluster, written soon.
func (s *supervisor) remember(c actor.Context, names ...string) {
	if s.Memory == nil {
		return
	}
	m := &s.memory
	if m.changed == nil {
		m.changed = map[string]bool{}
	}
	for _, name := range names {
		m.changed[name] = true
	}
	m.cluster = m.cluster || len(names) == 0
	if !m.asked {
		m.asked = true
		s.startTimer(c, "save", saveAfter, saveNow{})
	}
}

func (s *supervisor) save(c actor.Context) {
	m := &s.memory
	m.asked = false
	if m.saving || !s.complete() {
		return // what was remembered is better than half of what is
	}
	change := lastknown.Change{Cluster: s.knownCluster()}
	for name := range m.changed {
		switch d, _, known := s.catalog.Get(name); {
		case !known:
			change.Gone = append(change.Gone, name)
		case d.Problem == "":
			change.Written = append(change.Written, d)
		}
	}
	clear(m.changed)
	m.cluster, m.saving = false, true
	s.do(c.Self(), func() error { return s.Memory.Save(change) }, func(err error) any { return saved{change: change, err: err} })
}

func (s *supervisor) saved(c actor.Context, m saved) {
	s.memory.saving = false
	if m.err != nil {
		if !s.memory.failed {
			s.Logger.Warn("last known configs can't be saved; a restart while the store is away would not know them", zap.Error(m.err))
		}
		for _, d := range m.change.Written {
			s.memory.changed[d.Name] = true
		}
		for _, name := range m.change.Gone {
			s.memory.changed[name] = true
		}
		s.memory.cluster = true
	}
	s.memory.failed = m.err != nil
	if len(s.memory.changed) > 0 || s.memory.cluster {
		s.memory.asked = true
		s.startTimer(c, "save", saveAfter, saveNow{})
	}
}

// knownCluster is what a restart has to know of the cluster; nil without one.
func (s *supervisor) knownCluster() *lastknown.Cluster {
	m := s.membership
	if m == nil || m.session == "" {
		return nil
	}
	out := &lastknown.Cluster{Session: m.session, Renewed: m.renewed.Round(0)}
	for _, member := range m.registry.Members() {
		out.Members = append(out.Members, member)
		out.Revision = max(out.Revision, member.Revision)
	}
	for _, claim := range m.registry.Claims() {
		if claim.Node == s.Cluster.Node && claim.Session == m.session && claim.Held() {
			out.Claims = append(out.Claims, claim)
			out.Revision = max(out.Revision, claim.Revision)
		}
	}
	return out
}
