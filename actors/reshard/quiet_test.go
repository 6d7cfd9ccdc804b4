package reshard_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	. "github.com/ringmaster-agent/ringmaster/actors/reshard"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// Whatever the view, what Decide asks for is done, and then it asks for nothing, nor does it write
// a record twice.
func TestPerformingAPlanLeavesAQuietClusterToo(t *testing.T) {
	instances := []Instance{{}, {Generation: 1, Ordered: one.Digest}, prepared, running, draining, quiet,
		with(quiet, func(i *Instance) { i.ReleaseBy = now.Add(time.Second) }), with(quiet, func(i *Instance) { i.Phase = messages.PhaseStopped }),
		with(running, func(i *Instance) { i.Phase = messages.PhaseFailed }), with(prepared, func(i *Instance) { i.Phase = messages.PhaseNew })}
	claims := []messages.Claim{{}, mine, formerly, released, theirs, unreadable, scribble, claimWith(mine, func(c *messages.Claim) { c.Released = true })}
	intents := []messages.Intent{{}, myIntent, theirIntent, formerIntent}
	documents := []map[string]Document{nil, {"app": {}}, {"app": {Valid: one}}, {"app": {Valid: two}}, {"app": {Valid: one, Local: true}}}
	plans, writes := 0, 0
	for _, owner := range []Owners{nil, ownedBy("me"), ownedBy("other"), ownedBy("third"), ownedBy("")} {
		for n := range len(instances) * len(claims) * len(intents) * len(documents) * 32 {
			bits, rest := n%32, n/32
			s := scene{owner: owner, instance: pick(instances, &rest), claim: pick(claims, &rest), intent: pick(intents, &rest)}
			v := s.view()
			v.Documents, v.Complete, v.Stopping, v.Cluster.Leaving = pick(documents, &rest), bits&1 == 0, bits&2 != 0, bits&4 != 0
			if bits&8 != 0 {
				v.Cluster.Session = ""
			}
			if bits&16 != 0 {
				v.Cluster.GivenUp = map[messages.Unit]int64{app: 7}
			}
			p := Decide(v)
			plans += len(p.Start) + len(p.Stop) + len(p.Run)
			writes += len(p.Write)
			after := performed(v, p)
			// A plan may take two steps: what is stopped has its intent withdrawn, what is claimed
			// runs.
			second := Decide(after)
			last := performed(after, second)
			require.True(t, Decide(last).Quiet(), "%+v\nled to %+v\nthen %+v\nand then to %+v", s, p, second, Decide(last))
			requireOneWriteEach(t, p)
		}
	}
	require.Positive(t, plans)
	require.Positive(t, writes)
}

func requireOneWriteEach(t *testing.T, p Plan) {
	seen := map[Record]bool{}
	for _, w := range p.Write {
		require.False(t, seen[w.Record()], "%+v", p)
		seen[w.Record()] = true
	}
}

// pick takes one of the items, and from n what says which.
func pick[T any](items []T, n *int) T {
	item := items[*n%len(items)]
	*n /= len(items)
	return item
}

// performed is the view after its plan was performed at once.
func performed(v View, p Plan) View {
	i := perform(v.Instances[app], p)
	for _, r := range p.Run {
		i.Epoch = r.Epoch
	}
	cluster := *v.Cluster
	claim, intent := cluster.Claims[app], cluster.Intents[app]
	for _, w := range p.Write {
		switch w.Kind {
		case ClaimUnit, ReleaseUnit:
			claim = messages.Claim{Unit: app, Node: "me", Session: cluster.Session, Revision: 20 + claim.Revision, Released: w.Kind == ReleaseUnit}
		case RemoveClaim:
			claim = messages.Claim{}
		case IntendUnit:
			intent = messages.Intent{Unit: app, Node: "me", Session: cluster.Session, Revision: 20 + intent.Revision}
		case WithdrawIntent:
			intent = messages.Intent{}
		}
	}
	cluster.Claims, cluster.Intents = map[messages.Unit]messages.Claim{app: claim}, map[messages.Unit]messages.Intent{app: intent}
	if intent.Revision == 0 {
		cluster.Intents = nil
	}
	v.Cluster, v.Instances = &cluster, map[messages.Unit]Instance{app: i}
	return v
}
