package web

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// TestTheOpenAPIFileHasEveryEndpoint holds docs/openapi.yaml against the router: every endpoint for
// programs is there, with its methods, and no other.
func TestTheOpenAPIFileHasEveryEndpoint(t *testing.T) {
	text, err := os.ReadFile("../docs/openapi.yaml")
	require.NoError(t, err)
	var doc struct {
		Paths map[string]map[string]struct {
			Summary   string         `yaml:"summary"`
			Responses map[string]any `yaml:"responses"`
			Optional  bool           `yaml:"x-optional"`
		}
	}
	require.NoError(t, yaml.Unmarshal(text, &doc))
	routed := map[string]bool{}
	for _, r := range New(Options{Gatherer: prometheus.NewRegistry()}).routes() {
		forPrograms := strings.HasPrefix(r.pattern, "/agent/") || strings.HasPrefix(r.pattern, "/-/") || r.pattern == "/debug/ring" || r.pattern == "/metrics"
		if !forPrograms {
			continue
		}
		for method, handler := range r.methods {
			if handler == nil {
				continue
			}
			routed[strings.ToLower(method)+" "+r.pattern] = true
			described, found := doc.Paths[r.pattern][strings.ToLower(method)]
			require.True(t, found, "docs/openapi.yaml lacks %s %s", method, r.pattern)
			require.NotEmpty(t, described.Summary)
			require.NotEmpty(t, described.Responses)
		}
	}
	for path, methods := range doc.Paths {
		for method, described := range methods {
			require.True(t, described.Optional || routed[method+" "+path], "docs/openapi.yaml has %s %s, and the router has not", method, path)
		}
	}
}

// TestNoJSONIsKept asks for every answer that is JSON, those of pages too: what a node says now must
// not be shown later, nor lie in somebody's cache. It knows which pages have no JSON.
func TestNoJSONIsKept(t *testing.T) {
	s := New(Options{Gatherer: prometheus.NewRegistry(), Configs: struct{ Configs }{}})
	asked, html := 0, []string{}
	for _, r := range s.routes() {
		if r.methods[http.MethodGet] == nil || strings.HasPrefix(r.pattern, "/debug/pprof") || strings.HasPrefix(r.pattern, "/-/") {
			continue
		}
		path := strings.ReplaceAll(r.pattern, "{name}", "x") + "?format=json"
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost"+path, nil))
		if strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") {
			asked++
			require.Equal(t, "no-store", w.Header().Get("Cache-Control"), path)
		} else if w.Code == http.StatusOK {
			html = append(html, r.pattern)
		}
	}
	require.GreaterOrEqual(t, asked, 20)
	require.ElementsMatch(t, []string{"/upload", "/metrics"}, html, "docs/api.md says which page has no JSON")
}
