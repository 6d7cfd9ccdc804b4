package consultest

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

const (
	// ttlMultiplier is how many TTLs a session lives without renewal: "the TTL is a lower bound"
	// (Sessions; structs.SessionTTLMultiplier).
	ttlMultiplier = 2
	maxTTL        = 24 * time.Hour
	maxLockDelay  = time.Minute
)

type session struct {
	api.SessionEntry
	timer *time.Timer
	ttl   time.Duration
}

func (s *Server) session(w http.ResponseWriter, r *http.Request, p Policy) error {
	verb, id, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/session/"), "/")
	if !p.Sessions {
		return errDenied
	}
	switch {
	case verb == "create" && r.Method == http.MethodPut:
		return s.createSession(w, r)
	case verb == "list" && r.Method == http.MethodGet:
		s.state.mu.Lock()
		defer s.state.mu.Unlock()
		all := []api.SessionEntry{}
		for _, sess := range s.state.sessions {
			all = append(all, sess.SessionEntry)
		}
		return writeJSON(w, http.StatusOK, all)
	case id == "":
		return httpError{http.StatusBadRequest, "Missing session"}
	case verb == "renew" && r.Method == http.MethodPut:
		return s.renewSession(w, id)
	case verb == "destroy" && r.Method == http.MethodPut:
		s.state.endSession(id)
		return writeJSON(w, http.StatusOK, true) // also if there was none
	case verb == "info" && r.Method == http.MethodGet:
		s.state.mu.Lock()
		defer s.state.mu.Unlock()
		found := []api.SessionEntry{}
		if sess := s.state.sessions[id]; sess != nil {
			found = append(found, sess.SessionEntry)
		}
		return writeJSON(w, http.StatusOK, found)
	default:
		return httpError{http.StatusMethodNotAllowed, "method not allowed"}
	}
}

// createSession follows the defaults of agent/session_endpoint.go: lock delay 15 s, behaviour
// release, no TTL, and the health of the node, which an empty NodeChecks takes out.
func (s *Server) createSession(w http.ResponseWriter, r *http.Request) error {
	body := struct {
		Name, Behavior, TTL, Node string
		LockDelay                 any
	}{Behavior: api.SessionBehaviorRelease, Node: localNode}
	if r.ContentLength > 0 { // a body of unknown length is ignored
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			return httpError{http.StatusBadRequest, fmt.Sprintf("Request decode failed: %v", err)}
		}
	}
	delay, err := parseLockDelay(body.LockDelay)
	if err != nil {
		return httpError{http.StatusBadRequest, fmt.Sprintf("Request decode failed: %v", err)}
	}
	sess := &session{SessionEntry: api.SessionEntry{
		ID: newID(), Name: body.Name, Node: body.Node, LockDelay: delay, Behavior: body.Behavior, TTL: body.TTL,
	}}
	if body.Behavior != api.SessionBehaviorRelease && body.Behavior != api.SessionBehaviorDelete {
		return fmt.Errorf("Invalid Behavior setting '%s'", body.Behavior) //nolint:staticcheck // Consul's own text
	}
	if body.TTL != "" {
		if sess.ttl, err = time.ParseDuration(body.TTL); err != nil {
			return fmt.Errorf("Session TTL '%s' invalid: %w", body.TTL, err) //nolint:staticcheck // Consul's own text
		}
		if sess.ttl != 0 && (sess.ttl < s.options.MinTTL || sess.ttl > maxTTL) {
			return fmt.Errorf("Invalid Session TTL '%d', must be between [%v=%v]", //nolint:staticcheck // Consul's own text
				sess.ttl, s.options.MinTTL, maxTTL)
		}
	}
	if !s.state.addSession(sess) {
		return errors.New("Missing node registration") //nolint:staticcheck // Consul's own text
	}
	return writeJSON(w, http.StatusOK, map[string]string{"ID": sess.ID})
}

