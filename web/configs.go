package web

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

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
	// Digests and Revisions, ours, come with ?digests=true. A config whose stored value can't be
	// decoded has no digest.
	Digests   map[string]string `json:"digests,omitzero"`
	Revisions map[string]int64  `json:"revisions,omitzero"`
	// Escaped has the configs whose names are not UTF-8. JSON can't hold these: Configs shows them
	// with U+FFFD, and Digests and Revisions lack them.
	Escaped []escapedConfig `json:"escaped,omitzero"`
}

type escapedConfig struct {
	// Name is how the name stands in a URL.
	Name     string `json:"name"`
	Digest   string `json:"digest,omitempty"`
	Revision int64  `json:"revision"`
}

// listConfigs answers the names of all configs. With ?digests=true also the SHA-256 of each
// config's text and its revision, so that a client can tell what differs without reading contents
// (and secrets) back.
func (s *Server) listConfigs(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := s.storeContext(r)
	defer cancel()
	configs, at, err := s.opts.Configs.List(ctx)
	if err != nil {
		s.storeFailed(ctx, w, "list configs", err)
		return
	}
	if !readAllowed(w, r, at.Revision) {
		return
	}
	list := configList{Configs: make([]string, 0, len(configs))}
	if r.URL.Query().Get("digests") == "true" {
		list.Digests = make(map[string]string, len(configs))
		list.Revisions = make(map[string]int64, len(configs))
	}
	for _, c := range configs {
		list.add(c)
	}
	slices.Sort(list.Configs)
	succeed(w, http.StatusOK, list)
}

func (l *configList) add(c cluster.StoredConfig) {
	digest, valid := "", utf8.ValidString(c.Name)
	if c.Err == nil && (l.Revisions != nil || !valid) {
		sum := sha256.Sum256([]byte(c.Text))
		digest = hex.EncodeToString(sum[:])
	}
	if !valid {
		l.Configs = append(l.Configs, strings.ToValidUTF8(c.Name, "\uFFFD"))
		l.Escaped = append(l.Escaped, escapedConfig{url.PathEscape(c.Name), digest, c.Revision})
		return
	}
	l.Configs = append(l.Configs, c.Name)
	if l.Revisions == nil {
		return
	}
	l.Revisions[c.Name] = c.Revision
	if digest != "" {
		l.Digests[c.Name] = digest
	}
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
	if !ok || !s.mayUpload(w, r) {
		return
	}
	text, ok := s.configBody(w, r)
	s.uploads.spend(clientOf(r), len(text))
	if !ok {
		return
	}
	valid, failed := s.checkConfig(name, text)
	if failed != nil {
		failed.answer(w)
		return
	}
	res, failed := s.storeConfig(r, valid, cond)
	if failed != nil {
		failed.answer(w)
		return
	}
	status := http.StatusOK
	if res.Created {
		status = http.StatusCreated
	}
	w.Header().Set("ETag", entityTag(res.Revision))
	succeed(w, status, nil)
}

// failure is a problem with its status.
type failure struct {
	problem
	status int
}

func (f *failure) answer(w http.ResponseWriter) { failAPI(w, f.status, f.problem) }

// validUpload is an upload that was checked, and the options by which it is valid.
type validUpload struct {
	document cluster.Document
	instance *config.Instance
	by       config.InstanceOptions
}

// checkConfig is the check of every upload, whichever way it comes.
func (s *Server) checkConfig(name, text string) (valid validUpload, failed *failure) {
	opts := s.opts.InstanceOptions(name)
	opts.Origin = name
	instance, line, at, err := config.ParseUpload(name, text, opts)
	if err != nil {
		return valid, &failure{configProblem(err), http.StatusBadRequest}
	}
	return validUpload{cluster.Document{Text: text, Insert: line, At: at}, instance, opts}, nil
}

// storeConfig stores what was checked, and keeps what it replaced.
func (s *Server) storeConfig(r *http.Request, valid validUpload, cond cluster.Condition) (res cluster.PutResult, failed *failure) {
	ctx, cancel := s.storeContext(r)
	defer cancel()
	name, document := valid.instance.Name, valid.document
	if s.opts.Checked != nil {
		forget := s.opts.Checked(valid.instance, valid.by)
		defer func() {
			if failed != nil {
				forget()
			}
		}()
	}
	if !cond.Absent { // else it replaces nothing
		s.keepReplaced(ctx, name)
	}
	res, err := s.opts.Configs.PutDocument(ctx, name, document, cond)
	var tooLarge *cluster.TooLargeError
	if errors.As(err, &tooLarge) {
		return res, &failure{problem{Error: tooLongFor(tooLarge, len(document.Text))}, http.StatusRequestEntityTooLarge}
	}
	if err != nil {
		return res, s.storeFailure(ctx, "put config", err)
	}
	s.revisions.keep(keptRevision{name: name, text: document.Text, revision: res.Revision, at: s.opts.Now()})
	counter, msg := s.metrics.updated, "config replaced"
	if res.Created {
		counter, msg = s.metrics.created, "config created"
	}
	counter.Inc()
	s.log.Info(msg, zap.String("instance", name), zap.Int64("revision", res.Revision))
	return res, nil
}

// tooLongFor says by how much a config of so many bytes is too long for the store, which keeps it
// compressed.
func tooLongFor(e *cluster.TooLargeError, size int) string {
	limit := "more than " + e.Store + " accepts"
	if e.Limit > 0 {
		limit = fmt.Sprintf("and %s accepts %d", e.Store, e.Limit)
	}
	return fmt.Sprintf("the config is too long for the store: its %d bytes are %d when compressed, %s", size, e.Size, limit)
}

// deleteConfig takes any name: whatever was written into the store by other means has to be deletable.
func (s *Server) deleteConfig(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	if name == "" {
		failAPI(w, http.StatusBadRequest, problem{Error: "the name is empty"})
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
	s.revisions.forget(name)
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

// readAllowed sets the ETag and decides the conditions of a read; if it is false, the answer is
// written.
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

func full(err error) bool {
	var full *cluster.FullError
	return errors.As(err, &full)
}

// storeFailed answers an error of the repository.
func (s *Server) storeFailed(ctx context.Context, w http.ResponseWriter, doing string, err error) {
	s.storeFailure(ctx, doing, err).answer(w)
}

// storeFailure is what an error of the repository is answered with. What is neither absence nor
// conflict is the store's failure: 500, and a log line, since the operator of the agent has to act
// and not the client.
func (s *Server) storeFailure(ctx context.Context, doing string, err error) *failure {
	switch {
	case errors.Is(err, cluster.ErrNotFound):
		return &failure{problem{Error: "there is no config of this name"}, http.StatusNotFound}
	case errors.Is(err, cluster.ErrConflict):
		return &failure{problem{Error: "precondition failed: the config was changed by someone else, or exists already, or doesn't exist"}, http.StatusPreconditionFailed}
	case full(err):
		return &failure{problem{Error: doing + ": " + err.Error() + "; delete configs, or raise kvstore.embedded.max_size"}, http.StatusInsufficientStorage}
	}
	if errors.Is(context.Cause(ctx), errStoreTimeout) {
		err = fmt.Errorf("%w (%s): %w", errStoreTimeout, s.opts.StoreTimeout, err)
	}
	s.log.Warn("store call", zap.String("reason", doing), zap.Error(err))
	return &failure{problem{Error: doing + ": " + err.Error()}, http.StatusInternalServerError}
}
