package web_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/web"
)

func TestTheFlowSaysWhereItIsStuckAndWhy(t *testing.T) {
	type flow struct {
		Stages []struct{ Name, Tone, Reason string }
		Total  struct{ Configs map[string]int }
	}
	tones := func(path string) map[string]string {
		found := map[string]string{}
		for _, stage := range dataOf[flow](t, call(t, aSite(t), "GET", path, "")).Stages {
			found[stage.Name] = strings.TrimSuffix(stage.Tone+": "+stage.Reason, ": ")
		}
		return found
	}
	all := tones("/flow?format=json")
	require.Equal(t, "wrong: orphan is unowned", all["Configs"])
	require.Contains(t, all["Targets"], "wrong: http://", "one of those that are down")
	require.Equal(t, "wrong: server returned 400: out of order <sample>", all["http://receiver/push"])
	require.Empty(t, all["Discovery"])

	one := tones("/flow?format=json&config=" + url.QueryEscape(markup))
	require.Empty(t, one["Config"], "it runs; what is wrong with it is told where it is wrong")
	require.Contains(t, one["Targets"], "connection refused")
	require.Contains(t, one["main http://receiver/push"], "out of order")
	require.Contains(t, tones("/flow?format=json&config=sick")["Config"], "wrong: sick is quarantined: open wal: no space")
	require.Equal(t, 404, call(t, aSite(t), "GET", "/flow?config=nobody", "").StatusCode)

	page := bodyOf(t, call(t, aSite(t), "GET", "/flow", ""))
	require.Contains(t, page, `<rect class="stage wrong"`)
	require.Contains(t, page, "Samples are stuck, or late, at Configs, Targets")
	require.Equal(t, 2, strings.Count(page, `<svg class="flow`), "for wide screens, and for narrow ones")
	well := web.New(web.Options{Instances: fakeInstances{instances: []web.Instance{{Name: "a", Phase: "running", Endpoints: []web.Endpoint{{URL: "http://r/", LastSuccess: now}}}}},
		Inspector: fakeInspector{discovered: []web.DiscoveredJob{{Config: "a", Job: "j", Kept: 1}}}, Now: clock})
	require.Contains(t, bodyOf(t, call(t, well, "GET", "/flow", "")), "Samples flow through every stage.")
	nothing := web.New(web.Options{Instances: fakeInstances{instances: []web.Instance{{Name: "a", Phase: "running"}}},
		Inspector: fakeInspector{discovered: []web.DiscoveredJob{{Config: "a", Job: "j", Dropped: 3}}}, Now: clock})
	require.Contains(t, bodyOf(t, call(t, nothing, "GET", "/flow?config=a", "")), "the rules drop everything that was discovered")
}

// A unit that one node has given up and of which the next has not heard yet is nobody's for a
// moment: each believes that the other answers for it.
func TestTheFlowKnowsAConfigThatNoNodeAnswersFor(t *testing.T) {
	net := network{}
	for node, other := range map[string]string{"a": "b", "b": "a"} {
		net[node+":80"] = web.New(web.Options{
			Node: node, Now: clock, PeerClient: &http.Client{Transport: net}, Instances: fakeInstances{},
			Configs: newFakeConfigs(map[string]string{"moving": aConfig, "uploaded": aConfig}),
			Cluster: &fakeCluster{state: web.ClusterState{
				Members: []web.Member{{ID: "a", State: web.StateActive, Address: "a:80"}, {ID: "b", State: web.StateActive, Address: "b:80"}},
				Units:   []web.Unit{{Config: "moving", Owner: other, ClaimedBy: other, Epoch: 7}},
			}},
		})
	}
	for name, expected := range map[string]struct{ lines, reason string }{
		"moving":   {"0 of 1 unit running", "moving is waiting: no node answers for it at this moment"},
		"uploaded": {"0 of 0 units running", "no node has read it yet"},
	} {
		page := bodyOf(t, call(t, net["a:80"], "GET", "/flow?config="+name, ""))
		require.Contains(t, page, expected.lines, name)
		require.Contains(t, page, expected.reason, name)
	}
	require.Equal(t, http.StatusNotFound, call(t, net["a:80"], "GET", "/flow?config=nobody", "").StatusCode)
	require.Equal(t, http.StatusNotFound, call(t, net["a:80"], "GET", "/flow?config=no%20name", "").StatusCode)
}

func TestTheFlowHasTheRatesOfAllNodes(t *testing.T) {
	net, fake := network{}, &fakeCluster{}
	for _, node := range []string{"a", "b"} {
		fake.state.Members = append(fake.state.Members, web.Member{ID: node, State: web.StateActive, Address: node + ":80"})
		net[node+":80"] = web.New(web.Options{
			Node: node, Cluster: fake, Now: clock, PeerClient: &http.Client{Transport: net},
			Instances: fakeInstances{instances: []web.Instance{{Name: "c" + node, Phase: "running", Endpoints: []web.Endpoint{
				{Name: "x", URL: "http://x/", LastSuccess: now}, {Name: "y", URL: "http://y/", LastSuccess: now},
			}}}},
			Rates: func(_, _ string, e *web.Endpoint, _ time.Time) (web.Rates, bool) {
				return web.Rates{Sent: 90, Logged: 100}, e.Name == "x" || node == "a"
			},
		})
	}
	type flow struct {
		Stages []struct {
			Name  string
			Lines []string
		}
	}
	lines := map[string]string{}
	for _, stage := range dataOf[flow](t, call(t, net["a:80"], "GET", "/flow?format=json", "")).Stages {
		lines[stage.Name] = strings.Join(stage.Lines, ", ")
	}
	require.Contains(t, lines["http://x/"], "180 samples/s")
	require.Contains(t, lines["http://y/"], "rate not known yet", "one node does not know its part")
	require.Equal(t, "rate not known yet", lines["Scrape"])
	lines = map[string]string{}
	for _, stage := range dataOf[flow](t, call(t, net["a:80"], "GET", "/flow?format=json&config=ca", "")).Stages {
		lines[stage.Name] = strings.Join(stage.Lines, ", ")
	}
	require.Equal(t, "100 samples/s", lines["Scrape"], "what two endpoints get was scraped once")
}

func TestRatesAreThoseOfTheLastHalfMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		h := &web.History{}
		at := func(sent uint64) *web.Endpoint {
			return &web.Endpoint{Name: "e", URL: "http://r/", Sent: sent, Pending: 10}
		}
		go h.Run(ctx, fakeInstances{instances: []web.Instance{{Name: "a", Endpoints: []web.Endpoint{*at(1000)}}}})
		rates := func(sent uint64) (web.Rates, bool) { return h.Rates("a", "", at(sent), time.Now()) }
		_, known := rates(2000)
		require.False(t, known, "nothing is known at the start")
		<-time.After(web.HistoryStep + time.Second)
		_, known = rates(2000)
		require.False(t, known, "a second is too short")
		<-time.After(9 * time.Second)
		got, known := rates(2000)
		require.True(t, known)
		require.Equal(t, web.Rates{Sent: 100, Logged: 100}, got)
		_, known = rates(999)
		require.False(t, known, "it has begun again")
		_, known = h.Rates("a", "slice 1", at(2000), time.Now())
		require.False(t, known)
		<-time.After(21 * time.Second) // a second after the second step
		got, known = rates(4100)
		require.True(t, known)
		require.Equal(t, web.Rates{Sent: 100, Logged: 100}, got, "over the step before")
		cancel()
		synctest.Wait()
	})
}
