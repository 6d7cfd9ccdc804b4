package web_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/actors/fault"
	"github.com/ringmaster-agent/ringmaster/actors/fault/faulttest"
	"github.com/ringmaster-agent/ringmaster/web"
)

// breakable is two nodes that can be broken, of which one has the page.
func breakable(t *testing.T) (http.Handler, map[string]*fault.Registry) {
	t.Helper()
	net, faults := network{}, map[string]*fault.Registry{}
	cluster := &fakeCluster{state: web.ClusterState{Members: []web.Member{
		{ID: "node-1", State: web.StateActive, Address: "node-1:80"}, {ID: "node-2", State: web.StateActive, Address: "node-2:80"},
	}}}
	for _, node := range []string{"node-1", "node-2"} {
		faults[node] = faulttest.New(t)
		net[node+":80"] = web.New(web.Options{Node: node, Faults: faults[node], Cluster: cluster, PeerClient: &http.Client{Transport: net}})
	}
	return net["node-1:80"], faults
}

func postForm(t *testing.T, h http.Handler, form url.Values, headers ...string) *http.Response {
	t.Helper()
	return call(t, h, "POST", "/chaos", form.Encode(), append([]string{"Content-Type", "application/x-www-form-urlencoded"}, headers...)...)
}

func TestTheChaosPageBreaksAndMendsAllNodes(t *testing.T) {
	h, faults := breakable(t)
	page := bodyOf(t, call(t, h, "GET", "/chaos", ""))
	require.Contains(t, page, `<a href="/chaos" aria-current="page">Chaos</a>`)
	require.Contains(t, page, "Nothing is broken on purpose.")
	for _, info := range fault.Points() {
		for _, action := range info.Actions {
			require.Contains(t, page, `<option value="`+string(info.Point)+" "+string(action)+`">`)
		}
	}

	form := url.Values{
		"what": {"actor.receive delay"}, "duration": {"30s"}, "name": {"<b>slow"}, "nodes": {"node-1, node-2"}, "units": {"app-*"}, "delay": {"100ms"},
		"probability": {"0.5"}, "everywhere": {"true"},
	}
	r := postForm(t, h, form)
	require.Equal(t, 303, r.StatusCode, bodyOf(t, r))
	require.Equal(t, "/chaos", r.Header.Get("Location"))
	for node, registry := range faults {
		rules := registry.Rules()
		require.Len(t, rules, 1, node)
		require.Equal(t, []string{"node-1", "node-2"}, rules[0].Nodes)
		require.InDelta(t, 0.5, rules[0].Probability, 0)
		require.Equal(t, "30s", rules[0].Duration.String())
		require.Equal(t, "100ms", rules[0].Delay.String())
	}
	page = bodyOf(t, call(t, h, "GET", "/chaos", ""))
	require.Contains(t, page, `<td data-label="Node">node-2</td><td data-label="Breaks">delay at actor.receive</td><td data-label="Scope">nodes node-1, node-2; units app-*; probability 0.5</td>`)
	require.NotContains(t, page, "<b>slow")
	shown := dataOf[map[string]any](t, call(t, h, "GET", "/chaos?format=json", ""))
	require.Len(t, shown["rules"], 2)

	require.Equal(t, 303, postForm(t, h, url.Values{"end": {"<b>slow"}}).StatusCode)
	require.Empty(t, append(faults["node-1"].Rules(), faults["node-2"].Rules()...))
	form.Del("everywhere")
	form.Set("guarded", "true")
	require.Equal(t, 303, postForm(t, h, form).StatusCode)
	require.Len(t, faults["node-1"].Rules(), 1)
	require.NotNil(t, faults["node-1"].Rules()[0].Guard)
	require.Empty(t, faults["node-2"].Rules())
	require.Equal(t, 303, postForm(t, h, url.Values{"clear": {"true"}}).StatusCode)
	require.Empty(t, faults["node-1"].Rules())
}

func TestTheChaosPagePassesOverNodesThatCannotBeBroken(t *testing.T) {
	net, faults := network{}, faulttest.New(t)
	cluster := &fakeCluster{}
	for _, node := range []string{"node-1", "node-2"} {
		cluster.state.Members = append(cluster.state.Members, web.Member{ID: node, State: web.StateActive, Address: node + ":80"})
	}
	client := &http.Client{Transport: net}
	net["node-1:80"] = web.New(web.Options{Node: "node-1", Faults: faults, Cluster: cluster, PeerClient: client})
	net["node-2:80"] = web.New(web.Options{Node: "node-2", Cluster: cluster, PeerClient: client})
	h := net["node-1:80"]
	form := url.Values{"what": {"actor.receive drop"}, "duration": {"30s"}, "name": {"lossy"}, "units": {"app-*"}, "everywhere": {"true"}}
	for _, form := range []url.Values{form, {"end": {"lossy"}}, {"clear": {"true"}}} {
		r := postForm(t, h, form)
		require.Equal(t, 303, r.StatusCode, "%v: %s", form, bodyOf(t, r))
	}
	type data struct{ Unreachable []struct{ Node string } }
	require.Len(t, dataOf[data](t, call(t, h, "POST", "/agent/api/v1/chaos/clear?nodes=all", "")).Unreachable, 1, "who asks for all nodes is told which did not do it")
	delete(net, "node-2:80")
	r := postForm(t, h, url.Values{"clear": {"true"}})
	require.Equal(t, 200, r.StatusCode)
	require.Contains(t, bodyOf(t, r), "connection refused", "a node that is silent may be broken")
}

func TestTheChaosPageSaysWhatIsWrongAndKeepsTheForm(t *testing.T) {
	h, faults := breakable(t)
	for _, test := range []struct {
		form url.Values
		want string
	}{
		{url.Values{"what": {"actor.receive delay"}, "duration": {"30s"}, "units": {"app-*"}}, "delay has a delay of 0s"},
		{url.Values{"what": {"actor.receive drop"}, "units": {"app-*"}}, "duration: it is 0s"},
		{url.Values{"what": {"actor.receive drop"}, "duration": {"2h"}, "units": {"app-*"}}, "duration: it is 2h0m0s"},
		{url.Values{"what": {"actor.receive drop"}, "duration": {"soon"}, "probability": {"often"}, "units": {"app-*"}}, "is no number"},
		{url.Values{"what": {"nowhere drop"}, "duration": {"30s"}, "units": {"app-*"}}, "there is no point"},
	} {
		r := postForm(t, h, test.form)
		page := bodyOf(t, r)
		require.Contains(t, page, test.want)
		require.Contains(t, page, `name="units" value="app-*"`)
	}
	require.Empty(t, faults["node-1"].Rules())
}

func TestTheChaosPageIsThereOnlyWithFaultsAndForItsOwnSite(t *testing.T) {
	plain := web.New(web.Options{})
	require.Equal(t, 404, call(t, plain, "GET", "/chaos", "").StatusCode)
	require.NotContains(t, bodyOf(t, call(t, plain, "GET", "/", "")), `"/chaos"`)
	h, faults := breakable(t)
	form := url.Values{"what": {"actor.receive drop"}, "duration": {"30s"}}
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example.org"}} {
		require.Equal(t, 403, postForm(t, h, form, header...).StatusCode)
	}
	require.Empty(t, faults["node-1"].Rules())
	require.Contains(t, call(t, h, "GET", "/chaos", "").Header.Get("Content-Security-Policy"), "form-action 'self'")
}
