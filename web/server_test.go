package web_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/ringmaster-agent/ringmaster/web"
)

var update = flag.Bool("update", false, "write the golden files anew") //nolint:forbidigo // a flag of the test binary only

// golden compares got with testdata/name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "go test ./web -update writes it anew")
}

func someInstances() fakeInstances {
	pending := uint64(1250)
	target := func(instance, job, url, state string) web.Target {
		return web.Target{
			Instance: instance, TargetGroup: job, Endpoint: url, State: state, LastScrape: now, ScrapeDurationMS: 12,
			Labels:           labels.FromStrings("job", job),
			DiscoveredLabels: labels.FromStrings("__address__", "localhost:1", "job", job),
		}
	}
	return fakeInstances{
		instances: []web.Instance{
			{Name: "web", Phase: "running", Since: now, Revision: 7, Generation: 1, Pending: &pending, Limits: []web.Limit{
				{Name: "series", Count: 3, Last: now, Message: "series exceeded: the config has 9 on this node, 9 are allowed"},
				{Name: "label_bytes", Count: 1, Last: now.Add(-time.Hour), Message: "label_bytes exceeded, an hour ago"},
			}},
			{Name: "api", Unit: "slice 2 of 2", Phase: "running", Since: now, Revision: 3, Generation: 4},
			{Name: "api", Unit: "slice 1 of 2", Phase: "running", Since: now, Revision: 3, Generation: 4},
			{Name: `<script>alert("x")</script>`, Phase: "quarantined", LastError: `open wal: "permission denied" & more`, Generation: 9},
			{Name: "moving", Phase: "preparing", Hold: "waiting for node-2 to release its claim", Generation: 1},
		},
		targets: []web.Target{
			target("web", "b", "http://localhost:2/metrics", "up"),
			target("web", "a", "http://localhost:3/metrics", "down"),
			target("web", "a", "http://localhost:1/metrics", "unknown"),
			target("api", "z", "http://localhost:9/metrics", "up"),
		},
	}
}

func TestInstancesAreTheSortedNamesOfWhatRuns(t *testing.T) {
	s := web.New(web.Options{Instances: someInstances()})
	for _, path := range []string{"/agent/api/v1/metrics/instances", "/agent/api/v1/instances"} {
		r := call(t, s, "GET", path, "")
		require.Equal(t, 200, r.StatusCode)
		require.Equal(t, `{"status":"success","data":["api","web"]}`+"\n", bodyOf(t, r))
	}
	require.Equal(t, `{"status":"success","data":[]}`+"\n", bodyOf(t, call(t, web.New(web.Options{}), "GET", "/agent/api/v1/instances", "")))
}

func TestTargetsHaveTheOldFieldsInTheOldOrder(t *testing.T) {
	s := web.New(web.Options{Instances: someInstances()})
	for _, path := range []string{"/agent/api/v1/metrics/targets", "/agent/api/v1/targets"} {
		body := bodyOf(t, call(t, s, "GET", path, ""))
		first := `{"status":"success","data":[{"instance":"api","target_group":"z","endpoint":"http://localhost:9/metrics","state":"up",` +
			`"labels":{"job":"z"},"discovered_labels":{"__address__":"localhost:1","job":"z"},` +
			`"last_scrape":"2026-11-22T12:00:00Z","scrape_duration_ms":12,"scrape_error":""},`
		require.Equal(t, first, body[:len(first)])
		var got struct {
			Data []struct{ Endpoint string }
		}
		require.NoError(t, json.Unmarshal([]byte(body), &got))
		require.Equal(t, "http://localhost:1/metrics", got.Data[1].Endpoint)
		require.Equal(t, "http://localhost:3/metrics", got.Data[2].Endpoint)
		require.Equal(t, "http://localhost:2/metrics", got.Data[3].Endpoint)
	}
	empty := `{"status":"success","data":[]}` + "\n"
	require.Equal(t, empty, bodyOf(t, call(t, web.New(web.Options{}), "GET", "/agent/api/v1/targets", "")))
}

func TestInstanceStatusShowsEveryPhase(t *testing.T) {
	s := web.New(web.Options{Instances: someInstances()})
	var pretty bytes.Buffer
	body := bodyOf(t, call(t, s, "GET", "/agent/api/v1/metrics/instances/status", ""))
	require.NoError(t, json.Indent(&pretty, []byte(body), "", "  "))
	golden(t, "status.json", pretty.String())
}

