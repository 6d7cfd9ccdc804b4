package actors

import (
	"slices"

	"github.com/ringmaster-agent/ringmaster/actors/knowledge"
	"github.com/ringmaster-agent/ringmaster/actors/reshard"
	"github.com/ringmaster-agent/ringmaster/cluster/ring"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// ringOwners answers from the settled ring.
type ringOwners struct {
	*ring.Ring
	node string
	// declined is who leaves a config to others, by its name.
	declined map[string][]string
	// cordoned is who takes nothing that it has not claimed, of replicas and records.
	cordoned []string
	replicas int
	records  *knowledge.Records
}

// Owner implements reshard.Owners.
func (o *ringOwners) Owner(u messages.Unit) (string, reshard.Ownership) {
	node := o.ownerOf(u)
	if node == o.node {
		return node, reshard.Owned
	}
	return node, reshard.NotOwned
}

// ownerOf is the first on the ring that does not leave the unit to others; empty: there is none.
func (o *ringOwners) ownerOf(u messages.Unit) string {
	declined := o.declined[u.Config]
	if len(declined) == 0 && len(o.cordoned) == 0 {
		return o.OwnerOf(u)
	}
	key := ring.Key(messages.Unit{Config: u.Config, Slice: u.Slice}.Key())
	owners := o.Owners(key, max(u.Replica+1, o.replicas)+len(declined)+len(o.cordoned))
	owners = slices.DeleteFunc(owners, func(node string) bool { return slices.Contains(declined, node) })
	owners = o.withoutCordoned(owners, u)
	switch {
	case len(owners) > u.Replica:
		return owners[u.Replica]
	case len(owners) == 0:
		return o.OwnerOf(u) // if all of them do, it stays where it is
	default:
		return ""
	}
}

// withoutCordoned are those of the nodes, in the order of the ring, that may have the unit and its
// other replicas. A node that is cordoned may have what it has. If the others are too few, it is as
// if nobody were cordoned.
func (o *ringOwners) withoutCordoned(nodes []string, u messages.Unit) []string {
	if len(o.cordoned) == 0 {
		return nodes
	}
	claimed := make([]string, 0, o.replicas)
	for u.Replica = range o.replicas {
		if claim := o.records.Claims()[u]; claim.Held() {
			claimed = append(claimed, claim.Node)
		}
	}
	left := slices.DeleteFunc(slices.Clone(nodes), func(node string) bool {
		return slices.Contains(o.cordoned, node) && !slices.Contains(claimed, node)
	})
	if len(left) < o.replicas {
		return nodes
	}
	return left
}

// cordonedIn are the members that are cordoned.
func cordonedIn(m messages.RingChanged) []string {
	var cordoned []string
	for member := range m.Members.All() {
		if member.Cordoned {
			cordoned = append(cordoned, member.Node)
		}
	}
	return cordoned
}

// declinedBy is who leaves which configs to others.
func declinedBy(m messages.RingChanged) map[string][]string {
	declined := map[string][]string{}
	for member := range m.Members.All() {
		for name := range member.Declines.All() {
			declined[name] = append(declined[name], member.Node)
		}
	}
	return declined
}

// ringOf is the ring that the members make.
func ringOf(m messages.RingChanged, zoneAware bool) *ring.Ring {
	members := make([]ring.Member, 0, m.Members.Len())
	for member := range m.Members.All() {
		members = append(members, ring.Member{Name: member.Node, Zone: member.Zone, Tokens: slices.Collect(member.Tokens.All())})
	}
	return ring.New(members, ring.Options{ZoneAware: zoneAware})
}
