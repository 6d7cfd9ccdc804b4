package web_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/web"
)

var asForm = []string{"Content-Type", "application/x-www-form-urlencoded"}

func form(pairs ...string) string {
	values := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		values.Set(pairs[i], pairs[i+1])
	}
	return values.Encode()
}

const (
	openConfig = "scrape_configs:\n  - job_name: one\n    static_configs:\n      - targets: [a:80]\n"
	badConfig  = "scrape_configs:\n  - job_name: one\n    scrape_interval: soon\n"
)

func TestAPersonUploadsAConfigWithTheChecksOfTheAPI(t *testing.T) {
	configs := newFakeConfigs(map[string]string{"open": openConfig, "closed": aConfig})
	s := web.New(web.Options{Node: "a", Configs: configs, ReadAPI: true, Now: clock})
	post := func(pairs ...string) *http.Response { return call(t, s, "POST", "/upload", form(pairs...), asForm...) }

	page := bodyOf(t, call(t, s, "GET", "/upload?name=open", ""))
	require.Contains(t, page, "job_name: one", "what has no secrets can be edited")
	require.Contains(t, page, `name="revision" value="2"`)
	page = bodyOf(t, call(t, s, "GET", "/upload?name=closed", ""))
	require.NotContains(t, page, "hunter2")
	require.Contains(t, page, "what is stored has secrets")
	require.Contains(t, bodyOf(t, call(t, s, "GET", "/upload", "")), `<input name="name" value="" required`)
	require.Equal(t, 400, call(t, s, "GET", "/upload?name=..", "").StatusCode)

	refused := bodyOf(t, post("name", "open", "revision", "2", "do", "upload", "text", badConfig))
	require.Contains(t, refused, `<td class="number" data-label="Line">3</td>`)
	require.Contains(t, refused, "scrape_interval")
	require.Contains(t, refused, "nothing has been stored")
	require.Contains(t, refused, "&#43;    scrape_interval: soon", "it says what would change")

	changed := strings.Replace(openConfig, "one", "two", 1)
	require.Contains(t, bodyOf(t, post("name", "open", "revision", "2", "do", "check", "text", changed)), "Nothing has been stored.")
	require.Equal(t, openConfig, configs.configs["open"].Text, "a check stores nothing")
	r := post("name", "open", "revision", "2", "do", "upload", "text", strings.ReplaceAll(changed, "\n", "\r\n"))
	require.Equal(t, 303, r.StatusCode)
	require.Equal(t, "/configs/open", r.Header.Get("Location"))
	require.Equal(t, changed, configs.configs["open"].Text)
	require.NotEmpty(t, configs.documents["open"].Insert, "as the API stores it")

	require.Contains(t, bodyOf(t, post("name", "open", "revision", "2", "do", "upload", "text", openConfig)), "changed by someone else")
	require.Contains(t, bodyOf(t, post("name", "open", "do", "upload", "text", openConfig)), "exists already")
	require.Contains(t, bodyOf(t, post("name", "open", "revision", "x", "do", "upload", "text", openConfig)), "not a revision")
	require.Contains(t, bodyOf(t, post("name", "open", "revision", "3", "do", "upload", "text", "a: <secret>\n")), "where a secret belongs")
	require.Contains(t, bodyOf(t, post("name", "..", "do", "upload", "text", openConfig)), "notice")
	require.Equal(t, changed, configs.configs["open"].Text)
	require.Equal(t, 303, post("name", "new/one", "do", "upload", "text", openConfig).StatusCode)
	require.Equal(t, 403, call(t, s, "POST", "/upload", form("name", "x", "text", openConfig, "do", "upload"), append([]string{"Origin", "http://evil.example"}, asForm...)...).StatusCode)
	require.Equal(t, 413, post("name", "big", "text", strings.Repeat("#", 1<<20+1)).StatusCode)
	require.Equal(t, 404, call(t, web.New(web.Options{}), "GET", "/upload", "").StatusCode)

	limited := web.New(web.Options{Configs: newFakeConfigs(nil), Now: clock, Uploads: func() web.UploadLimits { return web.UploadLimits{PerSecond: 1} }})
	for range 60 {
		require.NotEqual(t, 429, call(t, limited, "POST", "/upload", form("name", "x", "text", badConfig), asForm...).StatusCode)
	}
	require.Equal(t, 429, call(t, limited, "POST", "/upload", form("name", "x", "text", badConfig), asForm...).StatusCode, "a form has the limits of the API")
}

