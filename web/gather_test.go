package web_test

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/web"
)

const (
	targetsPath   = "/agent/api/v1/cluster/targets"
	instancesPath = "/agent/api/v1/cluster/instances"
)

type missing struct{ Node, Error string }

type targetPage struct {
	Node  string
	Items []struct {
		Node string
		web.Target
	}
	Total       int
	Next        string
	Unreachable []missing
}

type instancePage struct {
	Items []struct {
		Node string
		web.Instance
	}
	Total       int
	Unreachable []missing
}

// nodes are servers that know each other, over a network of their own; each node's address is its
// name and port 80.
func nodes(parts map[string]fakeInstances) (network, *fakeCluster) {
	fake := &fakeCluster{}
	for name := range parts {
		fake.state.Members = append(fake.state.Members, web.Member{ID: name, State: web.StateActive, Address: name + ":80"})
	}
	net := network{}
	for name, part := range parts {
		net[name+":80"] = web.New(web.Options{Node: name, Cluster: fake, Instances: part, PeerClient: &http.Client{Transport: net}})
	}
	return net, fake
}

func targetOf(instance, job string, i int, state string) web.Target {
	return web.Target{
		Instance: instance, TargetGroup: job, Endpoint: fmt.Sprintf("http://host:%d/metrics", i/2), State: state,
		Labels: labels.FromStrings("job", job, "half", fmt.Sprint(i%2)), DiscoveredLabels: labels.EmptyLabels(),
	}
}

func TestAllTargetsOfTheClusterComeInPagesThatMissAndRepeatNothing(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		parts := map[string]fakeInstances{"a": {}, "b": {}, "c": {}}
		want := map[string]bool{}
		for i := range rnd.IntN(60) {
			node := []string{"a", "b", "c"}[rnd.IntN(3)]
			target := targetOf([]string{"x", "y"}[rnd.IntN(2)], []string{"j", "k"}[rnd.IntN(2)], i, "up")
			part := parts[node]
			part.targets = append(part.targets, target)
			parts[node] = part
			want[fmt.Sprint(node, target.Instance, target.TargetGroup, target.Endpoint, target.Labels)] = true
		}
		net, _ := nodes(parts)
		got, after := map[string]bool{}, ""
		var order []string
		for {
			// Any node may be asked for any page.
			s := net[[]string{"a:80", "b:80", "c:80"}[rnd.IntN(3)]]
			page := dataOf[targetPage](t, call(t, s, "GET", fmt.Sprintf("%s?limit=%d&after=%s", targetsPath, 1+rnd.IntN(10), after), ""))
			require.Empty(t, page.Unreachable)
			require.Equal(t, len(want), page.Total)
			for _, item := range page.Items {
				key := fmt.Sprint(item.Node, item.Instance, item.TargetGroup, item.Endpoint, item.Labels)
				require.False(t, got[key], "seed %d: %s comes twice", seed, key)
				got[key] = true
				order = append(order, item.Instance+"\x00"+item.TargetGroup+"\x00"+item.Endpoint)
			}
			if after = page.Next; after == "" {
				break
			}
		}
		require.Equal(t, want, got, "seed %d", seed)
		require.True(t, slices.IsSorted(order), "seed %d", seed)
	}
}

func TestTargetsAreFilteredOnEveryNode(t *testing.T) {
	net, _ := nodes(map[string]fakeInstances{
		"a": {targets: []web.Target{targetOf("x", "j", 0, "up"), targetOf("x", "k", 2, "down")}},
		"b": {targets: []web.Target{targetOf("x", "j", 4, "down"), targetOf("y", "j", 6, "unknown")}},
	})
	for query, want := range map[string]int{"": 4, "state=down": 2, "state=unknown": 1, "instance=x": 3, "job=j": 3, "instance=x&job=j&state=down": 1, "instance=z": 0} {
		page := dataOf[targetPage](t, call(t, net["a:80"], "GET", targetsPath+"?"+query, ""))
		require.Len(t, page.Items, want, query)
		require.Equal(t, want, page.Total, query)
	}
}