func TestWhatCannotBeListedIsA500(t *testing.T) {
	s := web.New(web.Options{Instances: fakeInstances{err: errors.New("supervisor does not answer")}})
	for _, path := range []string{"/agent/api/v1/instances", "/agent/api/v1/targets", "/agent/api/v1/metrics/instances/status"} {
		r := call(t, s, "GET", path, "")
		require.Equal(t, 500, r.StatusCode)
		require.Contains(t, errorOf(t, r), "supervisor does not answer")
	}
	r := call(t, s, "GET", "/", "")
	require.Equal(t, 200, r.StatusCode, "the page shows what it can")
	require.Contains(t, bodyOf(t, r), "supervisor does not answer")
}

func aRing() *fakeRing {
	return &fakeRing{members: []web.Member{
		{ID: "node-2", State: "UNHEALTHY", Address: "10.0.0.2:12345", Zone: "b", Seen: now, Tokens: []uint32{3 << 30}, Share: 0.25},
		{ID: "node-1", State: "ACTIVE", Address: "10.0.0.1:12345", Zone: "a", Seen: now, Registered: now, Tokens: []uint32{1 << 31, 0}, Share: 0.75},
	}}
}

func TestRingPageAndJSON(t *testing.T) {
	s := web.New(web.Options{Ring: aRing(), Now: clock})
	r := call(t, s, "GET", "/debug/ring", "")
	require.Equal(t, "/cluster", r.Header.Get("Location"), "the page is part of the cluster's")
	r = call(t, s, "GET", "/debug/ring", "", "Accept", "application/json")
	require.Equal(t, "application/json", r.Header.Get("Content-Type"))
	golden(t, "ring.json", bodyOf(t, r))

	tokenless := &fakeRing{members: []web.Member{{ID: "new"}}}
	require.Contains(t, bodyOf(t, call(t, web.New(web.Options{Ring: tokenless}), "GET", "/debug/ring", "", "Accept", "application/json")), `"tokens":[]`)
	empty := web.New(web.Options{Ring: &fakeRing{}, Now: clock})
	require.Contains(t, bodyOf(t, call(t, empty, "GET", "/debug/ring", "", "Accept", "application/json")), `"shards":[]`)
}

func TestMembersCanBeForgotten(t *testing.T) {
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	for _, tc := range []struct {
		name, body string
		ring       *fakeRing
		headers    []string
		want       int
	}{
		{"a member", "forget=node-2", aRing(), form, 302},
		{"a stranger", "forget=node-9", aRing(), form, 404},
		{"nobody", "", aRing(), form, 400},
		{"a form that can't be read", "forget=%zz", aRing(), form, 400},
		{"a form that is too large", "forget=" + strings.Repeat("a", 100<<10), aRing(), form, 400},
		{"from a foreign page", "forget=node-2", aRing(), append([]string{"Origin", "http://evil.example"}, form...), 403},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := web.New(web.Options{Ring: tc.ring})
			r := call(t, s, "POST", "/debug/ring", tc.body, tc.headers...)
			require.Equal(t, tc.want, r.StatusCode)
			if tc.want == 302 {
				require.Equal(t, "/cluster?forgotten=yes", r.Header.Get("Location"))
				require.Equal(t, []string{"node-2"}, tc.ring.forgotten)
			} else {
				require.Empty(t, tc.ring.forgotten)
			}
		})
	}
	self := aRing()
	self.err = fmt.Errorf("forget member: %w", web.ErrForgetSelf)
	require.Equal(t, 409, call(t, web.New(web.Options{Ring: self}), "POST", "/debug/ring", "forget=node-1", form...).StatusCode)
	sick := aRing()
	sick.err = errors.New("no leader")
	s := web.New(web.Options{Ring: sick})
	require.Equal(t, 500, call(t, s, "POST", "/debug/ring", "forget=node-2", form...).StatusCode)
	require.Equal(t, 500, call(t, s, "GET", "/debug/ring", "", "Accept", "application/json").StatusCode)
	require.Equal(t, 404, call(t, web.New(web.Options{}), "GET", "/debug/ring", "").StatusCode)
	require.Equal(t, 404, call(t, web.New(web.Options{}), "POST", "/debug/ring", "forget=x", form...).StatusCode)
}

