package web_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/web"
)

func aCluster() *fakeCluster {
	alive, dead := true, false
	return &fakeCluster{state: web.ClusterState{
		Session: "7587", Settled: true, Permitted: true, Unowned: 1,
		Members: []web.Member{
			{ID: "node-2", State: "UNHEALTHY", Scheme: "https", Address: "10.0.0.2:12345", Zone: "b", Version: "1.2.3", Registered: now, Tokens: []uint32{3 << 30}, Share: 0.25, Alive: &dead},
			{ID: "node-1", State: "ACTIVE", Address: "10.0.0.1:12345", Zone: "a", Version: "1.2.3", Registered: now, Tokens: []uint32{1 << 31, 0}, Share: 0.75, Alive: &alive},
			{ID: "node-3", Problem: "the record has version 2"},
		},
		Units: []web.Unit{
			{Config: "web", Name: "slice 10", Slice: 10, Owner: "node-1", ClaimedBy: "node-1", ClaimedSince: now, Epoch: 12, Phase: "running"},
			{Config: "web", Name: "slice 9", Slice: 9, Owner: "node-1", ClaimedBy: "node-2", ClaimedSince: now, Epoch: 13, Phase: "preparing", Hold: "waiting for node-2 <now>"},
			{Config: "web", Owner: "node-2", Phase: "waiting"},
			{Config: "api", ClaimedBy: "node-2", ClaimedSince: now, Epoch: 14, Phase: "waiting"},
			{Config: "own", Local: true, Owner: "node-1", ClaimedBy: "node-1", Phase: "running"},
		},
		Moves: []web.Move{
			{Config: "web", Name: "slice 9", From: "node-1", To: "node-2", At: now, Epoch: 13, Reason: "taken over after its session ended"},
			{Config: "api", To: "node-2", At: now.Add(-time.Second), Epoch: 12, Reason: "first claimed"},
		},
	}}
}

func indented(t *testing.T, text string) string {
	t.Helper()
	var pretty bytes.Buffer
	require.NoError(t, json.Indent(&pretty, []byte(text), "", "  "))
	return pretty.String()
}

func TestTheClusterIsShownAsJSONAndAsAPage(t *testing.T) {
	held := fakeInstances{instances: []web.Instance{{Name: "web", Unit: "slice 9", Phase: "preparing", Hold: "waiting for node-2 <now>"}}}
	s := web.New(web.Options{Node: "node-1", Cluster: aCluster(), Ring: aRing(), Instances: held, Now: clock})
	golden(t, "cluster.json", indented(t, bodyOf(t, call(t, s, "GET", "/agent/api/v1/cluster", ""))))
	page := bodyOf(t, call(t, s, "GET", "/cluster", ""))
	require.NotContains(t, page, "<now>", "what comes from elsewhere is escaped")
	for _, told := range []string{"node-2: 25.0 %", "the record has version 2", "<a href=\"/configs?state=unowned\">1 unowned</a>", "The store has no claim for <a href=\"/configs?claimed=no\">1 of them</a>", "taken over after its session ended", "Forget node-2", "waiting for node-2"} {
		require.Contains(t, page, told)
	}
	require.NotContains(t, page, "Forget node-1<", "a node is not offered to forget itself")
	require.Equal(t, "/cluster", call(t, s, "GET", "/debug/cluster", "").Header.Get("Location"))

	empty := web.New(web.Options{Node: "node-1", Cluster: &fakeCluster{}, Now: clock})
	none := bodyOf(t, call(t, empty, "GET", "/cluster", ""))
	require.Contains(t, none, "There are no members.")
	require.Contains(t, none, "Nothing moved since this node started.")
	require.Contains(t, bodyOf(t, call(t, empty, "GET", "/agent/api/v1/cluster", "")), `"members":[],"configs":0,"units":0,"unowned":0,"held":[],"cordons":[],"moves":[]`)
}

func TestMovesAreBounded(t *testing.T) {
	s := web.New(web.Options{Cluster: aCluster()})
	type data struct{ Moves []web.Move }
	require.Len(t, dataOf[data](t, call(t, s, "GET", "/agent/api/v1/cluster?limit=1", "")).Moves, 1)
	require.Len(t, dataOf[data](t, call(t, s, "GET", "/agent/api/v1/cluster?limit=1000", "")).Moves, 2)
}

func TestThePageSaysHowMuchItDoesNotShow(t *testing.T) {
	busy := aCluster()
	for i := range 150 {
		busy.state.Units = append(busy.state.Units, web.Unit{Config: "c", Slice: i, Hold: "waiting", Phase: "waiting"})
	}
	page := bodyOf(t, call(t, web.New(web.Options{Node: "node-1", Cluster: busy}), "GET", "/cluster", ""))
	require.Contains(t, page, "What waits: 50 and more")
	require.Equal(t, 50, strings.Count(page, `<td data-label="Why">`))
}

type unitPage struct {
	Node  string
	Items []web.Unit
	Total int
	Next  string
}

func TestUnitsAreFilteredAndHaveAState(t *testing.T) {
	s := web.New(web.Options{Node: "node-1", Cluster: aCluster()})
	for query, want := range map[string][]string{
		"":                          {"api:claimed", "own:local", "web:unclaimed", "web:moving", "web:claimed"},
		"name=we":                   {"web:unclaimed", "web:moving", "web:claimed"},
		"name=zzz":                  nil,
		"node=node-2":               {"api:claimed", "web:unclaimed", "web:moving"},
		"node=node-1&name=web":      {"web:moving", "web:claimed"},
		"state=moving":              {"web:moving"},
		"state=local":               {"own:local"},
		"state=claimed&node=node-1": {"web:claimed"},
	} {
		page := dataOf[unitPage](t, call(t, s, "GET", "/agent/api/v1/cluster/units?"+query, ""))
		var got []string
		for _, u := range page.Items {
			got = append(got, u.Config+":"+u.State)
		}
		require.Equal(t, want, got, query)
		require.Equal(t, len(want), page.Total, query)
		require.Empty(t, page.Next)
	}
	golden(t, "units.json", indented(t, bodyOf(t, call(t, s, "GET", "/agent/api/v1/cluster/units?limit=3", ""))))
}