func TestInstancesOfAllNodesAreOneList(t *testing.T) {
	net, _ := nodes(map[string]fakeInstances{
		"a": {instances: []web.Instance{{Name: "x", Phase: "running"}, {Name: "z", Phase: "running", Quarantined: true, LastError: "open wal"}}},
		"b": {instances: []web.Instance{{Name: "x", Phase: "preparing", Hold: "waiting for a"}}},
	})
	golden(t, "cluster_instances.json", indented(t, bodyOf(t, call(t, net["b:80"], "GET", instancesPath, ""))))
	page := dataOf[instancePage](t, call(t, net["b:80"], "GET", instancesPath+"?quarantined=true", ""))
	require.Len(t, page.Items, 1)
	require.Equal(t, "a", page.Items[0].Node)
	require.Equal(t, "open wal", page.Items[0].LastError)
	page = dataOf[instancePage](t, call(t, net["b:80"], "GET", instancesPath+"?quarantined=false", ""))
	require.Equal(t, 2, page.Total)
}

// answering is a peer that does something of its own.
func answering(status int, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "http://elsewhere:80/")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

func TestANodeThatDoesNotAnswerAsItShouldIsNamedAndTheRestIsShown(t *testing.T) {
	for name, tc := range map[string]struct {
		handler http.Handler
		member  web.Member
		want    string
	}{
		"is not there":               {want: "connection refused"},
		"has no such endpoint":       {handler: answering(404, "not found"), want: "it answered 404 Not Found"},
		"refuses":                    {handler: answering(401, `{"status":"error","data":{"error":"who are you\nmore"}}`), want: "it answered 401 Unauthorized: who are you"},
		"sends us elsewhere":         {handler: answering(302, ""), want: "it answered 302 Found"},
		"is no agent":                {handler: answering(200, "<html>"), want: "read its answer"},
		"answers something else":     {handler: answering(200, `{"status":"success","data":{"items":7}}`), want: "read its answer"},
		"is somebody else":           {handler: answering(200, `{"status":"success","data":{"node":"c"}}`), want: `node "c" answers at its address`},
		"never ends":                 {handler: answering(200, strings.Repeat(" ", 17<<20)), want: "too large"},
		"has no address":             {member: web.Member{ID: "b"}, want: "not host:port"},
		"has a path for an address":  {member: web.Member{ID: "b", Address: "b:80/x"}, want: "not host:port"},
		"has an address with a user": {member: web.Member{ID: "b", Address: "u@b:80"}, want: "address"},
		"has a strange scheme":       {member: web.Member{ID: "b", Scheme: "file", Address: "b:80"}, want: `the scheme "file"`},
		"has an unreadable record":   {member: web.Member{ID: "b", Problem: "version 2"}, want: "version 2"},
	} {
		t.Run(name, func(t *testing.T) {
			net, fake := nodes(map[string]fakeInstances{"a": {targets: []web.Target{targetOf("x", "j", 0, "up")}}, "b": {}})
			delete(net, "b:80")
			if tc.handler != nil {
				net["b:80"] = tc.handler
			}
			net["elsewhere:80"] = answering(200, `{"status":"success","data":{"node":"b"}}`)
			if tc.member.ID != "" {
				fake.state.Members = []web.Member{{ID: "a", Address: "a:80"}, tc.member}
			}
			page := dataOf[targetPage](t, call(t, net["a:80"], "GET", targetsPath, ""))
			require.Len(t, page.Items, 1)
			require.Len(t, page.Unreachable, 1)
			require.Equal(t, "b", page.Unreachable[0].Node)
			require.Contains(t, page.Unreachable[0].Error, tc.want)
			require.NotContains(t, page.Unreachable[0].Error, "\n")
		})
	}
}