func TestHealthReadinessAndReload(t *testing.T) {
	var waiting []string
	var reloadErr error
	reloads := 0
	s := web.New(web.Options{
		Ready:   func() []string { return waiting },
		Reload:  func(context.Context) error { reloads++; return reloadErr },
		ReadAPI: true, AgentConfig: func() (string, error) { return "password: <secret>\n", nil },
	})
	require.Equal(t, 200, call(t, s, "GET", "/-/healthy", "").StatusCode)
	require.Equal(t, 200, call(t, s, "GET", "/-/ready", "").StatusCode)
	waiting = []string{"the ring", "2 instances that are starting"}
	r := call(t, s, "GET", "/-/ready", "")
	require.Equal(t, 503, r.StatusCode)
	require.Equal(t, "Agent is not Ready.\n- the ring\n- 2 instances that are starting\n", bodyOf(t, r))
	require.Equal(t, "password: <secret>\n", bodyOf(t, call(t, s, "GET", "/-/config", "")))

	require.Equal(t, 200, call(t, s, "POST", "/-/reload", "").StatusCode)
	require.Equal(t, 200, call(t, s, "GET", "/-/reload", "").StatusCode)
	require.Equal(t, 405, call(t, s, "HEAD", "/-/reload", "").StatusCode)
	require.Equal(t, 2, reloads, "a HEAD does not reload")
	reloadErr = errors.New("agent.yaml:3: unknown key")
	r = call(t, s, "POST", "/-/reload", "")
	require.Equal(t, 400, r.StatusCode)
	require.Contains(t, bodyOf(t, r), "agent.yaml:3: unknown key")
	require.Equal(t, 404, call(t, web.New(web.Options{}), "POST", "/-/reload", "").StatusCode)
}

func TestMethodsThatAreNotAllowedAreNamed(t *testing.T) {
	s := web.New(web.Options{Configs: newFakeConfigs(nil)})
	for path, want := range map[string]string{
		"/":                                      "GET, HEAD",
		"/agent/api/v1/configs":                  "GET, HEAD",
		"/agent/api/v1/config/a":                 "DELETE, POST, PUT",
		"/agent/api/v1/metrics/instance/a/write": "POST",
		"/-/reload":                              "GET, POST",
		"/debug/ring":                            "GET, HEAD, POST",
	} {
		r := call(t, s, "PATCH", path, "")
		require.Equal(t, 405, r.StatusCode, path)
		require.Equal(t, want, r.Header.Get("Allow"), path)
	}
}

func TestMetricsAndProfilesAreServed(t *testing.T) {
	reg := prometheus.NewRegistry()
	s := web.New(web.Options{Registerer: reg, Gatherer: reg})
	r := call(t, s, "GET", "/metrics", "")
	require.Equal(t, 200, r.StatusCode)
	require.Contains(t, bodyOf(t, r), "agent_metrics_ha_configs_created_total 0")
	require.Equal(t, 404, call(t, web.New(web.Options{}), "GET", "/metrics", "").StatusCode)
	for path, want := range map[string]int{
		"/debug/pprof": 301, "/debug/pprof/": 200, "/debug/pprof/goroutine": 200, "/debug/pprof/heap": 200, "/debug/pprof/nope": 404, "/nope": 404, "/agent/api/v1/nope": 404,
	} {
		require.Equal(t, want, call(t, s, "GET", path, "").StatusCode, path)
	}
}

