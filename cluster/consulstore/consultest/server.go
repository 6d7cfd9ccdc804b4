package consultest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options are where the server differs from a Consul with its default settings.
type Options struct {
	// MinTTL is the shortest TTL of a session. 0 is Consul's own default, 10 s (setting
	// session_ttl_min).
	MinTTL time.Duration
	// Policies are what tokens may do. nil: ACLs are off, everybody may do everything. A request
	// without a token has the policy of "", by default none; a token that is not in the map is
	// refused.
	Policies map[string]Policy
}

// Policy is what the bearer of a token may do. A nil function allows nothing.
type Policy struct {
	Read, Write func(key string) bool
	// Sessions: the policy has session:write, Nodes: it has node:write, each for all nodes.
	Sessions, Nodes bool
}

// Server is the stand-in. Use Start.
type Server struct {
	options Options
	address string
	state   state

	mu        sync.Mutex
	http      *http.Server // nil while it is stopped
	intercept func(http.ResponseWriter, *http.Request) bool
	handlers  sync.WaitGroup
	serving   sync.WaitGroup
	blocked   atomic.Int32
}

// Start starts a server on a free port of 127.0.0.1.
func Start(o Options) (*Server, error) {
	if o.MinTTL == 0 {
		o.MinTTL = 10 * time.Second
	}
	s := &Server{options: o, address: "127.0.0.1:0"}
	s.state.reset(firstIndex)
	return s, s.Resume()
}

// Address is host:port.
func (s *Server) Address() string { return s.address }

// Resume listens again after Stop, at the same address.
func (s *Server) Resume() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := net.Listen("tcp", s.address)
	if err != nil {
		return err
	}
	s.address = l.Addr().String()
	server := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	s.http = server
	s.serving.Go(func() { _ = server.Serve(l) })
	return nil
}

// Blocked is how many queries wait for a change at present.
func (s *Server) Blocked() int { return int(s.blocked.Load()) }

// Stop makes the server unreachable: connections break, new ones are refused. Sessions go on expiring.
func (s *Server) Stop() {
	s.mu.Lock()
	server := s.http
	s.http = nil
	s.mu.Unlock()
	if server != nil {
		_ = server.Close()
	}
	s.serving.Wait()
	s.handlers.Wait()
}

// Close ends the server for good.
func (s *Server) Close() {
	s.Stop()
	s.state.stopTimers()
}

// Wipe is a restart without data: connections break, and indexes begin anew.
func (s *Server) Wipe() error {
	s.Stop()
	s.state.stopTimers()
	s.state.reset(firstIndex)
	return s.Resume()
}

// Intercept makes f see every request first. Where it returns true it has answered. nil ends that.
func (s *Server) Intercept(f func(http.ResponseWriter, *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intercept = f
}

// Fail answers every request with an HTTP status, until Intercept(nil).
func (s *Server) Fail(status int, body string) {
	s.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, body, status)
		return true
	})
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	if s.http == nil {
		s.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	s.handlers.Add(1)
	intercept := s.intercept
	s.mu.Unlock()
	defer s.handlers.Done()
	if intercept != nil && intercept(w, r) {
		return
	}
	policy, err := s.policy(r)
	if err == nil {
		err = s.route(w, r, policy)
	}
	var failure httpError
	switch {
	case err == nil, errors.Is(err, context.Canceled):
	case errors.As(err, &failure):
		http.Error(w, failure.reason, failure.status)
	default:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (s *Server) route(w http.ResponseWriter, r *http.Request, p Policy) error {
	path, method := r.URL.Path, r.Method
	switch {
	case strings.HasPrefix(path, "/v1/kv/") && method == http.MethodGet:
		return s.read(w, r, p)
	case strings.HasPrefix(path, "/v1/kv/") && method == http.MethodPut:
		return s.put(w, r, p)
	case strings.HasPrefix(path, "/v1/kv/") && method == http.MethodDelete:
		return s.remove(w, r, p)
	case path == "/v1/txn" && method == http.MethodPut:
		return s.transact(w, r, p)
	case (path == registerPath || path == deregisterPath) && method == http.MethodPut:
		return s.catalog(w, r, p)
	case strings.HasPrefix(path, "/v1/session/"):
		return s.session(w, r, p)
	default:
		return httpError{http.StatusNotFound, "Invalid URL path: not a recognized HTTP API endpoint"}
	}
}

// httpError is an answer other than 200. An error of another type is a 500, as in Consul
// (agent/http.go, wrap).
type httpError struct {
	status int
	reason string
}

func (e httpError) Error() string { return e.reason }

var errDenied = httpError{http.StatusForbidden, "Permission denied"}

// policy follows the ACL documentation: no token is the anonymous token, which by default may do
// nothing; a token that does not exist is 403 "ACL not found".
func (s *Server) policy(r *http.Request) (Policy, error) {
	everything := func(string) bool { return true }
	if s.options.Policies == nil {
		return Policy{Read: everything, Write: everything, Sessions: true, Nodes: true}, nil
	}
	token := r.Header.Get("X-Consul-Token")
	p, ok := s.options.Policies[token]
	if !ok && token != "" {
		return p, httpError{http.StatusForbidden, "ACL not found"}
	}
	nothing := func(string) bool { return false }
	if p.Read == nil {
		p.Read = nothing
	}
	if p.Write == nil {
		p.Write = nothing
	}
	return p, nil
}