func TestNodesThatHangCostNoMoreThanTheTimeoutTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parts := map[string]fakeInstances{"a": {}}
		for i := range 50 {
			parts[fmt.Sprintf("h%02d", i)] = fakeInstances{}
		}
		net, _ := nodes(parts)
		for host := range net {
			if host != "a:80" {
				net[host] = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
			}
		}
		began := time.Now()
		page := dataOf[targetPage](t, call(t, net["a:80"], "GET", targetsPath, ""))
		require.Len(t, page.Unreachable, 50)
		for _, u := range page.Unreachable {
			require.Equal(t, "it did not answer in time", u.Error)
		}
		require.Equal(t, web.DefaultPeerTimeout, time.Since(began))
	})
}

func TestARequestOfANodeIsAnsweredByOneNodeOnly(t *testing.T) {
	net, fake := nodes(map[string]fakeInstances{"a": {targets: []web.Target{targetOf("x", "j", 0, "up")}}, "b": {targets: []web.Target{targetOf("y", "j", 0, "up")}}})
	page := dataOf[targetPage](t, call(t, net["a:80"], "GET", targetsPath, "", "Ringmaster-Asked-By", "b"))
	require.Len(t, page.Items, 1)
	require.Equal(t, "a", page.Node)

	fake.known = false
	fake.state.Units = []web.Unit{{Config: "x", Owner: "a", ClaimedBy: "b"}}
	r := call(t, net["a:80"], "POST", "/agent/api/v1/metrics/instance/x/retry", "", "Ringmaster-Asked-By", "b")
	require.Equal(t, 404, r.StatusCode)
	require.Equal(t, []string{"x"}, fake.retried)
}

// recorded remembers what a peer was asked.
type recorded struct {
	next     http.Handler
	requests []*http.Request
}

func (r *recorded) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r.requests = append(r.requests, request)
	r.next.ServeHTTP(w, request)
}

func TestTheCallersAuthorizationGoesAlongButNotFromTLSToPlainText(t *testing.T) {
	for _, tc := range []struct {
		scheme string
		secure bool
		want   string
	}{
		{"http", false, "Bearer t0ken"},
		{"https", true, "Bearer t0ken"},
		{"https", false, "Bearer t0ken"},
		{"http", true, ""},
	} {
		net, fake := nodes(map[string]fakeInstances{"a": {}, "b": {}})
		for i := range fake.state.Members {
			fake.state.Members[i].Scheme = tc.scheme
		}
		peer := &recorded{next: net["b:80"]}
		net["b:80"] = peer
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://a:80"+targetsPath, http.NoBody)
		require.NoError(t, err)
		request.Header.Set("Authorization", "Bearer t0ken")
		request.Header.Set("Cookie", "secret")
		if tc.secure {
			request.URL.Scheme, request.TLS = "https", &tls.ConnectionState{}
		}
		_, err = net.RoundTrip(request)
		require.NoError(t, err)
		require.Len(t, peer.requests, 1)
		require.Equal(t, tc.want, peer.requests[0].Header.Get("Authorization"), "%+v", tc)
		require.Empty(t, peer.requests[0].Header.Get("Cookie"))
		require.Equal(t, "a", peer.requests[0].Header.Get("Ringmaster-Asked-By"))
	}
}

type retried struct {
	Retried     []string
	Unreachable []missing
}

