package gossip

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/ringmaster-agent/ringmaster/cluster/gossip/gossiptest"
)

// virtual is a cluster with the default timing, in virtual time.
type virtual struct {
	t       *testing.T
	network *gossiptest.Network
	nodes   []node // that run
	named   map[string]string
	started []node
	lines   map[string]*gossiptest.Transport
}

// inVirtualTime runs a story with n nodes that have found each other.
func inVirtualTime(t *testing.T, n int, story func(v *virtual)) {
	synctest.Test(t, func(t *testing.T) {
		v := &virtual{t: t, network: gossiptest.NewNetwork(1), named: map[string]string{}, lines: map[string]*gossiptest.Transport{}}
		defer func() {
			for _, g := range v.started {
				require.NoError(t, g.Close())
			}
		}()
		for i := range n {
			v.add(fmt.Sprint("n", i))
		}
		v.nameAll()
		v.within(2*time.Second, "all see each other", func() bool { return v.everyone(func(g node) bool { return g.living() == n-1 }) })
		v.within(2*time.Second, "all have contact", func() bool { return v.everyone(func(g node) bool { return n == 1 || g.contactAge() < time.Second }) })
		story(v)
	})
}

func (v *virtual) add(name string) node {
	core, log := observer.New(zapcore.InfoLevel)
	transport := v.network.Join()
	g, err := Start(Options{Node: name, Logger: zap.New(core), Transport: transport})
	require.NoError(v.t, err)
	require.Equal(v.t, transport.Address(), g.Address())
	v.named[name] = g.Address()
	v.lines[g.Address()] = transport
	v.started = append(v.started, node{g, log})
	v.nodes = append(v.nodes, node{g, log})
	// As agents do: each has a session before it knows of others, and no two have the same rhythm.
	g.SetStatus(Status{Session: "of " + name})
	pass(rand.N(100 * time.Millisecond))
	return node{g, log}
}

// kill cuts the last node off all at once. It still runs, but that makes no difference to others.
func (v *virtual) kill() node {
	last := len(v.nodes) - 1
	g := v.nodes[last]
	v.nodes = v.nodes[:last]
	require.NoError(v.t, v.lines[g.Address()].Shutdown())
	return g
}

func (v *virtual) nameAll() {
	for _, g := range v.nodes {
		g.SetPeers(v.named)
	}
}

func (v *virtual) everyone(is func(node) bool) bool {
	for _, g := range v.nodes {
		if !is(g) {
			return false
		}
	}
	return true
}

// within waits in steps of 10 ms of virtual time, and returns how long it took.
func (v *virtual) within(limit time.Duration, what string, condition func() bool) time.Duration {
	v.t.Helper()
	began := time.Now()
	for !condition() {
		require.LessOrEqual(v.t, time.Since(began), limit, what)
		pass(10 * time.Millisecond)
	}
	return time.Since(began)
}

// pass lets virtual time pass.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (v *virtual) addresses(nodes ...int) []string {
	var all []string
	for _, i := range nodes {
		all = append(all, v.nodes[i].Address())
	}
	return all
}

func (n node) contactAge() time.Duration {
	if n.LastContact().IsZero() {
		return time.Hour
	}
	return time.Since(n.LastContact())
}

func TestAKilledNodeIsDeadInAboutThreeSeconds(t *testing.T) {
	for _, n := range []int{2, 3, 4, 5, 10} {
		t.Run(fmt.Sprint(n, " nodes"), func(t *testing.T) {
			var first, last time.Duration
			rounds := time.Duration(60 / n)
			for range rounds {
				inVirtualTime(t, n, func(v *virtual) {
					pass(rand.N(5 * time.Second))
					killed := v.kill().node
					dead := func(g node) bool { return !g.peer(killed).Alive }
					toOne := v.within(8*time.Second, "it is dead to one", func() bool { return slices.ContainsFunc(v.nodes, dead) })
					require.GreaterOrEqual(v.t, toOne, 2300*time.Millisecond, "a suspected node must have 2 s to object")
					toAll := toOne + v.within(4*time.Second, "it is dead to all", func() bool { return v.everyone(dead) })
					first, last = first+toOne, last+toAll
					require.True(v.t, v.everyone(func(g node) bool { return g.living() == n-2 }), "nobody else is taken for dead")
					if n > 2 {
						require.True(v.t, v.everyone(func(g node) bool { return g.contactAge() < 1500*time.Millisecond }), "the survivors keep contact")
					}
				})
			}
			t.Logf("dead after %v to one, %v to all, on average", first/rounds, last/rounds)
			require.Greater(t, first/rounds, 2400*time.Millisecond)
			require.Less(t, last/rounds, 3600*time.Millisecond)
		})
	}
}