func TestUnitsComeInPagesThatMissAndRepeatNothing(t *testing.T) {
	s := web.New(web.Options{Cluster: aCluster()})
	var got []int
	after := ""
	for range 5 {
		page := dataOf[unitPage](t, call(t, s, "GET", "/agent/api/v1/cluster/units?name=web&limit=1&after="+url.QueryEscape(after), ""))
		require.Equal(t, 3, page.Total, "of all pages")
		for _, u := range page.Items {
			got = append(got, u.Slice)
		}
		if after = page.Next; after == "" {
			break
		}
	}
	require.Equal(t, []int{0, 9, 10}, got, "slices are in the order of their numbers")
}

func TestMistakesInAQueryAre400(t *testing.T) {
	fake := aCluster()
	s := web.New(web.Options{Cluster: fake})
	for _, query := range []string{
		"cluster?limit=0", "cluster?limit=1001", "cluster?limit=x",
		"cluster/units?limit=-1", "cluster/units?after=%21", "cluster/units?after=YQ", "cluster/units?state=gone",
		"cluster/instances?quarantined=maybe", "cluster/instances?after=YQ",
		"cluster/targets?state=sick", "cluster/targets?limit=5000", "cluster/targets?after=YQBi",
		"cluster/plan", "cluster/plan?join=1&leave=a", "cluster/plan?join=0", "cluster/plan?join=101", "cluster/plan?join=x",
		"cluster/plan?join=1&names=true", "cluster/plan?join=1&seed=-1", "cluster/plan?leave=a&limit=0",
	} {
		r := call(t, s, "GET", "/agent/api/v1/"+query, "")
		require.Equal(t, 400, r.StatusCode, query)
		errorOf(t, r)
	}
	require.Empty(t, fake.planned)
}

var clusterPaths = []string{"cluster", "cluster/units", "cluster/instances", "cluster/targets", "cluster/plan?leave=a"}

func TestAnAgentWithoutAClusterSaysSo(t *testing.T) {
	s := web.New(web.Options{})
	for _, path := range clusterPaths {
		r := call(t, s, "GET", "/agent/api/v1/"+path, "")
		require.Equal(t, 404, r.StatusCode, path)
		require.Contains(t, errorOf(t, r), "cluster")
	}
	require.Equal(t, 404, call(t, s, "GET", "/cluster", "").StatusCode)
	require.Equal(t, 404, call(t, s, "POST", "/agent/api/v1/metrics/instance/a/retry", "").StatusCode)
}

func TestWhatTheClusterCannotTellIsA500(t *testing.T) {
	s := web.New(web.Options{Cluster: &fakeCluster{err: errors.New("supervisor does not answer")}})
	for _, path := range clusterPaths {
		r := call(t, s, "GET", "/agent/api/v1/"+path, "")
		require.Equal(t, 500, r.StatusCode, path)
		require.Contains(t, errorOf(t, r), "supervisor does not answer")
	}
	require.Equal(t, 500, call(t, s, "GET", "/cluster", "").StatusCode)
	require.Equal(t, 500, call(t, s, "POST", "/agent/api/v1/metrics/instance/a/retry", "").StatusCode)
}

func TestAPlanTellsWhatALeaveMoves(t *testing.T) {
	fake := aCluster()
	fake.plan = web.Plan{
		Units: 5, Moved: 2,
		Nodes: []web.PlannedNode{{Node: "node-2", Before: 2}, {Node: "node-1", Before: 3, After: 5}},
		Moves: []web.PlannedMove{
			{Config: "web", From: "node-2", To: "node-1"}, {Config: "api", Name: "slice 1", Slice: 1, From: "node-2", To: "node-1"},
		},
	}
	s := web.New(web.Options{Cluster: fake})
	golden(t, "plan_leave.json", indented(t, bodyOf(t, call(t, s, "GET", "/agent/api/v1/cluster/plan?leave=node-2&names=true&limit=1", ""))))
	without := bodyOf(t, call(t, s, "GET", "/agent/api/v1/cluster/plan?leave=node-2", ""))
	require.NotContains(t, without, "items")
	require.Equal(t, []web.Change{{Leave: "node-2", Seed: 1}, {Leave: "node-2", Seed: 1}}, fake.planned)
}

func TestAPlanForJoinersSaysThatItIsAnEstimate(t *testing.T) {
	fake := aCluster()
	fake.plan = web.Plan{Units: 5, Moved: 2, Draws: 32, Least: 1, Most: 3, Nodes: []web.PlannedNode{{Node: "new-1", After: 2}, {Node: "node-1", Before: 5, After: 3}}}
	s := web.New(web.Options{Cluster: fake})
	golden(t, "plan_join.json", indented(t, bodyOf(t, call(t, s, "GET", "/agent/api/v1/cluster/plan?join=1&seed=7", ""))))
	require.Equal(t, []web.Change{{Join: 1, Seed: 7}}, fake.planned)
}

func TestAPlanNeedsARingAndAMember(t *testing.T) {
	for err, want := range map[error]int{cluster.ErrNotFound: 404, web.ErrUnsettled: 503} {
		r := call(t, web.New(web.Options{Cluster: &fakeCluster{err: err}}), "GET", "/agent/api/v1/cluster/plan?leave=node-9", "")
		require.Equal(t, want, r.StatusCode)
		errorOf(t, r)
	}
}
