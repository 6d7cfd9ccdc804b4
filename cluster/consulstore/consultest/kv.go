package consultest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

const (
	// maxValue and maxTxn are the settings kv_max_value_size and txn_max_req_len, by default what
	// Raft likes.
	maxValue = 512 << 10
	maxTxn   = 512 << 10
	// defaultWait and maxWait bound a blocking query (Blocking queries).
	defaultWait = 5 * time.Minute
	maxWait     = 10 * time.Minute
)

// keyOf returns the key in the URL of a request as Consul 1.22 understands it, which cleans it like
// a path, or what it says of one that it doesn't like (agent/kvs_endpoint.go, KVSEndpoint and
// validateKVKey). Transactions are free of that.
func keyOf(r *http.Request) (string, error) {
	raw := strings.TrimPrefix(r.URL.Path, "/v1/kv/")
	if raw == "" {
		return "", nil
	}
	key := path.Clean(raw)
	if strings.HasSuffix(raw, "/") && !strings.HasSuffix(key, "/") {
		key += "/"
	}
	if strings.HasPrefix(key, " ") || strings.HasSuffix(key, " ") {
		return "", errors.New("invalid key name, leading/trailing spaces are not allowed")
	}
	if slices.Contains(strings.Split(key, "/"), "..") {
		return "", errors.New("invalid key name, path traversal is not allowed")
	}
	decoded, err := url.PathUnescape(key)
	if err != nil { // not encoded, so not in disguise
		decoded = key
	}
	switch {
	case decoded == key:
	case strings.Contains(decoded, ".."):
		return "", errors.New("invalid key name, path traversal is not allowed")
	case strings.Contains(decoded, " "):
		return "", errors.New("invalid key name, leading/trailing spaces are not allowed")
	}
	return key, nil
}

// read answers GET: one key, or with ?recurse all under a prefix, or with ?keys their names; 404 if
// there are none.
func (s *Server) read(w http.ResponseWriter, r *http.Request, p Policy) error {
	key, err := keyOf(r)
	if err != nil {
		return err
	}
	names := r.URL.Query().Has("keys")
	recurse := names || r.URL.Query().Has("recurse")
	if key == "" && !recurse {
		return httpError{http.StatusBadRequest, "Missing key name"}
	}
	if !recurse && !p.Read(key) {
		return errDenied
	}
	index, found, err := s.block(r, func(st *state) (uint64, []*api.KVPair) {
		if recurse {
			return st.list(key)
		}
		return st.get(key)
	})
	if err != nil {
		return err
	}
	// A listing has what the token may read; since Consul 1.11 a header tells that something was
	// left out (ACL filtering).
	visible := slices.DeleteFunc(found, func(e *api.KVPair) bool { return !p.Read(e.Key) })
	if len(visible) < len(found) {
		w.Header().Set("X-Consul-Results-Filtered-By-ACLs", "true")
	}
	w.Header().Set("X-Consul-Index", strconv.FormatUint(max(index, 1), 10)) // never 0: KVS.Get in consul/kvs_endpoint.go
	w.Header().Set("X-Consul-KnownLeader", "true")
	w.Header().Set("X-Consul-LastContact", "0")
	switch {
	case names && (len(visible) > 0 || key == ""): // KVSGetKeys in agent/kvs_endpoint.go: the root is always there
		keys := []string{}
		for _, e := range visible {
			keys = append(keys, e.Key)
		}
		return writeJSON(w, http.StatusOK, keys)
	case len(visible) == 0:
		w.WriteHeader(http.StatusNotFound)
		return nil
	default:
		return writeJSON(w, http.StatusOK, visible)
	}
}

// block runs a query, and again at each change, until its index is above the one the client names
// (Blocking queries). An index that is still to come blocks as well.
func (s *Server) block(r *http.Request, query func(*state) (uint64, []*api.KVPair)) (uint64, []*api.KVPair, error) {
	above, wait, err := blocking(r.URL.Query())
	if err != nil {
		return 0, nil, httpError{http.StatusBadRequest, err.Error()}
	}
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	for {
		s.state.mu.Lock()
		index, found := query(&s.state)
		changed, abandoned := s.state.changed, s.state.abandoned
		s.state.mu.Unlock()
		if above == 0 || max(index, 1) > above || ctx.Err() != nil {
			return index, found, r.Context().Err()
		}
		s.blocked.Add(1)
		select {
		case <-changed:
		case <-ctx.Done():
		case <-abandoned: // the answer is what was before (blockingquery.Query)
			s.blocked.Add(-1)
			return index, found, nil
		}
		s.blocked.Add(-1)
	}
}

