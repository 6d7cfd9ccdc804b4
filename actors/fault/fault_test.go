package fault_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"

	"github.com/ringmaster-agent/ringmaster/actors/fault"
	"github.com/ringmaster-agent/ringmaster/actors/fault/faulttest"
	"github.com/ringmaster-agent/ringmaster/messages"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pass lets virtual time pass.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func valid() fault.Rule {
	return fault.Rule{Name: "r", Point: fault.ActorReceive, Action: fault.Drop, Duration: fault.Duration(time.Minute)}
}

func TestARuleThatMakesNoSenseIsRefusedWithItsField(t *testing.T) {
	for field, change := range map[string]func(*fault.Rule){
		"name: ":             func(r *fault.Rule) { r.Name = "" },
		"name: give":         func(r *fault.Rule) { r.Name = "a/b" },
		"point: there is no": func(r *fault.Rule) { r.Point = "disk" },
		"action: actor.receive knows no action \"flip\"": func(r *fault.Rule) { r.Action = fault.Flip },
		"peers: actor.receive can't be narrowed":         func(r *fault.Rule) { r.Peers = []string{"b"} },
		"units: remote_write.request can't be narrowed": func(r *fault.Rule) {
			r.Point, r.Action, r.Units = fault.RemoteWrite, fault.Reset, "app"
		},
		"share: clock does not know": func(r *fault.Rule) {
			r.Point, r.Action, r.Share, r.Delay = fault.Clock, fault.Skew, 0.5, 1
		},
		"pattern: \"[\" is no pattern": func(r *fault.Rule) { r.Units = "[" },
		"probability: it is 2":         func(r *fault.Rule) { r.Probability = 2 },
		"share: it is -1":              func(r *fault.Rule) { r.Share = -1 },
		"count: skip and count":        func(r *fault.Rule) { r.Skip = -1 },
		"duration: it is 0s":           func(r *fault.Rule) { r.Duration = 0 },
		"duration: it is 2h0m0s":       func(r *fault.Rule) { r.Duration = fault.Duration(2 * time.Hour) },
		"start: it is -1s":             func(r *fault.Rule) { r.Start = -fault.Duration(time.Second) },
		"delay: delay has a delay of":  func(r *fault.Rule) { r.Action = fault.Delay },
		"status: it is 99":             func(r *fault.Rule) { r.Status = 99 },
		"bytes: they are -1":           func(r *fault.Rule) { r.Bytes = -1 },
		"error: it has more":           func(r *fault.Rule) { r.Error = strings.Repeat("x", 300) },
	} {
		r := valid()
		require.NoError(t, r.Validate())
		change(&r)
		require.ErrorContains(t, r.Validate(), field)
		require.Error(t, fault.New(fault.Options{}).Put(r), field)
	}
}

func TestEveryPointIsDescribedAndEveryActionOfItIsAccepted(t *testing.T) {
	seen := map[fault.Point]bool{}
	for _, p := range fault.Points() {
		require.False(t, seen[p.Point], p.Point)
		seen[p.Point] = true
		require.NotEmpty(t, p.What, p.Point)
		require.NotEmpty(t, p.Actions, p.Point)
		for _, a := range p.Actions {
			r := valid()
			r.Point, r.Action, r.Delay = p.Point, a, fault.Duration(time.Second)
			require.NoError(t, r.Validate(), "%s %s", p.Point, a)
		}
	}
}

