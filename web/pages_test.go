package web_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/actors/fault/faulttest"
	"github.com/ringmaster-agent/ringmaster/web"
)

// A page's bounds, whatever there is to show.
const (
	mostPageBytes = 200 << 10
	mostPageTime  = 300 * time.Millisecond
)

const markup = `<b>x&y</b>`

// aSite is three nodes with something of everything: node-1 is asked, node-2 answers, node-3 is dead.
func aSite(t *testing.T) http.Handler {
	t.Helper()
	fake := aCluster()
	fake.known = true
	fake.state.Members = fake.state.Members[:2]
	fake.state.Members[0].Scheme, fake.state.Members[0].Address = "http", "node-2:80"
	alive := true
	fake.state.Members = append(fake.state.Members, web.Member{ID: "node-3", State: web.StateActive, Address: "node-3:80", Alive: &alive, Share: 0.1})
	fake.state.Units = append(fake.state.Units,
		web.Unit{Config: markup, Owner: "node-1", ClaimedBy: "node-1", Epoch: 20, Phase: "running"},
		web.Unit{Config: "orphan", Owner: "node-9", Phase: "waiting"},
		web.Unit{Config: "far", Owner: "node-3", ClaimedBy: "node-3", Epoch: 21, Phase: "waiting"},
	)
	fake.plan = web.Plan{Units: 5, Moved: 2, Nodes: []web.PlannedNode{{Node: "node-1", Before: 3, After: 5}}}
	net := network{}
	one := someInstances()
	one.instances = append(one.instances, web.Instance{
		Name: markup, Phase: "running", Since: now.Add(-time.Hour), Revision: 3,
		Endpoints: []web.Endpoint{{
			Name: "main", URL: "http://receiver/push", Sent: 1_234_567, Pending: 20, Dropped: map[string]uint64{"rejected": 7},
			LastError: `server returned 400: out of order <sample>`, LastErrorAt: now.Add(-time.Minute), LastSuccess: now.Add(-time.Minute),
			Gaps: []web.Gap{{From: now.Add(-time.Hour), To: now, Reason: "rejected", Samples: 7, At: now}},
		}},
	})
	one.targets = append(one.targets, web.Target{
		Instance: markup, TargetGroup: "j", Endpoint: "http://down/metrics", State: "down", ScrapeError: "connection refused <by peer>",
		Labels: labels.FromStrings("team", "a"), DiscoveredLabels: labels.FromStrings("__address__", "down:80"),
	})
	rule := &relabel.Config{
		SourceLabels: model.LabelNames{"__meta_role"}, Regex: relabel.MustNewRegexp("web"), Action: relabel.Keep, Replacement: "$1", Separator: ";",
	}
	inspected := fakeInspector{
		answer: web.Answer{Status: "200 OK", Parsed: true, Samples: 2, Bytes: 20, Body: "up 1\n", Headers: []web.AnswerHeader{{Name: "Content-Type", Value: "text/plain"}, {Name: "X-Key", Value: "cAnArY"}}},
		discovered: []web.DiscoveredJob{{Config: markup, Job: "j", Kept: 1, Dropped: 1, Targets: []web.DiscoveredTarget{
			{State: "dropped", Before: labels.FromStrings("__address__", "db:80", "__meta_role", "db"), Rule: rule, RuleNumber: 2},
			{State: "kept", Before: labels.FromStrings("__address__", "web:80", "__meta_role", "web"), After: labels.FromStrings("instance", "web:80")},
		}}},
	}
	site := func(node string, instances fakeInstances) *web.Server {
		return web.New(web.Options{
			Node: node, Version: "1.2.3", Now: clock, Instances: instances, Inspector: inspected, Cluster: fake, Ring: aRing(), ReadAPI: true,
			Faults: faulttest.New(t), Configs: newFakeConfigs(map[string]string{markup: aConfig}), Gatherer: prometheus.NewRegistry(), PeerClient: &http.Client{Transport: net},
			AgentConfig: func() (string, error) { return "password: <secret>\n", nil }, Flags: []web.Setting{{Name: "config.file", Value: "agent.yaml"}},
		})
	}
	net["node-2:80"] = site("node-2", fakeInstances{instances: []web.Instance{
		{Name: "api", Phase: "running", Since: now, Revision: 4},
		{Name: "sick", Phase: "quarantined", Quarantined: true, LastError: "open wal: no space"},
	}})
	return site("node-1", one)
}

