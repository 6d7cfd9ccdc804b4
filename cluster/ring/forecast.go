package ring

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/ringmaster-agent/ringmaster/messages"
)

const (
	// forecastDraws is how often the tokens of members that are not there yet are drawn.
	forecastDraws = 32
	// usualTokens is how many tokens a member has unless it is told otherwise.
	usualTokens = 128
)

// OwnerOf names the member that should run a unit; empty: there are too few. Slices have places of
// their own in the ring; the replicas of one go to the members that follow.
func (r *Ring) OwnerOf(u messages.Unit) string {
	key := Key(messages.Unit{Config: u.Config, Slice: u.Slice}.Key())
	if u.Replica == 0 {
		name, _ := r.Owner(key)
		return name
	}
	if owners := r.Owners(key, u.Replica+1); len(owners) > u.Replica {
		return owners[u.Replica]
	}
	return ""
}

// Forecast is what to say from what a change of members would move, as if everything else stayed as
// it is.
type Forecast struct {
	Members []Member
	Options Options
	Units   []messages.Unit
}

// Shift is what a change would move.
type Shift struct {
	// Before names each unit's owner as it is, After as it would be; After is set only if that is
	// certain.
	Before, After []string
	// Moved is the number of units with another owner: on average over Draws draws of tokens,
	// between Least and Most. Draws is 0 if it is certain; so are the other two.
	Moved, Draws, Least, Most int
	// Loads are the members' shares, sorted by name.
	Loads []Load
}

// Load is how many units a member owns before and, on average, after a change.
type Load struct {
	Member        string
	Before, After int
}

// Leave says what the leave of a member would move. It reports false if there is no such member.
func (f Forecast) Leave(name string) (Shift, bool) {
	stay := slices.DeleteFunc(slices.Clone(f.Members), func(m Member) bool { return m.Name == name })
	if len(stay) == len(f.Members) {
		return Shift{}, false
	}
	s := Shift{Before: f.owners(f.Members), After: f.owners(stay)}
	for i := range s.Before {
		if s.Before[i] != s.After[i] {
			s.Moved++
		}
	}
	s.Loads = loads(f.Members, s.Before, s.After, 1)
	return s, true
}

// Join estimates what so many joiners would move. The same seed draws the same tokens. Its error is
// that of ctx.
func (f Forecast) Join(ctx context.Context, joiners int, seed uint64) (Shift, error) {
	s := Shift{Before: f.owners(f.Members), Draws: forecastDraws, Least: len(f.Units)}
	var all []Member
	var after []string
	moved := 0
	for draw := range forecastDraws {
		if err := ctx.Err(); err != nil {
			return Shift{}, err
		}
		all = append(slices.Clone(f.Members), f.joiners(joiners, rand.New(rand.NewPCG(seed, uint64(draw))))...)
		drawn := f.owners(all)
		n := 0
		for i := range drawn {
			if drawn[i] != s.Before[i] {
				n++
			}
		}
		moved, s.Least, s.Most = moved+n, min(s.Least, n), max(s.Most, n)
		after = append(after, drawn...)
	}
	s.Moved = rounded(moved, forecastDraws)
	s.Loads = loads(all, s.Before, after, forecastDraws)
	return s, nil
}

// joiners are new members with as many tokens as those that are there, in their zones by turns.
func (f Forecast) joiners(count int, rnd *rand.Rand) []Member {
	taken, names, tokens := map[uint32]bool{}, map[string]bool{}, usualTokens
	zones := []string{}
	for _, m := range f.Members {
		names[m.Name], tokens = true, len(m.Tokens)
		zones = append(zones, m.Zone)
		for _, t := range m.Tokens {
			taken[t] = true
		}
	}
	slices.Sort(zones)
	zones = slices.Compact(zones)
	var joiners []Member
	for number := 1; len(joiners) < count; number++ {
		m := Member{Name: fmt.Sprintf("new-%d", number)}
		if names[m.Name] {
			continue
		}
		m.Tokens = NewTokens(tokens, taken, rnd.Uint32)
		if len(zones) > 0 {
			m.Zone = zones[len(joiners)%len(zones)]
		}
		for _, t := range m.Tokens {
			taken[t] = true
		}
		joiners = append(joiners, m)
	}
	return joiners
}

// Alone is the only member of a ring that needs no tokens; it has always the same ones.
func Alone(name, zone string) Member {
	return Member{Name: name, Zone: zone, Tokens: NewTokens(usualTokens, nil, rand.New(rand.NewPCG(0, uint64(Key(name)))).Uint32)}
}

// owners names who should run each unit; empty: nobody can.
func (f Forecast) owners(members []Member) []string {
	r := New(members, f.Options)
	owners := make([]string, len(f.Units))
	for i, u := range f.Units {
		owners[i] = r.OwnerOf(u)
	}
	return owners
}

// loads counts what each member owns before, and after on average over the draws.
func loads(members []Member, before, after []string, draws int) []Load {
	earlier, later := map[string]int{}, map[string]int{}
	for _, owner := range before {
		earlier[owner]++
	}
	for _, owner := range after {
		later[owner]++
	}
	all := make([]Load, 0, len(members))
	for _, m := range normal(members) {
		all = append(all, Load{Member: m.Name, Before: earlier[m.Name], After: rounded(later[m.Name], draws)})
	}
	return all
}

func rounded(sum, parts int) int { return (sum + parts/2) / parts }
