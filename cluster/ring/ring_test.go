package ring

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheOwnerIsTheClosestWithoutGoingOver(t *testing.T) {
	r := New([]Member{{Name: "a", Tokens: []uint32{10, 30}}, {Name: "b", Tokens: []uint32{20}}}, Options{})
	for key, want := range map[uint32]string{0: "a", 9: "a", 10: "a", 19: "a", 20: "b", 29: "b", 30: "a", math.MaxUint32: "a"} {
		name, ok := r.Owner(key)
		require.True(t, ok)
		require.Equal(t, want, name, "key %d", key)
	}
	r = New([]Member{{Name: "a", Tokens: []uint32{0}}, {Name: "b", Tokens: []uint32{math.MaxUint32}}}, Options{})
	for key, want := range map[uint32]string{0: "a", 1: "a", math.MaxUint32 - 1: "a", math.MaxUint32: "b"} {
		name, _ := r.Owner(key)
		require.Equal(t, want, name, "key %d", key)
	}
}

func TestAnEmptyRingHasNoOwner(t *testing.T) {
	var none *Ring
	for name, r := range map[string]*Ring{
		"nil":            none,
		"no members":     New(nil, Options{ZoneAware: true}),
		"without tokens": New([]Member{{Name: "a"}}, Options{}),
	} {
		_, ok := r.Owner(7)
		require.False(t, ok, name)
		require.Empty(t, r.Owners(7, 3), name)
	}
	require.Empty(t, none.Members())
	require.Empty(t, none.Shares())
	require.Equal(t, map[string]float64{"a": 0}, New([]Member{{Name: "a"}}, Options{}).Shares())
	require.True(t, none.Equal(New(nil, Options{ZoneAware: true})))
	require.True(t, New(nil, Options{}).Equal(none))
	require.False(t, none.Equal(New([]Member{{Name: "a"}}, Options{})))
}

func TestOneMemberOwnsEverything(t *testing.T) {
	r := New([]Member{{Name: "a", Tokens: []uint32{1000}}}, Options{})
	for _, key := range []uint32{0, 999, 1000, math.MaxUint32} {
		name, ok := r.Owner(key)
		require.True(t, ok)
		require.Equal(t, "a", name)
		require.Equal(t, []string{"a"}, r.Owners(key, 3))
	}
	require.Equal(t, map[string]float64{"a": 1}, r.Shares())
}

func TestTheSmallerNameHoldsATokenOfTwo(t *testing.T) {
	a, b := Member{Name: "a", Tokens: []uint32{5, 50}}, Member{Name: "b", Tokens: []uint32{50}}
	for _, members := range [][]Member{{a, b}, {b, a}} {
		r := New(members, Options{})
		name, _ := r.Owner(50)
		require.Equal(t, "a", name)
		require.Equal(t, []string{"a"}, r.Owners(50, 2), "b holds no token")
		require.Equal(t, []Member{a, b}, r.Members(), "a member keeps what it says of itself")
	}
}

func TestANameThatComesTwiceIsOneMember(t *testing.T) {
	one, two := Member{Name: "a", Zone: "x", Tokens: []uint32{9, 1}}, Member{Name: "a", Zone: "y", Tokens: []uint32{5, 9}}
	r := New([]Member{one, two}, Options{})
	require.Equal(t, []Member{{Name: "a", Zone: "x", Tokens: []uint32{1, 5, 9}}}, r.Members())
	require.True(t, r.Equal(New([]Member{two, one}, Options{})))
}

func TestARingIsImmutable(t *testing.T) {
	tokens := []uint32{30, 10}
	r := New([]Member{{Name: "a", Tokens: tokens}}, Options{})
	same := New([]Member{{Name: "a", Tokens: []uint32{10, 30}}}, Options{})
	require.Equal(t, []uint32{30, 10}, tokens, "the caller's slice is left alone")
	tokens[0] = 7
	r.Members()[0].Tokens[0] = 8
	require.True(t, r.Equal(same))
}