func TestARetryReachesTheNodesThatRunTheConfigOrShould(t *testing.T) {
	const path = "/agent/api/v1/metrics/instance/team%2Fa/retry"
	here, owner, claimant, stranger := &fakeCluster{}, &fakeCluster{known: true}, &fakeCluster{known: true}, &fakeCluster{known: true}
	net := network{}
	client := &http.Client{Transport: net}
	for name, fake := range map[string]*fakeCluster{"owner": owner, "claimant": claimant, "stranger": stranger} {
		net[name+":80"] = web.New(web.Options{Node: name, Cluster: fake, PeerClient: client})
		here.state.Members = append(here.state.Members, web.Member{ID: name, Address: name + ":80"})
	}
	here.state.Units = []web.Unit{{Config: "team/a", Owner: "owner", ClaimedBy: "claimant"}, {Config: "b", Owner: "stranger", ClaimedBy: "stranger"}}
	s := web.New(web.Options{Node: "here", Cluster: here, PeerClient: client})

	got := dataOf[retried](t, call(t, s, "POST", path, ""))
	require.Equal(t, []string{"claimant", "owner"}, got.Retried)
	require.Equal(t, []string{"team/a"}, owner.retried)
	require.Equal(t, []string{"team/a"}, claimant.retried)
	require.Empty(t, stranger.retried)

	here.known, owner.known = true, false
	got = dataOf[retried](t, call(t, s, "POST", path, ""))
	require.Equal(t, []string{"claimant", "here"}, got.Retried, "a node that has not come to it yet is no failure")
	require.Empty(t, got.Unreachable)

	claimant.err = errors.New("sick")
	got = dataOf[retried](t, call(t, s, "POST", path, ""))
	require.Equal(t, []string{"here"}, got.Retried)
	require.Equal(t, "claimant", got.Unreachable[0].Node)

	here.known = false
	r := call(t, s, "POST", path, "")
	require.Equal(t, 502, r.StatusCode)
	require.Contains(t, errorOf(t, r), `instance "team/a" is on node "claimant"`)
	require.Equal(t, 404, call(t, s, "POST", "/agent/api/v1/metrics/instance/nobody/retry", "").StatusCode)
	require.Equal(t, 400, call(t, s, "POST", "/agent/api/v1/metrics/instance/../retry", "").StatusCode)
	require.Equal(t, 405, call(t, s, "GET", path, "").StatusCode)
	require.Equal(t, 403, call(t, s, "POST", path, "", "Origin", "http://evil.example").StatusCode)
}

// Whatever is given as a cursor: it is refused or it is one, and no page shows what is not after it.
func FuzzCursors(f *testing.F) {
	f.Add("")
	f.Add("d2ViADAwMDAwMDA5ADAwMDAwMDAw")
	f.Add("AAA")
	f.Add("w\xff")
	f.Fuzz(func(t *testing.T, after string) {
		s := web.New(web.Options{Cluster: aCluster()})
		r := call(t, s, "GET", "/agent/api/v1/cluster/units?limit=2&after="+url.QueryEscape(after), "")
		if r.StatusCode == http.StatusBadRequest {
			errorOf(t, r)
			return
		}
		page := dataOf[unitPage](t, r)
		require.LessOrEqual(t, len(page.Items), 2)
		if page.Next != "" {
			require.NotEqual(t, after, page.Next, "a walk ends")
		}
	})
}

// A page of targets is made of few of them where counting tells which. A search that everything
// matches has all of them looked at.
func TestAPageOfSomeTargetsIsThatOfAllTargets(t *testing.T) {
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		parts := map[string]fakeInstances{"a": {}, "b": {}}
		for i := range 80 {
			node := []string{"a", "b"}[rnd.IntN(2)]
			part := parts[node]
			target := targetOf(fmt.Sprint("config", rnd.IntN(9)), []string{"j", "k"}[rnd.IntN(2)], i, []string{"up", "down", "unknown"}[rnd.IntN(3)])
			target.Unit = []string{"", "slice 1"}[rnd.IntN(2)]
			part.targets = append(part.targets, target)
			parts[node] = part
		}
		net, _ := nodes(parts)
		for _, query := range []string{"", "sort=state", "sort=config", "state=down", "state=down&sort=state", "state=up&sort=config", "instance=config3&sort=state", "node=a&sort=state"} {
			after := ""
			for {
				page := fmt.Sprintf("%s?limit=%d&after=%s&%s", targetsPath, 1+rnd.IntN(12), after, query)
				some := bodyOf(t, call(t, net["a:80"], "GET", page, ""))
				require.JSONEq(t, bodyOf(t, call(t, net["a:80"], "GET", page+"&q=http", "")), some, "seed %d: %s", seed, page)
				var answer struct{ Data targetPage }
				require.NoError(t, json.Unmarshal([]byte(some), &answer))
				if after = answer.Data.Next; after == "" {
					break
				}
			}
		}
	}
}