func TestARuleEndsByItselfAndBeginsWhenItShould(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var changes []int
		r := faulttest.NewWith(t, fault.Options{OnChange: func(active []fault.State) { changes = append(changes, len(active)) }})
		rule := valid()
		rule.Start, rule.Duration = fault.Duration(time.Second), fault.Duration(2*time.Second)
		require.NoError(t, r.Put(rule))
		hits := func() bool { return r.Decide(fault.Event{Point: fault.ActorReceive}).Hits() }
		require.False(t, hits(), "it has not begun")
		pass(time.Second)
		require.True(t, hits())
		over := r.Decide(fault.Event{Point: fault.ActorReceive}).Over
		require.Len(t, r.Rules(), 1)
		pass(2 * time.Second)
		require.False(t, hits(), "its time is over")
		require.Empty(t, r.Rules())
		require.False(t, r.Watches(fault.ActorReceive))
		select {
		case <-over:
		default:
			t.Fatal("who waits for the end does not hear of it")
		}
		require.Equal(t, []int{1, 0}, changes)
		require.Equal(t, map[fault.Hit]uint64{{Point: fault.ActorReceive, Action: fault.Drop}: 2}, r.Hits(), "hits outlive the rule")
	})
}

func TestARuleKeepsToItsScope(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*fault.Rule)
		hit    fault.Event
		spared fault.Event
	}{
		"unit":    {func(r *fault.Rule) { r.Units = "app-*" }, fault.Event{Unit: "app-1"}, fault.Event{Unit: "db"}},
		"slice":   {func(r *fault.Rule) { r.Units = "a[slice 1]" }, fault.Event{Unit: "a[slice 1]"}, fault.Event{Unit: "a"}},
		"slashes": {func(r *fault.Rule) { r.Units = "team/*" }, fault.Event{Unit: "team/a/b"}, fault.Event{Unit: "teams"}},
		"actor":   {func(r *fault.Rule) { r.Actors = "ring" }, fault.Event{Actor: "ring"}, fault.Event{Actor: "instance"}},
		"message": {func(r *fault.Rule) { r.Messages = "Start*" }, fault.Event{Message: "StartInstance"}, fault.Event{Message: "StopInstance"}},
		"peer": {func(r *fault.Rule) { r.Point, r.Peers = fault.GossipSend, []string{"b", "c*"} },
			fault.Event{Point: fault.GossipSend, Peer: "c1"}, fault.Event{Point: fault.GossipSend, Peer: "a"}},
		"another node": {func(r *fault.Rule) { r.Nodes = []string{"a"} }, fault.Event{}, fault.Event{Point: fault.Clock}},
	} {
		rule := valid()
		c.change(&rule)
		if c.hit.Point == "" {
			c.hit.Point = rule.Point
		}
		if c.spared.Point == "" {
			c.spared.Point = rule.Point
		}
		r := faulttest.NewWith(t, fault.Options{Node: "a"}, rule)
		require.True(t, r.Decide(c.hit).Hits(), name)
		require.False(t, r.Decide(c.spared).Hits(), name)
		if len(rule.Nodes) > 0 {
			require.False(t, faulttest.NewWith(t, fault.Options{Node: "b"}, rule).Decide(c.hit).Hits(), name)
		}
	}
}

func TestTheSameSeedHitsTheSameEvents(t *testing.T) {
	hits := func(seed uint64) (out []int) {
		r := faulttest.New(t, faulttest.Sometimes(0.1, seed, fault.ActorReceive, fault.Drop))
		for i := range 1000 {
			if r.Decide(fault.Event{Point: fault.ActorReceive}).Hits() {
				out = append(out, i)
			}
		}
		return out
	}
	require.Equal(t, hits(1), hits(1))
	require.NotEqual(t, hits(1), hits(2))
	require.InDelta(t, 100, len(hits(1)), 40)
}

func TestAShareIsTheSameUnitsOnAllNodes(t *testing.T) {
	rule := valid()
	rule.Share = 0.3
	units := func(node string) (out []string) {
		r := faulttest.NewWith(t, fault.Options{Node: node}, rule)
		for i := range 1000 {
			unit := strings.Repeat("x", i%7) + string(rune('a'+i%26)) + string(rune('a'+i/26))
			if r.Decide(fault.Event{Point: fault.ActorReceive, Unit: unit}).Hits() {
				out = append(out, unit)
			}
		}
		return out
	}
	require.Equal(t, units("a"), units("b"))
	require.InDelta(t, 300, len(units("a")), 60)
	require.False(t, faulttest.New(t, rule).Decide(fault.Event{Point: fault.ActorReceive}).Hits(), "what is about no unit is spared")
}