// paths are all pages, with and without something to show.
var paths = []string{
	"/", "/configs", "/configs?q=zzz", "/configs?state=quarantined&sort=-name", "/configs/" + url.PathEscape(markup), "/targets", "/targets?state=down",
	"/targets?label=team=a", "/receivers", "/receivers?sort=-sent", "/cluster", "/cluster?leave=node-2", "/cluster?join=0", "/cluster?q=api", "/discovery",
	"/discovery?config=" + url.QueryEscape(markup), "/relabel", "/status", "/flow", "/flow?config=" + url.QueryEscape(markup), "/upload", "/upload?name=" + url.QueryEscape(markup), "/chaos",
}

// tags that a text from elsewhere would make.
var strange = regexp.MustCompile(`<(b>x|sample|by peer|script>alert|now)`)

func TestEveryPageHasTheFrameAndEscapesWhatComesFromElsewhere(t *testing.T) {
	s := aSite(t)
	empty := web.New(web.Options{Cluster: &fakeCluster{}, Now: clock})
	for _, path := range paths {
		r := call(t, s, "GET", path, "")
		page := bodyOf(t, r)
		require.Equal(t, 200, r.StatusCode, "%s: %s", path, page)
		require.Equal(t, "text/html; charset=utf-8", r.Header.Get("Content-Type"), path)
		require.Equal(t, "no-store", r.Header.Get("Cache-Control"), path)
		csp := r.Header.Get("Content-Security-Policy")
		require.Contains(t, csp, "default-src 'none'; script-src 'self'; style-src 'self'", path)
		require.NotContains(t, csp, "unsafe", path)
		require.Empty(t, strange.FindString(page), path)
		require.Equal(t, 1, strings.Count(page, "<h1>"), path)
		require.Contains(t, page, `<nav aria-label="Pages">`, path)
		require.Equal(t, 1, strings.Count(page, "<script"), "the only script is ours: %s", path)
		require.NotContains(t, page, " style=", path)
		require.NotContains(t, page, " onclick=", path)
		require.NotContains(t, page, "hunter2", path)
		require.NotContains(t, page, "ZgotmplZ", path)
		if !strings.HasPrefix(path, "/configs/") && !strings.HasPrefix(path, "/upload") && !strings.HasPrefix(path, "/flow?") && path != "/chaos" {
			require.Equal(t, 200, call(t, empty, "GET", path, "").StatusCode, "an agent that knows nothing: %s", path)
		}
	}
}

func TestEveryPageIsJSONAtTheSameAddress(t *testing.T) {
	s := aSite(t)
	for _, path := range paths {
		if path == "/cluster?join=0" || path == "/relabel" || strings.HasPrefix(path, "/upload") {
			continue
		}
		separator := "?"
		if strings.Contains(path, "?") {
			separator = "&"
		}
		for _, r := range []*http.Response{
			call(t, s, "GET", path+separator+"format=json", ""), call(t, s, "GET", path, "", "Accept", "application/json"),
		} {
			data := dataOf[map[string]any](t, r)
			require.NotEmpty(t, data, path)
		}
	}
}

func TestAssetsAreKeptByBrowsersAndChangeTheirNames(t *testing.T) {
	s := aSite(t)
	page := bodyOf(t, call(t, s, "GET", "/", ""))
	assets := regexp.MustCompile(`/assets/[a-z]+-[0-9a-f]{12}\.(css|js|svg)`).FindAllString(page, -1)
	require.Len(t, assets, 3)
	for _, asset := range assets {
		r := call(t, s, "GET", asset, "")
		require.Equal(t, 200, r.StatusCode)
		require.Contains(t, r.Header.Get("Cache-Control"), "immutable")
	}
	require.Equal(t, 404, call(t, s, "GET", "/assets/app.js", "").StatusCode)
}

func TestTheOverviewSaysWhatIsWrongFirstAndLinksToIt(t *testing.T) {
	s := aSite(t)
	page := bodyOf(t, call(t, s, "GET", "/", ""))
	for _, told := range []string{
		"1 node does not answer", "2 configs are quarantined", "1 endpoint is refused by its receiver", "targets are down", `href="/configs?state=unowned"`,
		`href="/targets?state=down"`, "connection refused", "out of order", "open wal: no space", "node-3: Get &#34;http://node-3:80/&#34;: connection refused",
	} {
		require.Contains(t, page, told)
	}
	require.Less(t, strings.Index(page, "orphan"), strings.Index(page, "http://down/metrics"), "what nobody runs comes before a target that is down")
	empty := bodyOf(t, call(t, web.New(web.Options{}), "GET", "/", ""))
	require.Contains(t, empty, "There are no configs yet.")
	well := web.New(web.Options{Instances: fakeInstances{instances: []web.Instance{{Name: "a", Phase: "running"}}}})
	require.Contains(t, bodyOf(t, call(t, well, "GET", "/", "")), "All is well")
}

