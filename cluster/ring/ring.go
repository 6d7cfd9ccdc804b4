package ring

import (
	"cmp"
	"math"
	"slices"
)

// keySpace is the number of keys there are.
const keySpace = 1 << 32

// Member is one node with its place in the ring.
type Member struct {
	// Name is the node's, unique in the cluster.
	Name string
	// Zone is where the node would fail together with others; members without one share the zone "".
	Zone string
	// Tokens are where the parts of the key space begin that the member owns. One without tokens
	// owns nothing.
	Tokens []uint32
}

// Options are what all nodes of a cluster have to agree on, or they disagree about owners.
type Options struct {
	// ZoneAware makes Owners prefer members of zones that it has not named yet.
	ZoneAware bool
}

// Ring says which member owns a key. A nil *Ring is an empty one.
type Ring struct {
	zoneAware bool
	members   []Member // sorted by name, their tokens sorted
	// tokens are those of all members, sorted and distinct; holders[i] is the index of the member
	// that holds tokens[i].
	tokens  []uint32
	holders []int32
	// holding is the number of members that hold a token, zones that of their zones.
	holding, zones int
}

// New makes a ring of copies of the members, in whatever order they come. Of several members with
// one token the smallest name holds it. A name that comes twice is one member, with the tokens of
// both and the smaller zone.
func New(members []Member, o Options) *Ring {
	r := &Ring{zoneAware: o.ZoneAware, members: normal(members)}
	var places []uint64 // a token and, below it, the index of a member that has it
	for i, m := range r.members {
		for _, token := range m.Tokens {
			places = append(places, uint64(token)<<32|uint64(i))
		}
	}
	slices.Sort(places)

	holds, zones := make([]bool, len(r.members)), map[string]bool{}
	for i, p := range places {
		token, holder := uint32(p>>32), int32(p&math.MaxUint32)
		if i > 0 && token == uint32(places[i-1]>>32) {
			continue
		}
		r.tokens, r.holders = append(r.tokens, token), append(r.holders, holder)
		if !holds[holder] {
			holds[holder] = true
			zones[r.members[holder].Zone] = true
			r.holding++
		}
	}
	r.zones = len(zones)
	return r
}

// normal returns copies of the members: sorted, each name once, tokens sorted and distinct.
func normal(members []Member) []Member {
	sorted := slices.SortedFunc(slices.Values(members), func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Zone, b.Zone))
	})
	var out []Member
	for _, m := range sorted {
		if last := len(out) - 1; last >= 0 && out[last].Name == m.Name {
			out[last].Tokens = append(out[last].Tokens, m.Tokens...)
			continue
		}
		m.Tokens = slices.Clone(m.Tokens)
		out = append(out, m)
	}
	for i := range out {
		slices.Sort(out[i].Tokens)
		out[i].Tokens = slices.Compact(out[i].Tokens)
	}
	return out
}

// Owner returns the member whose token is closest to the key without going over: that with the
// largest token that is not larger than the key or, where there is none, with the largest token of
// all. !ok: nobody holds a token. It does not allocate.
func (r *Ring) Owner(key uint32) (name string, ok bool) {
	if r == nil || len(r.tokens) == 0 {
		return "", false
	}
	return r.members[r.holders[r.place(key)]].Name, true
}

// Owners returns n distinct members for the replicas of a key: the owner, and then whom one meets
// going up from its token, around the end of the key space. With ZoneAware, members that are the
// first of their zone on this way come before all others. There are fewer than n if fewer hold
// tokens, none for n ≤ 0.
//
// When a member goes, the answers it was in get one other in its stead (two are exchanged at most
// with ZoneAware), and no other answer changes. Those behind the one that is gone can move up,
// though: who looks at places and not at the set sees more changes.
func (r *Ring) Owners(key uint32, n int) []string {
	if r == nil || n <= 0 || len(r.tokens) == 0 {
		return nil
	}
	var chosen, spare []int32
	for at, seen := r.place(key), 0; seen < r.holding; at = (at + 1) % len(r.tokens) {
		holder := r.holders[at]
		if slices.Contains(chosen, holder) || slices.Contains(spare, holder) {
			continue
		}
		seen++
		if r.zoneAware && slices.ContainsFunc(chosen, func(c int32) bool { return r.members[c].Zone == r.members[holder].Zone }) {
			spare = append(spare, holder)
		} else {
			chosen = append(chosen, holder)
		}
		if len(chosen) == n || r.zoneAware && len(chosen) == r.zones && seen >= n {
			break
		}
	}
	var names []string
	for _, holder := range append(chosen, spare...) {
		names = append(names, r.members[holder].Name)
	}
	return names[:min(n, len(names))]
}

// place is the index of the token that a key belongs to; there is at least one.
func (r *Ring) place(key uint32) int {
	at, exact := slices.BinarySearch(r.tokens, key)
	switch {
	case exact:
		return at
	case at == 0:
		return len(r.tokens) - 1
	}
	return at - 1
}

// Members returns copies of the members, sorted by name, their tokens sorted.
func (r *Ring) Members() []Member {
	if r == nil {
		return nil
	}
	out := slices.Clone(r.members)
	for i := range out {
		out[i].Tokens = slices.Clone(out[i].Tokens)
	}
	return out
}

// Shares returns which part of the key space each member owns. The parts add up to 1, unless nobody
// holds a token: then all are 0.
func (r *Ring) Shares() map[string]float64 {
	owned := map[string]float64{}
	if r == nil {
		return owned
	}
	for _, m := range r.members {
		owned[m.Name] = 0
	}
	for i, token := range r.tokens {
		next := r.tokens[0]
		if i+1 < len(r.tokens) {
			next = r.tokens[i+1]
		}
		width := uint64(next - token) // modulo the key space
		if len(r.tokens) == 1 {
			width = keySpace
		}
		owned[r.members[r.holders[i]].Name] += float64(width) / keySpace
	}
	return owned
}

// Equal says whether both rings have the same members with the same zones and tokens, and the same
// options. All rings without members are equal.
func (r *Ring) Equal(other *Ring) bool {
	if r.empty() || other.empty() {
		return r.empty() && other.empty()
	}
	return r.zoneAware == other.zoneAware && slices.EqualFunc(r.members, other.members, func(a, b Member) bool {
		return a.Name == b.Name && a.Zone == b.Zone && slices.Equal(a.Tokens, b.Tokens)
	})
}

func (r *Ring) empty() bool { return r == nil || len(r.members) == 0 }
