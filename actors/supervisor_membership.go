package actors

import (
	"slices"
	"time"

	"github.com/ringmaster-agent/ringmaster/actors/fencing"
	"github.com/ringmaster-agent/ringmaster/actors/knowledge"
	"github.com/ringmaster-agent/ringmaster/actors/reshard"
	"github.com/ringmaster-agent/ringmaster/cluster/lastknown"
	"github.com/ringmaster-agent/ringmaster/cluster/ring"
	"github.com/ringmaster-agent/ringmaster/messages"
)

const (
	// writePause is the wait after claims could not be written.
	writePause = 500 * time.Millisecond
	// refusedPause is the wait after a write whose condition did not hold. It doubles, up to
	// refusedLongest, as long as nothing is heard of the records: the watch may be silent.
	refusedPause   = 100 * time.Millisecond
	refusedLongest = 2 * time.Second
	// defaultReleaseAfter is how long a unit whose scrape interval is not known holds its claim
	// while it sends what is left.
	defaultReleaseAfter = time.Second
)

// membership is what the supervisor knows of the cluster. A nil membership is that of a node alone.
type membership struct {
	node string
	lease
	dialogue
	recordWrites
	registry *knowledge.Records
	// owners is the settled ring, nil before there is one. onRing are the nodes of the newest ring.
	owners  *ringOwners
	onRing  []string
	answers answers
	// recalled: the store has not told anything yet; what is known is from before a restart, and of
	// this node only.
	recalled bool
	problem  string
	moves    moves
}

// lease is by what the node claims.
type lease struct {
	// session is what this node claims by, incarnation the process whose claims in it are its own.
	// Empty: it has none.
	session, incarnation string
	// earlier is the session of the process before, while the node goes by what that one knew and has
	// none of its own.
	earlier messages.EarlierSession
	// renewed is when the session was renewed last, if the store has not answered since.
	renewed time.Time
	// takeFrom is when what nobody has claimed may be taken, after a session was lost, or the store's
	// data.
	takeFrom time.Time
	// othersReturn is how long a node that has lost its session leaves to others what they may be
	// running. They may have lost theirs too, and go on until they hear of it: a node that the store
	// does not answer goes on for fencing.GoesOn.
	othersReturn time.Duration
}

// dialogue is what the ring actor was told, and has told.
type dialogue struct {
	// asked is the number of the newest TakePlace, said what that is. heard is the number of the
	// newest ring.
	asked uint64
	said  messages.TakePlace
	heard uint64
}

// recordWrites is the records that are being written.
type recordWrites struct {
	// writing has them, since the TakePlace before the writing of each.
	writing map[reshard.Record]bool
	since   map[reshard.Record]uint64
	// refusals is how many writes in a row were refused since something was heard of the records.
	refusals int
}

func newMembership(o *Cluster) *membership {
	return &membership{
		node: o.Node, registry: knowledge.NewRecords(),
		lease:        lease{othersReturn: fencing.GoesOn(o.SessionTTL, o.Gossip == nil)},
		recordWrites: recordWrites{writing: map[reshard.Record]bool{}, since: map[reshard.Record]uint64{}},
	}
}

// view is the cluster as the decision sees it.
func (m *membership) view(o *Cluster, leaving bool, now time.Time) (reshard.Owners, *reshard.Cluster) {
	if m == nil {
		return reshard.Alone{}, nil
	}
	c := &reshard.Cluster{
		Node: o.Node, Incarnation: m.incarnation, Session: m.session, Replicas: o.Replicas, Known: m.registry.Listed(), Recalled: m.recalled, TakeFrom: m.takeFrom, Leaving: leaving && !o.KeepClaims,
		Claims: m.registry.Claims(), Intents: m.registry.Intents(), GivenUp: m.registry.GivenUp(), Writing: m.writing,
		Answers: m.answers.fresh(now), Away: m.answers.away,
	}
	if m.owners == nil {
		return nil, c
	}
	return m.owners, c
}

// claimOf is the revision of this session's claim on the unit, 0 if it has none.
func (m *membership) claimOf(u messages.Unit) int64 {
	if claim := m.registry.Claims()[u]; claim.Held() && claim.Session == m.session {
		return claim.Revision
	}
	return 0
}

// outdates reports whether others may have run the unit since its generation ended: the claim of that
// is not the newest. This is asked before the next generation has a claim, since one may be on its
// way already.
func (m *membership) outdates(u *unit) bool {
	if m == nil || u.handoverOf == 0 {
		return false
	}
	claim := m.registry.Claims()[u.Unit]
	own := claim.Held() && claim.Node == m.node && claim.Incarnation == m.incarnation
	return !own || claim.Revision != u.handoverOf
}

// settled reports whether the node has its place.
func (m *membership) settled() bool { return m == nil || m.owners != nil && m.session != "" }

// fold takes in what is heard of members, claims and intents, and reports whether anything is
// different.
func (m *membership) fold(event messages.RegistryEvent, now time.Time) bool {
	if listed, ok := event.(messages.RegistryListed); ok {
		if listed.Afresh && m.registry.Listed() && !m.recalled {
			m.storeChanged(now)
		}
		m.recalled = false
	}
	m.refusals = 0
	return m.registry.Fold(event)
}

// ringChanged takes in the ring, and reports whether it is another one.
func (m *membership) ringChanged(e messages.RingChanged, o *Cluster) bool {
	if e.Number <= m.heard {
		return false // told again
	}
	m.heard = e.Number
	m.owners = &ringOwners{
		Ring: ringOf(e, o.ZoneAware), node: o.Node, declined: declinedBy(e), cordoned: cordonedIn(e), replicas: o.Replicas, records: m.registry,
	}
	return true
}

