package actors

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/actors/reshard"
	"github.com/ringmaster-agent/ringmaster/cluster/ring"
	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// BenchmarkDecision is one decision of a node of three on a quiet cluster, about one unit of which
// something has changed, about a batch of claims, and about everything.
func BenchmarkDecision(b *testing.B) {
	for _, configs := range []int{300, 10_000} {
		s := quietSupervisor(configs)
		batch := map[messages.Unit]bool{}
		for i := range 128 {
			batch[messages.WholeConfig(fmt.Sprintf("app-%05d", i))] = true
		}
		for _, test := range []struct {
			name  string
			about map[messages.Unit]bool
		}{{"one", map[messages.Unit]bool{messages.WholeConfig("app-00007"): true}}, {"128", batch}, {"all", nil}} {
			b.Run(fmt.Sprintf("configs=%d/about=%s", configs, test.name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					plan := reshard.Decide(s.view(s.now(), test.about))
					if !plan.Quiet() {
						b.Fatal(plan)
					}
				}
			})
		}
	}
}

func quietSupervisor(configs int) *supervisor {
	s := newSupervisor(Options{Configs: nil, Cluster: &Cluster{Node: "a"}}.withDefaults())
	state := uint32(1)
	var members []ring.Member
	var records []messages.Member
	for _, name := range []string{"a", "b", "c"} {
		records = append(records, messages.Member{Node: name, State: messages.Active, Revision: 1})
		members = append(members, ring.Member{Name: name, Tokens: ring.NewTokens(128, nil, func() uint32 { state = ring.Key(fmt.Sprint(state)); return state })})
	}
	m := s.membership
	m.session, m.owners = "1", &ringOwners{Ring: ring.New(members, ring.Options{}), node: "a"}
	var claims []messages.Claim
	digest := messages.Digest{1}
	for i := range configs {
		name := fmt.Sprintf("app-%05d", i)
		s.documents.known[name] = &document{
			Document: messages.Document{Name: name, Revision: 1}, config: &config.Instance{Name: name, Slices: 1},
			valid: reshard.Version{Revision: 1, Digest: digest},
		}
		id := messages.WholeConfig(name)
		node := m.owners.OwnerOf(id)
		claims = append(claims, messages.Claim{Unit: id, Node: node, Session: map[string]string{"a": "1", "b": "2", "c": "3"}[node], Revision: int64(i + 1), Since: time.Unix(1, 0)})
		if node == "a" {
			u := s.units.get(id)
			u.generation, u.phase, u.ordered.Digest, u.prepared, u.epoch = 1, messages.PhaseRunning, digest, true, int64(i+1)
			u.permit = &unitPermit{}
		}
	}
	m.registry.Fold(messages.RegistryListed{Members: messages.NewList(records...), Claims: messages.NewList(claims...), Revision: int64(configs + 1)})
	return s
}

// BenchmarkDescription is the supervisor's part of a page: in this time it does nothing else.
func BenchmarkDescription(b *testing.B) {
	s := quietSupervisor(10_000)
	for name, part := range map[string]messages.DescribeTree{"all": {}, "own": {Own: true}, "one": {Config: "app-00042"}, "none": {Brief: true}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.picture().tree(part)
			}
		})
	}
}

func TestAPartOfTheDescriptionIsThatOfTheWhole(t *testing.T) {
	s := quietSupervisor(20)
	whole := s.picture().tree(messages.DescribeTree{})
	require.Equal(t, 20, whole.Units.Len())
	require.True(t, slices.IsSortedFunc(slices.Collect(whole.Units.All()), func(a, b messages.UnitDescription) int { return a.Unit.Compare(b.Unit) }))
	for u := range whole.Units.All() {
		part := s.picture().tree(messages.DescribeTree{Config: u.Unit.Config})
		require.Equal(t, []messages.UnitDescription{u}, slices.Collect(part.Units.All()))
		require.Equal(t, whole.Cluster, part.Cluster)
	}
	own := slices.DeleteFunc(slices.Collect(whole.Units.All()), func(u messages.UnitDescription) bool { return u.Owner != "a" })
	require.NotEmpty(t, own)
	require.Equal(t, own, slices.Collect(s.picture().tree(messages.DescribeTree{Own: true}).Units.All()))
	require.Zero(t, s.picture().tree(messages.DescribeTree{Config: "app"}).Units.Len(), "it is no prefix")
	b := slices.IndexFunc(slices.Collect(whole.Units.All()), func(u messages.UnitDescription) bool { return u.Owner == "b" })
	s.membership.registry.Fold(messages.MemberGone{Node: "b", Revision: 100})
	require.Contains(t, slices.Collect(s.picture().tree(messages.DescribeTree{Own: true}).Units.All()), whole.Units.At(b), "nobody answers for it")
	whole = s.picture().tree(messages.DescribeTree{})
	brief := s.picture().tree(messages.DescribeTree{Brief: true, Config: "app-00001"})
	brief.Units = whole.Units
	require.Equal(t, whole, brief)
}

func TestAConfigIsNewForAWhile(t *testing.T) {
	s := quietSupervisor(1)
	d := s.documents.known["app-00000"]
	at := time.Unix(1000, 0)
	for name, c := range map[string]struct {
		since time.Time
		asked uint64
		isNew bool
	}{"being parsed": {asked: 1, isNew: true}, "never valid": {}, "a moment ago": {since: at.Add(-newFor / 2), isNew: true}, "long ago": {since: at.Add(-newFor), asked: 1}} {
		d.since, d.asked = c.since, c.asked
		require.Equal(t, c.isNew, d.isNew(at), name)
	}
}
