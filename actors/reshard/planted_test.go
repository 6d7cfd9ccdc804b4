package reshard_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	. "github.com/ringmaster-agent/ringmaster/actors/reshard"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// without returns the plan without the writes of a kind.
func without(p Plan, kind WriteKind) Plan {
	var kept []Write
	for _, w := range p.Write {
		if w.Kind != kind {
			kept = append(kept, w)
		}
	}
	p.Write = kept
	return p
}

// withInstances decides about instances that are seen otherwise than they are.
func withInstances(v View, change func(messages.Unit, *Instance)) Plan {
	seen := make(map[messages.Unit]Instance, len(v.Instances))
	for unit, i := range v.Instances {
		change(unit, &i)
		seen[unit] = i
	}
	v.Instances = seen
	return Decide(v)
}

// seedsToFind is enough for all but the rarest: a release that happens and is not answered, on a
// node that should run the unit again at once. It is looked for from rareSeed on, near which it is.
const (
	seedsToFind = 1500
	rareSeed    = 1300
)

// A model that finds nothing proves nothing, so it has to find these.
func TestTheModelFindsADeciderThat(t *testing.T) {
	for _, test := range []struct {
		name   string
		decide func(*model, View) Plan
		from   uint64
	}{
		{"claims what another has claimed", func(m *model, v View) Plan {
			p := Decide(v)
			for i, w := range p.Write {
				if w.Kind == ClaimUnit {
					p.Write[i].Revision = m.store.claims[w.Unit].Revision
				}
			}
			return p
		}, 0},
		{"claims before the release", func(_ *model, v View) Plan {
			p := without(Decide(v), WithdrawIntent)
			for i, w := range p.Write {
				if w.Kind == IntendUnit && !v.Cluster.Writing[Record{Unit: w.Unit}] {
					p.Write[i] = Write{Unit: w.Unit, Kind: ClaimUnit, Revision: v.Cluster.Claims[w.Unit].Revision}
				}
			}
			return p
		}, 0},
		{"releases before it is quiet", func(_ *model, v View) Plan {
			return withInstances(v, func(_ messages.Unit, i *Instance) { i.Quiet = i.Quiet || i.Asked != messages.NotStopping })
		}, 0},
		{"never releases", func(_ *model, v View) Plan { return without(Decide(v), ReleaseUnit) }, 0},
		{"never removes", func(_ *model, v View) Plan { return without(Decide(v), RemoveClaim) }, 0},
		{"never intends", func(_ *model, v View) Plan { return without(Decide(v), IntendUnit) }, 0},
		{"never withdraws", func(_ *model, v View) Plan { return without(Decide(v), WithdrawIntent) }, 0},
		{"intends over another's intent", func(_ *model, v View) Plan {
			seen := map[messages.Unit]messages.Intent{}
			for unit, intent := range v.Cluster.Intents {
				if intent.Node == v.Cluster.Node || v.Cluster.Claims[unit].Node == v.Cluster.Node {
					seen[unit] = intent
				}
			}
			cluster := *v.Cluster
			cluster.Intents = seen
			v.Cluster = &cluster
			return Decide(v)
		}, 0},
		{"does not wait for an intent", func(_ *model, v View) Plan {
			p := Decide(v)
			for _, h := range p.Hold {
				if h.Cause == SuccessorNotReady {
					p.Stop = append(p.Stop, Stop{Unit: h.Unit, Reason: messages.Moved})
				}
			}
			return p
		}, 0},
		{"stops what another should run before that one is prepared", func(_ *model, v View) Plan {
			v.Cluster = nil
			return Decide(v)
		}, 0},
		{"does not tell an instance of a new claim", func(_ *model, v View) Plan {
			p := Decide(v)
			p.Run = nil
			return p
		}, 0},
		{"does not fence itself", func(_ *model, v View) Plan {
			p := Decide(v)
			var kept []Stop
			for _, s := range p.Stop {
				if s.Reason != messages.Fenced {
					kept = append(kept, s)
				}
			}
			p.Stop = kept
			return p
		}, 0},
		{"runs by a claim that it may have released", func(_ *model, v View) Plan {
			cluster := *v.Cluster
			cluster.GivenUp = nil
			v.Cluster = &cluster
			return Decide(v)
		}, rareSeed},
		{"stops when it does not know the ring", func(_ *model, v View) Plan {
			if v.Owners == nil {
				v.Documents = nil
			}
			return Decide(v)
		}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(seedsToFind) {
				seed += test.from
				if wrong := storm(seed, test.decide) + stroll(seed, test.decide); wrong != "" {
					t.Logf("seed %d: %s", seed, wrong)
					return
				}
			}
			require.Failf(t, "not found", "%d seeds have found nothing", seedsToFind)
		})
	}
}
