package web

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/config"
)

var errStoreTimeout = errors.New("the store did not answer in time")

// service guards the endpoints of the scraping service: without it they don't exist.
func (s *Server) service(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.opts.Configs == nil {
			refuse(w, r, http.StatusNotFound, "the scraping service is off (metrics.scraping_service.enabled)")
			return
		}
		h(w, r)
	}
}

type configList struct {
	Configs []string `json:"configs"`
	// Digests and Revisions, ours, come with ?digests=true. A config whose stored value can't be decoded has no digest.
	Digests   map[string]string `json:"digests,omitzero"`
	Revisions map[string]int64  `json:"revisions,omitzero"`
}

// listConfigs answers the names of all configs. With ?digests=true also the SHA-256 of each config's text and its
// revision, so that a client can tell what differs without reading contents (and secrets) back.
func (s *Server) listConfigs(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := s.storeContext(r)
	defer cancel()
	configs, revision, err := s.opts.Configs.List(ctx)
	if err != nil {
		s.storeFailed(ctx, w, "list configs", err)
		return
	}
	if !readAllowed(w, r, revision) {
		return
	}
	list := configList{Configs: make([]string, 0, len(configs))}
	for _, c := range configs {
		list.Configs = append(list.Configs, c.Name)
	}
	if r.URL.Query().Get("digests") == "true" {
		list.Digests = make(map[string]string, len(configs))
		list.Revisions = make(map[string]int64, len(configs))
		for _, c := range configs {
			list.Revisions[c.Name] = c.Revision
			if c.Err == nil {
				sum := sha256.Sum256([]byte(c.Text))
				list.Digests[c.Name] = hex.EncodeToString(sum[:])
			}
		}
	}
	slices.Sort(list.Configs)
	succeed(w, http.StatusOK, list)
}

// getConfig answers one config's text with its secrets masked.
func (s *Server) getConfig(w http.ResponseWriter, r *http.Request) {
	if !s.opts.ReadAPI {
		writeText(w, http.StatusNotFound, "reading configs is off (-config.enable-read-api)")
		return
	}
	name, ok := configName(w, r)
	if !ok {
		return
	}
	ctx, cancel := s.storeContext(r)
	defer cancel()
	stored, err := s.opts.Configs.Get(ctx, name)
	if err != nil {
		s.storeFailed(ctx, w, "get config", err)
		return
	}
	if stored.Err != nil {
		failAPI(w, http.StatusInternalServerError, problem{Error: fmt.Sprintf("decode stored config %q: %v", name, stored.Err)})
		return
	}
	masked, err := config.MaskInstance(stored.Text)
	if err != nil {
		failAPI(w, http.StatusInternalServerError, problem{Error: fmt.Sprintf("mask secrets of config %q: %v", name, err)})
		return
	}
	if !readAllowed(w, r, stored.Revision) {
		return
	}
	succeed(w, http.StatusOK, struct {
		Value string `json:"value"`
	}{masked})
}

// putConfig validates a config and stores it; it answers once it is durable.
func (s *Server) putConfig(w http.ResponseWriter, r *http.Request) {
	name, ok := configName(w, r)
	if !ok {
		return
	}
	cond, ok := condition(w, r)
	if !ok {
		return
	}
	text, ok := s.configBody(w, r)
	if !ok {
		return
	}
	opts := s.opts.InstanceOptions()
	opts.Origin = name
	if _, err := config.ParseInstance(name, text, opts); err != nil {
		failAPI(w, http.StatusBadRequest, configProblem(err))
		return
	}
	ctx, cancel := s.storeContext(r)
	defer cancel()
	res, err := s.opts.Configs.Put(ctx, name, text, cond)
	if err != nil {
		s.storeFailed(ctx, w, "put config", err)
		return
	}
	status, counter, msg := http.StatusOK, s.metrics.updated, "config replaced"
	if res.Created {
		status, counter, msg = http.StatusCreated, s.metrics.created, "config created"
	}
	counter.Inc()
	s.log.Info(msg, zap.String("instance", name), zap.Int64("revision", res.Revision))
	w.Header().Set("ETag", entityTag(res.Revision))
	succeed(w, status, nil)
}

