package gossip

import (
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// deadline is generous: the machine may be busy with anything. Nothing is asserted about speed.
const deadline = 30 * time.Second

// node is a Gossip on loopback, with its log.
type node struct {
	*Gossip
	log *observer.ObservedLogs
}

func start(t *testing.T, name string, change ...func(*Options)) node {
	core, log := observer.New(zapcore.InfoLevel)
	o := Options{Node: name, BindAddress: "127.0.0.1:0", Logger: zap.New(core), Timing: Timing{ProbeInterval: 100 * time.Millisecond}}
	for _, c := range change {
		c(&o)
	}
	g, err := Start(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, g.Close()) })
	return node{g, log}
}

// cluster starts n nodes, named n0, n1, …, that know each other's addresses, as they would from the
// store.
func cluster(t *testing.T, n int) []node {
	var nodes []node
	peers := map[string]string{}
	for i := range n {
		nodes = append(nodes, start(t, fmt.Sprint("n", i)))
		peers[fmt.Sprint("n", i)] = nodes[i].Address()
	}
	for _, g := range nodes {
		g.SetPeers(peers)
	}
	for _, g := range nodes {
		eventually(t, "all see each other", func() bool { return g.living() == n-1 })
	}
	return nodes
}

func (n node) living() int {
	alive, _, _ := n.table.count()
	return alive
}

func (n node) peer(name string) Peer {
	for _, p := range n.Peers() {
		if p.Node == name {
			return p
		}
	}
	return Peer{}
}

func (n node) logged(message string) int { return n.log.FilterMessageSnippet(message).Len() }

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, deadline, 5*time.Millisecond, what)
}

func TestNodesThatTheStoreNamesFindEachOther(t *testing.T) {
	nodes := cluster(t, 3)
	for _, g := range nodes {
		eventually(t, "each has contact", func() bool { return !g.LastContact().IsZero() })
		require.Empty(t, g.Conflict())
	}
	require.Equal(t, nodes[1].Address(), nodes[0].peer("n1").Address)
	eventually(t, "the one who asks is assured", func() bool { return !nodes[0].peer("n1").Assured.IsZero() })
	seen := nodes[0].LastContact()
	eventually(t, "contact goes on", func() bool { return nodes[0].LastContact().After(seen) })
}

func TestANodeThatIsKilledIsDeadAndOneThatLeavesIsNot(t *testing.T) {
	inVirtualTime(t, 4, func(v *virtual) {
		n0, n1, n2 := v.nodes[0], v.nodes[1], v.nodes[2]
		for len(n0.Changes()) > 0 {
			<-n0.Changes()
		}
		v.kill()
		v.within(12*time.Second, "n3 is dead", func() bool { return v.everyone(func(g node) bool { return !g.peer("n3").Alive }) })
		require.False(t, n0.peer("n3").Left)
		require.NotEmpty(t, n0.Changes())

		require.NoError(t, n2.Leave(t.Context()))
		v.kill()
		v.within(12*time.Second, "n2 has left", func() bool { return n0.peer("n2").Left && n1.peer("n2").Left })
		require.False(t, n0.peer("n2").Alive)
		require.NotZero(t, n0.logged("gossip peer dead"))
		v.within(2*time.Second, "it is said", func() bool { return n0.logged("gossip peer left") == 1 })

		n0.Forget("n3")
		n0.Forget("n1")
		require.Empty(t, n0.peer("n3"))
		require.True(t, n0.peer("n1").Alive, "only who is not alive can be forgotten")
	})
}

func TestWhatAPeerSaidLastCountsHoweverItWasHeard(t *testing.T) {
	said := func(process uint32, number uint64, session string) announcement {
		return announcement{Version: statusVersion, Process: process, Number: number, Session: session}
	}
	meta := func(a announcement) *memberlist.Node {
		text, err := a.encode()
		require.NoError(t, err)
		return &memberlist.Node{Name: "b", Meta: text}
	}
	for _, c := range []struct {
		name string
		hear func(*table)
		want string
	}{
		{"an answer is newer than what memberlist says", func(p *table) { p.seen(meta(said(1, 1, "old"))); p.told("b", said(1, 2, "new")) }, "new"},
		{"what memberlist says is older than an answer", func(p *table) {
			p.seen(meta(said(1, 1, "old")))
			p.told("b", said(1, 3, "new"))
			p.seen(meta(said(1, 2, "older")))
		}, "new"},
		{"an answer comes late", func(p *table) { p.seen(meta(said(1, 2, "new"))); p.told("b", said(1, 1, "old")) }, "new"},
		{"the process is another one now", func(p *table) { p.seen(meta(said(1, 7, "old"))); p.seen(meta(said(2, 1, "new"))) }, "new"},
		{"the process before answers late", func(p *table) { p.seen(meta(said(2, 1, "new"))); p.told("b", said(1, 7, "old")) }, "new"},
		{"older versions don't say it with their answers", func(p *table) { p.seen(meta(said(0, 0, "new"))); p.told("b", announcement{}) }, "new"},
		{"older versions don't count", func(p *table) { p.seen(meta(said(0, 0, "old"))); p.seen(meta(said(0, 0, "new"))) }, "new"},
		{"who is not known can't be told of", func(p *table) { p.told("b", said(1, 1, "new")) }, ""},
	} {
		p := newTable("a", newNotes(zap.NewNop()))
		c.hear(p)
		var got string
		for _, peer := range p.list() {
			got = peer.Status.Session
		}
		require.Equal(t, c.want, got, c.name)
	}
}

func TestWhatANodeSaysOfItselfSpreads(t *testing.T) {
	nodes := cluster(t, 3)
	for _, said := range []Status{
		{Session: "694d9a4ca6f1c60a", ReachesStore: true},
		{Session: "694d9a4ca6f1c60a"},
		{Fenced: true},
		{},
	} {
		nodes[1].SetStatus(said)
		for _, g := range []node{nodes[0], nodes[2]} {
			eventually(t, "all know", func() bool { return g.peer("n1").Status == said })
		}
	}
}
