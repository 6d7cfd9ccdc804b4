package pipeline

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/ringmaster-agent/ringmaster/remotewrite/receivertest"
)

// tenants is a receiver with a path and two tenants, each of which can be ill.
type tenants struct {
	mu  sync.Mutex
	ill map[string]bool
	by  map[string]*receivertest.Receiver
	url string
}

func newTenants(t *testing.T) *tenants {
	r := &tenants{ill: map[string]bool{}, by: map[string]*receivertest.Receiver{"": {}, "a": {}, "b": {}}}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

func (r *tenants) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	tenant := req.Header.Get("X-Scope-OrgID")
	r.mu.Lock()
	ill := r.ill[tenant]
	r.mu.Unlock()
	switch {
	case ill:
		w.WriteHeader(http.StatusServiceUnavailable)
	case req.URL.Path != "/push":
		http.NotFound(w, req)
	default:
		r.by[tenant].ServeHTTP(w, req)
	}
}

func (r *tenants) set(tenant string, ill bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ill[tenant] = ill
}

func TestABlockThatIsRepairedOrNamedOrLeftAloneLosesNothingThatWaited(t *testing.T) {
	const queue = "  queue_config: {batch_send_deadline: 20ms, min_backoff: 10ms, max_backoff: 20ms}\n"
	for name, c := range map[string]struct {
		before, after string
		tenant        string
	}{
		"the path was wrong":            {"- url: %s/wrong\n" + queue, "- url: %s/push\n" + queue, ""},
		"a name was added":              {"- url: %s/push\n" + queue, "- url: %s/push\n  name: mimir\n" + queue, ""},
		"the first block is taken away": {"- url: %[1]s/push\n  headers: {X-Scope-OrgID: a}\n" + queue + "- url: %[1]s/push\n  headers: {X-Scope-OrgID: b}\n" + queue, "- url: %[1]s/push\n  headers: {X-Scope-OrgID: b}\n" + queue, "b"},
	} {
		t.Run(name, func(t *testing.T) {
			w, r := newWorld(t), newTenants(t)
			r.set(c.tenant, true)
			p := w.open(w.parse("scrape_configs: [{job_name: j}]\nremote_write:\n" + fmt.Sprintf(c.before, r.url)))
			for i := range 20 {
				a := p.Appendable().AppenderV2(t.Context())
				for n := range 10 {
					_, err := a.Append(0, labels.FromStrings("__name__", "x", "n", fmt.Sprint(n)), 0, int64(i+1), 1, nil, nil, storage.AOptions{})
					require.NoError(t, err)
				}
				require.NoError(t, a.Commit())
			}
			endpoints := len(p.Endpoints()) - 1
			w.eventually(func() bool { return p.Endpoints()[endpoints].Failing }, "the receiver is asked")
			require.NoError(t, p.Reload(t.Context(), w.parse("scrape_configs: [{job_name: j}]\nremote_write:\n"+fmt.Sprintf(c.after, r.url))))
			r.set(c.tenant, false)
			pending, err := p.Drain(t.Context())
			require.NoError(t, err)
			require.Zero(t, pending)
			require.Equal(t, 200, r.by[c.tenant].Samples())
			receivertest.RequireBalance(t, w.registry)
			require.NoError(t, p.Close(true))
		})
	}
}

func TestWhatARemovedBlockHadNotSentIsCountedAndSaid(t *testing.T) {
	const block = "- url: %s/push\n  headers: {X-Scope-OrgID: %s}\n  queue_config: {batch_send_deadline: 20ms, min_backoff: 10ms}\n"
	w, r := newWorld(t), newTenants(t)
	core, logs := observer.New(zapcore.WarnLevel)
	w.factory.options.Logger = zap.New(core)
	r.set("a", true)
	r.set("b", true)
	head := "scrape_configs: [{job_name: j}]\nremote_write:\n"
	p := w.open(w.parse(head + fmt.Sprintf(block+block, r.url, "a", r.url, "b")))
	put(t, p, 0, 20)
	waiting := p.Endpoints()[0].Pending
	require.NotZero(t, waiting)
	require.NoError(t, p.Reload(t.Context(), w.parse(head+fmt.Sprintf(block, r.url, "b"))))
	lines := logs.FilterField(zap.String("reason", "endpoint_removed")).All()
	require.Len(t, lines, 1)
	require.Equal(t, waiting, lines[0].ContextMap()["dropped"])
	require.NoError(t, testutil.GatherAndCompare(w.registry, strings.NewReader(fmt.Sprintf(`
		# HELP prometheus_remote_storage_samples_given_up_total Samples that waited for an endpoint when its remote_write block was removed.
		# TYPE prometheus_remote_storage_samples_given_up_total counter
		prometheus_remote_storage_samples_given_up_total{reason="endpoint_removed"} %d
	`, waiting)), "prometheus_remote_storage_samples_given_up_total"))
	r.set("b", false)
	_, err := p.Drain(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, waiting, r.by["b"].Samples())
	receivertest.RequireBalance(t, w.registry)
	require.NoError(t, p.Close(true))
}
