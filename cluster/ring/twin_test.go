package ring

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// seeds is how many random worlds each property is tried in. A failure names its seed.
const seeds = 300

// twin answers as a ring does, by looking at everything.
type twin struct {
	members   []Member
	zoneAware bool
}

// steps is how far one goes down from the key to the token.
func steps(key, token uint32) uint32 { return key - token }

func (w twin) owner(key uint32) (Member, uint32, bool) {
	var best Member
	var at uint32
	found := false
	for _, m := range w.members {
		for _, token := range m.Tokens {
			nearer := steps(key, token) < steps(key, at) || token == at && m.Name < best.Name
			if !found || nearer {
				best, at, found = m, token, true
			}
		}
	}
	return best, at, found
}

// owners asks for the owner of every place going up from the key's, so that it shares no idea with
// the ring.
func (w twin) owners(key uint32, n int) []string {
	_, start, ok := w.owner(key)
	if !ok {
		return nil
	}
	var places []uint32
	for _, m := range w.members {
		places = append(places, m.Tokens...)
	}
	slices.SortFunc(places, func(a, b uint32) int { return cmp.Compare(a-start, b-start) })
	var order []Member
	for _, place := range places {
		m, _, _ := w.owner(place)
		if !slices.ContainsFunc(order, func(o Member) bool { return o.Name == m.Name }) {
			order = append(order, m)
		}
	}
	zones := map[string]int{}
	rank := map[string]int{}
	for _, m := range order {
		if w.zoneAware && zones[m.Zone] > 0 {
			rank[m.Name] = 1
		}
		zones[m.Zone]++
	}
	slices.SortStableFunc(order, func(a, b Member) int { return cmp.Compare(rank[a.Name], rank[b.Name]) })
	var names []string
	for _, m := range order[:min(max(n, 0), len(order))] {
		names = append(names, m.Name)
	}
	return names
}

// world is a random set of members: few or many tokens, spread out or so close that they collide,
// with zones or without.
func world(rnd *rand.Rand) []Member {
	token := rnd.Uint32
	if rnd.IntN(2) == 0 {
		token = func() uint32 { return rnd.Uint32N(40) - 20 } // around the end of the key space, many of them twice
	}
	var members []Member
	for i := range rnd.IntN(8) {
		m := Member{Name: fmt.Sprintf("n%d", i), Zone: fmt.Sprintf("z%d", rnd.IntN(3))}
		for range rnd.IntN(6) {
			m.Tokens = append(m.Tokens, token())
		}
		members = append(members, m)
	}
	rnd.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	return members
}

// keys are random ones and all next to a token.
func keys(rnd *rand.Rand, members []Member) []uint32 {
	out := []uint32{0, 1, math.MaxUint32}
	for range 20 {
		out = append(out, rnd.Uint32())
	}
	for _, m := range members {
		for _, token := range m.Tokens {
			out = append(out, token-1, token, token+1)
		}
	}
	return out
}

func TestTheRingAnswersAsItsNaiveTwin(t *testing.T) {
	for seed := range uint64(seeds) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		members := world(rnd)
		w := twin{members: members, zoneAware: rnd.IntN(2) == 0}
		r := New(members, Options{ZoneAware: w.zoneAware})
		for _, key := range keys(rnd, members) {
			want, _, wantOK := w.owner(key)
			name, ok := r.Owner(key)
			require.Equal(t, wantOK, ok, "seed %d, key %d", seed, key)
			require.Equal(t, want.Name, name, "seed %d, key %d", seed, key)
			for n := range 9 {
				require.Equal(t, w.owners(key, n), r.Owners(key, n), "seed %d, key %d, %d replicas", seed, key, n)
			}
		}
	}
}

func TestTheOrderOfMembersDoesNotMatter(t *testing.T) {
	for seed := range uint64(seeds) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		members := world(rnd)
		r := New(members, Options{})
		rnd.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
		require.True(t, r.Equal(New(members, Options{})), "seed %d", seed)
	}
}

