package web

import (
	"bytes"
	"html"
	"net/http"
	"regexp"
	"strings"
)

// Pages and redirects are written as if this were the root of its host. Who embeds the handler under
// a path takes that off before (http.StripPrefix); here it is put before every link again, at the two
// places through which all of them pass: where a page is written, and where a Location is.

// prefixOf is the path under which this handler is embedded, escaped: what the client has asked for
// before the path that came here. Empty: none.
func prefixOf(r *http.Request) string {
	asked, _, _ := strings.Cut(r.RequestURI, "?")
	prefix, under := strings.CutSuffix(asked, r.URL.EscapedPath())
	if !under || !strings.HasPrefix(prefix, "/") || strings.HasPrefix(prefix, "//") {
		return ""
	}
	return prefix
}

// links are the attributes of a page that lead elsewhere on this host. Templates escape quotes in
// what they are given, so no text from elsewhere looks like one.
var links = regexp.MustCompile(` (?:href|src|action|formaction|data-live)="/`)

// linkedUnder is a page whose links lead to where the handler is embedded.
func linkedUnder(prefix string, page []byte) []byte {
	if prefix == "" {
		return page
	}
	escaped := []byte(html.EscapeString(prefix))
	return links.ReplaceAllFunc(page, func(link []byte) []byte {
		return bytes.Join([][]byte{link[:len(link)-1], escaped, []byte("/")}, nil)
	})
}

// redirectUnder has redirects lead to where the handler is embedded.
func redirectUnder(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if prefix := prefixOf(r); prefix != "" {
			w = &redirector{ResponseWriter: w, prefix: prefix}
		}
		next.ServeHTTP(w, r)
	})
}

type redirector struct {
	http.ResponseWriter
	prefix string
}

func (r *redirector) WriteHeader(status int) {
	if to := r.Header().Get("Location"); strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "//") {
		r.Header().Set("Location", r.prefix+to)
	}
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach what redirector hides.
func (r *redirector) Unwrap() http.ResponseWriter { return r.ResponseWriter }
