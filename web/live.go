package web

import (
	"bytes"
	"context"
	"fmt"
	"hash/maphash"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	// maxFollowers is how many pages may follow at a time. Each costs as much as loading its page
	// every liveEvery.
	maxFollowers = 32
	liveEvery    = 5 * time.Second
	// liveWrite is how long a browser may take to read what has changed.
	liveWrite = 10 * time.Second
	// liveFor is how long a page is followed. The browser then connects again, and its credentials
	// are checked again.
	liveFor = 10 * time.Minute
)

// livePath is where browsers follow pages.
const livePath = "/live"

// liveRoutes are the pages that can be followed.
func (s *Server) liveRoutes() []route {
	get := func(h http.HandlerFunc) methods { return methods{http.MethodGet: h} }
	return []route{
		{"/", get(s.frontPage)}, {"/configs", get(s.configsPage)}, {"/configs/{name}", get(s.configPage)}, {"/targets", get(s.targetsPage)},
		{"/target", get(s.targetPage)}, {"/receivers", get(s.receiversPage)}, {"/flow", get(s.flowPage)}, {"/cluster", get(s.clustered(s.clusterPage))},
		{"/discovery", get(s.discoveryPage)}, {"/status", get(s.statusPage)},
	}
}

// liveKey marks the context of a request for the part of a page that lives.
type liveKey struct{}

func isLive(r *http.Request) bool { return r.Context().Value(liveKey{}) != nil }

// follow sends the part of a page that lives as server-sent events whenever it is another, until
// the browser goes away, the server is shut down, or liveFor is over. It runs no goroutine. The
// first comes after a while, since a browser that follows has just loaded the page.
func (s *Server) follow(w http.ResponseWriter, r *http.Request) {
	of, err := url.ParseRequestURI(r.URL.Query().Get("of"))
	if err != nil || of.Host != "" || of.Scheme != "" || !strings.HasPrefix(of.Path, "/") {
		writeText(w, http.StatusBadRequest, "of: want the path of a page")
		return
	}
	if _, _, found := s.live.pages.match(of.EscapedPath()); !found {
		writeText(w, http.StatusNotFound, "of: there is no page at this path that can be followed")
		return
	}
	select {
	case s.live.places <- struct{}{}:
		defer func() { <-s.live.places }()
	default:
		w.Header().Set("Retry-After", "30")
		writeText(w, http.StatusTooManyRequests, fmt.Sprintf("%d pages are followed already", maxFollowers))
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // proxies of this kind would keep it all until the end
	to, shutdown := http.NewResponseController(w), s.live.shutdown(r)
	ticker := time.NewTicker(liveEvery)
	defer ticker.Stop()
	over := time.NewTimer(liveFor)
	defer over.Stop()
	defer func() { _ = to.SetWriteDeadline(time.Now().Add(liveWrite)) }() // the end is written, too
	event, hash, shown := []byte(emptyEvent), uint64(1), uint64(0)
	for {
		if hash != shown {
			_ = to.SetWriteDeadline(time.Now().Add(liveWrite)) // what can't be set is bounded by the server
			if _, err := w.Write(event); err != nil || to.Flush() != nil {
				return
			}
			_ = to.SetWriteDeadline(time.Time{}) // HTTP/2 resets the stream when it passes, even if nothing is being written
			shown = hash
		}
		select {
		case <-r.Context().Done():
			return
		case <-shutdown:
			return
		case <-over.C:
			return
		case <-ticker.C:
		}
		event, hash = s.livePart(r, of)
	}
}

// emptyEvent is a comment, which keeps the connection.
const emptyEvent = ":\n\n"

// livePart renders the part of a page that lives as an event, with its hash. A page that can't be
// shown now is an empty event.
func (s *Server) livePart(r *http.Request, of *url.URL) (event []byte, hash uint64) {
	asking := r.Clone(context.WithValue(r.Context(), liveKey{}, true))
	asking.URL, asking.RequestURI = of, prefixOf(r)+of.RequestURI()
	asking.Header.Set("Accept", "text/html")
	asking.Header.Del(askedByHeader)
	part := &partWriter{header: http.Header{}}
	s.live.pages.ServeHTTP(part, remember(asking))
	if part.status != http.StatusOK || !strings.HasPrefix(part.header.Get("Content-Type"), "text/html") {
		return []byte(emptyEvent), 1
	}
	// A lone CR ends a line of an event, too: a text on the page that has one could write fields of
	// its own.
	body := bytes.ReplaceAll(bytes.ReplaceAll(part.body.Bytes(), []byte("\r\n"), []byte("\n")), []byte("\r"), []byte("\n"))
	var b bytes.Buffer
	for line := range bytes.Lines(body) {
		b.WriteString("data: ")
		b.Write(bytes.TrimSuffix(line, []byte("\n")))
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	return b.Bytes(), maphash.Bytes(s.live.seed, b.Bytes())
}

// partWriter takes a page that goes into an event.
type partWriter struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (p *partWriter) Header() http.Header { return p.header }

func (p *partWriter) WriteHeader(status int) {
	if p.status == 0 {
		p.status = status
	}
}

func (p *partWriter) Write(b []byte) (int, error) {
	p.WriteHeader(http.StatusOK)
	return p.body.Write(b)
}

// following is the state of pages that are followed.
type following struct {
	pages  *router
	places chan struct{}
	seed   maphash.Seed

	mu      sync.Mutex
	servers map[*http.Server]chan struct{}
}

func newFollowing(routes []route) *following {
	return &following{
		pages: newRouter(routes), places: make(chan struct{}, maxFollowers), seed: maphash.MakeSeed(), servers: map[*http.Server]chan struct{}{},
	}
}

// shutdown returns what is closed when the server of a request is shut down: an orderly end waits
// for requests, and a page that is followed would never end. Nil where no server is known.
func (f *following) shutdown(r *http.Request) <-chan struct{} {
	server, known := r.Context().Value(http.ServerContextKey).(*http.Server)
	if !known {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	ended, known := f.servers[server]
	if !known {
		ended = make(chan struct{})
		f.servers[server] = ended
		server.RegisterOnShutdown(sync.OnceFunc(func() { close(ended) }))
	}
	return ended
}