func (s *Server) deleteConfig(w http.ResponseWriter, r *http.Request) {
	name, ok := configName(w, r)
	if !ok {
		return
	}
	cond, ok := condition(w, r)
	if !ok {
		return
	}
	ctx, cancel := s.storeContext(r)
	defer cancel()
	if err := s.opts.Configs.Delete(ctx, name, cond); err != nil {
		s.storeFailed(ctx, w, "delete config", err)
		return
	}
	s.metrics.deleted.Inc()
	s.log.Info("config deleted", zap.String("instance", name))
	succeed(w, http.StatusOK, nil)
}

// configName is the name of the path, checked; if it is not one, the answer is written and ok is false.
func configName(w http.ResponseWriter, r *http.Request) (name string, ok bool) {
	name = r.PathValue("name")
	if err := config.ValidateName(name); err != nil {
		failAPI(w, http.StatusBadRequest, problem{Error: err.Error()})
		return "", false
	}
	return name, true
}

func condition(w http.ResponseWriter, r *http.Request) (cond cluster.Condition, ok bool) {
	cond, err := writeCondition(r.Header)
	switch {
	case errors.Is(err, errUnmatchable):
		failAPI(w, http.StatusPreconditionFailed, problem{Error: "If-Match names no revision of this store"})
	case err != nil:
		failAPI(w, http.StatusBadRequest, problem{Error: err.Error()})
	}
	return cond, err == nil
}

// readAllowed sets the ETag and decides the conditions of a read; if it is false, the answer is written.
func readAllowed(w http.ResponseWriter, r *http.Request, revision int64) bool {
	etag := entityTag(revision)
	status, err := readStatus(r.Header, etag)
	if err != nil {
		failAPI(w, status, problem{Error: err.Error()})
		return false
	}
	w.Header().Set("ETag", etag)
	switch status {
	case http.StatusNotModified:
		w.WriteHeader(status)
	case http.StatusPreconditionFailed:
		failAPI(w, status, problem{Error: "If-Match does not hold: it is at revision " + etag})
	}
	return status == http.StatusOK
}

// configBody reads an upload up to its cap.
func (s *Server) configBody(w http.ResponseWriter, r *http.Request) (text string, ok bool) {
	limit := s.opts.MaxConfigBytes
	tooLarge := problem{Error: fmt.Sprintf("config is larger than %d bytes", limit)}
	if r.ContentLength > limit {
		// Said before the client has sent it all.
		failAPI(w, http.StatusRequestEntityTooLarge, tooLarge)
		return "", false
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if errors.As(err, new(*http.MaxBytesError)) {
		failAPI(w, http.StatusRequestEntityTooLarge, tooLarge)
		return "", false
	}
	if err != nil {
		failAPI(w, http.StatusBadRequest, problem{Error: "read body: " + err.Error()})
		return "", false
	}
	return string(body), true
}

// configProblem lists everything that is wrong with a config.
func configProblem(err error) problem {
	p := problem{Error: err.Error()}
	var all config.Errors
	if errors.As(err, &all) {
		for _, e := range all {
			p.Errors = append(p.Errors, configError{Line: e.Line, Field: e.Field, Problem: e.Problem, Hint: e.Hint})
		}
	}
	return p
}

// storeFailed answers an error of the repository. What is neither absence nor conflict is the store's failure: 500, and
// a log line, since the operator of the agent has to act and not the client.
func (s *Server) storeFailed(ctx context.Context, w http.ResponseWriter, doing string, err error) {
	switch {
	case errors.Is(err, cluster.ErrNotFound):
		failAPI(w, http.StatusNotFound, problem{Error: "there is no config of this name"})
	case errors.Is(err, cluster.ErrConflict):
		failAPI(w, http.StatusPreconditionFailed, problem{Error: "precondition failed: the config was changed by someone else, or exists already, or doesn't exist"})
	default:
		if errors.Is(context.Cause(ctx), errStoreTimeout) {
			err = fmt.Errorf("%w (%s): %w", errStoreTimeout, s.opts.StoreTimeout, err)
		}
		s.log.Warn("store call", zap.String("reason", doing), zap.Error(err))
		failAPI(w, http.StatusInternalServerError, problem{Error: doing + ": " + err.Error()})
	}
}