func TestConfigsAreListedFailuresFirstAndOnlyOnce(t *testing.T) {
	type page struct {
		Items  []struct{ Node, Name, Unit, State, Hold string }
		Total  int
		Counts map[string]int
	}
	got := dataOf[page](t, call(t, aSite(t), "GET", "/configs?format=json", ""))
	var list []string
	for _, i := range got.Items {
		list = append(list, i.State+" "+i.Name+strings.TrimSuffix(" "+i.Unit, " "))
	}
	require.Equal(t, "unowned orphan", list[0], "nobody answers for it")
	require.Contains(t, list, "waiting far", "its node does not answer")
	require.Contains(t, list, "quarantined sick")
	require.Contains(t, list, "refused "+markup)
	require.Contains(t, list, "down web")
	require.Equal(t, len(list), got.Total)
	require.Equal(t, 1, got.Counts["unowned"])
	slices.Sort(list)
	require.Len(t, slices.Compact(list), len(list), "each is there once")
}

func TestAConfigInBackoffHasFailedWhateverItsPhase(t *testing.T) {
	s := web.New(web.Options{Cluster: &fakeCluster{}, Now: clock, Instances: fakeInstances{instances: []web.Instance{
		{Name: "again", Phase: "stopped", LastError: "no space", Hold: "waiting after a failure", RetryAt: now.Add(time.Minute)},
		{Name: "better", Phase: "running", LastError: "no space"},
	}}})
	type page struct {
		Items []struct{ Name, State string }
	}
	require.Equal(t, page{[]struct{ Name, State string }{{"again", "failed"}, {"better", "running"}}}, dataOf[page](t, call(t, s, "GET", "/configs?format=json", "")))
	require.Contains(t, bodyOf(t, call(t, s, "GET", "/configs/again", "")), "Retry now")
}

func TestAConfigsPageTellsEverythingOfIt(t *testing.T) {
	s := aSite(t)
	page := bodyOf(t, call(t, s, "GET", "/configs/"+url.PathEscape(markup), ""))
	for _, told := range []string{"on <a href=\"/configs?node=node-1\">node-1</a>", "at revision 3", "http://receiver/push", "out of order &lt;sample&gt;", "7 rejected", "1 gap",
		"job_name: demo", "password: &lt;secret&gt;", "connection refused"} {
		require.Contains(t, page, told)
	}
	require.NotContains(t, page, "Retry now", "there is nothing to retry")
	sick := bodyOf(t, call(t, s, "GET", "/configs/sick", ""))
	require.Contains(t, sick, "Retry now")
	require.Contains(t, sick, "open wal: no space")
	r := call(t, s, "POST", "/configs/sick", "")
	require.Equal(t, 303, r.StatusCode)
	require.Equal(t, "/configs/sick?done=retry", r.Header.Get("Location"))
	require.Equal(t, 403, call(t, s, "POST", "/configs/sick", "", "Origin", "http://evil.example").StatusCode)
	require.Equal(t, 404, call(t, s, "GET", "/configs/nobody", "").StatusCode)
	require.Equal(t, 400, call(t, s, "GET", "/configs/%2e%2e", "").StatusCode)
}

func TestAPersonSeesWhatATargetAnswers(t *testing.T) {
	s := aSite(t)
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	where := "config=" + url.QueryEscape(markup) + "&url=" + url.QueryEscape("http://down/metrics")
	page := bodyOf(t, call(t, s, "GET", "/target?"+where, ""))
	require.Contains(t, page, "Scrape now")
	require.NotContains(t, page, "What the target answered")
	page = bodyOf(t, call(t, s, "POST", "/target", where, form...))
	require.Contains(t, page, "<pre>up 1")
	require.Contains(t, page, "200 OK")
	require.NotContains(t, page, "cAnArY", "a header that is not known to be harmless is masked")
	require.Equal(t, 404, call(t, s, "GET", "/target?config=zzz", "").StatusCode)
	require.Equal(t, 404, call(t, s, "GET", "/target?config=zzz&node=node-9", "").StatusCode)
	require.Equal(t, 502, call(t, s, "GET", "/target?config=zzz&node=node-3", "").StatusCode)
	require.Equal(t, 403, call(t, s, "POST", "/target", where, append([]string{"Origin", "http://evil.example"}, form...)...).StatusCode)
}

