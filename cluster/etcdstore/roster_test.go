package etcdstore

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
)

func threeMembers() map[string]string {
	return map[string]string{"a": "10.0.0.1:2380", "b": "10.0.0.2:2380", "c": "10.0.0.3:2380"}
}

func TestMistakesInAQuorumAreErrorsAtOnce(t *testing.T) {
	with := func(name, address string) map[string]string {
		m := threeMembers()
		m[name] = address
		return m
	}
	missing := filepath.Join(t.TempDir(), "missing")
	for _, test := range []struct {
		name   string
		quorum Quorum
		want   string
	}{
		{"no members", Quorum{Name: "a"}, "three, five or seven members, not 0"},
		{"one member", Quorum{Name: "a", Members: map[string]string{"a": "10.0.0.1:2380"}}, "not 1"},
		{"an even number", Quorum{Name: "a", Members: with("d", "10.0.0.4:2380")}, "not 4: an even number"},
		{"a name that is missing", Quorum{Name: "d", Members: threeMembers()}, `"d" is not among the members a, b, c`},
		{"no name", Quorum{Members: threeMembers()}, `"" is not among the members`},
		{"one address twice", Quorum{Name: "a", Members: with("c", "http://10.0.0.2:2380/")}, `"b" and "c" have the same address 10.0.0.2:2380`},
		{"one host name twice", Quorum{Name: "a", Members: map[string]string{"a": "A:1", "b": "a:1", "c": "c:1"}}, "same address a:1"},
		{"no port", Quorum{Name: "a", Members: with("b", "10.0.0.2")}, `member "b" at "10.0.0.2": want host:port`},
		{"no host", Quorum{Name: "a", Members: with("b", ":2380")}, "want host:port"},
		{"any port", Quorum{Name: "a", Members: with("b", "10.0.0.2:0")}, "want host:port"},
		{"any address", Quorum{Name: "a", Members: with("b", "0.0.0.0:2380")}, "others can't connect"},
		{"a path", Quorum{Name: "a", Members: with("b", "http://10.0.0.2:2380/x")}, "nothing behind"},
		{"a user", Quorum{Name: "a", Members: with("b", "http://u:p@10.0.0.2:2380")}, "nothing behind or before it"},
		{"TLS that is not set up", Quorum{Name: "a", Members: with("b", "https://10.0.0.2:2380")}, "want http://"},
		{"a name that etcd can't write", Quorum{Name: "a", Members: map[string]string{"a": "a:1", "b=": "b:1", "c": "c:1"}}, "spaces, commas or ="},
		{"listening on a name", Quorum{Name: "a", Members: threeMembers(), Listen: "host:2380"}, "want host:port with an IP address"},
		{"listening on no port", Quorum{Name: "a", Members: threeMembers(), Listen: "10.0.0.1"}, "want host:port with an IP address"},
		{"TLS without a key", Quorum{Name: "a", Members: threeMembers(), TLS: &PeerTLS{CertFile: missing}}, "a certificate and its key"},
		{"TLS without files", Quorum{Name: "a", Members: threeMembers(), TLS: &PeerTLS{CertFile: missing, KeyFile: missing}}, "no such file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := StartEmbedded(t.Context(), EmbeddedConfig{Dir: t.TempDir(), Quorum: &test.quorum})
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestAMemberListensWhereItIsReached(t *testing.T) {
	for _, test := range []struct{ own, listen, want string }{
		{"10.0.0.1:2380", "", "10.0.0.1:2380"},
		{"[::1]:2380", "", "[::1]:2380"},
		{"localhost:2380", "", "localhost:2380"},
		{"agent-0.example.org:2380", "", "0.0.0.0:2380"},
		{"agent-0.example.org:2380", "127.0.0.1:12380", "127.0.0.1:12380"},
	} {
		members := threeMembers()
		members["a"] = test.own
		r, err := (&Quorum{Name: "a", Members: members, Listen: test.listen}).check()
		require.NoError(t, err)
		require.Equal(t, url.URL{Scheme: "http", Host: test.want}, r.listen)
		require.Equal(t, "http://"+test.own, r.peers["a"])
	}
}

func TestWhetherAMemberWithAnEmptyDirectoryMayStart(t *testing.T) {
	r := rosterOf(t, "a", DefaultToken)
	waits := func(name string) answer {
		return answer{waiting: &waiting{Name: name, Members: r.peers, Token: r.token}}
	}
	// runs is what a member of the cluster says, in which the named ones have been started.
	runs := func(started ...string) answer {
		a := answer{cluster: r.cluster.ID().String()}
		for _, name := range []string{"a", "b", "c"} {
			m := r.cluster.MemberByName(name)
			for _, s := range started {
				if s == name {
					m.ClientURLs = m.PeerURLs
				}
			}
			a.members = append(a.members, m)
		}
		return a
	}
	change := func(a answer, change func(a *answer)) answer {
		change(&a)
		return a
	}
	replaced := change(runs("b", "c"), func(a *answer) { a.members[0].ID = types.ID(7) })
	out := change(runs("b", "c"), func(a *answer) { a.members = a.members[1:] })
	silent := answer{err: errors.New("connection refused")}
	for _, test := range []struct {
		name    string
		b, c    answer
		wait    bool
		doubt   bool
		join    bool
		problem string
	}{
		{name: "nobody answers", b: silent, c: silent, wait: true},
		{name: "one is silent", b: waits("b"), c: silent, wait: true},
		{name: "all wait", b: waits("b"), c: waits("c")},
		{name: "one runs already", b: runs(), c: waits("c")},
		{name: "both run already", b: runs("b", "c"), c: runs("b", "c")},
		{name: "the silent one might know better", b: runs("b"), c: silent, wait: true},
		{name: "all know this member", b: runs("a", "b"), c: runs("a", "b", "c"), problem: ErrDataLost.Error()},
		{name: "one knows this member, and the silent one might know of its replacement", b: runs("a", "b"), c: silent, doubt: true, problem: ErrDataLost.Error()},
		{name: "one knows this member, another is behind", b: runs(), c: runs("a", "b", "c"), doubt: true, problem: ErrDataLost.Error()},
		{name: "this member was replaced", b: replaced, c: silent, join: true},
		{name: "this member was replaced, which one has not heard yet", b: runs("a", "b"), c: replaced, doubt: true, join: true},
		{name: "this member was replaced, of which one has heard half", b: out, c: replaced, doubt: true, join: true},
		{
			name: "this member was replaced and lost its data again",
			b:    change(replaced, func(a *answer) { a.members = clone(a.members); a.members[0].ClientURLs = []string{"x"} }), c: silent,
			doubt: true, problem: ErrDataLost.Error(),
		},
		{name: "this member was taken out, and one is silent", b: out, c: silent, doubt: true, problem: "member b says that this one"},
		{name: "this member was taken out", b: out, c: out, problem: "member b, c says that this one, at http://10.0.0.1:2380, was taken out"},
		{name: "two members of one name", b: waits("c"), c: waits("c"), problem: "is a member that calls itself c"},
		{
			name: "another list", b: silent, c: change(waits("c"), func(a *answer) {
				a.waiting.Members = map[string]string{"a": "http://10.0.0.1:2380", "c": "http://10.0.0.3:2380", "x": "http://10.0.0.9:2380"}
			}), problem: "member c has another list of members: a=http://10.0.0.1:2380,c=http://10.0.0.3:2380,x=http://10.0.0.9:2380",
		},
		{
			name: "another token", b: silent, c: change(waits("c"), func(a *answer) { a.waiting.Token = "other" }),
			problem: `member c has another token: "other"`,
		},
		{
			name: "another cluster's members", b: change(runs("b"), func(a *answer) { a.members = clone(a.members); a.members[0].PeerURLs = []string{"http://x:1"} }),
			c: silent, problem: "member b belongs to a cluster of other members",
		},
		{name: "another cluster", b: change(runs("b"), func(a *answer) { a.cluster = "7" }), c: silent, problem: "another cluster"},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := r.decide(map[string]answer{"b": test.b, "c": test.c})
			if test.problem != "" {
				require.ErrorContains(t, v.refusal, test.problem)
			} else {
				require.NoError(t, v.refusal)
			}
			require.Equal(t, test.wait, v.wait)
			require.Equal(t, test.join, v.join)
			require.Equal(t, test.doubt, !v.agreed)
		})
	}
}

func TestAReplacedMemberWaitsForThoseThatHaveNotHeardOfIt(t *testing.T) {
	addresses := map[string]string{"a": freeAddress(t)}
	var members [2]atomic.Pointer[[]*membership.Member] // what b and c answer
	var id string
	for i, name := range []string{"b", "c"} {
		addresses[name] = listenHTTP(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Etcd-Cluster-ID", id)
			_ = json.NewEncoder(w).Encode(members[i].Load())
		})
	}
	r, err := (&Quorum{Name: "a", Members: addresses}).check()
	require.NoError(t, err)
	id = r.cluster.ID().String()
	replaced := clone(r.cluster.Members())
	memberAt(replaced, r.peers["a"]).ID = types.ID(7)
	behind := slices.DeleteFunc(clone(replaced), func(m *membership.Member) bool { return m.ID == 7 })
	members[0].Store(&replaced)
	members[1].Store(&behind)

	logger, lines := observe()
	var heard atomic.Bool
	var news sync.WaitGroup
	news.Go(func() {
		for lines.FilterMessage(doubtMessage).Len() == 0 && sleep(t.Context(), 10*time.Millisecond) {
		}
		members[1].Store(&replaced)
		heard.Store(true)
	})
	defer news.Wait()
	join, err := r.form(t.Context(), t.TempDir(), logger)
	require.NoError(t, err)
	require.True(t, join)
	require.True(t, heard.Load(), "it started before c had heard of it, and etcd might have asked c")
}