func TestAFormReplacesOnlyWhatItWasOpenedFor(t *testing.T) {
	const moved = "not what this form was opened for"
	bobs := strings.Replace(openConfig, "one", "bobs", 1)
	anns := strings.Replace(openConfig, "one", "anns", 1)
	revisionIn := func(page string) string {
		_, rest, _ := strings.Cut(page, `name="revision" value="`)
		revision, _, _ := strings.Cut(rest, `"`)
		return revision
	}
	for name, test := range map[string]struct {
		stored map[string]string
		other  func(api func(method, body string) *http.Response) *http.Response
	}{
		"changed": {map[string]string{"c": openConfig}, func(api func(method, body string) *http.Response) *http.Response { return api("PUT", bobs) }},
		"deleted": {map[string]string{"c": openConfig}, func(api func(method, body string) *http.Response) *http.Response { return api("DELETE", "") }},
		"created": {nil, func(api func(method, body string) *http.Response) *http.Response { return api("PUT", bobs) }},
	} {
		t.Run(name, func(t *testing.T) {
			configs := newFakeConfigs(test.stored)
			s := web.New(web.Options{Node: "a", Configs: configs, ReadAPI: true, Now: clock})
			post := func(revision, do, text string) string {
				return bodyOf(t, call(t, s, "POST", "/upload", form("name", "c", "revision", revision, "do", do, "text", text), asForm...))
			}
			opened := revisionIn(bodyOf(t, call(t, s, "GET", "/upload?name=c", "")))
			page := post(opened, "check", anns)
			require.NotContains(t, page, moved)
			require.Equal(t, opened, revisionIn(page))

			require.Less(t, test.other(func(method, body string) *http.Response { return call(t, s, method, "/agent/api/v1/config/c", body) }).StatusCode, 300)
			kept := configs.configs["c"].Text
			// As a person goes on: each form is the answer to the one before.
			for _, step := range []struct{ do, text string }{{"check", anns}, {"upload", anns}, {"check", badConfig}, {"upload", "a: <secret>\n"}, {"upload", anns}} {
				page = post(revisionIn(page), step.do, step.text)
				require.Contains(t, page, moved, step)
				require.Contains(t, page, `<a href="/upload?name=c">open it again</a>`)
				require.Equal(t, opened, revisionIn(page), step)
				require.Equal(t, kept, configs.configs["c"].Text, step)
			}
			page = bodyOf(t, call(t, s, "GET", "/upload?name=c", ""))
			require.NotContains(t, page, moved)
			require.Equal(t, 303, call(t, s, "POST", "/upload", form("name", "c", "revision", revisionIn(page), "do", "upload", "text", anns), asForm...).StatusCode)
			require.Equal(t, anns, configs.configs["c"].Text)
		})
	}
}

