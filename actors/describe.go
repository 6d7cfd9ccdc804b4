package actors

import (
	"slices"
	"strings"

	"github.com/ringmaster-agent/ringmaster/actors/reshard"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// describeCluster is what this node knows of the cluster; empty without one.
func (s *supervisor) describeCluster() messages.ClusterDescription {
	m := s.membership
	if m == nil {
		return messages.ClusterDescription{}
	}
	out := messages.ClusterDescription{
		Node: s.Cluster.Node, Session: m.session, Settled: m.owners != nil, Permitted: m.permit.allowed(), Problem: m.problem,
		Moves: messages.NewList(m.moves.list...),
	}
	members := make([]messages.MemberDescription, 0, len(m.registry.Members()))
	shares := map[string]float64{}
	if m.owners != nil {
		shares = m.owners.Shares()
	}
	for node, record := range m.registry.Members() {
		members = append(members, messages.MemberDescription{Member: record, Share: shares[node]})
	}
	slices.SortFunc(members, func(a, b messages.MemberDescription) int { return strings.Compare(a.Member.Node, b.Member.Node) })
	out.Members = messages.NewList(members...)
	out.Unowned = s.unowned()
	return out
}

// unowned is how many units of valid configs nobody has claimed.
func (s *supervisor) unowned() int {
	n := 0
	for name, d := range s.documents {
		if d.Local || d.config == nil {
			continue
		}
		for _, id := range s.unitsOf(name) {
			if !s.membership.registry.Claims()[id].Held() {
				n++
			}
		}
	}
	return n
}

// describeClaim adds who should run the unit, and who does.
func (s *supervisor) describeClaim(out *messages.UnitDescription) {
	m := s.membership
	if m == nil {
		return
	}
	if m.owners != nil {
		var ownership reshard.Ownership
		out.Owner, ownership = m.owners.Owner(out.Unit)
		out.Owned = ownership == reshard.Owned
	}
	claim := m.registry.Claims()[out.Unit]
	if !claim.Held() {
		return
	}
	out.ClaimedBy, out.ClaimedSince, out.Epoch = claim.Node, claim.Since, claim.Revision
}