// A member that is killed right after its first start may have the others only in its log, which it
// reads when it runs.
func TestAMemberThatKnowsFewOfItsOwnClusterIsNoStranger(t *testing.T) {
	r := rosterOf(t, "a", DefaultToken)
	own := r.cluster.ID().String()
	all := r.cluster.Members()
	for known := range len(all) + 1 {
		require.Empty(t, r.differs(all[:known], own), known)
		require.Equal(t, len(all)-known > 1, r.incomplete(all[:known], own), known)
	}
	require.Contains(t, r.differs(all[:1], "7"), "the list here says a=", "nobody knows that it is the same cluster")
	require.False(t, r.incomplete(all[:1], "7"))
	elsewhere := all[1].Clone()
	elsewhere.PeerURLs = []string{"http://elsewhere:2380"}
	stranger := []*membership.Member{all[0], elsewhere}
	require.Contains(t, r.differs(stranger, own), "http://elsewhere:2380")
	require.False(t, r.incomplete(stranger, own))
}

func TestAMemberThatKnowsFewOfItsOwnClusterIsStarting(t *testing.T) {
	r := rosterOf(t, "a", DefaultToken)
	knows := []*membership.Member{r.cluster.MemberByName("a")}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Etcd-Cluster-ID", r.cluster.ID().String())
		_ = json.NewEncoder(w).Encode(knows)
	}))
	defer server.Close()
	for _, name := range r.others() {
		r.peers[name] = server.URL
	}
	rt, err := r.transport()
	require.NoError(t, err)
	for name, a := range r.askAll(t.Context(), rt) {
		require.ErrorIs(t, a.err, errStarting, name)
	}
}