func TestBothSidesOfAPartitionSeeTheOtherDeadAndFindEachOtherAgain(t *testing.T) {
	inVirtualTime(t, 5, func(v *virtual) {
		v.network.Partition(v.addresses(0), v.addresses(1, 2), v.addresses(3, 4))
		apart := time.Now()
		v.within(20*time.Second, "each side sees only itself", func() bool {
			return v.nodes[0].living() == 0 && v.nodes[1].living() == 1 && v.nodes[2].living() == 1 && v.nodes[3].living() == 1 && v.nodes[4].living() == 1
		})
		require.False(t, v.nodes[0].LastContact().After(apart), "who is alone has no evidence")
		for _, g := range v.nodes[1:] {
			v.within(time.Second, "two have each other", func() bool { return g.contactAge() < time.Second })
		}
		pass(time.Minute)
		require.False(t, v.nodes[0].LastContact().After(apart))
		require.Equal(t, 1, v.nodes[0].logged("gossip is blocked"))
		require.Zero(t, v.nodes[1].logged("gossip is blocked"))

		v.network.Partition()
		v.within(15*time.Second, "all see each other again", func() bool {
			return v.everyone(func(g node) bool { return g.living() == 4 && g.contactAge() < time.Second })
		})
		pass(time.Second)
		require.Equal(t, 1, v.nodes[0].logged("gossip works again"))
		require.True(t, v.everyone(func(g node) bool { return g.Conflict() == "" }))
	})
}

func TestANodeThatOneSideHoldsDeadGetsNoEvidenceFromIt(t *testing.T) {
	inVirtualTime(t, 2, func(v *virtual) {
		before := v.nodes[0].peer("n1").Assured
		v.nodes[0].table.gone(&memberlist.Node{Name: "n1"})
		synctest.Wait()
		lost := time.Now()
		pass(1200 * time.Millisecond)
		require.False(t, v.nodes[1].LastContact().After(lost), "n0 holds n1 dead, and so does not answer")
		require.False(t, v.nodes[0].peer("n1").Assured.After(lost))
		require.False(t, before.IsZero())
	})
}

func TestTwoLivingNodesWithOneNameAreAConflictUntilOneIsGone(t *testing.T) {
	inVirtualTime(t, 4, func(v *virtual) {
		first := v.nodes[3]
		second := v.add("n3")
		v.nameAll()
		for _, g := range []node{v.nodes[0], first, second} {
			v.within(5*time.Second, "the parties and others know", func() bool { return g.Conflict() != "" })
			require.Equal(t, fmt.Sprintf("two nodes have the name %q, one at %s and one at %s", "n3", first.Address(), second.Address()), g.Conflict())
		}
		pass(time.Minute)
		require.NotEmpty(t, first.Conflict())
		for _, g := range v.nodes[:3] {
			require.Equal(t, first.Address(), g.peer("n3").Address, "the first one keeps the name")
			require.True(t, g.peer("n3").Alive)
		}
		require.Less(t, first.contactAge(), time.Second)
		require.True(t, second.LastContact().IsZero(), "the second one has no evidence")

		v.kill()
		v.within(13*time.Second, "it is over", func() bool { return v.everyone(func(g node) bool { return g.Conflict() == "" }) })
		pass(time.Minute)
		for _, g := range v.nodes {
			require.LessOrEqual(t, g.logged("two nodes have the same name"), 1)
			require.Equal(t, g.logged("two nodes have the same name"), g.logged("conflict of two nodes with one name is over"))
		}
		require.Equal(t, 1, first.logged("two nodes have the same name"))
	})
}