func TestAConfigsPageShowsTheDifferenceToTheRevisionBefore(t *testing.T) {
	configs := newFakeConfigs(map[string]string{"c": aConfig})
	net, fake := network{}, &fakeCluster{}
	for _, node := range []string{"a", "b"} {
		fake.state.Members = append(fake.state.Members, web.Member{ID: node, State: web.StateActive, Address: node + ":80"})
		net[node+":80"] = web.New(web.Options{Node: node, Configs: configs, Cluster: fake, ReadAPI: true, Now: clock, PeerClient: &http.Client{Transport: net}})
	}
	page := bodyOf(t, call(t, net["a:80"], "GET", "/configs/c", ""))
	require.Contains(t, page, "No node has kept an older text")

	put := func(text string) {
		require.Equal(t, 200, call(t, net["b:80"], "PUT", "/agent/api/v1/config/c", text).StatusCode)
	}
	put(strings.Replace(aConfig, "demo", "other", 1))
	for _, node := range []string{"a:80", "b:80"} {
		page = bodyOf(t, call(t, net[node], "GET", "/configs/c", ""))
		require.Contains(t, page, `<span class="gone">-  - job_name: demo</span>`, "any node shows it, whichever has taken the upload")
		require.Contains(t, page, `<span class="fresh">&#43;  - job_name: other</span>`)
		require.NotContains(t, page, "hunter2")
	}
	put(strings.NewReplacer("demo", "other", "hunter2", "hunter3").Replace(aConfig))
	page = bodyOf(t, call(t, net["a:80"], "GET", "/configs/c", ""))
	require.Contains(t, page, "They differ in nothing that may be shown")
	require.NotContains(t, page, "hunter")

	type data struct {
		Nodes []struct{ Revisions []struct{ Revision int64 } }
	}
	for i := range 20 {
		put(strings.Replace(aConfig, "demo", fmt.Sprint("job", i), 1))
	}
	kept := dataOf[data](t, call(t, net["b:80"], "GET", "/configs/c?format=json", "")).Nodes[0].Revisions
	require.Len(t, kept, 5)
	require.EqualValues(t, configs.revision, kept[4].Revision)
	require.Equal(t, 200, call(t, net["b:80"], "DELETE", "/agent/api/v1/config/c", "").StatusCode)
	require.Equal(t, 201, call(t, net["b:80"], "PUT", "/agent/api/v1/config/c", openConfig).StatusCode)
	require.Contains(t, bodyOf(t, call(t, net["b:80"], "GET", "/configs/c", "")), "No node has kept an older text", "a config of the same name is another")
}

func TestTheJournalIsBoundedAndFair(t *testing.T) {
	j := &web.Journal{}
	j.Note("calm", web.Happened{Text: "started"})
	for i := range 10_000 {
		j.Note("loud", web.Happened{Text: fmt.Sprint(i)})
	}
	require.Len(t, j.Of("calm"), 1, "one that fails all the time displaces nobody")
	require.Len(t, j.Of("loud"), 32)
	require.Equal(t, "9999", j.Of("loud")[31].Text)
	j.Note("loud", web.Happened{Text: "9999", At: now})
	require.Len(t, j.Of("loud"), 32)
	require.Equal(t, web.Happened{Text: "9999", At: now, Times: 2}, j.Of("loud")[31])
	for i := range 10_000 {
		j.Note(fmt.Sprint("many", i), web.Happened{})
	}
	require.Empty(t, j.Of("calm"))
	require.Empty(t, j.Of("many0"))
	require.Len(t, j.Of("many9999"), 1)
	require.Empty(t, (*web.Journal)(nil).Of("calm"))
}

func TestAConfigsPageTellsWhatHappenedOnAnyNodeAndEachMoveOnce(t *testing.T) {
	moved := web.Move{Config: "c", From: "a", To: "b", At: now.Add(-time.Hour), Epoch: 9, Reason: "handed over"}
	net, fake := network{}, &fakeCluster{state: web.ClusterState{
		Moves: []web.Move{moved}, Units: []web.Unit{{Config: "c", Owner: "b", ClaimedBy: "b", Epoch: 9}},
	}}
	for _, node := range []string{"a", "b"} {
		fake.state.Members = append(fake.state.Members, web.Member{ID: node, State: web.StateActive, Address: node + ":80"})
		j := &web.Journal{}
		j.Note("c", web.MovedEvent(moved))
		j.Note("c", web.Happened{At: now.Add(-time.Minute), Text: "failed: dial http://u:hunter2@" + node + "/x", Wrong: true})
		j.Note("d", web.Happened{At: now, Text: "is another"})
		net[node+":80"] = web.New(web.Options{Node: node, Cluster: fake, Now: clock, Journal: j.Of, PeerClient: &http.Client{Transport: net}})
	}
	page := bodyOf(t, call(t, net["a:80"], "GET", "/configs/c", ""))
	require.Equal(t, 1, strings.Count(page, "moved from a to b, handed over"))
	require.Equal(t, 2, strings.Count(page, "failed: dial"))
	require.NotContains(t, page, "hunter2")
	require.NotContains(t, page, "is another")
	require.Less(t, strings.Index(page, "failed: dial"), strings.Index(page, "moved from a"), "the newest is first")
}

