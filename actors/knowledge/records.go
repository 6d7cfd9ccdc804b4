package knowledge

import (
	"maps"

	"github.com/ringmaster-agent/ringmaster/messages"
)

// Records is what is known of the cluster's members, claims, intents, holds and cordons in the
// store. It drops what is older than what it knows. Create one with NewRecords.
type Records struct {
	members table[string, messages.Member]
	claims  table[messages.Unit, messages.Claim]
	intents table[messages.Unit, messages.Intent]
	holds   table[string, messages.ConfigHold]
	cordons table[string, messages.NodeCordon]
	givenUp map[messages.Unit]int64
	listed  bool
}

// NewRecords returns records of which nothing is known.
func NewRecords() *Records {
	return &Records{
		members: newTable[string](func(m messages.Member) int64 { return m.Revision }),
		claims:  newTable[messages.Unit](func(c messages.Claim) int64 { return c.Revision }),
		intents: newTable[messages.Unit](func(i messages.Intent) int64 { return i.Revision }),
		holds:   newTable[string](func(h messages.ConfigHold) int64 { return h.Revision }),
		cordons: newTable[string](func(c messages.NodeCordon) int64 { return c.Revision }),
		givenUp: map[messages.Unit]int64{},
	}
}

// GiveUp notes that this node begins to release or to remove its claim of a revision, and is called
// before it does: what becomes of the write may stay uncertain. It is forgotten once the claim is
// another. A claim that a restore of the store has brought back counts as given up too.
func (r *Records) GiveUp(unit messages.Unit, revision int64) { r.givenUp[unit] = revision }

// Fold takes an event in. It reports whether anything is different now.
func (r *Records) Fold(event messages.RegistryEvent) bool {
	switch e := event.(type) {
	case messages.RegistryListed:
		return r.list(e)
	case messages.MemberPut:
		return r.members.put(e.Member.Node, e.Member)
	case messages.MemberGone:
		return r.members.gone(e.Node, e.Revision)
	case messages.ClaimPut:
		return r.claims.put(e.Claim.Unit, e.Claim) && r.reclaimed(e.Claim.Unit)
	case messages.ClaimGone:
		return r.claims.gone(e.Unit, e.Revision) && r.reclaimed(e.Unit)
	case messages.IntentPut:
		return r.intents.put(e.Intent.Unit, e.Intent)
	case messages.IntentGone:
		return r.intents.gone(e.Unit, e.Revision)
	case messages.HoldPut:
		return r.holds.put(e.Hold.Config, e.Hold)
	case messages.HoldGone:
		return r.holds.gone(e.Config, e.Revision)
	case messages.CordonPut:
		return r.cordons.put(e.Cordon.Node, e.Cordon)
	case messages.CordonGone:
		return r.cordons.gone(e.Node, e.Revision)
	default:
		return false
	}
}

// reclaimed forgets that a claim was given up, since there is another now, or none.
func (r *Records) reclaimed(unit messages.Unit) bool {
	delete(r.givenUp, unit)
	return true
}

func (r *Records) list(l messages.RegistryListed) bool {
	members := make(map[string]messages.Member, l.Members.Len())
	for m := range l.Members.All() {
		members[m.Node] = m
	}
	claims := make(map[messages.Unit]messages.Claim, l.Claims.Len())
	for c := range l.Claims.All() {
		if l.Afresh && r.listed {
			// The store has gone back to a history of before: units have been scraped since then.
			c.Handover = ""
			if r.claims.past(c.Unit, c.Revision) {
				r.givenUp[c.Unit] = c.Revision // another node may have run the unit since, and still do
			}
		}
		claims[c.Unit] = c
	}
	intents := make(map[messages.Unit]messages.Intent, l.Intents.Len())
	for i := range l.Intents.All() {
		intents[i.Unit] = i
	}
	holds := make(map[string]messages.ConfigHold, l.Holds.Len())
	for h := range l.Holds.All() {
		holds[h.Config] = h
	}
	cordons := make(map[string]messages.NodeCordon, l.Cordons.Len())
	for c := range l.Cordons.All() {
		cordons[c.Node] = c
	}
	changed := !r.listed
	r.listed = true
	changed = r.holds.list(holds, l.Revision, l.Afresh) || changed
	changed = r.cordons.list(cordons, l.Revision, l.Afresh) || changed
	changed = r.members.list(members, l.Revision, l.Afresh) || changed
	changed = r.claims.list(claims, l.Revision, l.Afresh) || changed
	maps.DeleteFunc(r.givenUp, func(unit messages.Unit, revision int64) bool { return r.claims.known[unit].Revision != revision })
	return r.intents.list(intents, l.Revision, l.Afresh) || changed
}