func TestSupportBundleHoldsWhatHelpsAndNoConfigWithoutTheReadAPI(t *testing.T) {
	files := func(o web.Options) map[string]string {
		r := call(t, web.New(o), "GET", "/-/support", "")
		require.Equal(t, 200, r.StatusCode)
		require.Equal(t, "application/zip", r.Header.Get("Content-Type"))
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		z, err := zip.NewReader(bytes.NewReader(body), int64(len(body)))
		require.NoError(t, err)
		got := map[string]string{}
		for _, f := range z.File {
			rc, err := f.Open()
			require.NoError(t, err)
			content, err := io.ReadAll(rc)
			require.NoError(t, err)
			require.NoError(t, rc.Close())
			got[f.Name] = string(content)
		}
		return got
	}
	reg := prometheus.NewRegistry()
	sick := aRing()
	sick.err = errors.New("no leader")
	o := web.Options{
		Version: "1.2.3", Instances: someInstances(), Ring: sick, Cluster: aCluster(), Registerer: reg, Gatherer: reg, Now: clock,
		AgentConfig: func() (string, error) { return "server: {}\n", nil },
	}
	got := files(o)
	require.Contains(t, got["version.txt"], "version: 1.2.3")
	require.Contains(t, got["instances.json"], "quarantined")
	require.Contains(t, got["targets.json"], "http://localhost:9/metrics")
	require.Contains(t, got["goroutines.txt"], "goroutine profile")
	require.Contains(t, got["metrics.txt"], "agent_metrics_ha_configs_created_total 0")
	require.Contains(t, got["ready.json"], "waiting_for")
	require.Contains(t, got["ring.json.error.txt"], "no leader", "one part that fails leaves the others")
	require.Contains(t, got["cluster.json"], "taken over")
	require.NotContains(t, got, "agent.yaml")
	o.ReadAPI, o.Registerer = true, nil
	require.Equal(t, "server: {}\n", files(o)["agent.yaml"])
}

func TestAPanicIsA500AndALogLine(t *testing.T) {
	core, logs := observer.New(zap.ErrorLevel)
	repo := newFakeConfigs(nil)
	repo.panicky = true
	s := web.New(web.Options{Configs: repo, Logger: zap.New(core)})
	require.Contains(t, errorOf(t, call(t, s, "GET", "/agent/api/v1/configs", "")), "internal error")
	require.Equal(t, 1, logs.Len())
	require.Contains(t, logs.All()[0].ContextMap()["stack"], "fakeConfigs")
	repo.panicky = false
	require.Equal(t, 200, call(t, s, "GET", "/agent/api/v1/configs", "").StatusCode, "and the next request is served")
}

func TestOverTheNetworkNamesAndErrorsSurvive(t *testing.T) {
	repo := newFakeConfigs(nil)
	srv := httptest.NewUnstartedServer(nil)
	srv.Config = web.NewHTTPServer(web.New(web.Options{Configs: repo}))
	srv.Start()
	defer srv.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, srv.URL+"/agent/api/v1/config/a%2Fb%20c+d", strings.NewReader(aConfig))
	require.NoError(t, err)
	r, err := srv.Client().Do(req)
	require.NoError(t, err)
	require.NoError(t, r.Body.Close())
	require.Equal(t, 201, r.StatusCode)
	require.Contains(t, repo.configs, "a/b c+d")
	r, err = srv.Client().Head(srv.URL + "/agent/api/v1/configs")
	require.NoError(t, err)
	require.NoError(t, r.Body.Close())
	require.Equal(t, 200, r.StatusCode)
}

func TestAMemberOfTheStoreIsReplacedWhereThereAreSeveral(t *testing.T) {
	var asked []string
	var refused error
	h := web.New(web.Options{ReplaceStoreMember: func(_ context.Context, name string) error { asked = append(asked, name); return refused }})
	post := func(h http.Handler) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/-/store/replace/agent-1", nil))
		return w
	}
	require.Equal(t, http.StatusOK, post(h).Code)
	refused = errors.New("agent-1 is running")
	answer := post(h)
	require.Equal(t, http.StatusConflict, answer.Code)
	require.Contains(t, answer.Body.String(), "agent-1 is running")
	require.Equal(t, []string{"agent-1", "agent-1"}, asked)
	require.Equal(t, http.StatusNotFound, post(web.New(web.Options{})).Code)
}

func TestEveryPageShowsTheWarnings(t *testing.T) {
	s := web.New(web.Options{
		Ring: &fakeRing{}, Cluster: aCluster(), Warnings: func() []string { return []string{"two agents <scrape> twice"} },
	})
	for _, page := range []string{"/", "/configs", "/cluster", "/status"} {
		require.Contains(t, bodyOf(t, call(t, s, "GET", page, "")), "two agents &lt;scrape&gt; twice", page)
	}
}