func TestABodyThatIsNoMetricsIsNotShown(t *testing.T) {
	s := web.New(web.Options{
		Instances: fakeInstances{targets: []web.Target{{Instance: "a", Endpoint: "http://x/", State: "down"}}},
		Inspector: fakeInspector{answer: web.Answer{Status: "200 OK", Error: "expected a valid start token", Bytes: 6, Body: "secret"}},
	})
	page := bodyOf(t, call(t, s, "POST", "/target?config=a&url="+url.QueryEscape("http://x/"), ""))
	require.Contains(t, page, "The body is not shown, since it is no metrics.")
	require.NotContains(t, page, "secret")
}

func TestTheDroppedTargetShowsItsRule(t *testing.T) {
	page := bodyOf(t, call(t, aSite(t), "GET", "/discovery?config="+url.QueryEscape(markup), ""))
	require.Contains(t, page, "by rule 2:")
	require.Contains(t, page, "action: keep\nsource_labels: [__meta_role]\nregex: web")
	require.Less(t, strings.Index(page, "db:80"), strings.Index(page, "web:80"), "what is dropped comes first")
	type rules struct{ Items []struct{ Rule string } }
	closed := web.New(web.Options{Inspector: fakeInspector{discovered: []web.DiscoveredJob{{Config: "a", Job: "j", Dropped: 1, Targets: []web.DiscoveredTarget{{
		State: "dropped", RuleNumber: 1, Rule: &relabel.Config{Action: relabel.Drop, Regex: relabel.MustNewRegexp("web"), SourceLabels: model.LabelNames{"x"}},
	}}}}}})
	require.Equal(t, "action: drop\nsource_labels: [x]", dataOf[rules](t, call(t, closed, "GET", "/discovery?config=a&format=json", "")).Items[0].Rule,
		"without the read API it does not tell what a config compares with")
}

func TestTheRelabelDebuggerShowsEachStep(t *testing.T) {
	type steps struct {
		Before  map[string]string
		Dropped int
		Steps   []struct {
			Number           int
			Rule             string
			Labels           map[string]string
			Changed, Dropped bool
		}
	}
	s := web.New(web.Options{})
	post := func(labelText, rules string) *http.Response {
		return call(t, s, "POST", "/relabel?format=json", url.Values{"labels": {labelText}, "rules": {rules}}.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	}
	rules := "- source_labels: [a]\n  target_label: b\n- regex: a\n  action: labeldrop\n- source_labels: [b]\n  regex: one\n  action: drop\n- target_label: never\n  replacement: x\n"
	for _, text := range []string{"a=\"one\"\nc=\"two\"", `{a="one",c="two"}`, `{"a":"one","c":"two"}`, "a: one\nc: two"} {
		got := dataOf[steps](t, post(text, rules))
		require.Equal(t, map[string]string{"a": "one", "c": "two"}, got.Before, text)
		require.Equal(t, 3, got.Dropped)
		require.Len(t, got.Steps, 3)
		require.Equal(t, map[string]string{"a": "one", "b": "one", "c": "two"}, got.Steps[0].Labels)
		require.Equal(t, map[string]string{"b": "one", "c": "two"}, got.Steps[1].Labels)
		require.True(t, got.Steps[2].Dropped)
	}
	for _, bad := range [][2]string{{"a=1", rules}, {"nothing here", rules}, {`a="1"`, "- action: fly"}, {`a="1"`, "- 7"}, {`a="1"`, "- regex: '('"}, {`a="1"`, strings.Repeat("- action: labelkeep\n  regex: a\n", 200)}, {`a="1"`, "- {regex: '" + strings.Repeat("a", 2000) + "', action: labeldrop}"}, {`a="1"`, "-"}} {
		r := post(bad[0], bad[1])
		require.Equal(t, 400, r.StatusCode, bad)
		errorOf(t, r)
	}
	page := bodyOf(t, call(t, aSite(t), "GET", "/relabel?config="+url.QueryEscape(markup)+"&url="+url.QueryEscape("http://down/metrics"), ""))
	require.Contains(t, page, "__address__=&#34;down:80&#34;")
}

func TestListsComeInPagesInAnyOrderThatMissAndRepeatNothing(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		parts := map[string]fakeInstances{"a": {}, "b": {}, "c": {}}
		want := 0
		for i := range rnd.IntN(70) {
			node := []string{"a", "b", "c"}[rnd.IntN(3)]
			target := targetOf([]string{"x", "y"}[rnd.IntN(2)], "j", i, []string{"up", "down", "unknown"}[rnd.IntN(3)])
			target.Samples, target.ScrapeDurationMS = rnd.IntN(5), int64(rnd.IntN(5))
			part := parts[node]
			part.targets = append(part.targets, target)
			parts[node] = part
			want++
		}
		net, _ := nodes(parts)
		sort := []string{"state", "-state", "target", "-target", "took", "-took", "samples", "-samples", "node", "-node", "scraped"}[rnd.IntN(11)]
		seen, after := map[string]bool{}, ""
		for {
			s := net[[]string{"a:80", "b:80", "c:80"}[rnd.IntN(3)]]
			page := dataOf[targetPage](t, call(t, s, "GET", fmt.Sprintf("/targets?format=json&sort=%s&limit=%d&after=%s", sort, 1+rnd.IntN(10), after), ""))
			require.Equal(t, want, page.Total)
			for _, item := range page.Items {
				key := fmt.Sprint(item.Node, item.Instance, item.Endpoint, item.Labels)
				require.False(t, seen[key], "seed %d, by %s: %s comes twice", seed, sort, key)
				seen[key] = true
			}
			if after = page.Next; after == "" {
				break
			}
		}
		require.Len(t, seen, want, "seed %d, by %s", seed, sort)
	}
	require.Equal(t, 400, call(t, aSite(t), "GET", "/targets?sort=colour", "").StatusCode)
	require.Equal(t, 400, call(t, aSite(t), "GET", "/targets?label=colour", "").StatusCode)
	require.Equal(t, 400, call(t, aSite(t), "GET", "/targets?state=colour", "").StatusCode)
}