func TestAJoinMovesKeysToTheJoinerOnlyAndALeaveTheLeaversOnly(t *testing.T) {
	for seed := range uint64(seeds) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		members := world(rnd)
		without := New(members, Options{})
		joiner := Member{Name: fmt.Sprintf("n%d+", rnd.IntN(8)), Tokens: NewTokens(5, nil, rnd.Uint32)}
		with := New(append(slices.Clone(members), joiner), Options{})
		for _, key := range keys(rnd, append(members, joiner)) {
			before, hadOwner := without.Owner(key)
			after, ok := with.Owner(key)
			require.True(t, ok)
			if hadOwner && before != after {
				require.Equal(t, joiner.Name, after, "seed %d, key %d", seed, key)
			}
		}
	}
}

func TestAJoinMovesItsShareOfTheKeys(t *testing.T) {
	const sample = 20_000
	for _, n := range []int{1, 3, 10, 50} {
		rnd := rand.New(rand.NewPCG(uint64(n), 0))
		members := draw(rnd, n+1, 128)
		before, after := New(members[:n], Options{}), New(members, Options{})
		moved := 0
		for i := range sample {
			key := Key(fmt.Sprint("config-", i))
			was, _ := before.Owner(key)
			is, _ := after.Owner(key)
			if was != is {
				moved++
				require.Equal(t, members[n].Name, is)
			}
		}
		require.InEpsilon(t, 1/float64(n+1), float64(moved)/sample, 0.3, "%d members and a joiner", n)
		require.InDelta(t, after.Shares()[members[n].Name], float64(moved)/sample, 0.01)
	}
}

func TestWhenAMemberGoesOtherAnswersStayAndItsOwnHardlyChange(t *testing.T) {
	tried := 0
	for seed := range uint64(seeds) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		members := world(rnd)
		if len(members) == 0 || !unique(members) {
			continue
		}
		tried++
		gone := members[0].Name
		o, most := Options{}, 1
		if rnd.IntN(2) == 0 {
			o, most = Options{ZoneAware: true}, 2 // the new owner of the key, and one for the zone that lost its first
		}
		before, after := New(members, o), New(members[1:], o)
		for _, key := range keys(rnd, members) {
			for n := range 4 {
				was, is := before.Owners(key, n), after.Owners(key, n)
				var added []string
				for _, name := range is {
					if !slices.Contains(was, name) {
						added = append(added, name)
					}
				}
				require.LessOrEqual(t, len(added), most, "seed %d, key %d: %v to %v", seed, key, was, is)
				if !slices.Contains(was, gone) {
					require.Equal(t, was, is, "seed %d, key %d, %d replicas without %s", seed, key, n, gone)
				}
			}
		}
	}
	require.Greater(t, tried, seeds/4)
}

// unique says whether no token has two holders; where one has, a member can come to a token when
// another goes.
func unique(members []Member) bool {
	holder := map[uint32]string{}
	for _, m := range members {
		for _, token := range m.Tokens {
			if other, ok := holder[token]; ok && other != m.Name {
				return false
			}
			holder[token] = m.Name
		}
	}
	return true
}

func TestSharesAreWhatIsOwned(t *testing.T) {
	for seed := range uint64(seeds) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		members := world(rnd)
		r := New(members, Options{})
		sum, want := 0.0, 0.0
		for _, name := range sortedNames(r.Shares()) {
			sum += r.Shares()[name]
		}
		if _, ok := r.Owner(0); ok {
			want = 1
		}
		require.InDelta(t, want, sum, 1e-9, "seed %d", seed)
	}
	const sample = 100_000
	r := New(draw(rand.New(rand.NewPCG(4, 0)), 5, 128), Options{})
	owned := map[string]int{}
	for i := range sample {
		name, _ := r.Owner(uint32(uint64(i) * keySpace / sample))
		owned[name]++
	}
	for name, share := range r.Shares() {
		require.InDelta(t, share, float64(owned[name])/sample, 0.005, name)
	}
}