func TestEqualSeesEveryDifference(t *testing.T) {
	base := []Member{{Name: "a", Zone: "x", Tokens: []uint32{1, 2}}, {Name: "b", Tokens: []uint32{3}}}
	r := New(base, Options{})
	require.True(t, r.Equal(New([]Member{base[1], base[0]}, Options{})))
	for what, other := range map[string]*Ring{
		"options":      New(base, Options{ZoneAware: true}),
		"fewer":        New(base[:1], Options{}),
		"another name": New([]Member{base[0], {Name: "c", Tokens: []uint32{3}}}, Options{}),
		"another zone": New([]Member{base[0], {Name: "b", Zone: "x", Tokens: []uint32{3}}}, Options{}),
		"a token":      New([]Member{base[0], {Name: "b", Tokens: []uint32{3, 4}}}, Options{}),
	} {
		require.False(t, r.Equal(other), what)
		require.False(t, other.Equal(r), what)
	}
}

func TestReplicasGoUpFromTheOwnerToDistinctZonesFirst(t *testing.T) {
	members := []Member{
		{Name: "a", Zone: "x", Tokens: []uint32{10, 60}},
		{Name: "b", Zone: "x", Tokens: []uint32{20}},
		{Name: "c", Zone: "y", Tokens: []uint32{30}},
		{Name: "d", Zone: "y", Tokens: []uint32{40}},
		{Name: "e", Tokens: []uint32{50}},
	}
	plain, zoned := New(members, Options{}), New(members, Options{ZoneAware: true})
	require.Equal(t, []string{"b", "c", "d"}, plain.Owners(25, 3))
	require.Equal(t, []string{"e", "a", "b"}, plain.Owners(55, 3), "around the end")
	require.Equal(t, []string{"a", "b", "c", "d", "e"}, plain.Owners(15, 9))
	require.Equal(t, []string{"b", "c", "e"}, zoned.Owners(25, 3))
	require.Equal(t, []string{"b", "c", "e", "d"}, zoned.Owners(25, 4))
	require.Equal(t, []string{"a", "c", "e", "b", "d"}, zoned.Owners(15, 9))
	require.Empty(t, zoned.Owners(15, 0))
	require.Empty(t, zoned.Owners(15, -1))
}

func TestAKeyIsTheSameInAllVersions(t *testing.T) {
	for name, want := range map[string]uint32{"": 0x51d8e999, "app-0": 0x32238243, "team/ü": 0xa6e43750} {
		require.Equalf(t, want, Key(name), "%q is 0x%08x", name, Key(name))
	}
}

func TestNewTokensAreSortedDistinctAndFree(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	few := func() uint32 { return rnd.Uint32N(300) } // collides all the time
	taken := map[uint32]bool{}
	for range 20 {
		tokens := NewTokens(10, taken, few)
		require.Len(t, tokens, 10)
		require.IsIncreasing(t, tokens)
		for _, token := range tokens {
			require.False(t, taken[token])
			taken[token] = true
		}
	}
	require.Equal(t, []uint32{0, 1, math.MaxUint32}, NewTokens(3, nil, func() uint32 { return math.MaxUint32 }), "a stuck source ends, too")
	require.Empty(t, NewTokens(0, nil, rnd.Uint32))
	require.Empty(t, NewTokens(-1, nil, rnd.Uint32))
}

func TestALookupAllocatesNothing(t *testing.T) {
	r := New(draw(rand.New(rand.NewPCG(1, 2)), 10, 128), Options{})
	key := uint32(0)
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		key += 12345
		_, _ = r.Owner(key)
	}))
}

func BenchmarkOwnerAmong50(b *testing.B) {
	r := New(draw(rand.New(rand.NewPCG(1, 2)), 50, 128), Options{})
	b.ReportAllocs()
	for i := range b.N {
		_, _ = r.Owner(uint32(i) * 2654435761)
	}
}

func BenchmarkNew50(b *testing.B) {
	members := draw(rand.New(rand.NewPCG(1, 2)), 50, 128)
	b.ReportAllocs()
	for b.Loop() {
		_ = New(members, Options{})
	}
}

// draw makes members with random tokens.
func draw(rnd *rand.Rand, members, tokens int) []Member {
	taken := map[uint32]bool{}
	var out []Member
	for i := range members {
		m := Member{Name: fmt.Sprintf("node-%02d", i), Tokens: NewTokens(tokens, taken, rnd.Uint32)}
		for _, token := range m.Tokens {
			taken[token] = true
		}
		out = append(out, m)
	}
	return out
}

func sortedNames(owned map[string]float64) []string { return slices.Sorted(maps.Keys(owned)) }
