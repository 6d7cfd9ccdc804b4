package web_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/web"
)

const aConfig = `scrape_configs:
  - job_name: demo
    static_configs:
      - targets: [localhost:9090]
remote_write:
  - url: http://localhost:9009/api/v1/push
    basic_auth:
      username: u
      password: hunter2
`

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func clock() time.Time { return now }

// fakeConfigs is a repository in a map, with the faults a store can have.
type fakeConfigs struct {
	mu      sync.Mutex
	configs map[string]cluster.StoredConfig
	// documents are what was put.
	documents map[string]cluster.Document
	revision  int64
	fault     error // answered to everything
	hang      bool  // wait for the context's end
	panicky   bool
	reads     int // of one config
}

func newFakeConfigs(texts map[string]string) *fakeConfigs {
	f := &fakeConfigs{configs: map[string]cluster.StoredConfig{}, documents: map[string]cluster.Document{}}
	for _, name := range sortedKeys(texts) {
		f.revision++
		f.configs[name] = cluster.StoredConfig{Name: name, Text: texts[name], Revision: f.revision}
	}
	return f
}

func sortedKeys(m map[string]string) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func (f *fakeConfigs) trouble(ctx context.Context) error {
	if f.panicky {
		panic("the fake was told to")
	}
	if f.hang {
		<-ctx.Done()
		return ctx.Err()
	}
	return f.fault
}

func (f *fakeConfigs) Get(ctx context.Context, name string) (cluster.StoredConfig, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads++
	if err := f.trouble(ctx); err != nil {
		return cluster.StoredConfig{}, err
	}
	c, ok := f.configs[name]
	if !ok {
		return c, cluster.ErrNotFound
	}
	return c, nil
}

func (f *fakeConfigs) List(ctx context.Context) ([]cluster.StoredConfig, cluster.Point, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.trouble(ctx); err != nil {
		return nil, cluster.Point{}, err
	}
	var all []cluster.StoredConfig
	for _, c := range f.configs {
		all = append(all, c)
	}
	return all, cluster.Point{Revision: f.revision}, nil
}

func (f *fakeConfigs) PutDocument(ctx context.Context, name string, d cluster.Document, cond cluster.Condition) (cluster.PutResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.check(ctx, name, cond); err != nil {
		return cluster.PutResult{}, err
	}
	_, existed := f.configs[name]
	f.revision++
	f.documents[name] = d
	f.configs[name] = cluster.StoredConfig{Name: name, Text: d.Text, Revision: f.revision}
	return cluster.PutResult{Revision: f.revision, Created: !existed}, nil
}

func (f *fakeConfigs) Delete(ctx context.Context, name string, cond cluster.Condition) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.configs[name]; !ok && f.fault == nil {
		return cluster.ErrNotFound
	}
	if err := f.check(ctx, name, cond); err != nil {
		return err
	}
	f.revision++
	delete(f.configs, name)
	return nil
}

func (f *fakeConfigs) check(ctx context.Context, name string, cond cluster.Condition) error {
	if err := f.trouble(ctx); err != nil {
		return err
	}
	c, ok := f.configs[name]
	if ok && cond.Absent || !ok && (cond.Present || cond.Revision != 0) || cond.Revision != 0 && cond.Revision != c.Revision {
		return cluster.ErrConflict
	}
	return nil
}

type fakeInstances struct {
	instances  []web.Instance
	targets    []web.Target
	err        error
	appendable map[string]storage.AppendableV2
}

func (f fakeInstances) Instances(_ context.Context, config string) ([]web.Instance, error) {
	return slices.DeleteFunc(slices.Clone(f.instances), func(i web.Instance) bool { return config != "" && i.Name != config }), f.err
}

func (f fakeInstances) Targets(_ context.Context, wanted func(web.UnitTargets) bool) ([]web.Target, error) {
	type unit struct{ config, unit string }
	counts := map[unit]*web.UnitTargets{}
	for _, t := range f.targets {
		id := unit{t.Instance, t.Unit}
		if counts[id] == nil {
			counts[id] = &web.UnitTargets{Config: t.Instance, Unit: t.Unit}
		}
		switch t.State {
		case "up":
			counts[id].Up++
		case "down":
			counts[id].Down++
		default:
			counts[id].Unknown++
		}
	}
	are := map[unit]bool{}
	for id, count := range counts {
		are[id] = wanted == nil || wanted(*count)
	}
	return slices.DeleteFunc(slices.Clone(f.targets), func(t web.Target) bool { return !are[unit{t.Instance, t.Unit}] }), f.err
}

