package consultest

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

const (
	// ttlMultiplier is how many TTLs a session lives without renewal: "the TTL is a lower bound" (Sessions;
	// structs.SessionTTLMultiplier).
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

// createSession follows the defaults of agent/session_endpoint.go: lock delay 15 s, behaviour release, no TTL, and the
// health of the node, which an empty NodeChecks takes out.
func (s *Server) createSession(w http.ResponseWriter, r *http.Request) error {
	body := struct {
		Name, Behavior, TTL string
		LockDelay           any
	}{Behavior: api.SessionBehaviorRelease}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		return httpError{http.StatusBadRequest, fmt.Sprintf("Request decode failed: %v", err)}
	}
	delay, err := parseLockDelay(body.LockDelay)
	if err != nil {
		return httpError{http.StatusBadRequest, fmt.Sprintf("Request decode failed: %v", err)}
	}
	sess := &session{SessionEntry: api.SessionEntry{
		ID: newID(), Name: body.Name, Node: "consultest", LockDelay: delay, Behavior: body.Behavior, TTL: body.TTL,
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
	s.state.addSession(sess)
	return writeJSON(w, http.StatusOK, map[string]string{"ID": sess.ID})
}

// parseLockDelay: a string is a duration, a number is nanoseconds, or seconds if it is below 1000 (FixupLockDelay).
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

// renewSession starts the TTL anew. It takes no index: renewals are the leader's own affair (consul/session_ttl.go).
func (s *Server) renewSession(w http.ResponseWriter, id string) error {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	sess := s.state.sessions[id]
	if sess == nil {
		return httpError{http.StatusNotFound, fmt.Sprintf("Session id '%s' not found", id)}
	}
	sess.timer.Reset(sess.lifetime())
	return writeJSON(w, http.StatusOK, []api.SessionEntry{sess.SessionEntry})
}

func (s *session) lifetime() time.Duration {
	if s.ttl == 0 {
		return 1 << 62 // without a TTL a session lives until it is destroyed
	}
	return ttlMultiplier * s.ttl
}

func (s *state) addSession(sess *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index++
	sess.CreateIndex = s.index
	s.sessions[sess.ID] = sess
	sess.timer = time.AfterFunc(sess.lifetime(), func() { s.endSession(sess.ID) })
}

// endSession destroys a session, for whatever reason: its keys are released or deleted at one index, and can't be locked
// until the lock delay is over (state/session.go, deleteSessionTxn).
func (s *state) endSession(id string) {
	_ = s.apply(func(t *tx) error {
		sess := t.sessions[id]
		if sess == nil {
			return nil
		}
		sess.timer.Stop()
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
