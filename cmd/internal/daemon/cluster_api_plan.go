package daemon

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/cluster/ring"
	"github.com/ringmaster-agent/ringmaster/messages"
	"github.com/ringmaster-agent/ringmaster/web"
)

const (
	// planDraws is how often the tokens of members that are not there yet are drawn.
	planDraws = 32
	// usualTokens is how many tokens a member has unless it is told otherwise.
	usualTokens = 128
)

// planning is what a plan of a change is made from. It is pure.
type planning struct {
	members   []ring.Member
	zoneAware bool
	units     []messages.Unit
}

// plan says what the change would move, as if everything else stayed as it is. cluster.ErrNotFound if who leaves is no member, or ctx's error.
func (p planning) plan(ctx context.Context, change web.Change) (web.Plan, error) {
	if change.Leave != "" {
		return p.leave(change.Leave)
	}
	return p.join(ctx, change)
}

func (p planning) ring(members []ring.Member) *ring.Ring {
	return ring.New(members, ring.Options{ZoneAware: p.zoneAware})
}

func (p planning) leave(node string) (web.Plan, error) {
	stay := slices.DeleteFunc(slices.Clone(p.members), func(m ring.Member) bool { return m.Name == node })
	if len(stay) == len(p.members) {
		return web.Plan{}, fmt.Errorf("find member %q: %w", node, cluster.ErrNotFound)
	}
	before, after := p.owners(p.ring(p.members)), p.owners(p.ring(stay))
	plan := web.Plan{Units: len(p.units), Nodes: countByNode(p.members, before, after, 1)}
	for i, u := range p.units {
		if before[i] != after[i] {
			plan.Moves = append(plan.Moves, web.PlannedMove{
				Config: u.Config, Name: unitName(u), Slice: u.Slice, Replica: u.Replica, From: before[i], To: after[i],
			})
		}
	}
	plan.Moved = len(plan.Moves)
	return plan, nil
}

// join is an average over several draws of tokens.
func (p planning) join(ctx context.Context, change web.Change) (web.Plan, error) {
	before := p.owners(p.ring(p.members))
	var all []ring.Member
	var after []string
	plan := web.Plan{Units: len(p.units), Draws: planDraws, Least: len(p.units)}
	moved := 0
	for draw := range planDraws {
		if err := ctx.Err(); err != nil {
			return web.Plan{}, err
		}
		all = append(slices.Clone(p.members), p.joiners(change, draw)...)
		drawn := p.owners(p.ring(all))
		n := 0
		for i := range drawn {
			if drawn[i] != before[i] {
				n++
			}
		}
		moved, plan.Least, plan.Most = moved+n, min(plan.Least, n), max(plan.Most, n)
		after = append(after, drawn...)
	}
	plan.Moved = rounded(moved, planDraws)
	plan.Nodes = countByNode(all, before, after, planDraws)
	return plan, nil
}

// joiners are new members with as many tokens as those that are there, in their zones by turns.
func (p planning) joiners(change web.Change, draw int) []ring.Member {
	taken, names, tokens := map[uint32]bool{}, map[string]bool{}, usualTokens
	zones := []string{}
	for _, m := range p.members {
		names[m.Name], tokens = true, len(m.Tokens)
		zones = append(zones, m.Zone)
		for _, t := range m.Tokens {
			taken[t] = true
		}
	}
	slices.Sort(zones)
	zones = slices.Compact(zones)
	rnd := rand.New(rand.NewPCG(change.Seed, uint64(draw)))
	var joiners []ring.Member
	for number := 1; len(joiners) < change.Join; number++ {
		m := ring.Member{Name: fmt.Sprintf("new-%d", number)}
		if names[m.Name] {
			continue
		}
		m.Tokens = ring.NewTokens(tokens, taken, rnd.Uint32)
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

// someTokens are those of a node that is alone and needs none: always the same ones.
func someTokens(node string) []uint32 {
	return ring.NewTokens(usualTokens, nil, rand.New(rand.NewPCG(0, uint64(ring.Key(node)))).Uint32)
}

// owners names who should run each unit; empty: nobody can.
func (p planning) owners(r *ring.Ring) []string {
	owners := make([]string, len(p.units))
	for i, u := range p.units {
		owners[i] = actors.OwnerOf(r, u)
	}
	return owners
}

// countByNode counts what each member owns before, and after on average over the draws.
func countByNode(members []ring.Member, before, after []string, draws int) []web.PlannedNode {
	owned := func(owners []string) map[string]int {
		counts := map[string]int{}
		for _, owner := range owners {
			counts[owner]++
		}
		return counts
	}
	earlier, later := owned(before), owned(after)
	nodes := make([]web.PlannedNode, 0, len(members))
	for _, m := range members {
		nodes = append(nodes, web.PlannedNode{Node: m.Name, Before: earlier[m.Name], After: rounded(later[m.Name], draws)})
	}
	slices.SortFunc(nodes, func(a, b web.PlannedNode) int { return cmp.Compare(a.Node, b.Node) })
	return nodes
}

func rounded(sum, parts int) int { return (sum + parts/2) / parts }
