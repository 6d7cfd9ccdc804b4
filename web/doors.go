package web

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// guardHost refuses requests for a name that is not this node's. A page of a stranger can have its
// name resolve to this node's address (DNS rebinding), and a browser then takes this node for the
// page's own server; only the Host it sends tells.
func (s *Server) guardHost(next http.Handler) http.Handler {
	if s.opts.Hosts == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isOwnHost(r.Host, s.opts.Hosts) {
			refuse(w, r, http.StatusMisdirectedRequest, "this node does not go by the name in the request's Host: ask by address, or add the name to server.allowed_hosts")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isOwnHost says whether a Host may be this node's: an address, a configured name, or one that no
// stranger can own.
func isOwnHost(host string, configured []string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	if host == "" || !strings.Contains(host, ".") {
		return true // of this host, or of its own network's search list
	}
	for _, private := range []string{".localhost", ".internal", ".svc", ".cluster.local"} {
		if strings.HasSuffix(host, private) {
			return true
		}
	}
	return slices.ContainsFunc(configured, func(name string) bool {
		name = strings.ToLower(name)
		if rest, wild := strings.CutPrefix(name, "*"); wild {
			return rest == "" || strings.HasPrefix(rest, ".") && strings.HasSuffix(host, rest)
		}
		return host == name
	})
}

// guardCostly refuses the GETs that do something, when a page from elsewhere makes a browser send them.
func (s *Server) guardCostly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.Path
		costly := path == "/-/reload" || path == "/-/support" || path == livePath || path == "/debug/pprof" || strings.HasPrefix(path, "/debug/pprof/")
		if costly && comesFromElsewhere(r) {
			because(w, refusedOrigin)
			refuse(w, r, http.StatusForbidden, "cross-origin request refused")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// comesFromElsewhere goes by what browsers say of the page that asks. Other clients say nothing.
func comesFromElsewhere(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" {
		return site != "same-origin" && site != "none"
	}
	for _, header := range []string{"Origin", "Referer"} {
		if from := r.Header.Get(header); from != "" {
			u, err := url.Parse(from)
			return err != nil || u.Host != r.Host
		}
	}
	return false
}