func TestADirectoryOfAnotherClusterIsRefused(t *testing.T) {
	t.Run("a lone agent's", func(t *testing.T) {
		q := newQuorum(t)
		s := startEmbedded(t, EmbeddedConfig{Dir: q.confs["a"].Dir})
		require.NoError(t, s.Close())
		require.ErrorContains(t, q.start(t.Context(), "a"), "the directory belongs to a cluster of other members: it has members at http://127.0.0.1:2380")
	})
	q := formQuorum(t)
	for _, name := range q.names {
		put(t, q.stores[name], name)
	}
	for _, name := range q.names {
		q.stop(t, name)
	}
	t.Run("a quorum's, for a lone agent", func(t *testing.T) {
		_, err := StartEmbedded(t.Context(), EmbeddedConfig{Dir: q.confs["a"].Dir, noSync: true})
		require.ErrorContains(t, err, "that of a member of a quorum of 3")
	})
	t.Run("another member's", func(t *testing.T) {
		conf := q.confs["a"]
		conf.Dir = q.confs["b"].Dir
		_, err := StartEmbedded(t.Context(), conf)
		require.ErrorContains(t, err, "the directory is that of the member at "+"http://"+conf.Quorum.Members["b"])
	})
	t.Run("another list's", func(t *testing.T) {
		conf := q.confs["a"]
		changed := *conf.Quorum
		changed.Members = maps.Clone(changed.Members)
		changed.Members["b"], changed.Members["c"] = freeAddress(t), freeAddress(t)
		conf.Quorum = &changed
		_, err := StartEmbedded(t.Context(), conf)
		require.ErrorContains(t, err, "the list here says a=")
	})
}

// listenHTTP serves HTTP until the end of the test, and returns the address.
func listenHTTP(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func rosterOf(t *testing.T, name, token string) *roster {
	t.Helper()
	r, err := (&Quorum{Name: name, Members: threeMembers(), Token: token}).check()
	require.NoError(t, err)
	return r
}

func clone(members []*membership.Member) []*membership.Member {
	var all []*membership.Member
	for _, m := range members {
		all = append(all, m.Clone())
	}
	return all
}
