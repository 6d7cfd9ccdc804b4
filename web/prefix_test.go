package web_test

import (
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	linked = regexp.MustCompile(` (?:href|src|action|formaction|data-live)="([^"]*)"`)
	posted = regexp.MustCompile(`<form method="post" action="([^"]*)"`)
)

// TestEveryLinkOfEveryPageStaysUnderTheHandlersPath walks from the overview to whatever is linked, as
// an embedder serves it under a path of its own.
func TestEveryLinkOfEveryPageStaysUnderTheHandlersPath(t *testing.T) {
	for _, prefix := range []string{"/ring", "/team/r&d"} {
		walkUnder(t, prefix)
	}
}

func walkUnder(t *testing.T, prefix string) {
	t.Helper()
	site := http.StripPrefix(prefix, aSite(t))
	get := func(method, target string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		site.ServeHTTP(w, httptest.NewRequest(method, target, http.NoBody))
		return w
	}
	queue := []string{prefix + "/"}
	for _, path := range paths {
		queue = append(queue, prefix+path)
	}
	seen := map[string]bool{}
	pages, follow := 0, func(from, to string) {
		require.True(t, strings.HasPrefix(to, prefix+"/"), "%s leads to %s, which is not under %s", from, to, prefix)
		to, _, _ = strings.Cut(to, "#")
		if path, _, _ := strings.Cut(to, "?"); strings.Contains(path, "/debug/pprof") || strings.HasSuffix(path, "/-/support") {
			return // they take their time
		}
		queue = append(queue, to)
	}
	for len(queue) > 0 && pages < 500 {
		target := queue[0]
		queue = queue[1:]
		if seen[target] {
			continue
		}
		seen[target] = true
		pages++
		r := get(http.MethodGet, target)
		if to := r.Header().Get("Location"); to != "" {
			follow(target, to)
			continue
		}
		require.NotEqual(t, 404, r.Code, target)
		if !strings.HasPrefix(r.Header().Get("Content-Type"), "text/html") {
			continue
		}
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		actions := map[string]bool{}
		for _, form := range posted.FindAllStringSubmatch(string(body), -1) {
			actions[form[1]] = true
		}
		for _, link := range linked.FindAllStringSubmatch(string(body), -1) {
			to := html.UnescapeString(link[1])
			switch {
			case to == "", strings.HasPrefix(to, "#"), strings.HasPrefix(to, "http://"): // here, and other nodes
			case actions[link[1]]:
				require.True(t, strings.HasPrefix(to, prefix+"/"), "a form of %s goes to %s", target, to)
			default:
				follow(target, to)
			}
		}
	}
	require.Greater(t, pages, 60, "it has walked")
	for _, path := range []string{"/", "/configs", "/targets", "/receivers", "/cluster", "/discovery", "/relabel", "/status", "/chaos", "/live", "/metrics"} {
		require.True(t, seen[prefix+path], path)
	}
	require.Equal(t, prefix+"/cluster", get(http.MethodGet, prefix+"/debug/cluster").Header().Get("Location"))
}

func TestTextThatLooksLikeALinkIsLeftAsItIs(t *testing.T) {
	site := http.StripPrefix("/ring", aSite(t))
	w := httptest.NewRecorder()
	site.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/ring/configs?q="+url.QueryEscape(` href="/x`), http.NoBody))
	require.Equal(t, 200, w.Code)
	require.NotContains(t, w.Body.String(), "/ring/x")
	require.Contains(t, w.Body.String(), html.EscapeString(` href="/x`))
}

func TestAtTheRootNothingIsPutBeforeLinks(t *testing.T) {
	site := aSite(t)
	for _, target := range []string{"/configs", "//evil.example.org/configs", "http://evil.example.org/configs"} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/configs", http.NoBody)
		r.RequestURI = target
		site.ServeHTTP(w, r)
		require.Contains(t, w.Body.String(), `href="/targets"`, target)
		require.NotContains(t, w.Body.String(), "evil", target)
	}
}