func TestLargeRowsEndAPageEarlyAndLoseNothing(t *testing.T) {
	var targets []web.Target
	for i := range 60 {
		target := targetOf("x", "j", i, "down")
		target.ScrapeError = strings.Repeat("<long & bad> ", 1000)
		target.Labels = labels.FromStrings("n", fmt.Sprint(i), "long", strings.Repeat("x", 5000))
		targets = append(targets, target)
	}
	s := web.New(web.Options{Instances: fakeInstances{targets: targets}})
	shown, address := 0, "/targets"
	for range 100 {
		page := bodyOf(t, call(t, s, "GET", address, ""))
		require.Less(t, len(page), mostPageBytes)
		shown += strings.Count(page, `data-label="Took"`)
		next := regexp.MustCompile(`rel="next" href="([^"]+)"`).FindStringSubmatch(page)
		if next == nil {
			break
		}
		address = strings.ReplaceAll(next[1], "&amp;", "&")
	}
	require.Equal(t, 60, shown)
}

// aLargeSite is three nodes with so many configs and targets together, and a few things that are wrong.
func aLargeSite(configs, targets int) http.Handler {
	names := []string{"node-0", "node-1", "node-2"}
	parts := make([]fakeInstances, len(names))
	jobs := make([]fakeInspector, len(names))
	fake := &fakeCluster{state: web.ClusterState{Settled: true, Permitted: true}}
	for _, name := range names {
		alive := true
		fake.state.Members = append(fake.state.Members, web.Member{ID: name, State: web.StateActive, Address: name + ":80", Alive: &alive, Share: 1.0 / 3})
	}
	for i := range configs {
		name, pending := fmt.Sprintf("team-%d/app-%05d", i%50, i), uint64(i)
		node := i % len(names)
		phase, problem := "running", ""
		if i%500 == 7 {
			phase, problem = "quarantined", "open pipeline: mkdir /var/lib/agent: no space left on device"
		}
		fake.state.Units = append(fake.state.Units, web.Unit{Config: name, Owner: names[node], ClaimedBy: names[node], ClaimedSince: now, Epoch: int64(i + 1), Phase: phase})
		parts[node].instances = append(parts[node].instances, web.Instance{
			Name: name, Phase: phase, Since: now, Revision: int64(i), Quarantined: phase == "quarantined", LastError: problem, Pending: &pending,
			Endpoints: []web.Endpoint{{Name: "main", URL: fmt.Sprintf("http://receiver-%d.example:9009/api/v1/push", i%10), Sent: uint64(i) * 1000, Pending: pending, LastSuccess: now}},
		})
		jobs[node].discovered = append(jobs[node].discovered, web.DiscoveredJob{Config: name, Job: "app", Kept: targets / configs, Dropped: i % 2})
	}
	for i := range targets {
		config := i % configs
		state, problem := "up", ""
		if i%100 == 3 {
			state, problem = "down", `Get "http://10.1.2.3:8080/metrics": dial tcp 10.1.2.3:8080: connect: connection refused`
		}
		address := fmt.Sprintf("10.%d.%d.%d:8080", i>>16, i>>8&255, i&255)
		parts[config%len(names)].targets = append(parts[config%len(names)].targets, web.Target{
			Instance: fmt.Sprintf("team-%d/app-%05d", config%50, config), TargetGroup: "app", Endpoint: "http://" + address + "/metrics", State: state,
			ScrapeError: problem, LastScrape: now, ScrapeDurationMS: int64(i % 300), Samples: i % 1000,
			Labels: labels.FromStrings("instance", address, "job", "app", "namespace", fmt.Sprintf("team-%d", config%50), "pod", fmt.Sprintf("app-%05d-%d", config, i), "zone", "eu-1"),
			DiscoveredLabels: labels.FromStrings("__address__", address, "__meta_kubernetes_pod_name", fmt.Sprintf("app-%05d-%d", config, i), "__meta_kubernetes_namespace", "team",
				"__meta_kubernetes_pod_ip", address, "__metrics_path__", "/metrics", "__scheme__", "http", "job", "app"),
		})
	}
	net := network{}
	for i, name := range names {
		net[name+":80"] = web.New(web.Options{
			Node: name, Cluster: fake, Instances: parts[i], Inspector: jobs[i], Ring: &fakeRing{members: fake.state.Members}, Configs: newFakeConfigs(nil), Now: clock,
			PeerClient: &http.Client{Transport: net},
		})
	}
	return net["node-0:80"]
}