// takePlace is what the ring actor is to be told. What is wanted has the place, and what the node
// can't run.
func (m *membership) takePlace(wanted messages.TakePlace) messages.TakePlace {
	m.asked++
	wanted.Number, wanted.Session, wanted.Ring, wanted.Earlier = m.asked, m.session, m.heard, m.earlier
	m.said = wanted
	return wanted
}

// wants reports whether the ring actor has not been told of what is wanted.
func (m *membership) wants(wanted messages.TakePlace) bool {
	return m.said.Place != wanted.Place || m.said.Unfit != wanted.Unfit || !m.said.Declines.Equal(wanted.Declines)
}

// begin notes that records are being written.
func (m *membership) begin(writes []reshard.Write) {
	for _, w := range writes {
		m.writing[w.Record()], m.since[w.Record()] = true, m.asked
		if w.Kind == reshard.ReleaseUnit || w.Kind == reshard.RemoveClaim {
			m.registry.GiveUp(w.Unit, w.Revision)
		}
	}
}

// writesEnded is what became of writes: done, with what the watch will tell of them, refused, or
// not known.
type writesEnded struct {
	done, refused, unknown []reshard.Record
	events                 []messages.RegistryEvent
}

func (m *membership) ended(w messages.RecordsWritten) writesEnded {
	var out writesEnded
	for one := range w.Records.All() {
		// Until it may be written again it counts as being written. If the word of that is lost,
		// the next RecordsPending makes up for it.
		m.since[one.Record] = m.asked
		switch event := one.Event(); {
		case w.Problem != "":
			out.unknown = append(out.unknown, one.Record)
		case event == nil:
			out.refused = append(out.refused, one.Record)
		default:
			delete(m.since, one.Record)
			out.done, out.events = append(out.done, one.Record), append(out.events, event)
		}
	}
	return out
}

// lost are the records that were being written before the ring actor was asked, and that it knows
// nothing of.
func (m *membership) lost(e messages.RecordsPending) []reshard.Record {
	pending := map[reshard.Record]bool{}
	for record := range e.Records.All() {
		pending[record] = true
	}
	var lost []reshard.Record
	for record, since := range m.since {
		if since < e.Number && !pending[record] {
			lost = append(lost, record)
		}
	}
	slices.SortFunc(lost, func(a, b reshard.Record) int { return a.Unit.Compare(b.Unit) })
	return lost
}

// remembered is what a restart has to know of the cluster; nil without one.
func (m *membership) remembered() *lastknown.Cluster {
	if m == nil || m.session == "" {
		return nil
	}
	out := &lastknown.Cluster{Session: m.session, Incarnation: m.incarnation, Renewed: m.renewed.Round(0)}
	for _, member := range m.registry.Members() {
		out.Members = append(out.Members, member)
		out.Revision = max(out.Revision, member.Revision)
	}
	for _, claim := range m.registry.Claims() {
		if claim.Node == m.node && claim.Session == m.session && claim.Held() {
			out.Claims = append(out.Claims, claim)
			out.Revision = max(out.Revision, claim.Revision)
		}
	}
	return out
}

// others reports whether there are other nodes to hand over to: in the ring, or about to get their
// part of it.
func (m *membership) others() bool {
	for node, record := range m.registry.Members() {
		if node != m.node && record.State == messages.Active && record.Problem == "" {
			return true
		}
	}
	return m.owners != nil && slices.ContainsFunc(m.owners.Members(), func(member ring.Member) bool { return member.Name != m.node })
}

// nothingToHandOver reports whether this node holds no claim any more, or nobody is left to hand
// over to.
func (m *membership) nothingToHandOver(documents *documents) bool {
	if m.session == "" || !m.others() {
		return true
	}
	for id, claim := range m.registry.Claims() {
		// One that was released says which ticks were taken, and would go with the session.
		if _, wanted := documents.known[id.Config]; wanted && claim.Node == m.node && claim.Session == m.session {
			return false
		}
	}
	return true
}

// sessionChanged takes in by which session the node claims, and reports whether it is another one.
func (l *lease) sessionChanged(e messages.SessionChanged, now time.Time) bool {
	if e.Session == l.session && e.Incarnation == l.incarnation {
		return false // told again
	}
	l.session, l.incarnation, l.renewed = e.Session, e.Incarnation, time.Time{}
	if e.Session != "" && e.Session != l.earlier.ID {
		l.earlier = messages.EarlierSession{}
	}
	if e.Session == "" || !l.takeFrom.IsZero() {
		l.takeFrom = now.Add(l.othersReturn)
	}
	return true
}

// storeChanged notes that the store is not the one it was. Its claims are gone, and a node that has
// lost it may go on by one of them.
func (l *lease) storeChanged(now time.Time) { l.takeFrom = now.Add(l.othersReturn) }

// refused is how long to wait after a write that was refused.
func (w *recordWrites) refused() time.Duration {
	wait := min(refusedPause<<w.refusals, refusedLongest)
	if wait < refusedLongest {
		w.refusals++
	}
	return wait
}

// nothingIsWritten notes that whoever wrote is gone.
func (w *recordWrites) nothingIsWritten() {
	clear(w.writing)
	clear(w.since)
}

// free notes that a record is not being written any more.
func (w *recordWrites) free(record reshard.Record) {
	delete(w.writing, record)
	delete(w.since, record)
}
