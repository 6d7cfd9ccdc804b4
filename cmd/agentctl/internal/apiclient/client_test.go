package apiclient_test

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/cluster/memstore"
	"github.com/ringmaster-agent/ringmaster/cmd/agentctl/internal/apiclient"
	"github.com/ringmaster-agent/ringmaster/web"
)

const text = "scrape_configs:\n  - job_name: a\n"

func at(t *testing.T, h http.Handler, o apiclient.Options) *apiclient.Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	o.Address = srv.URL
	o.Backoff = func(int) time.Duration { return 0 }
	c, err := apiclient.New(o)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func answering(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status); fmt.Fprint(w, body) }
}

// failing spoils the first n answers; what the inner handler did stays done.
func failing(n int, inner http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n--; n >= 0 {
			inner.ServeHTTP(httptest.NewRecorder(), r)
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		inner.ServeHTTP(w, r)
	})
}

func api(t *testing.T) (http.Handler, *cluster.Configs) {
	t.Helper()
	store := memstore.New()
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	configs := cluster.NewConfigs(store, "configurations/")
	return web.New(web.Options{Configs: configs, ReadAPI: true}), configs
}

func TestWhatIsPutCanBeListedReadAndDeleted(t *testing.T) {
	h, _ := api(t)
	c := at(t, h, apiclient.Options{})
	for _, name := range []string{"a/b", "a%2Fb", "a+b", "ü ?#", "x"} {
		require.NoError(t, c.Put(t.Context(), name, text, apiclient.Condition{Absent: true}))
		require.ErrorIs(t, c.Put(t.Context(), name, text, apiclient.Condition{Absent: true}), apiclient.ErrChanged)
	}
	l, err := c.List(t.Context())
	require.NoError(t, err)
	require.True(t, l.Exact)
	require.Len(t, l.Configs, 5)
	for _, one := range l.Configs {
		require.Equal(t, apiclient.Digest(text), one.Digest)
		got, err := c.Get(t.Context(), one.Name)
		require.NoError(t, err)
		require.Contains(t, got, "job_name: a")
		require.ErrorIs(t, c.Delete(t.Context(), one.Name, one.Revision+100), apiclient.ErrChanged)
		require.NoError(t, c.Delete(t.Context(), one.Name, one.Revision))
		require.NoError(t, c.Delete(t.Context(), one.Name, one.Revision), "it is gone, which was wanted")
	}
}

func TestPassingFailuresAreRetriedAndALostAnswerIsNotAConflict(t *testing.T) {
	h, configs := api(t)
	c := at(t, failing(2, h), apiclient.Options{Retries: 2})
	// Both failed attempts were in fact applied, so that the third finds a config where it wants none.
	require.NoError(t, c.Put(t.Context(), "a", text, apiclient.Condition{Absent: true}))
	got, err := configs.Get(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, text, got.Text)

	c = at(t, failing(1, h), apiclient.Options{Retries: 1})
	require.NoError(t, c.Delete(t.Context(), "a", got.Revision))
}

func TestAConflictAfterARetryIsStillAConflict(t *testing.T) {
	h, configs := api(t)
	_, err := configs.Put(t.Context(), "a", "theirs", cluster.Condition{})
	require.NoError(t, err)
	c := at(t, failing(1, h), apiclient.Options{Retries: 1})
	require.ErrorIs(t, c.Put(t.Context(), "a", text, apiclient.Condition{Absent: true}), apiclient.ErrChanged)
}

func TestRetriesEnd(t *testing.T) {
	calls := 0
	c := at(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls++
		answering(500, `{"status":"error","data":{"error":"no leader"}}`)(w, nil)
	}), apiclient.Options{Retries: 3})
	_, err := c.List(t.Context())
	require.ErrorContains(t, err, "agent answered 500: no leader")
	require.Equal(t, 4, calls)
}

func TestAnAgentThatSaysWhenToComeAgainIsObeyed(t *testing.T) {
	h, _ := api(t)
	calls := 0
	var refused, taken time.Time
	c := at(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls++; calls == 1 {
			refused = time.Now()
			w.Header().Set("Retry-After", "1")
			answering(http.StatusTooManyRequests, `{"status":"error","data":{"error":"this client uploads too much"}}`)(w, nil)
			return
		}
		taken = time.Now()
		h.ServeHTTP(w, r)
	}), apiclient.Options{Retries: 0})
	require.NoError(t, c.Put(t.Context(), "a", text, apiclient.Condition{Absent: true}))
	require.GreaterOrEqual(t, taken.Sub(refused), time.Second)

	c = at(t, answering(http.StatusTooManyRequests, `{"status":"error","data":{"error":"come again"}}`), apiclient.Options{Retries: 0})
	require.ErrorContains(t, c.Put(t.Context(), "a", text, apiclient.Condition{}), "429: come again", "nobody said when")
}

