package reshard_test

import (
	"maps"
	"slices"

	. "github.com/ringmaster-agent/ringmaster/actors/reshard"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// modelStore is the store as it is, which every node learns of later. Its history is kept, so that
// it can be said what there has been.
type modelStore struct {
	revision int64
	sessions map[string]bool
	opened   int
	claims   map[messages.Unit]messages.Claim
	intents  map[messages.Unit]messages.Intent
	// members is the session of each node's record. A node that leaves has none: it owns nothing.
	members map[string]string
	docs    map[string]Document
	log     []modelEvent
	docLog  []modelDoc
	rings   []modelRing
	// writes counts those that were done.
	writes int
}

type modelEvent struct {
	revision int64
	event    messages.RegistryEvent
}

type modelDoc struct {
	name    string
	doc     Document
	deleted bool
}

func newModelStore() *modelStore {
	return &modelStore{
		sessions: map[string]bool{}, claims: map[messages.Unit]messages.Claim{}, intents: map[messages.Unit]messages.Intent{},
		members: map[string]string{}, docs: map[string]Document{}, rings: []modelRing{{}},
	}
}

// write does what its condition allows. Lost: the session has ended.
func (s *modelStore) write(node, session string, w Write) (event messages.RegistryEvent, lost bool) {
	deletes := w.Kind == RemoveClaim || w.Kind == WithdrawIntent
	at := s.claims[w.Unit].Revision
	if w.Record().Intent {
		at = s.intents[w.Unit].Revision
	}
	switch {
	case !s.sessions[session] && !deletes:
		return nil, true
	case w.Kind != IntendUnit && at != w.Revision, deletes && at == 0:
		return nil, false
	}
	s.writes++
	s.revision++
	switch w.Kind {
	case ClaimUnit, ReleaseUnit:
		c := messages.Claim{Unit: w.Unit, Node: node, Session: session, Revision: s.revision, Released: w.Kind == ReleaseUnit, Handover: w.Handover}
		s.claims[w.Unit] = c
		event = messages.ClaimPut{Claim: c}
	case RemoveClaim:
		delete(s.claims, w.Unit)
		event = messages.ClaimGone{Unit: w.Unit, Revision: s.revision}
	case IntendUnit:
		i := messages.Intent{Unit: w.Unit, Node: node, Session: session, Revision: s.revision}
		s.intents[w.Unit] = i
		event = messages.IntentPut{Intent: i}
	case WithdrawIntent:
		delete(s.intents, w.Unit)
		event = messages.IntentGone{Unit: w.Unit, Revision: s.revision}
	}
	s.log = append(s.log, modelEvent{revision: s.revision, event: event})
	return event, false
}

// end ends a session: all that is bound to it vanishes at one revision.
func (s *modelStore) end(session string) {
	if !s.sessions[session] {
		return
	}
	delete(s.sessions, session)
	s.revision++
	for _, unit := range slices.SortedFunc(maps.Keys(s.claims), messages.Unit.Compare) {
		if s.claims[unit].Session == session {
			delete(s.claims, unit)
			s.log = append(s.log, modelEvent{s.revision, messages.ClaimGone{Unit: unit, Revision: s.revision}})
		}
	}
	for _, unit := range slices.SortedFunc(maps.Keys(s.intents), messages.Unit.Compare) {
		if s.intents[unit].Session == session {
			delete(s.intents, unit)
			s.log = append(s.log, modelEvent{s.revision, messages.IntentGone{Unit: unit, Revision: s.revision}})
		}
	}
	maps.DeleteFunc(s.members, func(_, of string) bool { return of == session })
	s.reshape()
}

func (s *modelStore) listing() messages.RegistryListed {
	return messages.RegistryListed{
		Claims: messages.NewList(slices.Collect(maps.Values(s.claims))...), Intents: messages.NewList(slices.Collect(maps.Values(s.intents))...),
		Revision: s.revision,
	}
}

func (s *modelStore) put(name string, change func(*Document)) {
	doc := s.docs[name]
	s.revision++
	change(&doc)
	if doc.Problem == "" {
		doc.Valid = Version{Revision: s.revision, Digest: messages.Digest{byte(s.revision), byte(s.revision >> 8), 1}}
	}
	s.docs[name] = doc
	s.docLog = append(s.docLog, modelDoc{name: name, doc: doc})
}

func (s *modelStore) remove(name string) {
	delete(s.docs, name)
	s.docLog = append(s.docLog, modelDoc{name: name, deleted: true})
}

// everDeleted and everShrunk tell whether a unit had to go at some time.
func (s *modelStore) everDeleted(name string) bool {
	return slices.ContainsFunc(s.docLog, func(d modelDoc) bool { return d.name == name && d.deleted })
}

func (s *modelStore) everShrunk(unit messages.Unit) bool {
	return slices.ContainsFunc(s.docLog, func(d modelDoc) bool {
		return d.name == unit.Config && !d.deleted && max(1, d.doc.Slices) <= unit.Slice
	})
}

// everClaimed reports whether another node than this has claimed the unit after a revision.
func (s *modelStore) everClaimed(unit messages.Unit, node string, after int64) bool {
	return slices.ContainsFunc(s.log, func(e modelEvent) bool {
		put, ok := e.event.(messages.ClaimPut)
		return ok && put.Claim.Unit == unit && put.Claim.Node != node && put.Claim.Held() && e.revision > after
	})
}

// reshape makes a new ring if the members are others.
func (s *modelStore) reshape() {
	ring := modelRing{members: slices.Sorted(maps.Keys(s.members))}
	if !slices.Equal(ring.members, s.rings[len(s.rings)-1].members) {
		s.rings = append(s.rings, ring)
	}
}

// modelRing gives each unit to the member that scores highest for it.
type modelRing struct{ members []string }

func (r modelRing) owner(unit messages.Unit) string {
	if unit.Replica >= len(r.members) {
		return ""
	}
	score := func(member string) uint64 {
		hash := uint64(14695981039346656037)
		for _, c := range []byte(unit.Config + string(rune('0'+unit.Slice)) + member) {
			hash = (hash ^ uint64(c)) * 1099511628211
		}
		return hash ^ hash>>29
	}
	sorted := slices.SortedFunc(slices.Values(r.members), func(a, b string) int {
		if score(a) > score(b) {
			return -1
		}
		return 1
	})
	return sorted[unit.Replica]
}

// modelOwners is a ring as one node sees it.
type modelOwners struct {
	modelRing
	node string
}

func (o modelOwners) Owner(unit messages.Unit) (string, Ownership) {
	switch owner := o.owner(unit); owner {
	case o.node:
		return owner, Owned
	default:
		return owner, NotOwned
	}
}
