package web_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/web"
)

func TestOrdersReachTheClusterWithWhoGivesThemAndWhy(t *testing.T) {
	fake := aCluster()
	s := web.New(web.Options{Node: "node-1", Cluster: fake})
	const prefix = "/agent/api/v1/"
	for _, test := range []struct {
		path, body string
		headers    []string
		want       web.Order
	}{
		{"config/web/hold", `{"reason": "it floods the receiver", "by": "ann"}`, nil, web.Order{Kind: web.HoldConfig, Name: "web", Reason: "it floods the receiver", By: "ann"}},
		{"config/team%2Fweb/release", "", nil, web.Order{Kind: web.ReleaseConfig, Name: "team/web", By: "192.0.2.1"}},
		{"cluster/nodes/node-2/cordon", `{}`, []string{"Authorization", "Basic YmVydDpzZWNyZXQ="}, web.Order{Kind: web.CordonNode, Name: "node-2", By: "bert"}},
		{"cluster/nodes/node-2/drain", `{"force": true}`, nil, web.Order{Kind: web.DrainNode, Name: "node-2", Force: true, By: "192.0.2.1"}},
		{"cluster/nodes/node-2/uncordon", "", nil, web.Order{Kind: web.UncordonNode, Name: "node-2", By: "192.0.2.1"}},
	} {
		fake.ordered = nil
		r := call(t, s, "POST", prefix+test.path, test.body, test.headers...)
		require.Equal(t, 200, r.StatusCode, test.path)
		require.Equal(t, map[string]any{"order": string(test.want.Kind), "name": test.want.Name}, dataOf[map[string]any](t, r))
		require.Equal(t, []web.Order{test.want}, fake.ordered)

		fake.ordered = nil
		require.Equal(t, 403, call(t, s, "POST", prefix+test.path, test.body, "Sec-Fetch-Site", "cross-site").StatusCode, "a page from elsewhere orders nothing")
		require.Equal(t, 405, call(t, s, "GET", prefix+test.path, "").StatusCode)
		require.Equal(t, 400, call(t, s, "POST", prefix+test.path, `{"reasons": ""}`).StatusCode)
		require.Empty(t, fake.ordered)
		require.Equal(t, 404, call(t, web.New(web.Options{}), "POST", prefix+test.path, "").StatusCode, "a node alone")
	}
}

func TestAnOrderThatIsNotTakenSaysWhy(t *testing.T) {
	for _, test := range []struct {
		err    error
		status int
		want   string
	}{
		{cluster.ErrNotFound, http.StatusNotFound, `there is no node "a"`},
		{fmt.Errorf("%w: too few other nodes", web.ErrOrderRefused), http.StatusConflict, `drain "a": order refused: too few other nodes`},
		{errors.New("store does not answer at http://u:secret@h"), http.StatusServiceUnavailable, "store does not answer"},
	} {
		s := web.New(web.Options{Cluster: &fakeCluster{err: test.err}})
		r := call(t, s, "POST", "/agent/api/v1/cluster/nodes/a/drain", "")
		require.Equal(t, test.status, r.StatusCode)
		told := errorOf(t, r)
		require.Contains(t, told, test.want)
		require.NotContains(t, told, "secret")
	}
}

func TestOrdersInForceAreShown(t *testing.T) {
	fake := aCluster()
	fake.state.Held = []web.Standing{{Kind: web.HoldConfig, Name: "web", By: "ann", Since: now, Reason: "see http://u:secret@h"}}
	fake.state.Members[0].Cordon = &web.Standing{Kind: web.DrainNode, Name: "node-2", By: "bert", Since: now}
	fake.state.Cordons = []web.Standing{{Kind: web.DrainNode, Name: "gone", Reason: "see http://u:secret@h"}}
	fake.state.Units[2].Held = true // nobody runs it
	s := web.New(web.Options{Node: "node-1", Cluster: fake})
	shown := bodyOf(t, call(t, s, "GET", "/agent/api/v1/cluster", ""))
	require.Contains(t, shown, `"held":[{"order":"hold","name":"web","reason":"see http://`)
	require.Contains(t, shown, `"cordon":{"order":"drain","name":"node-2","by":"bert"`)
	require.Contains(t, shown, `"cordons":[{"order":"drain","name":"gone","reason":"see http://`)
	require.NotContains(t, shown, "secret")
	held := bodyOf(t, call(t, s, "GET", "/agent/api/v1/cluster/units?state=held", ""))
	require.Equal(t, 1, strings.Count(held, `"config":"web"`), held)
	rows := bodyOf(t, call(t, s, "GET", "/configs?state=held&format=json", "", "Accept", "application/json"))
	require.Contains(t, rows, `"state":"held"`)
	require.NotContains(t, rows, `"state":"unowned"`)
}

func TestHoldsAndCordonsOfWhatIsGoneAreShownAndTakenBack(t *testing.T) {
	fake := aCluster()
	fake.state.Held = []web.Standing{{Kind: web.HoldConfig, Name: "deleted", By: "ann", Since: now}, {Kind: web.HoldConfig, Name: "web", Since: now}}
	fake.state.Cordons = []web.Standing{{Kind: web.CordonNode, Name: "absent", Reason: "<disk>", Since: now}}
	s := web.New(web.Options{Node: "node-1", Cluster: fake, Now: clock})
	page := bodyOf(t, call(t, s, "GET", "/cluster", ""))
	for _, want := range []string{"Uncordon absent</button>", "&lt;disk&gt;", "no such member", "Release deleted</button>", "no such config"} {
		require.Equal(t, 1, strings.Count(page, want), want)
	}
	require.NotContains(t, page, "Release web</button>", "its own page has that")
	for want, body := range map[web.Order]string{
		{Kind: web.UncordonNode, Name: "absent"}:   form("do", "uncordon", "node", "absent"),
		{Kind: web.ReleaseConfig, Name: "deleted"}: form("do", "release", "config", "deleted"),
	} {
		fake.ordered = nil
		require.Equal(t, 303, call(t, s, "POST", "/cluster", body, asForm...).StatusCode)
		want.By = fake.ordered[0].By
		require.Equal(t, []web.Order{want}, fake.ordered)
	}
}
