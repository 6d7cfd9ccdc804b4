package gossip

import (
	"bytes"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
)

// introduce names all nodes to each other. Of two with one name the latter is in the record.
func introduce(nodes ...node) {
	peers := map[string]string{}
	for _, g := range nodes {
		peers[g.node] = g.Address()
	}
	for _, g := range nodes {
		g.SetPeers(peers)
	}
}

func TestANodeThatComesBackAtAnotherAddressIsTheSame(t *testing.T) {
	nodes := cluster(t, 3)
	require.NoError(t, nodes[2].Close())
	back := start(t, "n2")
	require.NotEqual(t, nodes[2].Address(), back.Address())
	back.SetStatus(Status{Session: "new"})
	introduce(nodes[0], nodes[1], back)
	for _, g := range nodes[:2] {
		eventually(t, "it is known at its new address", func() bool {
			p := g.peer("n2")
			return p.Alive && p.Address == back.Address() && p.Status.Session == "new"
		})
	}
	eventually(t, "it has contact", func() bool { return !back.LastContact().IsZero() })
	for _, g := range []node{nodes[0], nodes[1], back} {
		require.Empty(t, g.Conflict(), "the old one did not answer")
	}
}

func TestANodeThatComesBackAtItsAddressIsTheSame(t *testing.T) {
	nodes := cluster(t, 3)
	nodes[2].SetStatus(Status{Session: "old"})
	eventually(t, "its status is known", func() bool { return nodes[0].peer("n2").Status.Session == "old" })
	require.NoError(t, nodes[2].Close())
	back := start(t, "n2", func(o *Options) { o.BindAddress = nodes[2].Address() })
	back.SetStatus(Status{Session: "new"})
	introduce(nodes[0], nodes[1], back)
	for _, g := range nodes[:2] {
		eventually(t, "its new status is known", func() bool { return g.peer("n2").Alive && g.peer("n2").Status.Session == "new" })
	}
	eventually(t, "it has contact", func() bool { return !back.LastContact().IsZero() })
}

func TestNodesWithDifferentKeysDoNotSeeEachOtherAndSayWhy(t *testing.T) {
	key := func(b byte) func(*Options) { return func(o *Options) { o.Key = bytes.Repeat([]byte{b}, 32) } }
	for name, other := range map[string]func(*Options){"another key": key(2), "no key": func(*Options) {}} {
		t.Run(name, func(t *testing.T) {
			a, b, c := start(t, "a", key(1)), start(t, "b", key(1)), start(t, "c", other)
			introduce(a, b, c)
			eventually(t, "those with the same key see each other", func() bool { return a.peer("b").Alive && !a.LastContact().IsZero() })
			const said = "gossip peer can't be decrypted"
			for _, g := range []node{a, c} {
				eventually(t, "both sides say it", func() bool { return g.logged(said) > 0 })
				require.Contains(t, g.log.FilterMessageSnippet(said).All()[0].ContextMap()["address"], "127.0.0.1:")
			}
			eventually(t, "it was tried several times", func() bool { return testutil.ToFloat64(c.failedJoins) >= 4 })
			require.Equal(t, 1, c.logged(said), "at most one line a minute")
			require.Empty(t, a.peer("c"))
			require.Empty(t, c.Peers())
			require.True(t, c.LastContact().IsZero())
			require.Zero(t, c.logged("gossip peer can't be reached"))
		})
	}
}

func TestAKeyOfAWrongLengthIsAnError(t *testing.T) {
	_, err := Start(Options{Node: "a", BindAddress: "127.0.0.1:0", Key: []byte("short")})
	require.ErrorContains(t, err, "key size must be 16, 24 or 32 bytes")
}

func TestClustersWithDifferentLabelsDoNotMix(t *testing.T) {
	label := func(l string) func(*Options) { return func(o *Options) { o.Label = l } }
	a, b, c := start(t, "a", label("prod")), start(t, "b", label("prod")), start(t, "c", label("test"))
	introduce(a, b, c)
	eventually(t, "those with the same label see each other", func() bool { return a.peer("b").Alive && b.peer("a").Alive })
	eventually(t, "the others are told apart", func() bool { return a.logged("a node of another cluster talks to this one") == 1 })
	eventually(t, "it was tried several times", func() bool { return testutil.ToFloat64(c.failedJoins) >= 4 })
	require.Empty(t, c.Peers())
	require.Empty(t, a.peer("c"))
}

func TestADeadAddressIsLoggedOnceAndOnceMoreWhenItWorks(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())

	a, b := start(t, "a"), start(t, "b")
	peers := map[string]string{"a": a.Address(), "b": b.Address(), "late": address, "nonsense": "no address"}
	a.SetPeers(peers)
	eventually(t, "dead addresses keep nobody from the others", func() bool { return a.peer("b").Alive })
	eventually(t, "it tries on", func() bool { return testutil.ToFloat64(a.failedJoins) >= 6 })
	a.SetPeers(peers)
	const said = "gossip peer can't be reached"
	require.Equal(t, 2, a.logged(said), "one line for each of the two addresses")

	late := start(t, "late", func(o *Options) { o.BindAddress = address })
	eventually(t, "the late one is found", func() bool { return a.peer("late").Alive })
	eventually(t, "which is said", func() bool { return a.logged("gossip peer reached") == 1 })
	require.Equal(t, 2, a.logged(said))
	require.Equal(t, address, late.Address())
}

