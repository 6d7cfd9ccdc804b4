package actors

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ringmaster-agent/ringmaster/actors/reshard"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// picture is what is described: everything as it stands at one moment. It changes nothing.
type picture struct {
	now        time.Time
	documents  *documents
	units      *units
	membership *membership
	options    *Cluster
	replicas   int
	holds      map[messages.Unit]string
	// complete: all configs are known. busy: something was heard that is not decided about yet.
	complete, busy, stopping, permitted bool
}

func (s *supervisor) picture() picture {
	return picture{
		now: s.now(), documents: s.documents, units: s.units, membership: s.membership, options: s.Cluster, replicas: s.agenda.replicas,
		holds: s.reconciling.holds, complete: s.documents.complete(), busy: s.documents.parsing.running > 0 || s.reconciling.pending, stopping: s.departure.begun,
		permitted: s.membership != nil && s.permits.Permitted(),
	}
}

// answer is one unit, if there is such a unit.
func (p picture) answer(id messages.Unit) messages.UnitAnswer {
	_, runs := p.units.all[id]
	_, wanted := p.documents.known[id.Config]
	if !runs && !wanted {
		return messages.UnitAnswer{}
	}
	return messages.UnitAnswer{Known: true, Unit: p.unit(id)}
}

// tree is everything, or the part of it that is asked for.
func (p picture) tree(part messages.DescribeTree) messages.TreeDescription {
	ids := p.ids(part)
	out := messages.TreeDescription{
		Complete: p.complete, Settled: p.settled(), Stopping: p.stopping,
		StoreProblem: p.documents.problem, Doubt: p.documents.stored.Doubt(),
		Units: messages.ListOf(len(ids), func(i int) messages.UnitDescription { return p.unit(ids[i]) }), Cluster: p.cluster(),
	}
	if p.membership != nil && part == (messages.DescribeTree{}) {
		out.Cluster.Unowned = p.unowned()
	}
	return out
}

// ids are the units that are asked for, in order. Sorting descriptions would move far more memory.
func (p picture) ids(part messages.DescribeTree) []messages.Unit {
	if part.Brief {
		return nil
	}
	wanted := func(messages.Unit) bool { return true }
	switch {
	case part.Config != "":
		wanted = func(id messages.Unit) bool { return id.Config == part.Config }
	case part.Own:
		wanted = p.concerns
	}
	var ids []messages.Unit
	add := func(id messages.Unit) {
		if wanted(id) {
			ids = append(ids, id)
		}
	}
	for id := range p.units.all {
		add(id)
	}
	of := func(name string) {
		for _, id := range p.documents.unitsOf(name, p.replicas) {
			if _, there := p.units.all[id]; !there {
				add(id)
			}
		}
	}
	if part.Config == "" {
		for name := range p.documents.known {
			of(name)
		}
	} else if p.documents.known[part.Config] != nil {
		of(part.Config)
	}
	slices.SortFunc(ids, messages.Unit.Compare)
	return ids
}

// concerns: the node runs the unit or should, or no member is known that does either.
func (p picture) concerns(id messages.Unit) bool {
	if u := p.units.all[id]; u != nil && u.phase != messages.PhaseWaiting && u.phase != messages.PhaseStopped {
		return true
	}
	out := messages.UnitDescription{Unit: id}
	p.claim(&out)
	if p.membership == nil || out.Owned || out.Owner == "" || out.ClaimedBy == p.options.Node {
		return true
	}
	_, member := p.membership.registry.Members()[cmp.Or(out.ClaimedBy, out.Owner)]
	return !member
}

// settled: everything is known and decided about, and nothing is on its way to running.
func (p picture) settled() bool {
	if !p.membership.settled() || !p.complete || p.busy {
		return false
	}
	for _, u := range p.units.all {
		if u.phase == messages.PhasePreparing && !u.prepared {
			return false
		}
	}
	return true
}

// unit is one unit.
func (p picture) unit(id messages.Unit) messages.UnitDescription {
	out := messages.UnitDescription{Unit: id, Phase: messages.PhaseWaiting, Hold: p.holds[id]}
	p.claim(&out)
	if d, ok := p.documents.known[id.Config]; ok {
		out.Local, out.New, out.InvalidReason = d.Local, d.isNew(p.now), d.problem
		out.WantedRevision, out.WantedDigest = d.valid.Revision, d.valid.Digest
	}
	u, ok := p.units.all[id]
	if !ok {
		return out
	}
	out.Phase, out.Since, out.Generation = u.phase, u.since, u.generation
	out.RunningRevision, out.RunningDigest = u.running.Revision, u.running.Digest
	out.LastError, out.Failures, out.Restarts, out.Pending = u.lastError, u.failures.Count, max(u.attempts-1, 0), u.pending
	if u.failures.Digest != out.WantedDigest {
		return out // the failures are about another version
	}
	waits := u.failures.NotBefore.After(p.now)
	if waits {
		out.NextAttempt = u.failures.NotBefore
	}
	if waits && u.failures.Quarantined {
		out.QuarantineReason = u.lastError
	}
	if u.phase == messages.PhaseStopped {
		switch {
		case waits && u.failures.Quarantined:
			out.Phase = messages.PhaseQuarantined
		case u.failures.Count > 0:
			out.Phase = messages.PhaseBackoff
		}
	}
	return out
}

// cluster is what this node knows of the cluster, without Unowned; empty without one.
func (p picture) cluster() messages.ClusterDescription {
	m := p.membership
	if m == nil {
		return messages.ClusterDescription{}
	}
	out := messages.ClusterDescription{
		Node: p.options.Node, Session: m.session, Settled: m.owners != nil, Permitted: p.permitted, Problem: m.problem,
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
	out.Holds, out.Cordons = inOrder(m.registry.Holds()), inOrder(m.registry.Cordons())
	return out
}

// inOrder are the values by their names.
func inOrder[T any](named map[string]T) messages.List[T] {
	values := make([]T, 0, len(named))
	for _, name := range slices.Sorted(maps.Keys(named)) {
		values = append(values, named[name])
	}
	return messages.NewList(values...)
}

// unowned is how many units of valid configs nobody has claimed. Unknown is not unowned, nor is
// what is held.
func (p picture) unowned() int {
	if m := p.membership; !m.registry.Listed() || m.recalled {
		return 0
	}
	n := 0
	for name, d := range p.documents.known {
		if _, held := p.membership.registry.Holds()[name]; held || d.Local || d.config == nil {
			continue
		}
		for _, id := range p.documents.unitsOf(name, p.replicas) {
			if !p.membership.registry.Claims()[id].Held() {
				n++
			}
		}
	}
	return n
}

// claim adds who should run the unit, and who does.
func (p picture) claim(out *messages.UnitDescription) {
	m := p.membership
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