// parseLockDelay: a string is a duration, a number is nanoseconds, or seconds if it is below 1000
// (FixupLockDelay).
func parseLockDelay(v any) (delay time.Duration, err error) {
	switch v := v.(type) {
	case nil:
		return 15 * time.Second, nil
	case string:
		if delay, err = time.ParseDuration(v); err != nil {
			return 0, err
		}
	case float64:
		delay = time.Duration(v)
	}
	if number := delay.Nanoseconds(); number < 1000 {
		delay = time.Duration(number) * time.Second
	}
	return min(delay, maxLockDelay), nil
}

// renewSession starts the TTL anew. It takes no index: renewals are the leader's own affair
// (consul/session_ttl.go).
func (s *Server) renewSession(w http.ResponseWriter, id string) error {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	sess := s.state.sessions[id]
	if sess == nil {
		return httpError{http.StatusNotFound, fmt.Sprintf("Session id '%s' not found", id)}
	}
	sess.restart(&s.state)
	return writeJSON(w, http.StatusOK, []api.SessionEntry{sess.SessionEntry})
}

func (s *session) lifetime() time.Duration {
	if s.ttl == 0 {
		return 1 << 62 // without a TTL a session lives until it is destroyed
	}
	return ttlMultiplier * s.ttl
}

// restart gives the session its whole time. One that a snapshot brought back has no timer before.
func (s *session) restart(st *state) {
	if s.timer != nil {
		s.timer.Stop()
	}
	s.timer = time.AfterFunc(s.lifetime(), func() { st.endSession(s.ID) })
}

// addSession reports false if the session's node is not in the catalog (state/session.go,
// sessionCreateTxn).
func (s *state) addSession(sess *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.nodes[sess.Node] {
		return false
	}
	s.index++
	sess.CreateIndex = s.index
	s.sessions[sess.ID] = sess
	sess.restart(s)
	return true
}

const (
	// localNode is the node of the agent that is asked.
	localNode      = "consultest"
	registerPath   = "/v1/catalog/register"
	deregisterPath = "/v1/catalog/deregister"
)

// catalog registers a node, or takes it out (Catalog API).
func (s *Server) catalog(w http.ResponseWriter, r *http.Request, p Policy) error {
	var body struct{ Node, Address string }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		return httpError{http.StatusBadRequest, fmt.Sprintf("Request decode failed: %v", err)}
	}
	register := r.URL.Path == registerPath
	switch {
	case !p.Nodes:
		return errDenied
	case body.Node == "" || register && body.Address == "":
		return errors.New("Must provide node and address") //nolint:staticcheck // Consul's own text
	}
	s.state.setNode(body.Node, register)
	return writeJSON(w, http.StatusOK, true)
}

// setNode adds or removes a node. The sessions of one that goes end (state/catalog.go,
// deleteNodeTxn); that of the agent itself is registered again at once.
func (s *state) setNode(node string, there bool) {
	s.mu.Lock()
	s.nodes[node] = there || node == localNode
	var ended []string
	for id, sess := range s.sessions {
		if !there && sess.Node == node {
			ended = append(ended, id)
		}
	}
	s.mu.Unlock()
	for _, id := range ended {
		s.endSession(id)
	}
}

// endSession destroys a session, for whatever reason: its keys are released or deleted at one
// index, and can't be locked until the lock delay is over (state/session.go, deleteSessionTxn).
func (s *state) endSession(id string) {
	_ = s.apply(func(t *tx) error {
		sess := t.sessions[id]
		if sess == nil {
			return nil
		}
		if sess.timer != nil {
			sess.timer.Stop()
		}
		delete(t.sessions, id)
		for key, e := range t.kvs {
			if e.Session != id {
				continue
			}
			if sess.Behavior == api.SessionBehaviorDelete {
				t.remove(key)
			} else {
				released := *e
				released.Session = ""
				t.set(&released, true)
			}
			if sess.LockDelay > 0 {
				t.lockDelays[key] = time.Now().Add(sess.LockDelay)
			}
		}
		return nil
	})
}

// newID is a random UUID.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
}