func TestPagesOfTenThousandConfigsAreSmallAndQuick(t *testing.T) {
	sizes := []struct{ configs, targets int }{{2_000, 20_000}, {10_000, 100_000}}
	if raceEnabled {
		sizes = []struct{ configs, targets int }{{1_000, 1_000}} // it is about bounds, and takes minutes under the race detector
	}
	for _, size := range sizes {
		s := aLargeSite(size.configs, size.targets)
		for _, path := range []string{
			"/", "/configs", "/configs?q=app-00500", "/configs?sort=-pending", "/configs/team-7%2Fapp-00007", "/targets", "/targets?q=refused+app-00", "/targets?state=up&sort=took",
			"/targets?label=zone=eu-1", "/receivers", "/cluster", "/cluster?leave=node-1", "/discovery", "/flow", "/flow?config=team-7%2Fapp-00007", "/status",
		} {
			best, wall, length := time.Hour, time.Hour, 0
			for range 3 {
				rec := httptest.NewRecorder()
				began, used := time.Now(), cpuTime()
				s.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
				best, wall, length = min(best, cpuTime()-used), min(wall, time.Since(began)), rec.Body.Len()
				require.Equal(t, 200, rec.Code, path)
			}
			t.Logf("%6d configs, %6d targets, 3 nodes in one process: %-32s %4d KB, CPU %6.1f ms, wall %6.1f ms",
				size.configs, size.targets, path, length>>10, milliseconds(best), milliseconds(wall))
			require.Less(t, length, mostPageBytes, path)
			if !raceEnabled {
				require.Less(t, best, 3*mostPageTime, "%s: three nodes, of which each has a machine of its own", path)
			}
		}
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func TestANodeAnswersOnlyForItselfWhenANodeAsks(t *testing.T) {
	s := aSite(t)
	for _, path := range []string{"/", "/configs", "/targets", "/receivers", "/receivers/destinations", "/flow", "/discovery", "/configs/" + url.PathEscape(markup)} {
		r := call(t, s, "GET", path, "", "Ringmaster-Asked-By", "node-2")
		require.Equal(t, "application/json", r.Header.Get("Content-Type"), path)
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		var data struct{ Data struct{ Node string } }
		require.NoError(t, json.Unmarshal(body, &data))
		require.Equal(t, "node-1", data.Data.Node, path)
		require.NotContains(t, string(body), "node-3", path)
	}
}