func TestAddressesAreJoinedWithoutTheStoreUntilSomebodyIsSeen(t *testing.T) {
	a := start(t, "a")
	b := start(t, "b", func(o *Options) { o.Join = []string{a.Address()} })
	eventually(t, "they see each other", func() bool { return a.peer("b").Alive && b.peer("a").Alive })
	b.SetPeers(nil)
	require.NoError(t, a.Close())
	eventually(t, "it is dead", func() bool { return !b.peer("a").Alive })
	again := start(t, "again", func(o *Options) { o.BindAddress = a.Address() })
	eventually(t, "whoever comes there is found", func() bool { return b.peer("again").Alive && again.peer("b").Alive })
}

// stranger is a member of the cluster with metadata of its own.
type stranger struct {
	delegate
	meta []byte
}

func (s *stranger) NodeMeta(int) []byte { return s.meta }
func (s *stranger) NotifyMsg([]byte)    {}

func TestAPeerOfAnotherVersionIsAliveAndClaimsNothing(t *testing.T) {
	a := start(t, "a")
	config := memberlist.DefaultLocalConfig()
	config.Name, config.BindAddr, config.BindPort, config.LogOutput = "b", "127.0.0.1", 0, &bytes.Buffer{}
	says := &stranger{meta: []byte(`{"v":2,"s":{"id":7},"r":"yes"}`)}
	config.Delegate = says
	b, err := memberlist.Create(config)
	require.NoError(t, err)
	defer func() { require.NoError(t, b.Shutdown()) }()
	_, err = b.Join([]string{a.Address()})
	require.NoError(t, err)

	eventually(t, "it is alive", func() bool { return a.peer("b").Alive })
	require.Equal(t, Status{}, a.peer("b").Status)
	says.meta = []byte{0xff, 0}
	require.NoError(t, b.UpdateNode(time.Second))
	const said = "gossip peer speaks another version"
	eventually(t, "it is logged", func() bool { return a.logged(said) == 1 })

	says.meta = []byte(`{"v":1,"s":"x","new":"field"}`)
	require.NoError(t, b.UpdateNode(time.Second))
	eventually(t, "it can be understood", func() bool { return a.peer("b").Status.Session == "x" })
	require.Equal(t, 1, a.logged(said))

	// Packets that are no message of ours must not disturb.
	for _, text := range []string{"", "{", `{"v":9}`, `{"v":1,"k":"answer","from":"b","n":1}`, `{"v":1,"k":"ask","from":"nobody"}`, `{"v":1,"k":"clash","from":"b","name":"a","at":"x"}`} {
		require.NoError(t, b.SendReliable(&memberlist.Node{Name: "a", Addr: net.ParseIP("127.0.0.1"), Port: portOf(t, a.Address())}, []byte(text)))
	}
	require.True(t, a.LastContact().IsZero(), "an answer to no question is no evidence")
	c := start(t, "c")
	introduce(a, c)
	eventually(t, "it goes on", func() bool { return a.peer("c").Alive && !a.LastContact().IsZero() })
}

func portOf(t *testing.T, address string) uint16 {
	a, err := net.ResolveUDPAddr("udp", address)
	require.NoError(t, err)
	return uint16(a.Port)
}

func TestBadAddressesAreErrors(t *testing.T) {
	for _, c := range []struct{ bind, advertise, says string }{
		{"127.0.0.1", "", "missing port"},
		{"127.0.0.1:99999", "", "65535"},
		{"127.0.0.1:0", "0.0.0.0:7946", "nobody can reach"},
		{"127.0.0.1:0", "here", "missing port"},
		{"203.0.113.7:0", "", "listen for gossip on 203.0.113.7:0"},
	} {
		_, err := Start(Options{Node: "a", BindAddress: c.bind, AdvertiseAddress: c.advertise})
		require.ErrorContains(t, err, c.says, "%q %q", c.bind, c.advertise)
	}
	_, err := Start(Options{BindAddress: "127.0.0.1:0"})
	require.ErrorContains(t, err, "node name")
	g := start(t, "a", func(o *Options) { o.BindAddress, o.AdvertiseAddress = "localhost:0", "192.0.2.1:0" })
	host, port, err := net.SplitHostPort(g.Address())
	require.NoError(t, err)
	require.Equal(t, "192.0.2.1", host)
	require.NotEqual(t, "0", port)
}

func TestMetricsComeAndGoWithTheNode(t *testing.T) {
	registry := prometheus.NewRegistry()
	a, b := start(t, "a", func(o *Options) { o.Registerer = registry }), start(t, "b")
	introduce(a, b)
	eventually(t, "they have contact", func() bool { return !a.LastContact().IsZero() })
	count, err := testutil.GatherAndCount(registry, "gossip_members", "gossip_last_contact_age_seconds", "gossip_joins_failed_total", "gossip_isolated", "gossip_distrust", "gossip_name_conflict")
	require.NoError(t, err)
	require.Equal(t, 3+5, count)
	problems, err := testutil.GatherAndLint(registry)
	require.NoError(t, err)
	require.Empty(t, problems)

	_, err = Start(Options{Node: "c", BindAddress: "127.0.0.1:0", Registerer: registry})
	require.ErrorContains(t, err, "register metrics of gossip")
	require.NoError(t, a.Close())
	count, err = testutil.GatherAndCount(registry)
	require.NoError(t, err)
	require.Zero(t, count)
}