func (f fakeInstances) Appendable(name string) (storage.AppendableV2, bool) {
	a, ok := f.appendable[name]
	return a, ok
}

// fakeInspector knows what it was told.
type fakeInspector struct {
	answer     web.Answer
	discovered []web.DiscoveredJob
	err        error
}

func (f fakeInspector) Scrape(context.Context, web.Target) (web.Answer, error) {
	answer := f.answer
	answer.Headers = slices.Clone(answer.Headers)
	return answer, f.err
}

func (f fakeInspector) Discovered(_ context.Context, config string, detail bool) ([]web.DiscoveredJob, error) {
	var jobs []web.DiscoveredJob
	for _, job := range f.discovered {
		if config != "" && job.Config != config {
			continue
		}
		if job.Targets = slices.Clone(job.Targets); !detail {
			job.Targets = nil
		}
		jobs = append(jobs, job)
	}
	return jobs, f.err
}

type fakeRing struct {
	members   []web.Member
	err       error
	forgotten []string
}

func (f *fakeRing) Members(context.Context) ([]web.Member, error) { return f.members, f.err }
func (f *fakeRing) Forget(_ context.Context, id string) error {
	for _, m := range f.members {
		if m.ID == id {
			f.forgotten = append(f.forgotten, id)
			return f.err
		}
	}
	return cluster.ErrNotFound
}

// call sends one request through the handler, without a network. Headers are pairs.
func call(t *testing.T, h http.Handler, method, target, body string, headers ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec.Result()
}

func bodyOf(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return string(b)
}

type answer struct {
	Status string
	Data   json.RawMessage
}

// errorOf is the text of an error envelope; it fails the test if r is anything else.
func errorOf(t *testing.T, r *http.Response) string {
	t.Helper()
	require.Equal(t, "application/json", r.Header.Get("Content-Type"))
	var a answer
	require.NoError(t, json.Unmarshal([]byte(bodyOf(t, r)), &a))
	require.Equal(t, "error", a.Status)
	var data struct{ Error string }
	require.NoError(t, json.Unmarshal(a.Data, &data))
	require.NotEmpty(t, data.Error)
	return data.Error
}

// fakeCluster is what a node knows of its cluster.
type fakeCluster struct {
	state   web.ClusterState
	plan    web.Plan
	err     error
	known   bool // Retry finds something
	planned []web.Change
	retried []string
	ordered []web.Order
}

func (f *fakeCluster) Order(_ context.Context, o web.Order) error {
	f.ordered = append(f.ordered, o)
	return f.err
}

func (f *fakeCluster) State(_ context.Context, of web.Scope) (web.ClusterState, error) {
	state := f.state
	state.Units = slices.DeleteFunc(slices.Clone(state.Units), func(u web.Unit) bool { return of.Members || of.Config != "" && u.Config != of.Config })
	return state, f.err
}

func (f *fakeCluster) Plan(_ context.Context, change web.Change) (web.Plan, error) {
	f.planned = append(f.planned, change)
	return f.plan, f.err
}

func (f *fakeCluster) Retry(_ context.Context, config string) (bool, error) {
	f.retried = append(f.retried, config)
	return f.known, f.err
}

// network delivers requests by their host, without sockets.
type network map[string]http.Handler

func (n network) RoundTrip(r *http.Request) (*http.Response, error) {
	h, ok := n[r.URL.Host]
	if !ok {
		return nil, errors.New("connection refused")
	}
	arrived := r.Clone(r.Context())
	arrived.RequestURI = r.URL.RequestURI()
	if r.URL.Scheme == "https" {
		arrived.TLS = &tls.ConnectionState{}
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, arrived)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return rec.Result(), nil
}

// dataOf decodes the data of a success envelope.
func dataOf[T any](t *testing.T, r *http.Response) T {
	t.Helper()
	body := bodyOf(t, r)
	require.Equal(t, http.StatusOK, r.StatusCode, body)
	var envelope struct {
		Status string
		Data   T
	}
	require.NoError(t, json.Unmarshal([]byte(body), &envelope))
	require.Equal(t, "success", envelope.Status)
	return envelope.Data
}