func TestANodeThatIsKilledAndComesBackAtOnceElsewhereIsNoConflict(t *testing.T) {
	inVirtualTime(t, 4, func(v *virtual) {
		for round := range 5 {
			pass(rand.N(time.Second))
			v.kill()
			back := v.add("n3")
			back.SetStatus(Status{Session: fmt.Sprint(round)})
			v.nameAll()
			v.within(10*time.Second, "it is known at its new address", func() bool {
				require.True(t, v.everyone(func(g node) bool { return g.Conflict() == "" }))
				return v.everyone(func(g node) bool {
					p := g.peer("n3")
					return g.node == "n3" || p.Alive && p.Address == back.Address() && p.Status.Session == fmt.Sprint(round)
				})
			})
			v.within(5*time.Second, "it has contact", func() bool { return back.contactAge() < time.Second })
		}
	})
}

func TestLostPacketsMakeNobodyDead(t *testing.T) {
	inVirtualTime(t, 5, func(v *virtual) {
		v.network.Lose(0.2)
		for range 600 {
			pass(100 * time.Millisecond)
			require.True(t, v.everyone(func(g node) bool { return g.living() == 4 }))
			require.True(t, v.everyone(func(g node) bool { return g.contactAge() < 2500*time.Millisecond }))
		}
	})
}

func TestAnIdleClusterLogsNothing(t *testing.T) {
	inVirtualTime(t, 3, func(v *virtual) {
		for _, g := range v.nodes {
			g.log.TakeAll()
		}
		pass(5 * time.Minute)
		for _, g := range v.nodes {
			require.Empty(t, g.log.All())
			require.Less(t, g.contactAge(), time.Second)
		}
	})
}

func TestANodeThatLeftIsForgottenAfterAnHour(t *testing.T) {
	inVirtualTime(t, 3, func(v *virtual) {
		require.NoError(t, v.nodes[2].Leave(context.Background()))
		v.kill()
		v.within(2*time.Second, "it has left", func() bool { return v.everyone(func(g node) bool { return g.peer("n2").Left }) })
		delete(v.named, "n2")
		v.nameAll()
		pass(59 * time.Minute)
		require.True(t, v.nodes[0].peer("n2").Left)
		pass(2 * time.Minute)
		require.Empty(t, v.nodes[0].peer("n2"))
	})
}

func TestALateAnswerCountsFromWhenItWasAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newContact()
		require.True(t, c.at().IsZero())
		early := c.question("a")
		asked := time.Now()
		pass(time.Second)
		late := c.question("b")
		pass(5 * time.Second)

		answered := func(nonce uint64, by string) bool { _, ok := c.answered(nonce, by); return ok }
		require.False(t, answered(late+1, "b"), "it was never asked")
		require.False(t, answered(late, "a"), "another one was asked")
		sent, ok := c.answered(late, "b")
		require.True(t, ok)
		require.Equal(t, asked.Add(time.Second), sent)
		require.Equal(t, asked.Add(time.Second), c.at())
		require.False(t, answered(late, "b"), "once")
		require.True(t, answered(early, "a"))
		require.Equal(t, asked.Add(time.Second), c.at(), "an older one takes nothing back")

		forgotten := c.question("a")
		pass(2 * askedFor)
		c.question("a")
		require.False(t, answered(forgotten, "a"))
		require.Len(t, c.open, 1)
	})
}

// When a store goes away, all nodes say so at the same time, in words of one length. memberlist's queue
// of broadcasts then loses some: it takes two messages of one length for one, if its numbers for them
// are equal.
func TestWhatAllSayAtTheSameTimeIsHeardByAll(t *testing.T) {
	for _, n := range []int{3, 4, 5, 10} {
		t.Run(fmt.Sprint(n, " nodes"), func(t *testing.T) {
			inVirtualTime(t, n, func(v *virtual) {
				pass(time.Second)
				for round := range 20 {
					said := map[string]Status{}
					for i, g := range v.nodes {
						said[g.node] = Status{Session: fmt.Sprintf("694d9a4ca6f1c6%02d", i), ReachesStore: round%2 == 0}
						g.SetStatus(said[g.node])
						pass(rand.N(20 * time.Millisecond))
					}
					v.within(2500*time.Millisecond, "all know", func() bool {
						return v.everyone(func(g node) bool {
							return !slices.ContainsFunc(g.Peers(), func(p Peer) bool { return p.Status != said[p.Node] })
						})
					})
				}
			})
		})
	}
}