// blocking reads index and wait. The server adds up to a sixteenth to the wait, so that clients
// don't come all at once.
func blocking(q url.Values) (above uint64, wait time.Duration, err error) {
	if text := q.Get("index"); text != "" {
		if above, err = strconv.ParseUint(text, 10, 64); err != nil {
			return 0, 0, fmt.Errorf("Invalid index") //nolint:staticcheck // Consul's own text
		}
	}
	wait = defaultWait
	if text := q.Get("wait"); text != "" {
		if wait, err = time.ParseDuration(text); err != nil {
			return 0, 0, fmt.Errorf("Invalid wait time") //nolint:staticcheck // Consul's own text
		}
	}
	wait = min(max(wait, time.Millisecond), maxWait)
	return above, wait + rand.N(wait/16+1), nil
}

// get returns a key, and as the index its own, or the table's if there is no such key
// (consul/kvs_endpoint.go, Get).
func (s *state) get(key string) (uint64, []*api.KVPair) {
	if e := s.kvs[key]; e != nil {
		return e.ModifyIndex, []*api.KVPair{e}
	}
	return s.kvsIndex, nil
}

// list returns the keys under prefix, sorted, and as the index the highest of them and of the
// tombstones under the prefix; the table's if there are neither, or if the prefix is empty
// (state/kvs.go, kvsListTxn).
func (s *state) list(prefix string) (uint64, []*api.KVPair) {
	var found []*api.KVPair
	var index uint64
	for key, e := range s.kvs {
		if strings.HasPrefix(key, prefix) {
			found = append(found, e)
			index = max(index, e.ModifyIndex)
		}
	}
	for key, deleted := range s.tombstones {
		if strings.HasPrefix(key, prefix) {
			index = max(index, deleted)
		}
	}
	if prefix == "" || index == 0 {
		index = s.kvsIndex
	}
	slices.SortFunc(found, func(a, b *api.KVPair) int { return strings.Compare(a.Key, b.Key) })
	return index, found
}

// put answers PUT with true or false: plain, ?cas, ?acquire or ?release (KV API).
func (s *Server) put(w http.ResponseWriter, r *http.Request, p Policy) error {
	key, err := keyOf(r)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	e := &api.KVPair{Key: key}
	if e.Value, err = io.ReadAll(io.LimitReader(r.Body, maxValue+1)); err != nil {
		return err
	}
	if q.Has("flags") {
		if e.Flags, err = strconv.ParseUint(q.Get("flags"), 10, 64); err != nil {
			return err
		}
	}
	if q.Has("cas") {
		if e.ModifyIndex, err = strconv.ParseUint(q.Get("cas"), 10, 64); err != nil {
			return err
		}
	}
	switch {
	case key == "":
		return httpError{http.StatusBadRequest, "Missing key name"}
	case len(e.Value) > maxValue:
		return httpError{http.StatusRequestEntityTooLarge, fmt.Sprintf("Request body too large, max size: %d bytes.", maxValue)}
	case !p.Write(key):
		return errDenied
	}
	done := true
	err = s.state.apply(func(t *tx) (err error) {
		switch {
		case q.Has("cas"):
			done = t.cas(e)
		case q.Has("acquire"):
			e.Session = q.Get("acquire")
			if done = !t.delayed(key); done {
				done, err = t.lock(e)
			}
		case q.Has("release"):
			e.Session = q.Get("release")
			done, err = t.unlock(e)
		default:
			t.set(e, false)
		}
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, done)
}

// remove answers DELETE with true or false: plain, ?cas or ?recurse (KV API).
func (s *Server) remove(w http.ResponseWriter, r *http.Request, p Policy) error {
	key, err := keyOf(r)
	if err != nil {
		return err
	}
	if !p.Write(key) {
		return errDenied
	}
	q := r.URL.Query()
	var index uint64
	if q.Has("cas") {
		if index, err = strconv.ParseUint(q.Get("cas"), 10, 64); err != nil {
			return err
		}
	}
	done := true
	err = s.state.apply(func(t *tx) error {
		switch {
		case q.Has("cas"):
			done = t.removeCAS(key, index)
		case q.Has("recurse"):
			_, found := t.list(key)
			for _, e := range found {
				t.remove(e.Key)
			}
		default:
			t.remove(key)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, done)
}

// apply runs one Raft entry, which is undone if it returns an error.
func (s *state) apply(change func(*tx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.begin()
	if err := change(t); err != nil {
		t.rollback()
		return err
	}
	t.commit()
	return nil
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
	return nil
}