func TestARequestThatHangsEndsAtItsTimeout(t *testing.T) {
	hang := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	c := at(t, hang, apiclient.Options{Timeout: 10 * time.Millisecond})
	_, err := c.List(t.Context())
	require.ErrorContains(t, err, "deadline exceeded")
}

func TestAnswersThatAreNotAnAgents(t *testing.T) {
	for _, tc := range []struct {
		status int
		body   string
		want   string
	}{
		{200, "<html>hello</html>", "is this the address of an agent?"},
		{200, `{"status":"success","data":{}}`, "is this the address of an agent?"},
		{200, `{"status":"success","data":{"configs":7}}`, "decode answer"},
		{302, "", "it redirects to"},
		{401, "Unauthorized", "agent answered 401: Unauthorized"},
	} {
		_, err := at(t, answering(tc.status, tc.body), apiclient.Options{}).List(t.Context())
		require.ErrorContains(t, err, tc.want)
	}
}

func TestARefusalTellsEveryProblem(t *testing.T) {
	h, _ := api(t)
	err := at(t, h, apiclient.Options{}).Put(t.Context(), "a", "x: 1\ny: 2\n", apiclient.Condition{})
	var refusal *apiclient.Refusal
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, 400, refusal.Status)
	require.GreaterOrEqual(t, len(refusal.Problems), 2)
	require.Equal(t, 1, refusal.Problems[0].Line)
}

func TestReadingIsOff(t *testing.T) {
	h := web.New(web.Options{Configs: cluster.NewConfigs(memstoreOf(t), "")})
	_, err := at(t, h, apiclient.Options{}).Get(t.Context(), "a")
	require.ErrorIs(t, err, apiclient.ErrUnreadable)
	on, _ := api(t)
	_, err = at(t, on, apiclient.Options{}).Get(t.Context(), "a")
	require.Error(t, err)
	require.NotErrorIs(t, err, apiclient.ErrUnreadable)
}

func memstoreOf(t *testing.T) cluster.Store {
	t.Helper()
	s := memstore.New()
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func TestAuthenticationIsSent(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("hunter2\n"), 0o600))
	var got string
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("Authorization")
		_, _ = io.WriteString(w, `{"status":"success","data":{"configs":[]}}`)
	})
	_, err := at(t, h, apiclient.Options{User: "ops", PasswordFile: secret}).List(t.Context())
	require.NoError(t, err)
	require.Equal(t, "Basic b3BzOmh1bnRlcjI=", got)
	_, err = at(t, h, apiclient.Options{BearerTokenFile: secret}).List(t.Context())
	require.NoError(t, err)
	require.Equal(t, "Bearer hunter2", got)
}

func pemOf(srv *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
}

func TestTLSIsVerifiedUnlessToldOtherwise(t *testing.T) {
	h, _ := api(t)
	srv := httptest.NewTLSServer(h)
	t.Cleanup(srv.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pemOf(srv), 0o600))
	for _, tc := range []struct {
		name string
		o    apiclient.Options
		ok   bool
	}{
		{"unknown CA", apiclient.Options{}, false},
		{"known CA", apiclient.Options{TLSCAFile: ca}, true},
		{"known CA, other name", apiclient.Options{TLSCAFile: ca, TLSServerName: "other.invalid"}, false},
		{"known CA, expected name", apiclient.Options{TLSCAFile: ca, TLSServerName: "example.com"}, true},
		{"no verification", apiclient.Options{TLSInsecureSkipVerify: true}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.o.Address = srv.URL
			c, err := apiclient.New(tc.o)
			require.NoError(t, err)
			defer c.Close()
			_, err = c.List(t.Context())
			require.Equal(t, tc.ok, err == nil, err)
		})
	}
	_, err := apiclient.New(apiclient.Options{Address: srv.URL, TLSCAFile: ca + ".nope"})
	require.Error(t, err)
}

func TestAddressesThatMakeNoSense(t *testing.T) {
	for _, a := range []string{"", "localhost", "ftp://x", "http://", "::"} {
		_, err := apiclient.New(apiclient.Options{Address: a})
		require.True(t, errors.Is(err, apiclient.ErrAddress), a)
	}
	for _, a := range []string{"localhost:12345", "[::1]:12345", "agent-1.example:80", "http://localhost", "https://agent.example/path/"} {
		c, err := apiclient.New(apiclient.Options{Address: a})
		require.NoError(t, err, a)
		c.Close()
	}
}