func TestAPersonHoldsAConfigAndDrainsANodeByButtons(t *testing.T) {
	fake := &fakeCluster{known: true, state: web.ClusterState{
		Members: []web.Member{{ID: "a", State: web.StateActive, Address: "a:80"}},
		Units:   []web.Unit{{Config: "c", Owner: "a", ClaimedBy: "a", Epoch: 1, Phase: "running"}},
	}}
	s := web.New(web.Options{Node: "a", Cluster: fake, Now: clock})
	page := bodyOf(t, call(t, s, "GET", "/configs/c", ""))
	require.Contains(t, page, `name="do" value="hold"`)
	require.NotContains(t, page, `value="release"`)
	require.Equal(t, "/configs/c?done=hold", call(t, s, "POST", "/configs/c", form("do", "hold", "reason", "why not"), asForm...).Header.Get("Location"))
	require.Equal(t, web.HoldConfig, fake.ordered[0].Kind)
	require.Equal(t, "why not", fake.ordered[0].Reason)
	fake.state.Held = []web.Standing{{Kind: web.HoldConfig, Name: "c", Reason: "<because>", By: "anna", Since: now}, {Kind: web.HoldConfig, Name: "d"}}
	page = bodyOf(t, call(t, s, "GET", "/configs/c?done=hold", ""))
	require.Contains(t, page, "Held by anna")
	require.Contains(t, page, "&lt;because&gt;")
	require.Contains(t, page, "every node stops it")
	require.Contains(t, page, `name="do" value="release"`)
	require.Equal(t, 303, call(t, s, "POST", "/configs/c", form("do", "release"), asForm...).StatusCode)
	require.Equal(t, web.ReleaseConfig, fake.ordered[1].Kind)
	require.Equal(t, 400, call(t, s, "POST", "/configs/c", form("do", "dance"), asForm...).StatusCode)

	page = bodyOf(t, call(t, s, "GET", "/cluster", ""))
	require.Contains(t, page, "Drain a</button>")
	require.Equal(t, "/cluster?done=drain", call(t, s, "POST", "/cluster", form("do", "drain", "node", "a", "reason", "disk", "force", "yes"), asForm...).Header.Get("Location"))
	require.Equal(t, web.Order{Kind: web.DrainNode, Name: "a", Reason: "disk", By: fake.ordered[2].By, Force: true}, fake.ordered[2])
	require.Equal(t, 400, call(t, s, "POST", "/cluster", form("do", "hold", "node", "a"), asForm...).StatusCode)
	require.Equal(t, 403, call(t, s, "POST", "/cluster", form("do", "drain", "node", "a"), append([]string{"Origin", "http://evil.example"}, asForm...)...).StatusCode)
	fake.state.Members[0].Cordon = &web.Standing{Kind: web.DrainNode, Name: "a", By: "anna", Since: now}
	page = bodyOf(t, call(t, s, "GET", "/cluster?done=drain", ""))
	require.Contains(t, page, "drained by anna")
	require.Contains(t, page, "Uncordon a</button>")
	require.Contains(t, page, "without missing a scrape")
	require.Equal(t, 303, call(t, s, "POST", "/cluster", form("do", "uncordon", "node", "a"), asForm...).StatusCode)
	fake.err = web.ErrOrderRefused
	require.Equal(t, 409, call(t, s, "POST", "/configs/c", form("do", "hold"), asForm...).StatusCode)
	require.Len(t, fake.ordered, 5)
}
