package web_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/web"
)

func askAs(s http.Handler, host, path string, headers map[string]string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Host = host
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func TestANameThatAStrangerMayOwnIsRefused(t *testing.T) {
	s := web.New(web.Options{Hosts: []string{"agent.example.com", "*.corp.example"}})
	for host, status := range map[string]int{
		"127.0.0.1:12345": 200, "[::1]:12345": 200, "10.1.2.3": 200, "localhost:12345": 200, "agent": 200, "agent.ns.svc.cluster.local:80": 200, "a.internal": 200, "": 200,
		"agent.example.com": 200, "AGENT.example.com.:80": 200, "x.corp.example": 200,
		"evil.example": 421, "agent.example.com.evil.example": 421, "corp.example.evil": 421, "127.0.0.1.nip.io:12345": 421, "evilcorp.example": 421,
	} {
		require.Equal(t, status, askAs(s, host, "/-/healthy", nil).Code, host)
	}
	require.Equal(t, 200, askAs(web.New(web.Options{}), "evil.example", "/-/healthy", nil).Code, "who embeds it decides")
	require.Equal(t, 200, askAs(web.New(web.Options{Hosts: []string{"*"}}), "evil.example", "/-/healthy", nil).Code)
}

func TestAForeignPageCanNeitherReloadNorProfile(t *testing.T) {
	reloaded := 0
	s := web.New(web.Options{Reload: func(context.Context) error { reloaded++; return nil }})
	for _, path := range []string{"/-/reload", "/debug/pprof/", "/debug/pprof/cmdline", "/-/support"} {
		for _, foreign := range []map[string]string{
			{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Referer": "http://evil.example/"}, {"Origin": "null"},
		} {
			require.Equal(t, 403, askAs(s, "localhost:80", path, foreign).Code, "%s %v", path, foreign)
		}
		for _, own := range []map[string]string{nil, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {"Referer": "http://localhost:80/"}} {
			require.Equal(t, 200, askAs(s, "localhost:80", path, own).Code, "%s %v", path, own)
		}
	}
	require.Equal(t, 4, reloaded)
}

func TestNoAnswerOfTheAPIIsKept(t *testing.T) {
	s := web.New(web.Options{})
	for _, path := range []string{"/agent/api/v1/metrics/targets", "/agent/api/v1/metrics/instances", "/agent/api/v1/nothing", "/agent/api/v1/configs"} {
		require.Equal(t, "no-store", askAs(s, "localhost", path, nil).Header().Get("Cache-Control"), path)
	}
}
