package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// methods maps a method to its handler. HEAD is served by GET's handler unless it is mapped itself;
// mapped to nil it is not allowed.
type methods map[string]http.HandlerFunc

// route is one path. At most one of its segments is {name}: it stands for exactly one segment of
// the request's path, percent-decoded once; handlers read it with r.PathValue("name").
type route struct {
	pattern string
	methods methods
}

// router finds the route of a request. http.ServeMux is not it: it cleans paths and redirects,
// which turns a PUT of the name ".." or "" into something else, and its own 404 and 405 are not in
// the API's envelope.
type router struct {
	exact    map[string]methods
	wildcard []wildcard
}

type wildcard struct {
	before, after string
	methods       methods
}

func newRouter(routes []route) *router {
	rt := &router{exact: make(map[string]methods, len(routes))}
	for _, r := range routes {
		before, after, found := strings.Cut(r.pattern, "{name}")
		if found {
			rt.wildcard = append(rt.wildcard, wildcard{before, after, r.methods})
			continue
		}
		rt.exact[r.pattern] = r.methods
	}
	return rt
}

func (rt *router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m, rawName, found := rt.match(r.URL.EscapedPath())
	if !found {
		refuse(w, r, http.StatusNotFound, "no such endpoint (a slash in a name is written %2F)")
		return
	}
	h, allowed := m[r.Method]
	if !allowed && r.Method == http.MethodHead {
		h = m[http.MethodGet]
	}
	if h == nil {
		w.Header().Set("Allow", strings.Join(m.allowed(), ", "))
		refuse(w, r, http.StatusMethodNotAllowed, "method "+r.Method+" is not allowed here")
		return
	}
	name, err := url.PathUnescape(rawName)
	if err != nil {
		refuse(w, r, http.StatusBadRequest, "decode name: "+err.Error())
		return
	}
	r.SetPathValue("name", name)
	h(w, r)
}

// match finds the methods of an escaped path, and the part of it that is the name, still escaped.
func (rt *router) match(path string) (m methods, rawName string, found bool) {
	if m, found = rt.exact[path]; found {
		return m, "", true
	}
	for _, wc := range rt.wildcard {
		rest, ok := strings.CutPrefix(path, wc.before)
		if !ok {
			continue
		}
		name, ok := strings.CutSuffix(rest, wc.after)
		if ok && !strings.Contains(name, "/") {
			return wc.methods, name, true
		}
	}
	return nil, "", false
}

func (m methods) allowed() []string {
	var names []string
	for name, h := range m {
		if h != nil {
			names = append(names, name)
		}
	}
	_, mapped := m[http.MethodHead]
	if m[http.MethodGet] != nil && !mapped {
		names = append(names, http.MethodHead)
	}
	slices.Sort(names)
	return names
}