func TestOnlyTheNthIsHit(t *testing.T) {
	r := faulttest.New(t, faulttest.Nth(3, fault.Scrape, fault.Panic))
	var hit []bool
	for range 5 {
		hit = append(hit, r.Decide(fault.Event{Point: fault.Scrape}).Hits())
	}
	require.Equal(t, []bool{false, false, true, false, false}, hit)
}

func TestRulesAreReplacedDeletedClearedAndBounded(t *testing.T) {
	r := faulttest.New(t)
	rule := valid()
	require.NoError(t, r.Put(rule))
	rule.Action = fault.Stall
	require.NoError(t, r.Put(rule))
	require.Len(t, r.Rules(), 1)
	require.Equal(t, fault.Stall, r.Decide(fault.Event{Point: fault.ActorReceive}).Action)
	require.True(t, r.Delete("r"))
	require.False(t, r.Delete("r"))
	for i := range fault.MaxRules {
		rule.Name = strings.Repeat("n", i+1)
		require.NoError(t, r.Put(rule))
	}
	rule.Name = "one too many"
	require.ErrorIs(t, r.Put(rule), fault.ErrTooMany)
	require.Equal(t, fault.MaxRules, r.Clear("test"))
	require.NoError(t, r.Put(rule))
	r.Close()
	require.Empty(t, r.Rules())
	require.Error(t, r.Put(rule), "it is closed")
}

func TestANilRegistryIsOff(t *testing.T) {
	var r *fault.Registry
	require.False(t, r.Decide(fault.Event{Point: fault.Scrape}).Hits())
	require.False(t, r.Watches(fault.Scrape))
	require.False(t, r.Delete("a"))
	require.Zero(t, r.Clear(""))
	require.Empty(t, r.Rules())
	require.Empty(t, r.Hits())
	require.Error(t, r.Put(valid()))
	r.Close()
}

func TestARuleReadsFromYAMLAndJSONAlike(t *testing.T) {
	var fromYAML, fromJSON fault.Rule
	require.NoError(t, yaml.Unmarshal([]byte("{name: r, point: disk.write, action: error, error: ENOSPC, nodes: [a], share: 0.5, duration: 1m30s, guard: {unowned: 3, for: 5s}}"), &fromYAML))
	require.NoError(t, json.Unmarshal([]byte(`{"name":"r","point":"disk.write","action":"error","error":"ENOSPC","nodes":["a"],"share":0.5,"duration":"1m30s","guard":{"unowned":3,"for":"5s"}}`), &fromJSON))
	require.Equal(t, fromYAML, fromJSON)
	require.NoError(t, fromYAML.Validate())
	text, err := json.Marshal(fromJSON)
	require.NoError(t, err)
	var again fault.Rule
	require.NoError(t, json.Unmarshal(text, &again))
	require.Equal(t, fromJSON, again)
	require.ErrorContains(t, json.Unmarshal([]byte(`{"duration":"soon"}`), &again), "is no duration")
}

func TestKindsOfMessagesHaveNames(t *testing.T) {
	require.Equal(t, "StartInstance", fault.Kind(messages.StartInstance{}))
	require.True(t, slices.ContainsFunc(fault.Points(), func(i fault.Info) bool { return i.Point == fault.ActorSend }))
}

// BenchmarkOff is what a point costs that nobody has a rule for: a nil registry, and one without rules.
func BenchmarkOff(b *testing.B) {
	b.Run("nil", func(b *testing.B) {
		var r *fault.Registry
		for b.Loop() {
			if r.Watches(fault.Scrape) {
				b.Fatal("it watches")
			}
		}
	})
	b.Run("no rules", func(b *testing.B) {
		r := fault.New(fault.Options{})
		for b.Loop() {
			if r.Watches(fault.Scrape) {
				b.Fatal("it watches")
			}
		}
	})
}