// Listed reports whether a listing has come, so that what is not known does not exist.
func (r *Records) Listed() bool { return r.listed }

// Members are the members' records by node. The map must not be changed, and is only valid until
// the next Fold.
func (r *Records) Members() map[string]messages.Member { return r.members.known }

// MemberLost is the newest revision at which the record of a node that is not among the members is
// known not to have been there.
func (r *Records) MemberLost(node string) int64 { return max(r.members.lost[node], r.members.listed) }

// Claims are the claims by unit. The map must not be changed, and is only valid until the next Fold.
func (r *Records) Claims() map[messages.Unit]messages.Claim { return r.claims.known }

// Intents are the intents by unit. The map must not be changed, and is only valid until the next Fold.
func (r *Records) Intents() map[messages.Unit]messages.Intent { return r.intents.known }

// Holds are the configs that are held, by name. The map must not be changed, and is only valid
// until the next Fold.
func (r *Records) Holds() map[string]messages.ConfigHold { return r.holds.known }

// Cordons are the nodes that are cordoned, by name. The map must not be changed, and is only valid
// until the next Fold.
func (r *Records) Cordons() map[string]messages.NodeCordon { return r.cordons.known }

// GivenUp is the revisions of claims that this node has begun to release or to remove, or that a
// restore of the store has brought back, by unit. The map must not be changed, and is only valid
// until the next Fold or GiveUp.
func (r *Records) GivenUp() map[messages.Unit]int64 { return r.givenUp }

// table is one kind of record, each with its revision. What is not newer than the newest listing is
// known from it.
type table[K comparable, V any] struct {
	known map[K]V
	// lost remembers deletions newer than the newest listing, so that an older put does not undo them.
	lost     map[K]int64
	listed   int64 // the revision of the newest listing
	revision func(V) int64
}

func newTable[K comparable, V any](revision func(V) int64) table[K, V] {
	return table[K, V]{known: map[K]V{}, lost: map[K]int64{}, revision: revision}
}

func (r *table[K, V]) put(key K, value V) bool {
	at := r.revision(value)
	if at <= max(r.listed, r.lost[key], r.revision(r.known[key])) {
		return false
	}
	delete(r.lost, key)
	r.known[key] = value
	return true
}

func (r *table[K, V]) gone(key K, revision int64) bool {
	known, ok := r.known[key]
	if revision <= max(r.listed, r.lost[key]) || r.revision(known) > revision {
		return false
	}
	r.lost[key] = revision
	delete(r.known, key)
	return ok
}

// past reports whether the record of that revision is known to have been replaced or removed.
func (r *table[K, V]) past(key K, revision int64) bool {
	known := r.revision(r.known[key])
	return revision != known && revision <= max(r.listed, r.lost[key], known)
}

// list takes everything from the listing but what is known to be newer.
func (r *table[K, V]) list(listed map[K]V, revision int64, afresh bool) bool {
	if afresh {
		r.known, r.listed = listed, revision
		clear(r.lost)
		return true
	}
	if revision < r.listed {
		return false
	}
	r.listed = revision
	changed := false
	for key, value := range r.known {
		if _, ok := listed[key]; !ok && r.revision(value) <= revision {
			delete(r.known, key)
			changed = true
		}
	}
	for key, value := range listed {
		known := r.revision(r.known[key])
		if max(known, r.lost[key]) > revision || known == r.revision(value) {
			continue
		}
		r.known[key] = value
		changed = true
	}
	for key, at := range r.lost {
		if at <= revision {
			delete(r.lost, key)
		}
	}
	return changed
}
