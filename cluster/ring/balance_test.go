package ring

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// load says what each member of a ring has to bear, in any unit.
type load func(*Ring) map[string]float64

// spread is the load of the fullest member divided by the mean, over many draws of tokens.
type spread struct {
	median, p95, worst float64
	// idle is the mean number of members without any load.
	idle float64
}

func (s spread) String() string {
	return fmt.Sprintf("median %.2f, p95 %.2f, worst %.2f, idle members %.1f", s.median, s.p95, s.worst, s.idle)
}

// measure draws rings of n members and returns the spread of each load on them.
func measure(draws, n, tokens int, loads ...load) []spread {
	rnd := rand.New(rand.NewPCG(uint64(n), uint64(tokens)))
	spreads, ratios := make([]spread, len(loads)), make([][]float64, len(loads))
	for range draws {
		r := New(draw(rnd, n, tokens), Options{})
		for i, of := range loads {
			sum, top, busy := 0.0, 0.0, 0
			for _, l := range of(r) {
				sum, top, busy = sum+l, max(top, l), busy+1
			}
			ratios[i] = append(ratios[i], top/(sum/float64(n)))
			spreads[i].idle += float64(n-busy) / float64(draws)
		}
	}
	for i, r := range ratios {
		slices.Sort(r)
		spreads[i].median, spreads[i].p95, spreads[i].worst = r[draws/2], r[draws*95/100], r[draws-1]
	}
	return spreads
}

func keySpaceOf(r *Ring) map[string]float64 { return r.Shares() }

// configs is the load of so many configs with the names app-0, app-1 …
func configs(count int, key func(string) uint32) load {
	var placed []uint32
	for i := range count {
		placed = append(placed, key(fmt.Sprintf("app-%d", i)))
	}
	return func(r *Ring) map[string]float64 {
		owned := map[string]float64{}
		for _, k := range placed {
			name, _ := r.Owner(k)
			owned[name]++
		}
		return owned
	}
}

func fnv1(name string) uint32 {
	h := fnv.New32()
	_, _ = h.Write([]byte(name))
	return h.Sum32()
}

// The figures stand in the package's doc and in docs/scale.md. They are drawn from fixed seeds, so
// every run prints the same.
func TestMembersOwnAboutTheSame(t *testing.T) {
	for _, c := range []struct {
		members int
		most    float64
	}{{3, 1.2}, {10, 1.3}, {50, 1.35}} {
		n := c.members
		s := measure(300, n, 128, keySpaceOf, configs(100, Key), configs(300, Key), configs(1000, Key), configs(10_000, Key), configs(100, fnv1))
		for i, what := range []string{"key space", "100 configs", "300 configs", "1000 configs", "10000 configs", "100 configs by FNV-1"} {
			t.Logf("%2d members with 128 tokens, %s: %v", n, what, s[i])
		}
		require.Less(t, s[0].p95, c.most, "%d members", n)
		require.InDelta(t, s[0].median, s[4].median, 0.06, "many names are spread as the key space is")
	}
}

func TestNamesThatDifferInANumberSpreadOut(t *testing.T) {
	s := measure(200, 10, 128, configs(100, Key), configs(100, fnv1))
	require.Less(t, s[0].median, 1.6)
	require.Less(t, s[0].idle, 0.05)
	require.Greater(t, s[1].median, 2.2, "if FNV-1 spread as well there would be no reason for another hash")
	require.Greater(t, s[1].idle, 2.0)
}

// With four times the tokens the spread halves; what is left at 128 is small beside that of few names.
func TestMoreTokensSpreadBetter(t *testing.T) {
	for _, n := range []int{3, 10} {
		few, many := measure(200, n, 128, keySpaceOf)[0], measure(200, n, 512, keySpaceOf)[0]
		t.Logf("%2d members with 512 tokens, key space: %v", n, many)
		require.Less(t, many.median, few.median)
	}
}
