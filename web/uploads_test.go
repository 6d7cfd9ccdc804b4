package web_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/web"
)

func TestAClientThatUploadsTooMuchWaitsAndNobodyElse(t *testing.T) {
	clock := time.Unix(0, 0)
	s := web.New(web.Options{
		Configs: newFakeConfigs(nil), Now: func() time.Time { return clock },
		Uploads: func() web.UploadLimits { return web.UploadLimits{PerSecond: 1, BytesPerSecond: 1 << 10} },
	})
	upload := func(from, text string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPut, oneOf+"a", strings.NewReader(text))
		r.RemoteAddr, r.Host = from, "localhost"
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w
	}
	for range 60 {
		require.Less(t, upload("10.0.0.1:1", aConfig).Code, 300)
	}
	refused := upload("10.0.0.1:2", aConfig)
	require.Equal(t, http.StatusTooManyRequests, refused.Code, "another port is no other client")
	require.Equal(t, "1", refused.Header().Get("Retry-After"))
	require.Less(t, upload("10.0.0.2:1", aConfig).Code, 300)
	require.Less(t, upload("[2001:db8::1]:1", aConfig).Code, 300)

	clock = clock.Add(time.Second)
	require.Less(t, upload("10.0.0.1:1", aConfig).Code, 300)
	require.Equal(t, http.StatusTooManyRequests, upload("10.0.0.1:1", aConfig).Code)

	large := aConfig + "\n" + strings.Repeat("# a comment\n", 500)
	n := 0
	for ; n < 100 && upload("10.0.0.3:1", large).Code != http.StatusTooManyRequests; n++ {
		require.Less(t, n, 100)
	}
	require.InDelta(t, 10, n, 2, "60 KiB at once")
	require.Equal(t, http.StatusTooManyRequests, upload("10.0.0.3:1", aConfig).Code)
}

func TestANodeWithTLSBelievesNoMemberAtPlainHTTP(t *testing.T) {
	asked := false
	client := &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
		asked = true
		return nil, http.ErrServerClosed
	})}
	cluster := &fakeCluster{}
	cluster.state.Members = []web.Member{
		{ID: "self", State: web.StateActive, Scheme: "https", Address: "self:80"},
		{ID: "forged", State: web.StateActive, Scheme: "http", Address: "forged:80"},
	}
	for _, secured := range []bool{true, false} {
		s := web.New(web.Options{Node: "self", Secured: secured, Cluster: cluster, Instances: fakeInstances{}, PeerClient: client})
		body := bodyOf(t, call(t, s, "GET", targetsPath, ""))
		require.Equal(t, !secured, asked, "a forged record brings no request, nor the credentials in it")
		require.Equal(t, secured, strings.Contains(body, "believes nobody who is"), body)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
